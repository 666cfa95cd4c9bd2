//! What comes of an attempt, and how that is recorded.
//!
//! The state is written first, then the message is dealt with: whoever dies in between leaves a message
//! that comes back and finds the job ended.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::claim::{Claim, Lost, note_progress};
use super::delivery::{is_awaited, tell};
use super::metrics::JobMetrics;
use super::work::{Next, backoff, forget, hide};
use super::{DrainError, Ended, Finished, Worker};
use crate::bucket::Bucket;
use crate::engine::{EngineError, Progress, Report, peak_memory_bytes};
use crate::exit_code::ExitCode;
use crate::job::{JobKey, Message, StateArchive, StateError, Status};
use crate::plan::Missing;
use crate::queue::{Delivery, Queue};
use crate::sink::ArchiveStore;
use crate::source::PhotoSource;
use crate::{chain, told};

/// How long recording an outcome may take: longer than any outage that the store's own repetitions
/// ride out.
const RECORD_WITHIN: Duration = Duration::from_mins(10);
/// The same once somebody asked to stop.
const PUT_BACK_WITHIN: Duration = Duration::from_secs(4);
/// Bytes of an error that are kept.
const MAX_ERROR_BYTES: usize = 4000;

/// How an attempt ended.
pub(super) enum Verdict {
    Done(Box<Report>),
    /// It would fail every time.
    Failed {
        message: String,
        code: ExitCode,
        missing: Vec<Missing>,
        /// Whether its message goes to the dead-letter queue, where somebody will see it.
        bury: bool,
    },
    /// Another attempt may work.
    Retry(String),
    /// Somebody asked the container to stop.
    Interrupted,
    /// No job can be done like this.
    Unusable(String),
}

/// What was attempted, and what it took.
pub(super) struct Attempted {
    pub(super) job: JobKey,
    /// Where its archives go.
    pub(super) folder: String,
    pub(super) queued_seconds: f64,
    pub(super) progress: Arc<Progress>,
}

pub(super) fn judge(outcome: Result<Report, EngineError>) -> Verdict {
    let error = match outcome {
        Ok(report) => return Verdict::Done(Box::new(report)),
        Err(error) => error,
    };
    let code = ExitCode::from(&error);
    tracing::debug!("the attempt ended: {}", chain(&error));
    let message = told(&error);
    match (error, code) {
        (EngineError::Cancelled, _) => Verdict::Interrupted,
        (EngineError::Missing { missing, .. }, _) => Verdict::Failed {
            message,
            code,
            missing,
            bury: false,
        },
        // Somebody has to look at this, and then hand it in again. Events from elsewhere can be done.
        (EngineError::SourceSettings(_), _) => Verdict::Failed {
            message,
            code,
            missing: Vec::new(),
            bury: true,
        },
        // Too little for this event, which does not keep others from being done.
        (EngineError::BudgetTooSmall { .. } | EngineError::SpoolFull { .. }, _)
        | (_, ExitCode::BadData) => Verdict::Failed {
            message,
            code,
            missing: Vec::new(),
            bury: false,
        },
        (_, ExitCode::Usage) => Verdict::Unusable(message),
        _ => Verdict::Retry(message),
    }
}

