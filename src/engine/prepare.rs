//! Everything before the first byte is moved: probe every photo, spool those that need it, and
//! decide which are missing.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt as _;
use futures_util::stream::{self, FuturesUnordered};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::concurrency::{Concurrency, WINDOW, Window};
use super::expand::Expanded;
use super::fetch::{FailureKind, Place};
use super::hosts::{Hosts, Refusals};
use super::lessons::Lessons;
use super::progress::Progress;
use super::settle::{self, Allowance};
use super::spool::{Spool, SpoolFailure};
use super::{EngineError, EngineOptions};
use crate::manifest::{Described, Photo};
use crate::plan::{Fate, MAX_PHOTO_BYTES, MIN_PART_BYTES, Missing, MissingReason};
use crate::source::{PhotoSource, Probe, SourceError, Transient};

/// Photos that are spooled at once.
const SPOOLERS: usize = 16;
/// A photo shorter than this is always fetched in one request and needs no ranges: its entry is
/// not longer than two parts of the smallest size, whatever its header (at most 64 KiB).
const ALWAYS_WHOLE_BYTES: u64 = 2 * MIN_PART_BYTES - 64 * 1024;
/// Failed probes after which the next ones are thorough: the server may simply not know HEAD.
const THOROUGH_AFTER: u32 = 2;

/// A probed manifest: where every photo is, and what the planner needs to know.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) places: Vec<Option<Place>>,
    pub(super) fates: Vec<Fate>,
}

/// State that all steps of the preparation share.
pub(super) struct Preparation<'a, S> {
    pub(super) source: &'a S,
    pub(super) asked: &'a Expanded,
    pub(super) options: &'a EngineOptions,
    pub(super) lessons: &'a Lessons,
    pub(super) hosts: &'a Hosts,
    pub(super) progress: &'a Progress,
    /// Photos that may be unreachable; `None` where the first one ends the run.
    pub(super) allowance: Option<Allowance>,
    /// Set when an origin refuses requests; cleared by the reaction.
    pub(super) throttled: AtomicBool,
}

/// The result of a probe, or the reason why the photo is missing.
pub(super) type Probed = Result<Probe, MissingReason>;

impl<'a, S: PhotoSource> Preparation<'a, S> {
    pub(super) fn new(
        source: &'a S,
        asked: &'a Expanded,
        options: &'a EngineOptions,
        lessons: &'a Lessons,
        hosts: &'a Hosts,
        progress: &'a Progress,
    ) -> Self {
        Self {
            source,
            asked,
            options,
            lessons,
            hosts,
            progress,
            allowance: Allowance::of(&asked.manifest, options),
            throttled: AtomicBool::new(false),
        }
    }

    /// Probes and spools. Fails when a photo that must be there can neither be found nor be found
    /// missing.
    pub(super) async fn prepare(
        &self,
        spool: &Spool,
        concurrency: &mut Concurrency,
    ) -> Result<Prepared, EngineError> {
        let photos = &self.asked.manifest.photos;
        let count = photos.len() as u64;
        self.progress.photos_asked.set(count);
        self.progress.photos_total.set(count);
        self.progress.probed.set(0);
        let mut probes = self.probe_all(concurrency).await?;
        self.look_again(&mut probes, concurrency).await?;
        let mut fates = Vec::with_capacity(probes.len());
        let mut places = Vec::with_capacity(probes.len());
        let mut to_spool = Vec::new();
        for (index, (photo, probe)) in photos.iter().zip(probes).enumerate() {
            let (fate, place) = match probe {
                Err(reason) => (Fate::Missing(reason), None),
                Ok(Probe {
                    length: Some(bytes),
                    ..
                }) if bytes > self.longest() => {
                    (Fate::Missing(MissingReason::TooLarge { bytes }), None)
                }
                Ok(probe) => {
                    let whole = self.lessons.is_to_be_spooled(index);
                    let size = match probe.length {
                        Some(length) if !needs_spool(&probe, length, whole) => length,
                        // Filled in below.
                        _ => {
                            to_spool.push(index);
                            0
                        }
                    };
                    let modified = photo.modified.or(probe.modified);
                    let described = probe.described.clone();
                    let fate = Fate::Present {
                        size,
                        modified,
                        described,
                    };
                    (fate, Some(Place::Origin(probe)))
                }
            };
            fates.push(fate);
            places.push(place);
        }
        self.spool_all(to_spool, spool, &mut fates, &mut places)
            .await?;
        Ok(Prepared { places, fates })
    }

    /// The longest photo that is taken, in bytes.
    fn longest(&self) -> u64 {
        self.options.max_photo_bytes.min(MAX_PHOTO_BYTES)
    }

