//! Photos whose length only the download tells, or that can only be had whole: they are put on
//! the local disk first, and the plan is made with what arrived.
//!
//! The files have no name, so that nothing is left behind however the process ends, and each
//! serves many photos one after the other, so that their number is that of the workers.
//!
//! A body without a length may be without an end, too: a webcam's stream. Only what is longer than the
//! whole spool may be is given up for that, and not what comes when there is no more room, because
//! that may be the endless one's fault. So a photo for which there is no more room gives back what it
//! has, and is counted to its end without being stored. If it turns out too long, it alone is missing; if
//! not, it is fetched again when the others are done, one such photo after the other. Only when there
//! still is no room is the spool too small for the photos.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use crc_fast::Digest;
use md5::{Digest as _, Md5};
use tokio::sync::watch;

use super::checksum::{CRC32C, value};
use super::fetch::FailureKind;
use super::hosts::Refusals;
use super::pace::Flow;
use super::progress::Progress;
use super::unpack::Unpacker;
use crate::manifest::{Described, Hashes, Photo};
use crate::plan::MissingReason;
use crate::retry::Retry;
use crate::source::media::Look;
use crate::source::{Encoding, PhotoSource, SourceError, Transient, Validators, Want};

/// Bytes that are gathered before they are written.
const WRITE_BYTES: usize = 256 * 1024;
/// Bytes that are read at once.
const READ_BYTES: usize = 128 * 1024;
/// Attempts at a photo that cannot be unpacked before it is believed: a cut connection may be to blame.
const MAX_UNREADABLE: u32 = 3;

/// A bounded place on the local disk.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    limit: u64,
    used: AtomicU64,
    /// Photos on their way that take room.
    growing: watch::Sender<usize>,
    /// Taken by the one photo that waits for room.
    turn: tokio::sync::Mutex<()>,
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
    /// The description that a name can be made of.
    pub(super) described: Described,
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
    /// There was no room for so many bytes.
    NoRoom(u64),
    Io(io::Error),
}

impl Spool {
    pub(super) fn new(folder: PathBuf, limit: u64) -> Self {
        Self {
            folder,
            limit,
            used: AtomicU64::new(0),
            growing: watch::Sender::new(0),
            turn: tokio::sync::Mutex::default(),
            idle: Mutex::default(),
        }
    }

