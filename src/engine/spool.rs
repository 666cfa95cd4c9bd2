//! Photos whose length only the download tells, or that can only be had whole: they are put on
//! the local disk first, and the plan is made with what arrived.
//!
//! The files have no name, so that nothing is left behind however the process ends, and each
//! serves many photos one after the other, so that their number is that of the workers.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crc_fast::Digest;
use flate2::write::MultiGzDecoder;
use md5::{Digest as _, Md5};
use tokio::time::timeout;

use super::checksum::{CRC32C, value};
use super::fetch::FailureKind;
use super::progress::Progress;
use crate::manifest::{Hashes, Photo};
use crate::plan::MissingReason;
use crate::retry::{Retry, RetryPolicy};
use crate::source::{PhotoBody, PhotoSource, SourceError, Validators, Want};

/// Bytes that are gathered before they are written.
const WRITE_BYTES: usize = 256 * 1024;
/// Compressed bytes that are unpacked at once, to at most a megabyte.
const PACKED_BYTES: usize = 1024;
/// Bytes that are read at once.
const READ_BYTES: usize = 128 * 1024;

/// A bounded place on the local disk.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    limit: u64,
    used: AtomicU64,
    /// Files that nobody writes to at the moment, and where each ends.
    idle: Mutex<Vec<(Arc<File>, u64)>>,
}

/// One photo in the spool.
#[derive(Debug, Clone)]
pub(super) struct Spooled {
    file: Arc<File>,
    offset: u64,
    /// Its length in bytes.
    pub(super) length: u64,
}

/// Why a photo did not get into the spool.
#[derive(Debug)]
pub(super) enum SpoolFailure {
    Fetch(FailureKind),
    /// There is more than `engine.spool_limit`.
    Full,
    Io(io::Error),
}

impl From<SourceError> for Interrupted {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<io::Error> for Interrupted {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Why one attempt ended.
enum Interrupted {
    Source(SourceError),
    Full,
    Io(io::Error),
}

impl Spool {
    pub(super) fn new(folder: PathBuf, limit: u64) -> Self {
        Self {
            folder,
            limit,
            used: AtomicU64::new(0),
            idle: Mutex::default(),
        }
    }

    /// Downloads a whole photo into the spool.
    pub(super) async fn fetch<S: PhotoSource>(
        &self,
        source: &S,
        photo: &Photo,
        policy: RetryPolicy,
        stall_timeout: Duration,
        progress: &Progress,
    ) -> Result<Spooled, SpoolFailure> {
        let (file, offset) = self.file().map_err(SpoolFailure::Io)?;
        let mut retry = Retry::new(policy);
        loop {
            let mut entry = SpoolEntry::new(self, &file, offset);
            let failure = match receive(source, photo, stall_timeout, &mut entry).await {
                Ok(()) => {
                    let length = entry.length;
                    entry.keep();
                    self.lock().push((Arc::clone(&file), offset + length));
                    return Ok(Spooled {
                        file,
                        offset,
                        length,
                    });
                }
                Err(Interrupted::Full) => return Err(SpoolFailure::Full),
                Err(Interrupted::Io(error)) => return Err(SpoolFailure::Io(error)),
                Err(Interrupted::Source(SourceError::Transient(failure))) => failure,
                Err(Interrupted::Source(SourceError::Missing(reason))) => {
                    return Err(SpoolFailure::Fetch(FailureKind::Missing(reason)));
                }
                Err(Interrupted::Source(SourceError::Settings(what))) => {
                    return Err(SpoolFailure::Fetch(FailureKind::Settings(what)));
                }
                Err(Interrupted::Source(error)) => {
                    return Err(SpoolFailure::Fetch(FailureKind::Exhausted {
                        what: error.to_string(),
                        attempts: 1,
                    }));
                }
            };
            drop(entry);
            if !retry.wait(failure.retry_after).await {
                return Err(SpoolFailure::Fetch(FailureKind::Exhausted {
                    what: failure.what,
                    attempts: retry.failures(),
                }));
            }
            progress.retries.add(1);
        }
    }

