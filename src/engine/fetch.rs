//! One download, until its bytes are there and right.
//!
//! A [`FetchJob`] brings the slices that its bytes belong into. [`fetch`] fills them, however many
//! attempts that takes: a body that breaks off is resumed at the byte where it stopped, on the
//! same version of the photo or else from the start; one that stalls, or is far slower than the
//! others, gets a new connection; what does not match its checksum is fetched again. Only what
//! another attempt cannot mend comes back as a [`Failure`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use crc_fast::Digest;
use md5::{Digest as _, Md5};
use tokio::time::Instant;

use super::checksum::{CRC32, CRC32C, value};
use super::hosts::{Hosts, Refusals};
use super::pace::{Flow, Pace};
use super::progress::Progress;
use super::settle::Allowance;
use super::spool::Spooled;
use crate::manifest::{Hashes, Manifest, Photo};
use crate::plan::MissingReason;
use crate::retry::RetryPolicy;
use crate::source::media::Look;
use crate::source::{PhotoSource, Probe, SourceError, Transient, Validators, Want};

/// Bytes after which a download counts as having got somewhere, and its failures are forgotten.
const USEFUL_BYTES: u64 = 64 * 1024;
/// How long a download is watched before it is compared with the others.
const PACE_WINDOW: Duration = Duration::from_secs(5);
/// How often one download may be replaced for being slow.
const MAX_REPLACEMENTS: u32 = 3;
/// How often a photo that arrives damaged is fetched before it is given up.
const MAX_DAMAGED: u32 = 3;

/// What every download of a run shares.
#[derive(Debug)]
pub(super) struct FetchEnv<S> {
    pub(super) source: Arc<S>,
    pub(super) manifest: Arc<Manifest>,
    /// Where each photo of the manifest is; `None` for missing ones.
    pub(super) places: Vec<Option<Place>>,
    pub(super) retry: RetryPolicy,
    pub(super) stall_timeout: Duration,
    /// Time for which a host that refuses photos is asked for them.
    pub(super) refusal_patience: Duration,
    pub(super) hosts: Arc<Hosts>,
    /// Photos that may be unreachable; `None` where the first one ends the run.
    pub(super) allowance: Option<Allowance>,
    pub(super) pace: Pace,
    pub(super) progress: Arc<Progress>,
    /// Set when the origin refuses requests; cleared by whoever reacts.
    pub(super) throttled: AtomicBool,
}

/// Where a photo's bytes are to be had.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// At its origin, as probed.
    Origin(Probe),
    /// In the spool.
    Spool(Spooled),
}

/// A piece of a part's buffer, and where it belongs.
#[derive(Debug)]
pub(super) struct Slice {
    pub(super) part: u32,
    pub(super) slot: usize,
    pub(super) bytes: BytesMut,
}

/// Bytes to fetch, and the slices for them, in order.
#[derive(Debug)]
pub(super) struct FetchJob {
    /// Index of the entry in its volume.
    pub(super) entry: usize,
    /// Index of the photo in the manifest.
    pub(super) photo: usize,
    /// Length of the whole photo.
    pub(super) size: u64,
    /// Where in the photo the bytes begin.
    pub(super) from: u64,
    /// How many bytes.
    pub(super) length: u64,
    pub(super) slices: Vec<Slice>,
}

impl FetchJob {
    /// Whether this is the whole photo.
    fn is_whole(&self) -> bool {
        self.length == self.size
    }
}

/// Bytes that have arrived; junk where the download failed.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) entry: usize,
    pub(super) photo: usize,
    pub(super) from: u64,
    pub(super) length: u64,
    /// CRC-32C of these bytes.
    pub(super) crc32c: u32,
    /// The slices, each with its CRC-32.
    pub(super) slices: Vec<(Slice, u32)>,
    pub(super) started: Instant,
}

/// Why bytes cannot be had.
#[derive(Debug)]
pub(super) struct Failure {
    /// Index of the photo in the manifest.
    pub(super) photo: usize,
    pub(super) kind: FailureKind,
}

#[derive(Debug)]
pub(super) enum FailureKind {
    /// The photo cannot be had at all.
    Missing(MissingReason),
    /// The photo is not what the plan says: look again.
    Changed(String),
    /// The server gives whole photos only.
    NoRanges,
    /// All attempts failed.
    Exhausted { what: String, attempts: u32 },
    /// The spool cannot be read.
    Spool(String),
    /// The source cannot be used as the settings are.
    Settings(String),
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(reason) => write!(f, "{reason}"),
            Self::Changed(what)
            | Self::Exhausted { what, .. }
            | Self::Spool(what)
            | Self::Settings(what) => f.write_str(what),
            Self::NoRanges => f.write_str("the server gives whole photos only"),
        }
    }
}