    async fn spool_all(
        &self,
        photos: Vec<usize>,
        spool: &Spool,
        fates: &mut [Fate],
        places: &mut [Option<Place>],
    ) -> Result<(), EngineError> {
        let options = self.options;
        let spooled = stream::iter(photos)
            .map(async |index| {
                let photo = &self.asked.manifest.photos[index];
                let refusals = Refusals::new(self.hosts.host(index), options.refusal_patience);
                let spooled = spool
                    .fetch(
                        self.source,
                        photo,
                        self.hosts.retry(index, options.retry),
                        options.stall_timeout,
                        self.progress,
                        refusals,
                    )
                    .await;
                (index, spooled)
            })
            .buffer_unordered(SPOOLERS);
        let mut spooled = std::pin::pin!(spooled);
        while let Some((index, spooled)) = spooled.next().await {
            let reason = match spooled {
                // What its server does not tell, only the download does.
                Ok(spooled) if spooled.length > self.longest() => MissingReason::TooLarge {
                    bytes: spooled.length,
                },
                Ok(spooled) => {
                    if let Fate::Present {
                        size, described, ..
                    } = &mut fates[index]
                    {
                        *size = spooled.length;
                        let probed = std::mem::take(described);
                        *described = spooled.described.clone().or(probed);
                    }
                    places[index] = Some(Place::Spool(spooled));
                    continue;
                }
                Err(SpoolFailure::Fetch(FailureKind::Missing(reason))) => reason,
                Err(SpoolFailure::Fetch(FailureKind::Exhausted { what, .. }))
                    if self.allowance.is_some() =>
                {
                    MissingReason::Unreachable { what }
                }
                Err(failure) => {
                    let photo = &self.asked.manifest.photos[index];
                    return Err(spool_error(photo, failure, options));
                }
            };
            fates[index] = Fate::Missing(reason);
            places[index] = None;
        }
        Ok(())
    }

    async fn probe_all(&self, concurrency: &mut Concurrency) -> Result<Vec<Probed>, EngineError> {
        let photos = self.asked.manifest.photos.len();
        let mut probes: Vec<Option<Probed>> = (0..photos).map(|index| self.known(index)).collect();
        let unknown: Vec<usize> = (0..photos)
            .filter(|index| probes[*index].is_none())
            .collect();
        self.progress.probed.add((photos - unknown.len()) as u64);
        let mut unreachable = (probes.iter())
            .filter(|probe| is_unreachable(probe.as_ref()))
            .count();
        let mut waiting = unknown.into_iter();
        let mut probing = FuturesUnordered::new();
        let mut tick = interval_at(Instant::now() + WINDOW, WINDOW);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut answers: u32 = 0;
        loop {
            while probing.len() < concurrency.limit()
                && let Some(index) = waiting.next()
            {
                let probe = self.probe(index, self.lessons.distrust);
                probing.push(async move { (index, probe.await) });
            }
            tokio::select! {
                probed = probing.next() => {
                    let Some((index, probed)) = probed else {
                        break;
                    };
                    probes[index] = Some(probed?);
                    self.progress.probed.add(1);
                    answers += 1;
                    let throttled = self.throttled.load(Ordering::Relaxed);
                    concurrency.answered(waiting.len() > 0, throttled);
                    unreachable += usize::from(is_unreachable(probes[index].as_ref()));
                    if self.allowance.is_some_and(|most| most.is_exceeded_by(unreachable)) {
                        return Err(self.too_many(probes));
                    }
                }
                _ = tick.tick() => concurrency.observe(Window {
                    rate: f64::from(std::mem::take(&mut answers)) / WINDOW.as_secs_f64(),
                    busy: waiting.len() > 0,
                    throttled: self.throttled.swap(false, Ordering::Relaxed),
                }),
            }
        }
        Ok(probes.into_iter().flatten().collect())
    }

    /// Returns what needs no probe.
    fn known(&self, index: usize) -> Option<Probed> {
        if let Some(reason) = self.lessons.missing(index) {
            return Some(Err(reason.clone()));
        }
        let listed = self.asked.listed.get(index).and_then(Option::as_ref);
        // Of what did not hold, only the store knows more.
        if listed.is_some() && !self.lessons.knows(index) {
            return listed.cloned();
        }
        match self.asked.manifest.photos[index].size {
            // Of a longer one, more than the length must be known: its ranges must be of one version.
            Some(size) if !self.lessons.distrust && size < ALWAYS_WHOLE_BYTES => Some(Ok(Probe {
                length: Some(size),
                ..Probe::default()
            })),
            _ => None,
        }
    }