    /// Downloads a whole photo into the spool.
    pub(super) async fn fetch<S: PhotoSource>(
        &self,
        source: &S,
        photo: &Photo,
        retry: Retry,
        stall_timeout: Duration,
        progress: &Progress,
        mut refusals: Refusals<'_>,
    ) -> Result<Spooled, SpoolFailure> {
        let (file, offset) = self.file().map_err(SpoolFailure::Io)?;
        let fetched = self
            .fetch_into(
                &file,
                offset,
                source,
                photo,
                retry,
                stall_timeout,
                progress,
                &mut refusals,
            )
            .await;
        let end = if let Ok(spooled) = &fetched {
            offset + spooled.length
        } else {
            // What came is no use, and may be much.
            let file = Arc::clone(&file);
            let _ = tokio::task::spawn_blocking(move || file.set_len(offset)).await;
            offset
        };
        self.lock().push((file, end));
        fetched
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "those of its only caller, and where to"
    )]
    async fn fetch_into<S: PhotoSource>(
        &self,
        file: &Arc<File>,
        offset: u64,
        source: &S,
        photo: &Photo,
        mut retry: Retry,
        stall_timeout: Duration,
        progress: &Progress,
        refusals: &mut Refusals<'_>,
    ) -> Result<Spooled, SpoolFailure> {
        let mut unreadable = 0;
        let mut turn = None;
        loop {
            let mut entry = SpoolEntry::new(self, file, offset);
            let failure = match receive(source, photo, stall_timeout, &mut entry).await {
                Ok(described) => {
                    refusals.host().serve();
                    let length = entry.length;
                    entry.keep();
                    return Ok(Spooled {
                        file: Arc::clone(file),
                        offset,
                        length,
                        described,
                    });
                }
                Err(Interrupted::NoRoom(length)) => {
                    drop(entry);
                    let fits = self.used.load(Ordering::Relaxed) + length <= self.limit;
                    if !fits && *self.growing.borrow() == 0 {
                        return Err(SpoolFailure::Full);
                    }
                    if turn.is_none() {
                        turn = Some(self.turn.lock().await);
                    }
                    // The sender is this spool's, so that it does not end.
                    let mut growing = self.growing.subscribe();
                    let _ = growing.wait_for(|growing| *growing == 0).await;
                    progress.retries.add(1);
                    continue;
                }
                Err(Interrupted::Io(error)) => return Err(SpoolFailure::Io(error)),
                Err(Interrupted::Source(SourceError::Transient(failure))) => failure,
                Err(Interrupted::Source(SourceError::Missing(reason))) => {
                    if matches!(reason, MissingReason::UnreadableEncoding { .. }) {
                        unreadable += 1;
                    }
                    if reason.may_be_a_limit() {
                        drop(entry);
                        if refusals.wait().await {
                            progress.retries.add(1);
                            continue;
                        }
                        return Err(SpoolFailure::Fetch(FailureKind::Missing(reason)));
                    }
                    if unreadable == 0 || unreadable >= MAX_UNREADABLE.min(retry.attempts()) {
                        return Err(SpoolFailure::Fetch(FailureKind::Missing(reason)));
                    }
                    Transient::new(reason.to_string())
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
            if failure.lasting || refusals.host().is_down() {
                retry.expect_no_change();
            }
            if !retry.wait(failure.retry_after).await {
                refusals.host().lose();
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
) -> Result<Described, Interrupted> {
    let opened = source
        .open(photo, Want::MaybePacked, &Validators::default())
        .await?;
    let unreadable = || {
        SourceError::Missing(MissingReason::UnreadableEncoding {
            encoding: opened.encoding.written().to_owned(),
        })
    };
    let mut unpacker = match &opened.encoding {
        Encoding::Identity => None,
        Encoding::Packed { codings, .. } => Some(Unpacker::new(codings)),
        Encoding::Unreadable(_) => return Err(unreadable().into()),
    };
    let hashes = photo.hashes.or(opened.hashes);
    let md5 = hashes.crc32c.is_none() && hashes.md5.is_some();
    let mut look = Look::new(photo, &opened.described);
    let mut body = opened.body;
    let mut flow = Flow::new(stall_timeout);
    // Checksums are those of the bytes as stored, which is as they arrive. But a server that packs on
    // the way gives those of what it packed.
    let mut arrived = Sums::new(md5);
    let mut unpacked = unpacker.is_some().then(|| Sums::new(md5));
    while let Some(chunk) = flow.chunk(&mut body).await? {
        arrived.update(&chunk);
        let Some(unpacker) = &mut unpacker else {
            look.at(&chunk)?;
            entry.write(&chunk).await?;
            continue;
        };
        unpacker.push(chunk);
        take(unpacker, &mut look, &mut unpacked, entry, unreadable).await?;
    }
    if let Some(unpacker) = &mut unpacker {
        unpacker.end();
        take(unpacker, &mut look, &mut unpacked, entry, unreadable).await?;
    }
    look.end()?;
    if opened.total.is_some_and(|total| total != arrived.length) {
        let received = arrived.length;
        return Err(
            SourceError::transient(format!("the body ended after {received} bytes")).into(),
        );
    }
    if !entry.stores {
        return Err(Interrupted::NoRoom(entry.length));
    }
    let right = arrived.are(hashes) || unpacked.is_some_and(|unpacked| unpacked.are(hashes));
    if !right {
        let error = if photo.hashes.is_empty() {
            SourceError::transient("its bytes do not match their checksum")
        } else {
            SourceError::Missing(MissingReason::WrongHash)
        };
        return Err(error.into());
    }
    entry.flush().await?;
    match photo.size {
        Some(expected) if expected != entry.length => {
            Err(SourceError::Missing(MissingReason::WrongSize {
                expected,
                found: entry.length,
            })
            .into())
        }
        _ => Ok(opened.described),
    }
}

/// Takes what can be unpacked by now.
async fn take(
    unpacker: &mut Unpacker,
    look: &mut Look,
    sums: &mut Option<Sums>,
    entry: &mut SpoolEntry<'_>,
    unreadable: impl Fn() -> SourceError,
) -> Result<(), Interrupted> {
    loop {
        let piece = unpacker.next().map_err(|error| {
            tracing::debug!("cannot be unpacked: {error}");
            unreadable()
        })?;
        let Some(piece) = piece else {
            return Ok(());
        };
        if let Some(sums) = sums {
            sums.update(&piece);
        }
        look.at(&piece)?;
        entry.write(&piece).await?;
    }
}

/// Checksums of bytes as they come.
struct Sums {
    length: u64,
    crc32c: Digest,
    md5: Option<Md5>,
}

impl Sums {
    fn new(md5: bool) -> Self {
        Self {
            length: 0,
            crc32c: Digest::new(CRC32C),
            md5: md5.then(Md5::new),
        }
    }

    fn update(&mut self, bytes: &Bytes) {
        self.length += bytes.len() as u64;
        self.crc32c.update(bytes);
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
    }

    /// Returns whether the bytes have these checksums, as far as they are known.
    fn are(&self, hashes: Hashes) -> bool {
        hashes
            .crc32c
            .is_none_or(|expected| expected == value(&self.crc32c))
            && match (&self.md5, hashes.md5) {
                (Some(md5), Some(expected)) => md5.clone().finalize()[..] == expected,
                _ => true,
            }
    }
}

/// A photo on its way into a spool file. The room that it took is given back if it is dropped before
/// [`SpoolEntry::keep`].
struct SpoolEntry<'a> {
    spool: &'a Spool,
    file: &'a Arc<File>,
    offset: u64,
    length: u64,
    /// Room that it takes in the spool.
    taken: u64,
    gathered: Vec<u8>,
    /// Its bytes are stored, and not only counted.
    stores: bool,
}

impl<'a> SpoolEntry<'a> {
    fn new(spool: &'a Spool, file: &'a Arc<File>, offset: u64) -> Self {
        spool.growing.send_modify(|growing| *growing += 1);
        Self {
            spool,
            file,
            offset,
            length: 0,
            taken: 0,
            gathered: Vec::new(),
            stores: true,
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Interrupted> {
        let more = bytes.len() as u64;
        self.length += more;
        if self.length > self.spool.limit {
            let bytes = self.length;
            return Err(SourceError::Missing(MissingReason::TooLarge { bytes }).into());
        }
        if !self.stores {
            return Ok(());
        }
        let used = self.spool.used.fetch_add(more, Ordering::Relaxed) + more;
        self.taken += more;
        if used > self.spool.limit {
            self.give_back();
            return Ok(());
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
        self.stores = false;
        self.spool.growing.send_modify(|growing| *growing -= 1);
    }

    fn give_back(&mut self) {
        if self.stores {
            self.stores = false;
            self.gathered = Vec::new();
            self.spool.used.fetch_sub(self.taken, Ordering::Relaxed);
            self.spool.growing.send_modify(|growing| *growing -= 1);
        }
    }
}

impl Drop for SpoolEntry<'_> {
    fn drop(&mut self) {
        self.give_back();
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