/// Fetches the bytes of `job`. The slices come back in any case, with whatever is in them.
pub(super) async fn fetch<S: PhotoSource>(
    env: Arc<FetchEnv<S>>,
    job: FetchJob,
) -> (Fetched, Result<(), Failure>) {
    let photo = job.photo;
    let (writer, outcome) = match &env.places[photo] {
        Some(Place::Origin(probe)) => {
            let mut fetch = Fetch::new(&env, probe, job);
            let outcome = fetch.run().await;
            (fetch.writer, outcome)
        }
        Some(Place::Spool(spooled)) => from_spool(&env.progress, spooled.clone(), job).await,
        None => (
            Writer::new(job, false),
            Err(FailureKind::Changed("the photo was missing".to_owned())),
        ),
    };
    let outcome = outcome.map_err(|kind| Failure { photo, kind });
    (writer.finish(), outcome)
}

async fn from_spool(
    progress: &Progress,
    spooled: Spooled,
    job: FetchJob,
) -> (Writer, Result<(), FailureKind>) {
    let reading = tokio::task::spawn_blocking(move || {
        let mut writer = Writer::new(job, false);
        let (from, length) = (writer.job.from, writer.remaining());
        let read = spooled.read(from, length, |chunk| writer.write(chunk));
        (writer, read)
    });
    match reading.await {
        Ok((writer, read)) => {
            progress.bytes_fetched.add(writer.position);
            let outcome = read
                .map_err(|error| FailureKind::Spool(format!("reading the spool failed: {error}")));
            (writer, outcome)
        }
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}

fn exhausted(what: impl Into<String>, attempts: u32) -> FailureKind {
    FailureKind::Exhausted {
        what: what.into(),
        attempts,
    }
}

/// One download in progress.
struct Fetch<'a, S> {
    env: &'a FetchEnv<S>,
    photo: &'a Photo,
    probe: &'a Probe,
    writer: Writer,
    /// The version that the bytes so far are of.
    version: Validators,
    /// What the whole photo must hash to.
    hashes: Hashes,
    replacements: u32,
    /// The last attempt was given up for a faster one.
    replaced: bool,
}

impl<'a, S: PhotoSource> Fetch<'a, S> {
    fn new(env: &'a FetchEnv<S>, probe: &'a Probe, job: FetchJob) -> Self {
        let photo = &env.manifest.photos[job.photo];
        let hashes = photo.hashes.or(probe.hashes);
        let whole = job.is_whole();
        // MD5 costs as much as all the rest together, so only where nothing else is known.
        let md5 = whole && hashes.crc32c.is_none() && hashes.md5.is_some();
        Self {
            env,
            photo,
            probe,
            version: Validators::default(),
            writer: Writer::new(job, md5),
            hashes,
            replacements: 0,
            replaced: false,
        }
    }

    async fn run(&mut self) -> Result<(), FailureKind> {
        let host = self.env.hosts.host(self.writer.job.photo);
        let mut refusals = Refusals::new(host, self.env.refusal_patience);
        let mut retry = (self.env.hosts).retry(self.writer.job.photo, self.env.retry);
        let mut damaged = 0;
        // How far any attempt got. Bytes that are fetched again are no progress.
        let mut reached = 0;
        loop {
            let failure = match self.attempt().await {
                Ok(()) => match self.check() {
                    Ok(()) => {
                        host.serve();
                        return Ok(());
                    }
                    Err(what) => {
                        damaged += 1;
                        if damaged == MAX_DAMAGED {
                            return Err(self.damaged(what, damaged));
                        }
                        self.start_over();
                        Transient::new(what)
                    }
                },
                Err(SourceError::Missing(reason)) => {
                    // Where others are served, it is most surely a limit.
                    if reason.may_be_a_limit() && host.serves() {
                        self.env.throttled.store(true, Ordering::Relaxed);
                    }
                    if reason.may_be_a_limit() && refusals.wait().await {
                        if self.writer.position > 0 && self.writer.job.is_whole() {
                            // It may be the range that is refused, and not the photo.
                            self.start_over();
                        }
                        self.env.progress.retries.add(1);
                        continue;
                    }
                    return Err(FailureKind::Missing(reason));
                }
                Err(SourceError::Changed(what)) => return Err(FailureKind::Changed(what)),
                Err(SourceError::NoRanges(_)) if !self.writer.job.is_whole() => {
                    return Err(FailureKind::NoRanges);
                }
                // A whole photo can do without ranges.
                Err(SourceError::NoRanges(what)) => {
                    self.start_over();
                    Transient::new(what)
                }
                Err(SourceError::Settings(what)) => return Err(FailureKind::Settings(what)),
                Err(SourceError::Transient(transient)) => transient,
            };
            if failure.throttled {
                self.env.throttled.store(true, Ordering::Relaxed);
            }
            if self.writer.position >= reached + USEFUL_BYTES {
                retry.progressed();
            }
            reached = reached.max(self.writer.position);
            if self.writer.position > 0 && (self.version.is_empty() || self.probe.no_ranges) {
                // Nothing says that the rest would be of the same version.
                self.start_over();
            }
            tracing::debug!(
                photo.url = %self.photo.url,
                received_bytes = self.writer.position,
                failures = retry.failures() + 1,
                "download failed: {}", failure.what
            );
            if std::mem::take(&mut self.replaced) {
                // Nothing failed: no pause, and no attempt used up.
                self.env.progress.retries.add(1);
                continue;
            }
            if failure.lasting || host.is_down() {
                retry.expect_no_change();
            }
            if !retry.wait(failure.retry_after).await {
                host.lose();
                self.env
                    .progress
                    .bytes_fetched
                    .subtract(self.writer.position);
                return Err(exhausted(failure.what, retry.failures()));
            }
            self.env.progress.retries.add(1);
        }
    }