    fn file(&self) -> io::Result<(Arc<File>, u64)> {
        match self.lock().pop() {
            Some(idle) => Ok(idle),
            None => Ok((Arc::new(tempfile::tempfile_in(&self.folder)?), 0)),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Arc<File>, u64)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn receive<S: PhotoSource>(
    source: &S,
    photo: &Photo,
    stall_timeout: Duration,
    entry: &mut SpoolEntry<'_>,
) -> Result<(), Interrupted> {
    let opened = source
        .open(photo, Want::MaybeGzip, &Validators::default())
        .await?;
    let hashes = photo.hashes.or(opened.hashes);
    let mut body = opened.body;
    let mut received = 0u64;
    // Checksums are those of the bytes as stored, which is as they arrive.
    let mut crc32c = Digest::new(CRC32C);
    // But a server that compresses on the way gives those of what it compressed.
    let mut unpacked_crc32c = Digest::new(CRC32C);
    let mut md5 = (hashes.crc32c.is_none() && hashes.md5.is_some()).then(Md5::new);
    let mut unpack = opened.gzip.then(|| MultiGzDecoder::new(Vec::new()));
    loop {
        let chunk = timeout(stall_timeout, body.chunk()).await.map_err(|_| {
            let seconds = stall_timeout.as_secs_f32();
            SourceError::transient(format!("no bytes for {seconds} s"))
        })??;
        let Some(chunk) = chunk else {
            break;
        };
        received += chunk.len() as u64;
        crc32c.update(&chunk);
        if let Some(md5) = &mut md5 {
            md5.update(&chunk);
        }
        match &mut unpack {
            None => entry.write(&chunk).await?,
            Some(decoder) => {
                // Piece by piece, because each can unpack to a thousand times its length.
                for piece in chunk.chunks(PACKED_BYTES) {
                    decoder
                        .write_all(piece)
                        .map_err(|error| damaged_gzip(&error))?;
                    unpacked_crc32c.update(decoder.get_ref());
                    entry.write(decoder.get_ref()).await?;
                    decoder.get_mut().clear();
                }
            }
        }
    }
    if let Some(decoder) = unpack {
        let rest = decoder.finish().map_err(|error| damaged_gzip(&error))?;
        unpacked_crc32c.update(&rest);
        entry.write(&rest).await?;
    }
    if opened.total.is_some_and(|total| total != received) {
        return Err(
            SourceError::transient(format!("the body ended after {received} bytes")).into(),
        );
    }
    let crcs = if opened.gzip {
        vec![value(&crc32c), value(&unpacked_crc32c)]
    } else {
        vec![value(&crc32c)]
    };
    check(photo, hashes, &crcs, md5.as_ref())?;
    entry.flush().await?;
    match photo.size {
        Some(expected) if expected != entry.length => {
            Err(SourceError::Missing(MissingReason::WrongSize {
                expected,
                found: entry.length,
            })
            .into())
        }
        _ => Ok(()),
    }
}

fn damaged_gzip(error: &io::Error) -> SourceError {
    SourceError::transient(format!("the compressed body is damaged: {error}"))
}

fn check(
    photo: &Photo,
    hashes: Hashes,
    crc32c: &[u32],
    md5: Option<&Md5>,
) -> Result<(), SourceError> {
    let wrong = hashes
        .crc32c
        .is_some_and(|expected| !crc32c.contains(&expected))
        || matches!((md5, hashes.md5), (Some(md5), Some(expected)) if md5.clone().finalize()[..] != expected);
    match (wrong, photo.hashes.is_empty()) {
        (false, _) => Ok(()),
        (true, true) => Err(SourceError::transient(
            "its bytes do not match their checksum",
        )),
        (true, false) => Err(SourceError::Missing(MissingReason::WrongHash)),
    }
}

/// A photo on its way into a spool file. What it took of the limit is given back if it is
/// dropped before [`SpoolEntry::keep`].
struct SpoolEntry<'a> {
    spool: &'a Spool,
    file: &'a Arc<File>,
    offset: u64,
    length: u64,
    gathered: Vec<u8>,
    kept: bool,
}

impl<'a> SpoolEntry<'a> {
    fn new(spool: &'a Spool, file: &'a Arc<File>, offset: u64) -> Self {
        Self {
            spool,
            file,
            offset,
            length: 0,
            gathered: Vec::new(),
            kept: false,
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Interrupted> {
        let more = bytes.len() as u64;
        self.length += more;
        let used = self.spool.used.fetch_add(more, Ordering::Relaxed) + more;
        if used > self.spool.limit {
            return Err(Interrupted::Full);
        }
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= WRITE_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.gathered);
        let at = self.offset + self.length - bytes.len() as u64;
        let file = Arc::clone(self.file);
        tokio::task::spawn_blocking(move || file.write_all_at(&bytes, at))
            .await
            .map_err(io::Error::other)?
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for SpoolEntry<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.spool.used.fetch_sub(self.length, Ordering::Relaxed);
        }
    }
}

impl Spooled {
    /// Gives the bytes from `from` on, in chunks. Blocks.
    pub(super) fn read(
        &self,
        from: u64,
        length: u64,
        mut give: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let mut buffer = vec![0; READ_BYTES];
        let (mut at, end) = (self.offset + from, self.offset + from + length);
        while at < end {
            let count = buffer
                .len()
                .min(usize::try_from(end - at).unwrap_or(usize::MAX));
            self.file.read_exact_at(&mut buffer[..count], at)?;
            give(&buffer[..count]);
            at += count as u64;
        }
        Ok(())
    }
}
