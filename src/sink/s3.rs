//! Archives into R2 or S3 by multipart upload; by a single PUT where there is but one part.
//!
//! Parts are equal (R2 insists, when the upload is completed), go up in any order with unsigned
//! payloads and our own CRC-32, which was combined on the way, so that no byte is looked at
//! twice. A request to complete whose answer was lost is settled by looking: every upload marks
//! its object.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, MultipartUpload,
};
use aws_smithy_types::byte_stream::ByteStream;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    ArchiveSink, ArchiveSpec, ArchiveStore, ArchiveUpload, PartData, PartReceipt, SinkError,
    Stored, check_receipts,
};
use crate::manifest::MAX_EXPIRES_IN;
use crate::manifest::name::archive_file_name;
use crate::plan::volume_name;
use crate::s3::{S3Bucket, StoreError, StoreErrorKind};

/// The metadata entry that tells which upload made an object.
const MARK: &str = "upload";
/// What completing one part is given the time of, in bytes of transfer: a quarter of a second.
const EFFORT_PER_PART: u64 = 64 * 1024;
/// How exactly stores tell when an upload began, in seconds.
const CLOCK_SECONDS: i64 = 2;

/// A place for archives in a bucket.
#[derive(Debug, Clone)]
pub struct S3Sink {
    bucket: S3Bucket,
    key: String,
    named_by_key: bool,
}

impl S3Sink {
    /// Archives become `key`, or where there are several `key-1-of-3.zip` and so on; a key that is
    /// empty or ends with `/` is a folder, in which they go by the names that they were given.
    pub fn new(bucket: S3Bucket, key: impl Into<String>) -> Self {
        Self {
            bucket,
            key: key.into(),
            named_by_key: false,
        }
    }

    /// The same place; browsers save archives under the names of their keys, whatever names they were
    /// given.
    #[must_use]
    pub fn named_by_key(self) -> Self {
        Self {
            named_by_key: true,
            ..self
        }
    }
}

/// The name under which an archive at `key` is saved.
fn name_of_key(key: &str) -> String {
    archive_file_name(key.rsplit('/').next().unwrap_or(key), "")
}

/// The key of one of the archives that go to `wanted`.
fn object_key(wanted: &str, archive: &ArchiveSpec) -> String {
    let numbered = |name| volume_name(name, archive.index, archive.count);
    match wanted.rsplit_once('/') {
        None if wanted.is_empty() => archive.name.clone(),
        None => numbered(wanted),
        Some((folder, "")) => format!("{folder}/{}", archive.name),
        Some((folder, name)) => format!("{folder}/{}", numbered(name)),
    }
}

