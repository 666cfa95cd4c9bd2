//! From a manifest to archives: probe, plan, fetch ∥ assemble ∥ upload, verify.
//!
//! [`run`] carries out one manifest over any [`PhotoSource`] and [`ArchiveSink`]. It prepares
//! (probes every photo, spools those whose length nobody tells), plans, transfers one volume
//! after the other, and reads each one's directory back. A photo that vanishes, changes or becomes
//! unreachable after planning makes it start over with a new plan, at most [`MAX_RESTARTS`] times.
//! Which photos are left out, and when there is no archive, [`settle`](mod@settle) says. Whatever way it ends
//! other than well, nothing is left in the sink.

mod budget;
mod buffer;
mod checksum;
mod concurrency;
mod error;
mod expand;
mod fetch;
mod hosts;
mod lessons;
mod pace;
mod prepare;
mod progress;
mod report;
mod second_look;
mod settle;
mod spool;
mod transfer;
mod unpack;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

pub use budget::{Budget, Reservation};
pub use error::EngineError;
pub use progress::{Counter, Phase, Progress};
pub use report::{Archive, Report, SlowPhoto, peak_memory_bytes};

use self::concurrency::Concurrency;
use self::expand::{Expanded, expand};
use self::fetch::{FailureKind, FetchEnv, Place};
use self::hosts::Hosts;
use self::lessons::Lessons;
use self::prepare::{Preparation, Prepared};
use self::report::Slowest;
use self::settle::{Allowance, settle};
use self::spool::Spool;
use self::transfer::{Transfer, TransferError};
use crate::manifest::{Manifest, OnMissing};
use crate::plan::layout::read_directory;
use crate::plan::{Content, Fate, Plan, Volume};
use crate::retry::RetryPolicy;
use crate::sink::{ArchiveSink, ArchiveSpec, ArchiveUpload, PartReceipt, Stored};
use crate::source::PhotoSource;

/// How often a run starts over because photos changed under it.
const MAX_RESTARTS: u64 = 3;
/// How long the sink may go on after somebody asked to stop: Batch kills 30 s after it asks.
const GRACE: Duration = Duration::from_secs(5);
/// Parts that must fit into the memory budget; see [`transfer`].
pub const MIN_PARTS_IN_MEMORY: u64 = 3;

/// How a run goes about it.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Bytes of photos in memory at once.
    pub memory_budget: u64,
    /// The most downloads at once.
    pub max_connections: usize,
    /// Where photos of unknown length are put first.
    pub spool_dir: PathBuf,
    /// The most bytes that may be there.
    pub spool_limit: u64,
    /// How failed requests are repeated.
    pub retry: RetryPolicy,
    /// How long a download may bring nothing before it is replaced.
    pub stall_timeout: Duration,
    /// The share of the photos that may be unreachable, or refused by 401 or 403. If more are, it is
    /// their server that is to blame, and there is no archive.
    pub max_unreachable: f64,
    /// Reaction to the first photo that is unreachable. `Fail` is for runs that are repeated.
    pub on_unreachable: OnMissing,
    /// The longest photo that is taken, in bytes; longer ones are missing.
    pub max_photo_bytes: u64,
    /// The most bytes of photos in all.
    pub max_bytes: u64,
    /// Time for which photos are asked for that a host refuses, since that may mean "slower".
    pub refusal_patience: Duration,
}