    /// Probes a photo, however many attempts that takes. A refusal is reported as it is: whether it
    /// is to be believed, only a second look tells.
    pub(super) async fn probe(&self, index: usize, thorough: bool) -> Result<Probed, EngineError> {
        let photo = &self.asked.manifest.photos[index];
        let host = self.hosts.host(index);
        let mut retry = self.hosts.retry(index, self.options.retry);
        loop {
            let thorough = thorough || retry.failures() >= THOROUGH_AFTER;
            let failure = match self.source.probe(photo, thorough).await {
                Ok(probe) => {
                    host.serve();
                    return Ok(compare(photo, probe));
                }
                Err(SourceError::Missing(reason)) if reason.may_be_a_limit() => {
                    host.refuse();
                    if host.is_limiting() {
                        self.throttled.store(true, Ordering::Relaxed);
                    }
                    return Ok(Err(reason));
                }
                Err(SourceError::Missing(reason)) => {
                    host.answer();
                    return Ok(Err(reason));
                }
                Err(SourceError::Transient(failure)) => failure,
                Err(SourceError::Settings(what)) => return Err(EngineError::SourceSettings(what)),
                Err(SourceError::Changed(what) | SourceError::NoRanges(what)) => {
                    Transient::new(what)
                }
            };
            if failure.throttled {
                self.throttled.store(true, Ordering::Relaxed);
            }
            tracing::debug!(photo.url = %photo.url, "probe failed: {}", failure.what);
            if failure.lasting || host.is_down() {
                retry.expect_no_change();
            }
            if !retry.wait(failure.retry_after).await {
                host.lose();
                if self.allowance.is_some() {
                    return Ok(Err(MissingReason::Unreachable { what: failure.what }));
                }
                return Err(EngineError::Fetch {
                    photo: photo.label(),
                    url: photo.url.to_string(),
                    what: failure.what,
                    attempts: retry.failures(),
                });
            }
            self.progress.retries.add(1);
        }
    }

    /// The error of more unreachable photos than may be, where others are not probed yet.
    fn too_many(&self, probes: Vec<Option<Probed>>) -> EngineError {
        let fates: Vec<Fate> = (probes.into_iter())
            .map(|probe| match probe {
                Some(Err(reason)) => Fate::Missing(reason),
                Some(Ok(_)) | None => Fate::Present {
                    size: 0,
                    modified: None,
                    described: Described::default(),
                },
            })
            .collect();
        let mut missing = Missing::among(&self.asked.manifest, &fates);
        missing.retain(|photo| matches!(photo.reason, MissingReason::Unreachable { .. }));
        let some_are_left = missing.len() < self.asked.manifest.photos.len();
        let limit = some_are_left.then_some(self.options.max_unreachable);
        settle::too_many(&self.asked.manifest, missing, limit)
    }
}

fn is_unreachable(probe: Option<&Probed>) -> bool {
    matches!(probe, Some(Err(MissingReason::Unreachable { .. })))
}

/// Nothing is fetched of a photo without bytes, so a length of zero is only believed after a look:
/// servers that don't care answer HEAD with `Content-Length: 0`.
fn needs_spool(probe: &Probe, length: u64, whole: bool) -> bool {
    length == 0 || whole || probe.no_ranges && length >= ALWAYS_WHOLE_BYTES
}

fn spool_error(photo: &Photo, failure: SpoolFailure, options: &EngineOptions) -> EngineError {
    let label = photo.label();
    match failure {
        SpoolFailure::Fetch(FailureKind::Settings(what)) => EngineError::SourceSettings(what),
        SpoolFailure::Full => EngineError::SpoolFull {
            photo: label,
            limit: options.spool_limit,
        },
        SpoolFailure::Io(source) => EngineError::SpoolIo {
            folder: options.spool_dir.clone(),
            source,
        },
        SpoolFailure::Fetch(FailureKind::Exhausted { what, attempts }) => EngineError::Fetch {
            photo: label,
            url: photo.url.to_string(),
            what,
            attempts,
        },
        SpoolFailure::Fetch(failure) => EngineError::Fetch {
            photo: label,
            url: photo.url.to_string(),
            what: failure.to_string(),
            attempts: 1,
        },
    }
}

/// Holds what the manifest says against what the origin says.
pub(super) fn compare(photo: &Photo, probe: Probe) -> Probed {
    match (photo.size, probe.length) {
        (Some(expected), Some(found)) if expected != found => {
            Err(MissingReason::WrongSize { expected, found })
        }
        _ if photo.hashes.contradicts(probe.hashes) => Err(MissingReason::WrongHash),
        _ => Ok(probe),
    }
}
