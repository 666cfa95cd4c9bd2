//! One message: which job it asks for, whether that is to be done, doing it, and what comes of it.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::claim::{Claim, Heartbeat, lease};
use super::delivery::{tell, tell_progress};
use super::outcome::{Attempted, Verdict, conclude, judge};
use super::{DrainError, Ended, Finished, WorkOptions, Worker, after};
use crate::bucket::{Bucket, BucketError, Version};
use crate::deliver::has_ended;
use crate::engine::{self, EngineOptions, Progress};
use crate::exit_code::ExitCode;
use crate::job::{JobKey, Layout, Message, State, Status};
use crate::manifest::{Defaults, Manifest, OnMissing};
use crate::plan::count_of;
use crate::queue::{Delivery, Queue};
use crate::sink::ArchiveStore;
use crate::source::PhotoSource;
use crate::{chain, told};

/// The longest time that a message is put off.
const MAX_PUT_OFF: Duration = Duration::from_mins(15);
/// How long recording an outcome takes at most, as a rule.
const RECORDED_IN: Duration = Duration::from_secs(2);
/// How long the queue may take over a message that is put off: where somebody asked to stop, there is
/// not much time.
const QUEUE_PATIENCE: Duration = Duration::from_secs(4);
/// How long sweeping up after a lost container may take: less than a lease.
const SWEEP_WITHIN: Duration = Duration::from_secs(3);
/// How long the engine may take to clean up once somebody asked to stop.
const STOP_WITHIN: Duration = Duration::from_secs(6);
/// How long a job waits for its turn before it is looked at again.
const TURN: Duration = Duration::from_secs(30);
/// How often a message that waits for its turn is received before it is sent anew; far fewer than make it a dead
/// letter.
const RENEW_AFTER: u32 = 5;
/// States that are read at once.
const READERS: usize = 16;
/// How often a claim is tried while others change the state.
const MAX_CLAIMS: u32 = 5;

/// What to do after a message.
pub(super) enum Next {
    /// Record the outcome, which need not hold up the next job.
    Finish(Pin<Box<dyn Future<Output = Result<Ended, DrainError>> + Send>>),
    /// The attempt failed, or nobody can deal with the message.
    PutAside {
        /// When the message comes back, if it does.
        back_in: Option<Duration>,
    },
    /// There is nothing to do now, but the message comes back.
    Later {
        /// When, if that is worth staying for.
        back_in: Option<Duration>,
    },
    /// The message is gone.
    Nothing,
}

/// Deals with one message.
pub(super) async fn work<B, Q, A, S>(
    worker: &Arc<Worker<B, Q, A, S>>,
    delivery: Delivery,
    cancel: &CancellationToken,
) -> Result<Next, DrainError>
where
    B: Bucket,
    Q: Queue,
    A: ArchiveStore,
    S: PhotoSource,
{
    let message = match Message::from_body(&delivery.body) {
        Ok(message) => message,
        Err(error) => return bury(worker, &delivery, &told(&error)).await,
    };
    let span = tracing::info_span!("job", job.id = %message.job, event.id = message.job.event_id());
    let outcome = begin(worker, &delivery, &message, cancel)
        .instrument(span)
        .await;
    if outcome.is_err() {
        // Nobody should have to wait for a container that cannot work.
        hide(worker, &delivery, Duration::ZERO).await;
    }
    outcome
}

/// Hides a message for so long, or gives it back at once. Where that fails, it comes back when it was
/// to come back anyway.
pub(super) async fn hide<B, Q: Queue, A, S>(
    worker: &Worker<B, Q, A, S>,
    delivery: &Delivery,
    time: Duration,
) {
    match timeout(QUEUE_PATIENCE, worker.queue.hide(delivery, time)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!("a message could not be put off: {}", chain(&error)),
        Err(_) => tracing::warn!("a message could not be put off in time"),
    }
}

/// Deletes a message whose job has ended. If that fails it comes back, and the job is found ended.
pub(super) async fn forget<B, Q: Queue, A, S>(worker: &Worker<B, Q, A, S>, delivery: &Delivery) {
    if let Err(error) = worker.queue.delete(delivery).await {
        tracing::warn!("the message could not be removed: {}", chain(&error));
    }
}

