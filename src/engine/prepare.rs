//! Everything before the first byte is moved: probe every photo, spool those that need it, and
//! decide which are missing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt as _;
use futures_util::stream::{self, FuturesUnordered};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::concurrency::{Concurrency, WINDOW, Window};
use super::expand::Expanded;
use super::fetch::{FailureKind, Place};
use super::progress::Progress;
use super::spool::{Spool, SpoolFailure};
use super::{EngineError, EngineOptions};
use crate::manifest::Photo;
use crate::plan::{Fate, MAX_PHOTO_BYTES, MIN_PART_BYTES, MissingReason};
use crate::retry::Retry;
use crate::source::{PhotoSource, Probe, SourceError, Transient};

/// Photos that are spooled at once.
const SPOOLERS: usize = 16;
/// A photo shorter than this is always fetched in one request and needs no ranges: its entry is
/// not longer than two parts of the smallest size, whatever its header (at most 64 KiB).
const ALWAYS_WHOLE_BYTES: u64 = 2 * MIN_PART_BYTES - 64 * 1024;
/// Failed probes after which the next ones are thorough: the server may simply not know HEAD.
const THOROUGH_AFTER: u32 = 2;

/// What earlier attempts taught about photos, by index.
#[derive(Debug, Default)]
pub(super) struct Lessons {
    /// Whether every photo is probed, even those whose size the manifest gives, and thoroughly.
    pub(super) distrust: bool,
    verdicts: HashMap<usize, Verdict>,
}

#[derive(Debug, Clone)]
enum Verdict {
    Missing(MissingReason),
    ChangedOnce,
    Spool,
}

impl Lessons {
    /// Takes note of what a transfer found.
    pub(super) fn learn(&mut self, photo: usize, kind: FailureKind) {
        self.distrust = true;
        let verdict = match (kind, self.verdicts.get(&photo)) {
            (FailureKind::Missing(reason), _) => Verdict::Missing(reason),
            // What keeps changing between two requests may hold still within one.
            (FailureKind::Changed(_), Some(Verdict::ChangedOnce)) => Verdict::Spool,
            (FailureKind::Changed(_), _) => Verdict::ChangedOnce,
            (
                FailureKind::NoRanges | FailureKind::Exhausted { .. } | FailureKind::Settings(_),
                _,
            ) => Verdict::Spool,
        };
        self.verdicts.insert(photo, verdict);
    }
}

/// A probed manifest: where every photo is, and what the planner needs to know.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) places: Vec<Option<Place>>,
    pub(super) fates: Vec<Fate>,
}

/// Probes and spools. Fails when a photo could neither be found nor be found missing.
pub(super) async fn prepare<S: PhotoSource>(
    source: &Arc<S>,
    asked: &Expanded,
    options: &EngineOptions,
    lessons: &Lessons,
    spool: &Spool,
    concurrency: &mut Concurrency,
    progress: &Progress,
) -> Result<Prepared, EngineError> {
    let manifest = &asked.manifest;
    let photos = manifest.photos.len() as u64;
    progress.photos_asked.set(photos);
    progress.photos_total.set(photos);
    progress.probed.set(0);
    let probes = probe_all(source, asked, options, lessons, concurrency, progress).await?;
    let mut fates = Vec::with_capacity(probes.len());
    let mut places = Vec::with_capacity(probes.len());
    let mut to_spool = Vec::new();
    for (index, (photo, probe)) in manifest.photos.iter().zip(probes).enumerate() {
        let (fate, place) = match probe {
            Err(reason) => (Fate::Missing(reason), None),
            Ok(Probe {
                length: Some(bytes),
                ..
            }) if bytes > MAX_PHOTO_BYTES => {
                (Fate::Missing(MissingReason::TooLong { bytes }), None)
            }
            Ok(probe) => {
                let size = match probe.length {
                    Some(length) if !needs_spool(&probe, length, lessons.verdicts.get(&index)) => {
                        length
                    }
                    // Filled in below.
                    _ => {
                        to_spool.push(index);
                        0
                    }
                };
                let modified = photo.modified.or(probe.modified);
                (Fate::Present { size, modified }, Some(Place::Origin(probe)))
            }
        };
        fates.push(fate);
        places.push(place);
    }
    let spooled = stream::iter(to_spool)
        .map(async |index| {
            let photo = &manifest.photos[index];
            let spooled = spool
                .fetch(
                    &**source,
                    photo,
                    options.retry,
                    options.stall_timeout,
                    progress,
                )
                .await;
            (index, spooled)
        })
        .buffer_unordered(SPOOLERS);
    let mut spooled = std::pin::pin!(spooled);
    while let Some((index, spooled)) = spooled.next().await {
        match spooled {
            Ok(spooled) => {
                if let Fate::Present { size, .. } = &mut fates[index] {
                    *size = spooled.length;
                }
                places[index] = Some(Place::Spool(spooled));
            }
            Err(SpoolFailure::Fetch(FailureKind::Missing(reason))) => {
                fates[index] = Fate::Missing(reason);
                places[index] = None;
            }
            Err(failure) => {
                return Err(spool_error(&manifest.photos[index], failure, options));
            }
        }
    }
    Ok(Prepared { places, fates })
}