/// Aborts an upload; fine if there is none.
async fn abort_upload(bucket: &S3Bucket, key: &str, id: &str) -> Result<(), StoreError> {
    let aborted = bucket
        .call("aborting the upload", 0, || {
            bucket
                .client()
                .abort_multipart_upload()
                .bucket(bucket.name())
                .key(key)
                .upload_id(id)
                .send()
        })
        .await;
    match aborted {
        Err(error) if error.kind != StoreErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl ArchiveStore for S3Bucket {
    type Sink = S3Sink;

    fn folder(&self, folder: &str) -> S3Sink {
        S3Sink::new(self.clone(), folder)
    }

    async fn length(&self, key: &str) -> Result<Option<u64>, SinkError> {
        let head = self
            .call_head("looking at the archive", || {
                self.client()
                    .head_object()
                    .bucket(self.name())
                    .key(key)
                    .send()
            })
            .await;
        match head {
            Ok(head) => Ok(head.content_length().and_then(|n| u64::try_from(n).ok())),
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn keys(&self, folder: &str) -> Result<Vec<String>, SinkError> {
        Ok(Self::keys(self, folder).await?)
    }

    async fn remove(&self, key: &str) -> Result<(), SinkError> {
        self.call("removing the archive", 0, || {
            self.client()
                .delete_object()
                .bucket(self.name())
                .key(key)
                .send()
        })
        .await?;
        Ok(())
    }

    /// R2 and S3 list uploads by prefix; MinIO only by exact key, so that nothing is found there.
    async fn abort_uploads(&self, folder: &str) -> Result<(), SinkError> {
        let listed = self
            .call("looking for uploads that were left open", 0, || {
                self.client()
                    .list_multipart_uploads()
                    .bucket(self.name())
                    .prefix(folder)
                    .send()
            })
            .await?;
        for upload in listed.uploads() {
            if let (Some(key), Some(id)) = (upload.key(), upload.upload_id())
                && key.starts_with(folder)
            {
                abort_upload(self, key, id).await?;
            }
        }
        Ok(())
    }

    /// A presigned URL. R2 knows them on its S3 address only, and for seven days at most (its
    /// documentation, "Presigned URLs").
    async fn link(&self, key: &str, valid: Duration) -> Result<String, SinkError> {
        let config = PresigningConfig::expires_in(valid.min(MAX_EXPIRES_IN))
            .map_err(|error| StoreError::odd(format!("no link can be made: {error}")))?;
        let link = self.client().get_object().bucket(self.name()).key(key);
        let signed = link
            .presigned(config)
            .await
            .map_err(|error| self.error("making a link", &error))?;
        Ok(signed.uri().to_owned())
    }
}

/// One archive on its way into a bucket.
#[derive(Debug)]
pub struct S3Upload {
    bucket: S3Bucket,
    key: String,
    spec: ArchiveSpec,
    /// The name under which browsers save it.
    saved_as: String,
    /// Tells this upload's object from any other at the same key.
    mark: String,
    state: Mutex<State>,
}

#[derive(Debug, Clone)]
enum State {
    /// A multipart upload with this id.
    Multipart(String),
    /// One part, which is kept until the archive is completed.
    Single(Option<Bytes>),
    /// The object may be there: it was asked for. The id is that of the multipart upload.
    Completing(Option<String>),
    /// Nothing is there any more.
    Aborted,
}

impl ArchiveSink for S3Sink {
    type Upload = S3Upload;

    async fn begin(&self, archive: &ArchiveSpec) -> Result<S3Upload, SinkError> {
        let key = object_key(&self.key, archive);
        let mut upload = S3Upload {
            bucket: self.bucket.clone(),
            saved_as: if self.named_by_key {
                name_of_key(&key)
            } else {
                archive.name.clone()
            },
            key,
            spec: archive.clone(),
            mark: format!("{:032x}", rand::random::<u128>()),
            state: Mutex::new(State::Single(None)),
        };
        if archive.length > archive.part_size {
            let id = upload.create().await?;
            upload.state = Mutex::new(State::Multipart(id));
        }
        Ok(upload)
    }
}

impl S3Upload {
    async fn create(&self) -> Result<String, StoreError> {
        let requests = AtomicU32::new(0);
        let started = Instant::now();
        let created = self
            .bucket
            .call("beginning the upload", 0, || {
                requests.fetch_add(1, Ordering::Relaxed);
                self.bucket
                    .client()
                    .create_multipart_upload()
                    .bucket(self.bucket.name())
                    .key(&self.key)
                    .content_type("application/zip")
                    .content_disposition(content_disposition(&self.saved_as))
                    .cache_control(CACHE_CONTROL)
                    .metadata(MARK, &self.mark)
                    .checksum_algorithm(ChecksumAlgorithm::Crc32)
                    .send()
            })
            .await?;
        let id = created
            .upload_id()
            .map(str::to_owned)
            .ok_or_else(|| StoreError::odd("the store began an upload without an id"))?;
        if requests.into_inner() > 1
            && let Err(error) = self.abort_orphans(&id, started.elapsed()).await
        {
            // Not worth failing for: the bucket's lifecycle rule sweeps them too.
            tracing::warn!("an upload may be left open: {error}");
        }
        Ok(id)
    }

    /// Aborts uploads that earlier requests to begin this one began without our hearing of it:
    /// those of exactly this key, begun since our first request, which was `since` ago. The
    /// store's clock is compared with itself.
    async fn abort_orphans(&self, id: &str, since: Duration) -> Result<(), StoreError> {
        let client = self.bucket.client();
        let listed = self
            .bucket
            .call("looking for uploads that were begun twice", 0, || {
                client
                    .list_multipart_uploads()
                    .bucket(self.bucket.name())
                    .prefix(&self.key)
                    .send()
            })
            .await?;
        let uploads = listed.uploads();
        let began = |upload: &MultipartUpload| upload.initiated().map(DateTime::secs);
        let window = i64::try_from(since.as_secs()).unwrap_or(i64::MAX) + CLOCK_SECONDS;
        let ours = uploads
            .iter()
            .find(|upload| upload.upload_id() == Some(id))
            .and_then(began);
        for upload in uploads {
            let recent = match (began(upload), ours) {
                (Some(theirs), Some(ours)) => (ours - window..=ours).contains(&theirs),
                _ => false,
            };
            let same_key = upload.key() == Some(&self.key) && upload.upload_id() != Some(id);
            if let (true, true, Some(orphan)) = (recent, same_key, upload.upload_id()) {
                self.abort_upload(orphan).await?;
            }
        }
        Ok(())
    }

    async fn abort_upload(&self, id: &str) -> Result<(), StoreError> {
        abort_upload(&self.bucket, &self.key, id).await
    }

    fn state(&self) -> State {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn upload_part(&self, id: &str, part: &PartData) -> Result<PartReceipt, StoreError> {
        let uploaded = self
            .bucket
            .call("uploading a part", part.bytes.len() as u64, || {
                self.bucket
                    .client()
                    .upload_part()
                    .bucket(self.bucket.name())
                    .key(&self.key)
                    .upload_id(id)
                    .part_number(number(part.number))
                    .checksum_crc32(checksum(part.crc32))
                    .body(ByteStream::from(part.bytes.clone()))
                    .customize()
                    // SHA-256 of the bytes would cost four times as much as TLS.
                    .disable_payload_signing()
                    .send()
            })
            .await?;
        Ok(PartReceipt {
            number: part.number,
            e_tag: uploaded.e_tag().map(str::to_owned),
            crc32: part.crc32,
        })
    }

    async fn complete_multipart(&self, id: &str, parts: &[PartReceipt]) -> Result<(), StoreError> {
        let completed = parts.iter().map(|part| {
            CompletedPart::builder()
                .part_number(number(part.number))
                .set_e_tag(part.e_tag.clone())
                .checksum_crc32(checksum(part.crc32))
                .build()
        });
        // Some stores put the object together only now, so that many parts take their time.
        let effort = parts.len() as u64 * EFFORT_PER_PART;
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(completed.collect()))
            .build();
        self.bucket
            .call("completing the upload", effort, || {
                self.bucket
                    .client()
                    .complete_multipart_upload()
                    .bucket(self.bucket.name())
                    .key(&self.key)
                    .upload_id(id)
                    .multipart_upload(parts.clone())
                    .send()
            })
            .await
            .map(drop)
    }

    async fn put(&self, bytes: &Bytes, crc32: u32) -> Result<(), StoreError> {
        self.bucket
            .call("storing the archive", bytes.len() as u64, || {
                self.bucket
                    .client()
                    .put_object()
                    .bucket(self.bucket.name())
                    .key(&self.key)
                    .content_type("application/zip")
                    .content_disposition(content_disposition(&self.saved_as))
                    .cache_control(CACHE_CONTROL)
                    .metadata(MARK, &self.mark)
                    .checksum_crc32(checksum(crc32))
                    .body(ByteStream::from(bytes.clone()))
                    .customize()
                    .disable_payload_signing()
                    .send()
            })
            .await
            .map(drop)
    }

    /// The length of the object, if it is this upload's.
    async fn stored_length(&self) -> Result<Option<u64>, StoreError> {
        let head = self
            .bucket
            .call_head("looking at the archive", || {
                self.bucket
                    .client()
                    .head_object()
                    .bucket(self.bucket.name())
                    .key(&self.key)
                    .send()
            })
            .await;
        match head {
            Ok(head) => {
                let ours = head.metadata().and_then(|all| all.get(MARK)) == Some(&self.mark);
                let length = head.content_length().and_then(|n| u64::try_from(n).ok());
                Ok(length.filter(|_| ours))
            }
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the object, if it is this upload's.
    async fn remove_object(&self) -> Result<(), StoreError> {
        if self.stored_length().await?.is_none() {
            return Ok(());
        }
        self.bucket
            .call("removing the archive", 0, || {
                self.bucket
                    .client()
                    .delete_object()
                    .bucket(self.bucket.name())
                    .key(&self.key)
                    .send()
            })
            .await
            .map(drop)
    }

    fn problem(&self, problem: &str) -> SinkError {
        SinkError::Parts {
            name: self.spec.name.clone(),
            problem: problem.to_owned(),
        }
    }
}

impl ArchiveUpload for S3Upload {
    async fn put_part(&self, part: PartData) -> Result<PartReceipt, SinkError> {
        match self.state() {
            State::Multipart(id) => Ok(self.upload_part(&id, &part).await?),
            State::Single(_) => {
                let receipt = PartReceipt {
                    number: part.number,
                    e_tag: None,
                    crc32: part.crc32,
                };
                *self.lock() = State::Single(Some(part.bytes));
                Ok(receipt)
            }
            State::Completing(_) | State::Aborted => Err(self.problem("the upload is over")),
        }
    }

    async fn complete(&self, parts: &[PartReceipt]) -> Result<Stored, SinkError> {
        check_receipts(&self.spec, parts)?;
        let state = self.state();
        let id = match &state {
            State::Multipart(id) => Some(id.clone()),
            _ => None,
        };
        *self.lock() = State::Completing(id);
        let completed = match (state, parts) {
            (State::Multipart(id), _) => self.complete_multipart(&id, parts).await,
            (State::Single(Some(bytes)), [part]) => self.put(&bytes, part.crc32).await,
            _ => return Err(self.problem("the upload is over")),
        };
        // Even a failure may have been a success whose answer was lost.
        let stored = self.stored_length().await;
        let length = match (completed, stored) {
            (_, Ok(Some(length))) => length,
            (Err(error), _) | (Ok(()), Err(error)) => return Err(error.into()),
            (Ok(()), Ok(None)) => {
                return Err(self.problem("another writer replaced the archive at once"));
            }
        };
        Ok(Stored {
            location: format!("s3://{}/{}", self.bucket.name(), self.key),
            length,
        })
    }

    async fn abort(&self) -> Result<(), SinkError> {
        match self.state() {
            State::Multipart(id) => self.abort_upload(&id).await?,
            State::Completing(id) => {
                if let Some(id) = id {
                    self.abort_upload(&id).await?;
                }
                self.remove_object().await?;
            }
            State::Single(_) | State::Aborted => {}
        }
        *self.lock() = State::Aborted;
        Ok(())
    }

    async fn read_back(&self, range: Range<u64>) -> Result<Option<Bytes>, SinkError> {
        let bytes = self.bucket.read_range(&self.key, range, None).await?;
        Ok(Some(bytes))
    }
}

/// S3 counts parts in signed numbers, up to 10,000.
fn number(part: u32) -> i32 {
    i32::try_from(part).unwrap_or(i32::MAX)
}

/// As `x-amz-checksum-crc32` wants it: base64 of the big-endian bytes.
fn checksum(crc32: u32) -> String {
    STANDARD.encode(crc32.to_be_bytes())
}

/// An archive is for whoever has its link, and must be gone once it is removed: no cache between keeps it
/// (RFC 9111, 5.2.2.7).
const CACHE_CONTROL: &str = "private";

/// Characters that need no escape in an extended parameter value (RFC 8187, 3.2.1).
const ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// Says that the archive is to be saved, and under which name: plainly for old clients, exactly
/// for others (RFC 6266).
pub fn content_disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| match c {
            '"' | '\\' | '%' => '_',
            ' '..='~' => c,
            _ => '_',
        })
        .collect();
    let exact = utf8_percent_encode(name, ATTR_CHAR);
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_end_with_a_slash_are_folders() {
        let archive = |count| ArchiveSpec {
            name: "given.zip".to_owned(),
            index: 1,
            count,
            length: 1,
            part_size: 1,
        };
        assert_eq!(object_key("", &archive(1)), "given.zip");
        assert_eq!(object_key("a/b/", &archive(3)), "a/b/given.zip");
        assert_eq!(object_key("a/b.zip", &archive(1)), "a/b.zip");
        assert_eq!(object_key("a/b.zip", &archive(3)), "a/b-2-of-3.zip");
        assert_eq!(object_key("b", &archive(3)), "b-2-of-3");
    }

    #[test]
    fn keys_are_names_to_save_archives_under() {
        assert_eq!(name_of_key("albums/smith & jones.zip"), "smith & jones.zip");
        assert_eq!(name_of_key("a/b-2-of-3.zip"), "b-2-of-3.zip");
        assert_eq!(name_of_key("a/b"), "b.zip");
        assert_eq!(name_of_key("who: b.zip"), "who_ b.zip");
    }

    #[test]
    fn names_survive_in_the_disposition() {
        assert_eq!(
            content_disposition("Smith & Jones.zip"),
            "attachment; filename=\"Smith & Jones.zip\"; filename*=UTF-8''Smith%20&%20Jones.zip"
        );
        assert_eq!(
            content_disposition("חתונה \"2026\" 100%.zip"),
            "attachment; filename=\"_____ _2026_ 100_.zip\"; filename*=UTF-8''\
             %D7%97%D7%AA%D7%95%D7%A0%D7%94%20%222026%22%20100%25.zip"
        );
    }
}