/// Puts a message aside that nobody can ever deal with.
async fn bury<B, Q: Queue, A, S>(
    worker: &Worker<B, Q, A, S>,
    delivery: &Delivery,
    reason: &str,
) -> Result<Next, DrainError> {
    tracing::error!("a message goes to the dead-letter queue: {reason}");
    if let Err(error) = worker.queue.bury(delivery, reason).await {
        // It must not keep others from being dealt with.
        tracing::error!("it cannot go there: {}", chain(&error));
        hide(worker, delivery, MAX_PUT_OFF).await;
    }
    Ok(Next::PutAside { back_in: None })
}

/// Finds out whether the job is to be done, claims it, and does it.
async fn begin<B, Q, A, S>(
    worker: &Arc<Worker<B, Q, A, S>>,
    delivery: &Delivery,
    message: &Message,
    cancel: &CancellationToken,
) -> Result<Next, DrainError>
where
    B: Bucket,
    Q: Queue,
    A: ArchiveStore,
    S: PhotoSource,
{
    let job = &message.job;
    if message.volume.is_some() {
        let reason =
            format!("it asks for a single volume of {job}, which this program does not do");
        return bury(worker, delivery, &reason).await;
    }
    for _ in 0..MAX_CLAIMS {
        let Some(found) = cancel.run_until_cancelled(look(worker, job)).await else {
            hide(worker, delivery, Duration::ZERO).await;
            return Ok(Next::Nothing);
        };
        let found = found?;
        let Found {
            state,
            version,
            manifest,
        } = match found {
            Ok(found) => found,
            Err(reason) => return bury(worker, delivery, &reason).await,
        };
        if state.status == Status::Cancelled {
            tracing::debug!("`{job}` was cancelled");
            forget(worker, delivery).await;
            return Ok(Next::Nothing);
        }
        if has_ended(state.status) {
            tracing::debug!(
                "`{job}` is {} already; is anyone still to be told?",
                state.status
            );
            let (worker, delivery) = (Arc::clone(worker), delivery.clone());
            let (job, cancel) = (job.clone(), cancel.clone());
            let telling =
                async move { Ok(tell(&worker, delivery, &job, Finished::Gone, &cancel).await) };
            return Ok(Next::Finish(Box::pin(telling.in_current_span())));
        }
        let now = (worker.clock)();
        if let Some(until) = state.held_until(now) {
            if state.is_held_by(&worker.owner) {
                // It came twice, and the outcome of the first is just being recorded.
                hide(worker, delivery, RECORDED_IN).await;
                return Ok(Next::Later {
                    back_in: Some(RECORDED_IN),
                });
            }
            let left = until.duration_since(now).unsigned_abs();
            return Ok(somebody_elses(worker, delivery, left).await);
        }
        if others_at_work(worker, job).await? >= worker.options.max_per_event {
            return Ok(next_turn(worker, delivery).await);
        }
        let lost_folder = state.lost_folder();
        if let Some(claim) = Claim::take(worker, state, version).await? {
            if let Some(folder) = lost_folder {
                sweep(worker, &folder).await;
            }
            return carry_out(worker, delivery, claim, manifest, cancel).await;
        }
    }
    // Somebody is very busy with it.
    let left = lease(worker.options.visibility_timeout);
    Ok(somebody_elses(worker, delivery, left).await)
}

/// How many other jobs of this event containers are working on; not more than matter.
async fn others_at_work<B: Bucket, Q, A, S>(
    worker: &Worker<B, Q, A, S>,
    job: &JobKey,
) -> Result<usize, BucketError> {
    let most = worker.options.max_per_event;
    let keys = worker.bucket.list(&Layout::event(job.event_id())).await?;
    let others: Vec<JobKey> = (keys.iter().filter_map(|key| Layout::job_of_state(key)))
        .filter(|other| other != job)
        .collect();
    // As a rule an event has one job or two, and none is read.
    if others.len() < most {
        return Ok(0);
    }
    let now = (worker.clock)();
    let mut reading = stream::iter(others)
        .map(|other| async move {
            let object = worker.bucket.get(&other.state()).await?;
            let state = object.and_then(|object| State::of(&other, &object.bytes).ok());
            Ok::<_, BucketError>(state.is_some_and(|state| state.held_until(now).is_some()))
        })
        .buffer_unordered(READERS);
    let mut at_work = 0;
    while let Some(is_held) = reading.next().await {
        at_work += usize::from(is_held?);
        if at_work >= most {
            break;
        }
    }
    Ok(at_work)
}