    /// One request, from where the last one stopped.
    async fn attempt(&mut self) -> Result<(), SourceError> {
        let job = &self.writer.job;
        let start = job.from + self.writer.position;
        let end = job.from + job.length;
        let want = if start == 0 && job.is_whole() {
            Want::Whole
        } else {
            Want::Range(start..end)
        };
        let version = &self.probe.validators;
        let opened = self.env.source.open(self.photo, want, version).await?;
        self.check_length(opened.total)?;
        if opened.start != start {
            if !self.writer.job.is_whole() {
                return Err(SourceError::NoRanges(
                    "the server answered with the whole photo".to_owned(),
                ));
            }
            self.start_over();
        }
        if self.photo.hashes.contradicts(opened.hashes) {
            return Err(SourceError::Missing(MissingReason::WrongHash));
        }
        if self.probe.hashes.contradicts(opened.hashes) {
            return Err(changed());
        }
        self.check_version(&opened.validators)?;
        if self.writer.position == 0 {
            self.version = opened.validators;
        } else {
            self.env.progress.resumed.add(1);
        }
        self.hashes = self.hashes.or(opened.hashes);
        let look = match opened.start {
            0 => Look::new(self.photo, &opened.described),
            _ => Look::none(),
        };
        self.receive(opened.body, look).await
    }

    async fn receive(&mut self, mut body: S::Body, mut look: Look) -> Result<(), SourceError> {
        let env = self.env;
        let started = Instant::now();
        let first = self.writer.position;
        let mut flow = Flow::new(env.stall_timeout);
        let (mut window_start, mut window_first) = (started, first);
        loop {
            let Some(chunk) = flow.chunk(&mut body).await? else {
                look.end()?;
                break;
            };
            look.at(&chunk)?;
            if chunk.len() as u64 > self.writer.remaining() {
                return Err(SourceError::Changed(
                    "the photo is longer than announced".to_owned(),
                ));
            }
            self.writer.write(&chunk);
            env.progress.bytes_fetched.add(chunk.len() as u64);
            if self.writer.remaining() > 0 && window_start.elapsed() >= PACE_WINDOW {
                let received = self.writer.position - window_first;
                if self.may_be_replaced()
                    && env.pace.is_far_behind(received, window_start.elapsed())
                {
                    self.replacements += 1;
                    self.replaced = true;
                    return Err(SourceError::transient(
                        "it was far slower than the other downloads",
                    ));
                }
                (window_start, window_first) = (Instant::now(), self.writer.position);
            }
        }
        env.pace
            .record(self.writer.position - first, started.elapsed());
        match self.writer.remaining() {
            0 => Ok(()),
            missing => Err(SourceError::transient(format!(
                "the body ended {missing} bytes early"
            ))),
        }
    }

    /// Makes sure that the bytes to come are of the same version as those that are there, and as
    /// the photo's other ranges. Two versions are never mixed for want of something to compare.
    fn check_version(&mut self, now: &Validators) -> Result<(), SourceError> {
        if !self.writer.job.is_whole() {
            match self.probe.validators.same_version(now) {
                Some(true) => {}
                Some(false) => return Err(changed()),
                // The checksum of the whole will tell.
                None if self.hashes.crc32c.is_some() => {}
                None => {
                    return Err(SourceError::NoRanges(
                        "nothing tells whether its ranges are of one version".to_owned(),
                    ));
                }
            }
        }
        if self.writer.position > 0 && self.version.same_version(now) != Some(true) {
            self.start_over();
            return Err(SourceError::transient(
                "the photo may have changed while it was downloaded",
            ));
        }
        Ok(())
    }