/// Records what came of an attempt.
pub(super) async fn conclude<B, Q, A, S>(
    worker: &Arc<Worker<B, Q, A, S>>,
    delivery: &Delivery,
    claim: Result<Claim<B>, Lost>,
    verdict: Verdict,
    attempted: Attempted,
    cancel: &CancellationToken,
) -> Result<Next, DrainError>
where
    B: Bucket,
    Q: Queue,
    A: ArchiveStore,
    S: PhotoSource,
{
    let claim = match claim {
        Ok(claim) => claim,
        Err(lost) => {
            if let (Lost::Cancelled, Verdict::Done(report)) = (&lost, &verdict) {
                let archives = made(worker, report, &attempted);
                remove_archives(worker, &archives, &attempted.job).await;
            }
            return give_up(worker, delivery, lost, &attempted).await;
        }
    };
    let worker = Arc::clone(worker);
    let verdict = match verdict {
        Verdict::Retry(message) if claim.state.failures + 1 >= worker.options.attempts => {
            Verdict::Failed {
                message,
                code: ExitCode::TryAgain,
                missing: Vec::new(),
                bury: true,
            }
        }
        verdict => verdict,
    };
    match verdict {
        Verdict::Done(report) => {
            let cancel = cancel.clone();
            let finish = finish_done(worker, delivery.clone(), claim, *report, attempted, cancel);
            Ok(Next::Finish(Box::pin(finish.in_current_span())))
        }
        Verdict::Failed {
            message,
            code,
            missing,
            bury,
        } => {
            let failure = FinalFailure {
                message,
                code,
                missing,
                bury,
            };
            let cancel = cancel.clone();
            let finish = finish_failed(worker, delivery.clone(), claim, failure, attempted, cancel);
            Ok(Next::Finish(Box::pin(finish.in_current_span())))
        }
        Verdict::Retry(message) => {
            let failures = claim.state.failures + 1;
            let pause = backoff(worker.options.retry_delay, failures);
            tracing::warn!(
                failures,
                "the attempt failed; trying again in {} s: {message}",
                pause.as_secs()
            );
            let requeued = put_back(claim, RECORD_WITHIN, &message, true, &attempted).await;
            measure(&worker, "retried", &attempted, |_| {});
            match requeued {
                Ok(()) => {
                    hide(&worker, delivery, pause).await;
                    Ok(Next::PutAside {
                        back_in: Some(pause),
                    })
                }
                Err(lost) => give_up(&worker, delivery, lost, &attempted).await,
            }
        }
        Verdict::Interrupted => {
            tracing::warn!("interrupted; giving `{}` back to the queue", attempted.job);
            let lease = claim.lease();
            let requeued = put_back(claim, PUT_BACK_WITHIN, "interrupted", false, &attempted).await;
            measure(&worker, "interrupted", &attempted, |_| {});
            match requeued {
                Ok(()) => hide(&worker, delivery, Duration::ZERO).await,
                // Nobody can take it before the lease has run out.
                Err(Lost::Bucket(_) | Lost::Slow) => {
                    tracing::warn!("the state could not be written in time");
                    hide(&worker, delivery, lease).await;
                }
                Err(lost) => return give_up(&worker, delivery, lost, &attempted).await,
            }
            Ok(Next::Nothing)
        }
        Verdict::Unusable(message) => {
            // Whatever comes of this, the message is given back by the caller.
            let _ = put_back(claim, RECORD_WITHIN, &message, false, &attempted).await;
            Err(DrainError::Settings(message))
        }
    }
}

/// Gives the lease back; the job waits in the queue again.
async fn put_back<B: Bucket>(
    mut claim: Claim<B>,
    limit: Duration,
    outcome: &str,
    failed: bool,
    attempted: &Attempted,
) -> Result<(), Lost> {
    let clock = claim.clock();
    claim
        .write(limit, |state| {
            state.put_back(shorten(outcome), clock());
            state.failures += u32::from(failed);
            note_progress(state, &attempted.progress);
        })
        .await
}

/// The claim is no more, and with it what was done.
async fn give_up<B, Q: Queue, A, S>(
    worker: &Worker<B, Q, A, S>,
    delivery: &Delivery,
    lost: Lost,
    attempted: &Attempted,
) -> Result<Next, DrainError> {
    let outcome = match lost {
        Lost::Cancelled => {
            tracing::info!("`{}` was cancelled", attempted.job);
            measure(worker, "cancelled", attempted, |_| {});
            forget(worker, delivery).await;
            return Ok(Next::Nothing);
        }
        Lost::Taken => {
            // It has a message of its own, or this one comes back and finds it done.
            tracing::warn!("another container has taken `{}` over", attempted.job);
            Ok(Next::Nothing)
        }
        Lost::Bucket(error) => Err(DrainError::Bucket(error)),
        Lost::Slow => Err(DrainError::BucketSlow),
    };
    measure(worker, "lost", attempted, |_| {});
    outcome
}

async fn finish_done<B, Q, A, S>(
    worker: Arc<Worker<B, Q, A, S>>,
    delivery: Delivery,
    mut claim: Claim<B>,
    report: Report,
    attempted: Attempted,
    cancel: CancellationToken,
) -> Result<Ended, DrainError>
where
    B: Bucket,
    Q: Queue,
    A: ArchiveStore,
    S: PhotoSource,
{
    let archives = made(&worker, &report, &attempted);
    let clock = claim.clock();
    let status = if is_awaited(&worker, &attempted.job).await {
        Status::Delivering
    } else {
        Status::Done
    };
    let written = claim
        .write(RECORD_WITHIN, |state| {
            state.end(status, "done", clock());
            note_progress(state, &attempted.progress);
            state.timings.probing_seconds = Some(report.probe_seconds);
            state.timings.transferring_seconds = Some(report.seconds - report.probe_seconds);
            state.note_archives(&archives);
            state.note_missing(&report.missing);
            state.ignored = report.ignored;
            state.note_empty(&report.empty);
            state.error = None;
        })
        .await;
    if let Err(lost) = written {
        if matches!(lost, Lost::Cancelled) {
            remove_archives(&worker, &archives, &attempted.job).await;
        }
        return gone(&worker, &delivery, lost, &attempted).await;
    }
    report.log(&attempted.job.to_string());
    measure(&worker, "done", &attempted, |metrics| {
        metrics.bytes = report.bytes;
        metrics.photos = report.photos;
        metrics.missing = report.missing.len();
        metrics.probing_seconds = report.probe_seconds;
        metrics.transferring_seconds = report.seconds - report.probe_seconds;
    });
    // Whoever came after the first look is seen now, or has seen how it ended.
    if status == Status::Done && !is_awaited(&worker, &attempted.job).await {
        forget(&worker, &delivery).await;
        return Ok(Finished::Done.into());
    }
    Ok(tell(&worker, delivery, &attempted.job, Finished::Done, &cancel).await)
}