/// Nothing is fetched of a photo without bytes, so a length of zero is only believed after a look:
/// servers that don't care answer HEAD with `Content-Length: 0`.
fn needs_spool(probe: &Probe, length: u64, verdict: Option<&Verdict>) -> bool {
    length == 0
        || matches!(verdict, Some(Verdict::Spool))
        || probe.no_ranges && length >= ALWAYS_WHOLE_BYTES
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

/// What a probe found, or why the photo cannot be had.
pub(super) type Probed = Result<Probe, MissingReason>;

async fn probe_all<S: PhotoSource>(
    source: &Arc<S>,
    asked: &Expanded,
    options: &EngineOptions,
    lessons: &Lessons,
    concurrency: &mut Concurrency,
    progress: &Progress,
) -> Result<Vec<Probed>, EngineError> {
    let photos = &asked.manifest.photos;
    let listed = |index: usize| asked.listed.get(index).and_then(Option::as_ref);
    let mut probes: Vec<Option<Probed>> = (photos
        .iter()
        .enumerate()
        .map(|(index, photo)| known(lessons, index, photo, listed(index))))
    .collect();
    let unknown: Vec<usize> = (0..photos.len())
        .filter(|index| probes[*index].is_none())
        .collect();
    progress.probed.add((photos.len() - unknown.len()) as u64);
    let throttled = AtomicBool::new(false);
    let mut waiting = unknown.into_iter();
    let mut probing = FuturesUnordered::new();
    let mut tick = interval_at(Instant::now() + WINDOW, WINDOW);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut answers: u32 = 0;
    loop {
        while probing.len() < concurrency.limit()
            && let Some(index) = waiting.next()
        {
            let probe = probe_one(
                &**source,
                &photos[index],
                options,
                lessons.distrust,
                &throttled,
                progress,
            );
            probing.push(async move { (index, probe.await) });
        }
        tokio::select! {
            probed = probing.next() => {
                let Some((index, probed)) = probed else {
                    break;
                };
                probes[index] = Some(probed?);
                progress.probed.add(1);
                answers += 1;
                concurrency.answered(waiting.len() > 0, throttled.load(Ordering::Relaxed));
            }
            _ = tick.tick() => concurrency.observe(Window {
                rate: f64::from(std::mem::take(&mut answers)) / WINDOW.as_secs_f64(),
                busy: waiting.len() > 0,
                throttled: throttled.swap(false, Ordering::Relaxed),
            }),
        }
    }
    Ok(probes.into_iter().flatten().collect())
}

/// What needs no probe.
fn known(
    lessons: &Lessons,
    index: usize,
    photo: &Photo,
    listed: Option<&Probed>,
) -> Option<Probed> {
    match (lessons.verdicts.get(&index), photo.size) {
        (Some(Verdict::Missing(reason)), _) => Some(Err(reason.clone())),
        // Of what did not hold, only the store knows more.
        (None, _) if listed.is_some() => listed.cloned(),
        // Of a longer one, more than the length must be known: its ranges must be of one version.
        (_, Some(size)) if !lessons.distrust && size < ALWAYS_WHOLE_BYTES => Some(Ok(Probe {
            length: Some(size),
            ..Probe::default()
        })),
        _ => None,
    }
}

async fn probe_one<S: PhotoSource>(
    source: &S,
    photo: &Photo,
    options: &EngineOptions,
    thorough: bool,
    throttled: &AtomicBool,
    progress: &Progress,
) -> Result<Probed, EngineError> {
    let mut retry = Retry::new(options.retry);
    loop {
        let thorough = thorough || retry.failures() >= THOROUGH_AFTER;
        let failure = match source.probe(photo, thorough).await {
            Ok(probe) => return Ok(compare(photo, probe)),
            Err(SourceError::Missing(reason)) => return Ok(Err(reason)),
            Err(SourceError::Transient(failure)) => failure,
            Err(SourceError::Settings(what)) => return Err(EngineError::SourceSettings(what)),
            Err(SourceError::Changed(what) | SourceError::NoRanges(what)) => Transient::new(what),
        };
        if failure.throttled {
            throttled.store(true, Ordering::Relaxed);
        }
        tracing::debug!(photo.url = %photo.url, "probe failed: {}", failure.what);
        if !retry.wait(failure.retry_after).await {
            return Err(EngineError::Fetch {
                photo: photo.label(),
                url: photo.url.to_string(),
                what: failure.what,
                attempts: retry.failures(),
            });
        }
        progress.retries.add(1);
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
