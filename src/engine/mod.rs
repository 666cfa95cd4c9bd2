//! From a manifest to archives: probe, plan, fetch ∥ assemble ∥ upload, verify.
//!
//! [`run`] carries out one manifest over any [`PhotoSource`] and [`ArchiveSink`]. It prepares
//! (probes every photo, spools those whose length nobody tells), plans, transfers one volume
//! after the other, and reads each one's directory back. A photo that vanishes or changes after
//! planning makes it start over with a new plan, at most [`MAX_RESTARTS`] times. Whatever way it
//! ends other than well, nothing is left in the sink.

mod budget;
mod buffer;
mod checksum;
mod concurrency;
mod expand;
mod fetch;
mod pace;
mod prepare;
mod progress;
mod report;
mod spool;
mod transfer;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

pub use budget::{Budget, Reservation};
pub use progress::{Counter, Phase, Progress};
pub use report::{Archive, Report, SlowPhoto, peak_memory_bytes};

use self::concurrency::Concurrency;
use self::expand::{Expanded, expand};
use self::fetch::{FetchEnv, Place};
use self::prepare::{Lessons, Prepared, prepare};
use self::report::Slowest;
use self::spool::Spool;
use self::transfer::{Transfer, TransferError};
use crate::manifest::{MAX_PHOTOS, Manifest, OnMissing};
use crate::plan::layout::read_directory;
use crate::plan::{Content, Fate, Missing, Plan, PlanError, Volume};
use crate::retry::RetryPolicy;
use crate::sink::{ArchiveSink, ArchiveSpec, ArchiveUpload, PartReceipt, SinkError, Stored};
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
}

/// Why a run ended without archives.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Photos are missing, and the manifest does not put up with that.
    #[error("{}", missing_message(.missing, *.photos))]
    Missing {
        /// Which ones.
        missing: Vec<Missing>,
        /// Photos in the manifest.
        photos: usize,
    },
    /// The archives cannot be planned.
    #[error("the archives cannot be planned")]
    Plan(#[source] PlanError),
    /// The memory budget is too small for the archive.
    #[error(
        "`engine.memory_budget` is {budget} bytes, but `{archive}` needs at least {needed}; raise it"
    )]
    BudgetTooSmall {
        /// The budget in bytes.
        budget: u64,
        /// What the archive needs, in bytes.
        needed: u64,
        /// The archive.
        archive: String,
    },
    /// A photo could not be fetched, for reasons that may pass.
    #[error("photo `{photo}` could not be fetched from {url} in {attempts} attempts: {what}")]
    Fetch {
        /// The photo.
        photo: String,
        /// Its address, without secrets.
        url: String,
        /// What happened last.
        what: String,
        /// How often it was tried in a row.
        attempts: u32,
    },
    /// Photos changed every time that the run started over.
    #[error(
        "photos changed each time that the run started over, the last one `{photo}`: {what}; \
         try again when they have settled"
    )]
    KeepsChanging {
        /// One of them.
        photo: String,
        /// What happened to it.
        what: String,
    },
    /// A folder could not be listed, for reasons that may pass.
    #[error("{folder} could not be listed in {attempts} attempts: {what}")]
    Listing {
        /// The folder.
        folder: String,
        /// What happened last.
        what: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// A source cannot be used as the settings are.
    #[error("{0}")]
    SourceSettings(String),
    /// The folders have more photos than a job may have.
    #[error(
        "with `{folder}` there are more than {MAX_PHOTOS} photos, the most that fit into one job; \
         split the event"
    )]
    TooManyPhotos {
        /// The folder with which there were too many.
        folder: String,
    },
    /// There is no room for photos of unknown length.
    #[error(
        "photo `{photo}` has to be spooled, and more than `engine.spool_limit` \
         ({limit} bytes) would be in the spool; raise it"
    )]
    SpoolFull {
        /// The photo.
        photo: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The spool cannot be written.
    #[error("the spool in `{}` (`engine.spool_dir`) cannot be used", .folder.display())]
    SpoolIo {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The archive could not be stored.
    #[error("the archive could not be stored")]
    Sink(#[from] SinkError),
    /// What was stored is not what was sent.
    #[error("the archive `{archive}` was stored wrongly: {problem}")]
    Verify {
        /// The archive.
        archive: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Somebody asked to stop.
    #[error("interrupted")]
    Cancelled,
    /// A bug in this program.
    #[error("internal error: {0}; please report it")]
    Internal(&'static str),
}

fn missing_message(missing: &[Missing], photos: usize) -> String {
    let mut text = format!("{} of {photos} photos are missing:", missing.len());
    for photo in missing.iter().take(10) {
        text.push_str(&format!("\n  {}: {}", photo.name, photo.reason));
    }
    if missing.len() > 10 {
        text.push_str(&format!("\n  and {} more", missing.len() - 10));
    }
    text
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
        let prepared = prepare(
            &source,
            &asked,
            options,
            &lessons,
            &spool,
            &mut concurrency,
            progress,
        )
        .await?;
        make_plan(&asked.manifest, &prepared.fates)
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

fn make_plan(manifest: &Manifest, fates: &[Fate]) -> Result<Plan, EngineError> {
    let missing = Missing::among(manifest, fates);
    let photos = fates.len();
    let too_many =
        missing.len() == photos || manifest.on_missing == OnMissing::Fail && !missing.is_empty();
    if too_many {
        return Err(EngineError::Missing { missing, photos });
    }
    Plan::new(manifest, fates).map_err(EngineError::Plan)
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
            let prepared = self.prepare(&lessons, &spool).await?;
            let plan = make_plan(&self.asked.manifest, &prepared.fates)?;
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
            match self
                .transfer(&plan, prepared.places, discover, &mut slowest)
                .await?
            {
                None => return Ok(self.report(plan, slowest)),
                Some(failures) => {
                    self.discard_stored().await;
                    for failure in failures {
                        let photo = &self.asked.manifest.photos[failure.photo];
                        tracing::warn!(
                            photo.url = %photo.url,
                            "starting over, because of photo `{}`: {}",
                            photo.label(),
                            failure.kind
                        );
                        if restarts == MAX_RESTARTS {
                            return Err(EngineError::KeepsChanging {
                                photo: photo.label(),
                                what: failure.kind.to_string(),
                            });
                        }
                        lessons.learn(failure.photo, failure.kind);
                    }
                    self.progress.restarts.add(1);
                }
            }
        }
        Err(EngineError::Internal("the attempts ran out"))
    }

    async fn prepare(&mut self, lessons: &Lessons, spool: &Spool) -> Result<Prepared, EngineError> {
        self.progress.enter(Phase::Probing);
        let started = Instant::now();
        let preparing = prepare(
            &self.source,
            &self.asked,
            self.options,
            lessons,
            spool,
            &mut self.concurrency,
            &self.progress,
        );
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
        Report {
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
            missing: plan.missing,
        }
    }
}

fn photo_count(volume: &Volume) -> usize {
    volume
        .entries
        .iter()
        .filter(|entry| matches!(entry.content, Content::Photo(_)))
        .count()
}