/// Why a job ends without archives.
struct FinalFailure {
    message: String,
    code: ExitCode,
    missing: Vec<Missing>,
    /// Whether its message goes to the dead-letter queue, where somebody will see it.
    bury: bool,
}

async fn finish_failed<B, Q, A, S>(
    worker: Arc<Worker<B, Q, A, S>>,
    delivery: Delivery,
    mut claim: Claim<B>,
    failure: FinalFailure,
    attempted: Attempted,
    cancel: CancellationToken,
) -> Result<Ended, DrainError>
where
    B: Bucket,
    Q: Queue,
    A: ArchiveStore,
    S: PhotoSource,
{
    let clock = claim.clock();
    let written = claim
        .write(RECORD_WITHIN, |state| {
            state.end(Status::Failed, shorten(&failure.message), clock());
            state.failures += u32::from(failure.code == ExitCode::TryAgain);
            note_progress(state, &attempted.progress);
            state.note_missing(&failure.missing);
            state.error = Some(StateError {
                message: shorten(&failure.message),
                exit_code: failure.code as u8,
            });
        })
        .await;
    if let Err(lost) = written {
        return gone(&worker, &delivery, lost, &attempted).await;
    }
    tracing::error!(
        exit_code = failure.code as u8,
        "`{}` failed: {}",
        attempted.job,
        failure.message
    );
    measure(&worker, "failed", &attempted, |metrics| {
        metrics.missing = failure.missing.len();
    });
    let job = &attempted.job;
    let awaited = !worker.options.deliver.alert_to.is_empty() || is_awaited(&worker, job).await;
    if failure.bury {
        if awaited {
            // This message will be where somebody looks; telling needs another one, and first.
            let message = Message::new(job.clone()).to_body();
            if let Err(error) = worker.queue.send(&message).await {
                tracing::error!(
                    "telling of it goes before its dead letter: {}",
                    chain(&error)
                );
                return Ok(tell(&worker, delivery, job, Finished::Failed, &cancel).await);
            }
        }
        if let Err(error) = worker.queue.bury(&delivery, &failure.message).await {
            tracing::error!("the message could not be moved to the dead-letter queue: {error}");
            forget(&worker, &delivery).await;
        }
    } else if awaited {
        return Ok(tell(&worker, delivery, job, Finished::Failed, &cancel).await);
    } else {
        forget(&worker, &delivery).await;
    }
    Ok(Finished::Failed.into())
}

async fn gone<B, Q: Queue, A, S>(
    worker: &Worker<B, Q, A, S>,
    delivery: &Delivery,
    lost: Lost,
    attempted: &Attempted,
) -> Result<Ended, DrainError> {
    let given_up = give_up(worker, delivery, lost, attempted).await;
    if given_up.is_err() {
        hide(worker, delivery, Duration::ZERO).await;
    }
    given_up.map(|_| Finished::Gone.into())
}

/// The archives of an attempt, as its state tells of them.
fn made<B, Q, A: ArchiveStore, S>(
    worker: &Worker<B, Q, A, S>,
    report: &Report,
    attempted: &Attempted,
) -> Vec<StateArchive> {
    (report.archives.iter())
        .map(|archive| StateArchive {
            name: archive.name.clone(),
            bucket: worker.archives.bucket().map(str::to_owned),
            key: format!("{}{}", attempted.folder, archive.name),
            bytes: archive.bytes,
            photos: archive.photos,
        })
        .collect()
}

/// Removes archives that are not wanted any more.
async fn remove_archives<B, Q, A: ArchiveStore, S>(
    worker: &Worker<B, Q, A, S>,
    archives: &[StateArchive],
    job: &JobKey,
) {
    tracing::info!("removing the archives of `{job}`, which was cancelled meanwhile");
    for archive in archives {
        if let Err(error) = worker.archives.remove(archive).await {
            tracing::warn!("`{}` could not be removed: {}", archive.key, chain(&error));
        }
    }
}

fn measure<B, Q, A, S>(
    worker: &Worker<B, Q, A, S>,
    outcome: &'static str,
    attempted: &Attempted,
    more: impl FnOnce(&mut JobMetrics),
) {
    let progress = &attempted.progress;
    let mut metrics = JobMetrics {
        job: attempted.job.to_string(),
        outcome,
        retries: progress.retries.get(),
        restarts: progress.restarts.get(),
        queued_seconds: attempted.queued_seconds,
        peak_memory_bytes: peak_memory_bytes().unwrap_or_default(),
        ..JobMetrics::default()
    };
    more(&mut metrics);
    (worker.metrics)(&metrics.to_line((worker.clock)()));
}

fn shorten(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_ERROR_BYTES)].to_owned()
}
