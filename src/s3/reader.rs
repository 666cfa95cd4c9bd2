//! An object as something that can be read and sought, for code that knows files only.

use std::io::{self, Read, Seek, SeekFrom};

use bytes::Bytes;
use tokio::runtime::Handle;

use super::{S3Bucket, StoreError};

/// Bytes that are fetched at once: few requests for a whole archive, little waste for its end.
const BLOCK_BYTES: u64 = 8 * 1024 * 1024;

/// Reads an object by ranges. Blocks: not for asynchronous code.
#[derive(Debug)]
pub struct S3Reader {
    bucket: S3Bucket,
    key: String,
    length: u64,
    e_tag: Option<String>,
    position: u64,
    /// The last range that was fetched, and where it begins.
    block: (u64, Bytes),
    runtime: Handle,
}

impl S3Bucket {
    /// Length and `ETag` of an object, by a GET of its first byte: answers to HEAD have no codes,
    /// and so could not tell a wrong key from a missing permission.
    async fn measure(&self, key: &str) -> Result<(u64, Option<String>), StoreError> {
        let answer = self
            .call("looking at the object", 0, || {
                self.client()
                    .get_object()
                    .bucket(self.name())
                    .key(key)
                    .range("bytes=0-0")
                    .send()
            })
            .await?;
        let total = answer
            .content_range()
            .and_then(|range| range.rsplit_once('/'))
            .and_then(|(_, total)| total.parse().ok())
            .ok_or_else(|| StoreError::odd("the store does not tell the object's length"))?;
        Ok((total, answer.e_tag().map(str::to_owned)))
    }

    /// Bytes of an object, if it is (still) the one with this `ETag`.
    pub(crate) async fn read_range(
        &self,
        key: &str,
        range: std::ops::Range<u64>,
        e_tag: Option<&str>,
    ) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let length = range.end - range.start;
        let last = range.end - 1;
        self.call("reading the object", length, async || {
            let answer = self
                .client()
                .get_object()
                .bucket(self.name())
                .key(key)
                .range(format!("bytes={}-{last}", range.start))
                .set_if_match(e_tag.map(str::to_owned))
                .send()
                .await?;
            let bytes = answer
                .body
                .collect()
                .await
                .map_err(aws_sdk_s3::error::SdkError::timeout_error)?;
            Ok(bytes.into_bytes())
        })
        .await
        .and_then(|bytes| {
            if bytes.len() as u64 == length {
                Ok(bytes)
            } else {
                Err(StoreError::odd(format!(
                    "the store gave {} bytes instead of {length}",
                    bytes.len()
                )))
            }
        })
    }

    /// Opens an object for reading by code that knows files only.
    ///
    /// # Errors
    /// If it is not there, or the store does not answer.
    pub async fn open(&self, key: &str) -> Result<S3Reader, StoreError> {
        let (length, e_tag) = self.measure(key).await?;
        Ok(S3Reader {
            bucket: self.clone(),
            key: key.to_owned(),
            length,
            e_tag,
            position: 0,
            block: (0, Bytes::new()),
            runtime: Handle::current(),
        })
    }
}

impl Read for S3Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.length || buffer.is_empty() {
            return Ok(0);
        }
        let end = self.block.0 + self.block.1.len() as u64;
        if !(self.block.0..end).contains(&self.position) {
            let range = self.position..(self.position + BLOCK_BYTES).min(self.length);
            let reading = self
                .bucket
                .read_range(&self.key, range, self.e_tag.as_deref());
            let bytes = self.runtime.block_on(reading).map_err(io::Error::other)?;
            self.block = (self.position, bytes);
        }
        let from = usize::try_from(self.position - self.block.0).map_err(io::Error::other)?;
        let available = &self.block.1[from..];
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for S3Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