/// Probes the photos and plans the archives, without moving any (but those whose length only a
/// download tells).
///
/// # Errors
/// See [`EngineError`].
pub async fn plan<S: PhotoSource>(
    manifest: Arc<Manifest>,
    source: Arc<S>,
    options: &EngineOptions,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Plan, EngineError> {
    let spool = Spool::new(options.spool_dir.clone(), options.spool_limit);
    let lessons = Lessons::default();
    let mut concurrency = Concurrency::new(options.max_connections);
    let planning = async {
        let asked = expand(&*source, manifest, options, progress).await?;
        let hosts = Hosts::of(&asked.manifest);
        let prepared = Preparation::new(&*source, &asked, options, &lessons, &hosts, progress)
            .prepare(&spool, &mut concurrency)
            .await?;
        settle(&asked.manifest, &prepared.fates, options)
    };
    tokio::select! {
        () = cancel.cancelled() => Err(EngineError::Cancelled),
        plan = planning => plan,
    }
}

/// A manifest whose folders are replaced by the photos that are in them now.
///
/// # Errors
/// See [`EngineError`].
pub async fn list_folders<S: PhotoSource>(
    manifest: Arc<Manifest>,
    source: &S,
    options: &EngineOptions,
) -> Result<Arc<Manifest>, EngineError> {
    let asked = expand(source, manifest, options, &Progress::default()).await?;
    Ok(asked.manifest)
}

/// Carries out one manifest.
///
/// # Errors
/// See [`EngineError`]; then nothing is left in the sink.
pub async fn run<S: PhotoSource, K: ArchiveSink>(
    manifest: Arc<Manifest>,
    source: Arc<S>,
    sink: &K,
    options: &EngineOptions,
    progress: Arc<Progress>,
    cancel: &CancellationToken,
) -> Result<Report, EngineError> {
    let started = Instant::now();
    let asked = tokio::select! {
        () = cancel.cancelled() => return Err(EngineError::Cancelled),
        asked = expand(&*source, manifest, options, &progress) => asked?,
    };
    let mut run = Run {
        hosts: Arc::new(Hosts::of(&asked.manifest)),
        asked,
        source,
        sink,
        options,
        progress,
        cancel,
        budget: Budget::new(options.memory_budget),
        concurrency: Concurrency::new(options.max_connections),
        started,
        probe_time: started.elapsed(),
        stored: Vec::new(),
    };
    let outcome = run.attempts().await;
    if outcome.is_err() {
        run.discard_stored().await;
    }
    outcome
}

struct Run<'a, S, K: ArchiveSink> {
    asked: Expanded,
    hosts: Arc<Hosts>,
    source: Arc<S>,
    sink: &'a K,
    options: &'a EngineOptions,
    progress: Arc<Progress>,
    cancel: &'a CancellationToken,
    budget: Budget,
    concurrency: Concurrency,
    started: Instant,
    probe_time: Duration,
    /// Volumes that are complete.
    stored: Vec<(Arc<K::Upload>, Archive)>,
}