/// Puts a message off, because its event has enough containers. It comes back as a new one now and then, so
/// that waiting does not make it a dead letter.
async fn next_turn<B, Q: Queue, A, S>(worker: &Worker<B, Q, A, S>, delivery: &Delivery) -> Next {
    tracing::info!("enough containers work for this event; its turn comes later");
    if delivery.receive_count >= RENEW_AFTER {
        match worker.queue.send(&delivery.body).await {
            Ok(()) => {
                forget(worker, delivery).await;
                return Next::Nothing;
            }
            Err(error) => tracing::warn!("a message could not be renewed: {}", chain(&error)),
        }
    }
    hide(worker, delivery, TURN).await;
    Next::Later {
        back_in: Some(TURN),
    }
}

/// Aborts what a lost container has left open. What cannot be aborted now, the bucket's lifecycle rule
/// sweeps.
async fn sweep<B, Q, A: ArchiveStore, S>(worker: &Worker<B, Q, A, S>, folder: &str) {
    match timeout(SWEEP_WITHIN, worker.archives.store().abort_uploads(folder)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("an upload may be left open: {}", chain(&error)),
        Err(_) => tracing::warn!("an upload may be left open: the store is slow"),
    }
}

/// What there is of a job.
struct Found {
    state: State,
    /// `None` where there is no state yet.
    version: Option<Version>,
    manifest: Result<Manifest, String>,
}

/// Reads manifest and state. The inner error is a reason why nobody can ever do this job.
async fn look<B: Bucket, Q, A, S>(
    worker: &Worker<B, Q, A, S>,
    job: &JobKey,
) -> Result<Result<Found, String>, DrainError> {
    let (manifest_key, state_key) = (job.manifest(), job.state());
    let (asked, known) = match tokio::try_join!(
        worker.bucket.get(&manifest_key),
        worker.bucket.get(&state_key)
    ) {
        Ok(both) => both,
        Err(error @ BucketError::Unacceptable { .. }) => return Ok(Err(told(&error))),
        Err(error) => return Err(error.into()),
    };
    let Some(asked) = asked else {
        return Ok(Err(format!("there is no `{manifest_key}`")));
    };
    // Write access to the bucket must not be enough to change the photos of another user's job.
    if !job.is_made_from(&asked.bytes) {
        return Ok(Err(format!(
            "`{manifest_key}` is not the manifest that the job's id was made from"
        )));
    }
    let manifest = Manifest::parse(&asked.bytes, &Defaults::default(), &worker.options.rules)
        .map_err(|violations| violations.to_string());
    if let Ok(manifest) = &manifest
        && manifest.event_id != job.event_id()
    {
        return Ok(Err(format!("`{manifest_key}` is of another event")));
    }
    let Some(known) = known else {
        // Faster than the one who handed it in.
        let photos = manifest.as_ref().map_or(0, |asked| asked.photos.len());
        return Ok(Ok(Found {
            state: State::queued(job.clone(), photos, (worker.clock)()),
            version: None,
            manifest,
        }));
    };
    let state = match State::of(job, &known.bytes) {
        Ok(state) => state,
        Err(error) => {
            let reason = format!("`{state_key}` cannot be read: {}", told(&error));
            return Ok(Err(reason));
        }
    };
    Ok(Ok(Found {
        state,
        version: Some(known.version),
        manifest,
    }))
}