    fn may_be_replaced(&self) -> bool {
        self.replacements < MAX_REPLACEMENTS && !self.version.is_empty() && !self.probe.no_ranges
    }

    fn check_length(&self, total: Option<u64>) -> Result<(), SourceError> {
        let expected = self.writer.job.size;
        match total {
            Some(found) if found != expected => Err(match self.photo.size {
                Some(_) => SourceError::Missing(MissingReason::WrongSize { expected, found }),
                None => changed(),
            }),
            _ => Ok(()),
        }
    }

    /// Checks the whole photo; pieces of one are checked when all are there.
    fn check(&self) -> Result<(), &'static str> {
        if !self.writer.job.is_whole() {
            return Ok(());
        }
        self.writer.matches(self.hashes)
    }

    fn damaged(&self, what: &str, attempts: u32) -> FailureKind {
        self.env
            .progress
            .bytes_fetched
            .subtract(self.writer.position);
        match (self.photo.hashes.is_empty(), self.probe.hashes.is_empty()) {
            (false, _) => FailureKind::Missing(MissingReason::WrongHash),
            (true, false) => FailureKind::Changed(what.to_owned()),
            (true, true) => exhausted(what, attempts),
        }
    }

    fn start_over(&mut self) {
        self.env
            .progress
            .bytes_fetched
            .subtract(self.writer.position);
        self.writer.start_over();
        self.version = Validators::default();
    }
}

fn changed() -> SourceError {
    SourceError::Changed("the photo changed after it was probed".to_owned())
}

/// Fills the slices of a job in order, with all checksums on the way: one copy, one pass.
struct Writer {
    job: FetchJob,
    /// The slice that is being filled, and how far.
    slice: usize,
    filled: usize,
    /// Bytes in all.
    position: u64,
    /// CRC-32 of the slice that is being filled, and of those before it.
    current: Digest,
    crc32: Vec<u32>,
    crc32c: Digest,
    md5: Option<Md5>,
    started: Instant,
}

impl Writer {
    fn new(job: FetchJob, md5: bool) -> Self {
        Self {
            crc32: Vec::with_capacity(job.slices.len()),
            job,
            slice: 0,
            filled: 0,
            position: 0,
            current: Digest::new(CRC32),
            crc32c: Digest::new(CRC32C),
            md5: md5.then(Md5::new),
            started: Instant::now(),
        }
    }

    fn remaining(&self) -> u64 {
        self.job.length - self.position
    }

    /// `chunk` must not be longer than what remains.
    fn write(&mut self, mut chunk: &[u8]) {
        self.crc32c.update(chunk);
        if let Some(md5) = &mut self.md5 {
            md5.update(chunk);
        }
        self.position += chunk.len() as u64;
        while !chunk.is_empty() {
            let target = &mut self.job.slices[self.slice].bytes[self.filled..];
            let (now, later) = chunk.split_at(chunk.len().min(target.len()));
            target[..now.len()].copy_from_slice(now);
            self.current.update(now);
            let full = now.len() == target.len();
            self.filled += now.len();
            if full {
                self.crc32.push(value(&self.current));
                self.current.reset();
                self.slice += 1;
                self.filled = 0;
            }
            chunk = later;
        }
    }

    fn matches(&self, hashes: Hashes) -> Result<(), &'static str> {
        if hashes
            .crc32c
            .is_some_and(|crc32c| crc32c != value(&self.crc32c))
        {
            return Err("its bytes do not match the CRC32C");
        }
        if let (Some(md5), Some(expected)) = (&self.md5, hashes.md5)
            && md5.clone().finalize()[..] != expected
        {
            return Err("its bytes do not match the MD5");
        }
        Ok(())
    }

    fn start_over(&mut self) {
        self.slice = 0;
        self.filled = 0;
        self.position = 0;
        self.current.reset();
        self.crc32.clear();
        self.crc32c.reset();
        if let Some(md5) = &mut self.md5 {
            *md5 = Md5::new();
        }
    }

    fn finish(self) -> Fetched {
        Fetched {
            entry: self.job.entry,
            photo: self.job.photo,
            from: self.job.from,
            length: self.job.length,
            crc32c: value(&self.crc32c),
            slices: self
                .job
                .slices
                .into_iter()
                .zip(self.crc32.into_iter().chain(std::iter::repeat(0)))
                .collect(),
            started: self.started,
        }
    }
}