impl<S: PhotoSource, K: ArchiveSink> Run<'_, S, K> {
    async fn attempts(&mut self) -> Result<Report, EngineError> {
        let mut lessons = Lessons::default();
        for restarts in 0..=MAX_RESTARTS {
            let spool = Spool::new(self.options.spool_dir.clone(), self.options.spool_limit);
            let Prepared { places, mut fates } = self.prepare(&lessons, &spool).await?;
            lessons.remember(&fates);
            let plan = settle(&self.asked.manifest, &fates, self.options)?;
            self.check_budget(&plan)?;
            tracing::info!(
                event.id = self.asked.manifest.event_id,
                photos = plan.photo_count(),
                missing = plan.missing.len(),
                archives = plan.volumes.len(),
                size_bytes = plan.length(),
                "planned the archives of `{}`",
                self.asked.manifest.event_id
            );
            // The first surprise is acted on at once. When there is another, learn of all.
            let discover = restarts > 0;
            let mut slowest = Slowest::default();
            match self.transfer(&plan, places, discover, &mut slowest).await? {
                None => return Ok(self.report(plan, slowest)),
                Some(failures) => {
                    self.discard_stored().await;
                    self.learn(&mut lessons, &mut fates, failures, restarts)?;
                    self.progress.restarts.add(1);
                }
            }
        }
        Err(EngineError::Internal("the attempts ran out"))
    }

    /// Takes note of what a transfer found, unless that is the end.
    fn learn(
        &self,
        lessons: &mut Lessons,
        fates: &mut [Fate],
        failures: Vec<fetch::Failure>,
        restarts: u64,
    ) -> Result<(), EngineError> {
        for fetch::Failure { photo: index, kind } in failures {
            let photo = &self.asked.manifest.photos[index];
            tracing::warn!(
                photo.url = %photo.url,
                "starting over, because of photo `{}`: {kind}",
                photo.label(),
            );
            if restarts == MAX_RESTARTS {
                let label = photo.label();
                return Err(match kind {
                    FailureKind::Exhausted { what, attempts } => EngineError::Fetch {
                        photo: label,
                        url: photo.url.to_string(),
                        what,
                        attempts,
                    },
                    kind => EngineError::KeepsChanging {
                        photo: label,
                        what: kind.to_string(),
                    },
                });
            }
            lessons.learn(index, kind);
            if let Some(reason) = lessons.missing(index) {
                fates[index] = Fate::Missing(reason.clone());
            }
        }
        if self.asked.manifest.on_missing == OnMissing::Skip {
            // Where too many are missing, another look at the others would be of no use.
            settle(&self.asked.manifest, fates, self.options)?;
        }
        Ok(())
    }

    async fn prepare(&mut self, lessons: &Lessons, spool: &Spool) -> Result<Prepared, EngineError> {
        self.progress.enter(Phase::Probing);
        let started = Instant::now();
        let preparation = Preparation::new(
            &*self.source,
            &self.asked,
            self.options,
            lessons,
            &self.hosts,
            &self.progress,
        );
        let preparing = preparation.prepare(spool, &mut self.concurrency);
        let prepared = tokio::select! {
            () = self.cancel.cancelled() => return Err(EngineError::Cancelled),
            prepared = preparing => prepared?,
        };
        self.probe_time += started.elapsed();
        let probing = u64::try_from(self.probe_time.as_millis()).unwrap_or(u64::MAX);
        self.progress.probing_ms.set(probing);
        Ok(prepared)
    }

    fn check_budget(&self, plan: &Plan) -> Result<(), EngineError> {
        for volume in &plan.volumes {
            let needed = volume.part_size.saturating_mul(MIN_PARTS_IN_MEMORY);
            let needed = needed.min(volume.length);
            if self.budget.limit() < needed {
                return Err(EngineError::BudgetTooSmall {
                    budget: self.budget.limit(),
                    needed,
                    archive: volume.name.clone(),
                });
            }
        }
        Ok(())
    }

    /// Moves all volumes; `Some` photos are not what the plan says.
    async fn transfer(
        &mut self,
        plan: &Plan,
        places: Vec<Option<Place>>,
        discover: bool,
        slowest: &mut Slowest,
    ) -> Result<Option<Vec<fetch::Failure>>, EngineError> {
        let progress = Arc::clone(&self.progress);
        progress.photos_total.set(plan.photo_count() as u64);
        progress.photos_done.set(0);
        progress.bytes_total.set(plan.length());
        progress.bytes_fetched.set(0);
        let env = Arc::new(FetchEnv {
            source: Arc::clone(&self.source),
            manifest: Arc::clone(&self.asked.manifest),
            places,
            retry: self.options.retry,
            stall_timeout: self.options.stall_timeout,
            refusal_patience: self.options.refusal_patience,
            hosts: Arc::clone(&self.hosts),
            allowance: Allowance::of(&self.asked.manifest, self.options),
            pace: pace::Pace::default(),
            progress,
            throttled: false.into(),
        });
        let count = plan.volumes.len();
        for (index, volume) in plan.volumes.iter().enumerate() {
            self.progress.enter(Phase::Transferring);
            let spec = ArchiveSpec {
                name: volume.name.clone(),
                index,
                count,
                length: volume.length,
                part_size: volume.part_size,
            };
            let upload = Arc::new(self.soon(self.sink.begin(&spec)).await??);
            let transfer = Transfer::new(
                Arc::clone(&env),
                volume,
                Arc::clone(&upload),
                &self.budget,
                discover,
                &mut self.concurrency,
                slowest,
            );
            let (receipts, crcs) = match transfer.run(self.cancel).await {
                Ok(done) => done,
                Err(error) => {
                    self.abort(&*upload).await;
                    return self.classify(error);
                }
            };
            let completed = self
                .soon(self.complete(volume, &*upload, &receipts, &crcs))
                .await;
            match completed.and_then(|completed| completed) {
                Ok(stored) => {
                    tracing::info!(
                        event.id = self.asked.manifest.event_id,
                        archive.location = stored.location,
                        size_bytes = stored.length,
                        "stored `{}`",
                        volume.name
                    );
                    let archive = Archive {
                        name: volume.name.clone(),
                        location: stored.location,
                        bytes: stored.length,
                        photos: photo_count(volume),
                    };
                    self.stored.push((upload, archive));
                }
                Err(error) => {
                    self.abort(&*upload).await;
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    async fn complete(
        &self,
        volume: &Volume,
        upload: &K::Upload,
        receipts: &[PartReceipt],
        crcs: &[u32],
    ) -> Result<Stored, EngineError> {
        let stored = upload.complete(receipts).await?;
        self.verify(volume, upload, &stored, crcs).await?;
        Ok(stored)
    }

    /// Waits for the sink; once somebody asks to stop, only a little longer. A request that is
    /// under way is better finished than dropped, since nobody would know what came of it.
    async fn soon<T>(&self, work: impl Future<Output = T>) -> Result<T, EngineError> {
        let mut work = std::pin::pin!(work);
        tokio::select! {
            done = &mut work => return Ok(done),
            () = self.cancel.cancelled() => {}
        }
        tokio::time::timeout(GRACE, work)
            .await
            .map_err(|_| EngineError::Cancelled)
    }

    /// The one place where uploads that will not be, or should not have been, completed end.
    async fn abort(&self, upload: &K::Upload) {
        match self.soon(upload.abort()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("could not clean up: {error}"),
            Err(_) => tracing::warn!("could not clean up in time; an upload may be left open"),
        }
    }

    fn classify(&self, error: TransferError) -> Result<Option<Vec<fetch::Failure>>, EngineError> {
        Err(match error {
            TransferError::Stale(failures) => return Ok(Some(failures)),
            TransferError::Fetch {
                photo,
                what,
                attempts,
            } => {
                let photo = &self.asked.manifest.photos[photo];
                EngineError::Fetch {
                    photo: photo.label(),
                    url: photo.url.to_string(),
                    what,
                    attempts,
                }
            }
            TransferError::Settings(what) => EngineError::SourceSettings(what),
            TransferError::Sink(error) => EngineError::Sink(error),
            TransferError::Layout(error) => EngineError::Plan(error.into()),
            TransferError::Cancelled => EngineError::Cancelled,
            TransferError::Stuck => EngineError::Internal("the transfer came to a halt"),
        })
    }

    /// Reads the directory back from where the archive is now, and holds it against the plan.
    async fn verify(
        &self,
        volume: &Volume,
        upload: &K::Upload,
        stored: &Stored,
        crcs: &[u32],
    ) -> Result<(), EngineError> {
        self.progress.enter(Phase::Verifying);
        let wrong = |problem: String| EngineError::Verify {
            archive: volume.name.clone(),
            problem,
        };
        if stored.length != volume.length {
            return Err(wrong(format!(
                "it is {} bytes long instead of {}",
                stored.length, volume.length
            )));
        }
        let offset = volume.central_directory_offset;
        let Some(tail) = upload.read_back(offset..volume.length).await? else {
            return Ok(());
        };
        let directory = read_directory(&tail, offset)
            .map_err(|error| wrong(format!("no directory: {error}")))?;
        if directory.len() != volume.entries.len() {
            return Err(wrong(format!("it has {} entries", directory.len())));
        }
        for (index, entry) in volume.entries.iter().enumerate() {
            let found = directory
                .by_index_data(index)
                .map_err(|error| wrong(error.to_string()))?;
            let same = found.name_raw() == entry.name.as_str().as_bytes()
                && found.size() == entry.size
                && found.crc32() == crcs[index]
                && found.header_start() == entry.header_offset;
            if !same {
                return Err(wrong(format!("the entry `{}` differs", entry.name)));
            }
        }
        Ok(())
    }

    async fn discard_stored(&mut self) {
        for (upload, _) in std::mem::take(&mut self.stored) {
            self.abort(&*upload).await;
        }
    }

    fn report(&self, plan: Plan, slowest: Slowest) -> Report {
        let seconds = self.started.elapsed().as_secs_f64();
        let bytes = plan.length();
        let report = Report {
            event_id: self.asked.manifest.event_id.clone(),
            archives: self
                .stored
                .iter()
                .map(|(_, archive)| archive.clone())
                .collect(),
            photos: plan.photo_count(),
            bytes,
            seconds,
            probe_seconds: self.probe_time.as_secs_f64(),
            megabytes_per_second: bytes as f64 / 1e6 / seconds.max(1e-9),
            retries: self.progress.retries.get(),
            resumed: self.progress.resumed.get(),
            restarts: self.progress.restarts.get(),
            peak_connections: self.progress.peak_connections.get(),
            peak_memory_bytes: peak_memory_bytes(),
            slowest: slowest.into_vec(),
            empty: report::empty_photos(&plan),
            missing: plan.missing,
            ignored: self.asked.ignored,
        };
        report.warn_of_empty_photos();
        report
    }
}

fn photo_count(volume: &Volume) -> usize {
    volume
        .entries
        .iter()
        .filter(|entry| matches!(entry.content, Content::Photo(_)))
        .count()
}