/// Another container works on this. The message stays, in case that one dies; if it does not, it
/// will be found to be done. It is put off longer each time, so that it does not run out of receives.
async fn somebody_elses<B, Q: Queue, A, S>(
    worker: &Worker<B, Q, A, S>,
    delivery: &Delivery,
    lease_left: Duration,
) -> Next {
    let pause = backoff(worker.options.visibility_timeout, delivery.receive_count);
    let pause = pause.max(lease_left);
    tracing::debug!(
        "another container works on it; looking again in {} s",
        pause.as_secs()
    );
    hide(worker, delivery, pause).await;
    Next::Later {
        // Whoever works on it has a message of their own.
        back_in: None,
    }
}

/// A pause that doubles with every time but the first.
pub(super) fn backoff(pause: Duration, times: u32) -> Duration {
    let factor = 2_u32.saturating_pow(times.saturating_sub(1).min(16));
    pause.saturating_mul(factor).min(MAX_PUT_OFF)
}

/// How the engine goes about an attempt after so many failures. What cannot be reached may be there
/// at the next attempt, so that only the last one makes the archive without it.
fn engine_options(options: &WorkOptions, failures: u32) -> EngineOptions {
    let mut engine = options.engine.clone();
    if failures + 1 < options.attempts {
        engine.on_unreachable = OnMissing::Fail;
    }
    engine
}

async fn carry_out<B, Q, A, S>(
    worker: &Arc<Worker<B, Q, A, S>>,
    delivery: &Delivery,
    claim: Claim<B>,
    manifest: Result<Manifest, String>,
    cancel: &CancellationToken,
) -> Result<Next, DrainError>
where
    B: Bucket,
    Q: Queue,
    A: ArchiveStore,
    S: PhotoSource,
{
    let job = claim.state.job.clone();
    let folder = claim.state.archive_folder();
    let failures = claim.state.failures;
    let queued_seconds = claim.state.timings.queued_seconds.unwrap_or_default();
    tracing::info!(
        attempt = claim.state.attempt_count,
        queued_seconds,
        photos = claim.state.photos,
        "began `{job}`"
    );
    let progress = Arc::new(Progress::default());
    let stop = cancel.child_token();
    let heartbeat = Heartbeat::start(
        worker,
        claim,
        delivery.clone(),
        Arc::clone(&progress),
        stop.clone(),
    );
    let telling = tell_progress(worker, job.clone(), Arc::clone(&progress));
    let verdict = match manifest {
        Ok(_) if failures >= worker.options.attempts => Verdict::Failed {
            message: format!(
                "the container was lost, or the attempt failed, {}",
                count_of(failures as usize, "time")
            ),
            code: ExitCode::TryAgain,
            missing: Vec::new(),
            bury: true,
        },
        Ok(manifest) => {
            let sink = worker.archives.store().folder(&folder);
            let options = engine_options(&worker.options, failures);
            let run = engine::run(
                Arc::new(manifest),
                Arc::clone(&worker.source),
                &sink,
                &options,
                Arc::clone(&progress),
                &stop,
            );
            tokio::select! {
                outcome = AssertUnwindSafe(run).catch_unwind() => match outcome {
                    Ok(outcome) => judge(outcome),
                    // A bug, and maybe this event's: it must not end what others wait for.
                    Err(_) => Verdict::Retry("internal error: a panic; please report it".to_owned()),
                },
                () = after(cancel, STOP_WITHIN) => Verdict::Interrupted,
            }
        }
        Err(message) => Verdict::Failed {
            message,
            code: ExitCode::BadData,
            missing: Vec::new(),
            bury: false,
        },
    };
    let attempted = Attempted {
        job,
        folder,
        queued_seconds,
        progress,
    };
    drop(telling);
    let claim = heartbeat.stop().await;
    conclude(worker, delivery, claim, verdict, attempted, cancel).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        let pause = Duration::from_secs(15);
        let pauses: Vec<u64> = (0..9)
            .map(|times| backoff(pause, times).as_secs())
            .collect();
        assert_eq!(pauses, [15, 15, 30, 60, 120, 240, 480, 900, 900]);
        assert_eq!(backoff(pause, u32::MAX), MAX_PUT_OFF);
    }
}
