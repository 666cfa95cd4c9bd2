//! The right to work on one job, kept alive while the work goes on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Worker;
use crate::bucket::{Bucket, BucketError, Condition, Version};
use crate::chain;
use crate::clock::{Clock, new_secret};
use crate::engine::{Phase, Progress};
use crate::job::{Owner, State, Status, Transferred};
use crate::queue::{Delivery, Queue};
use crate::sink::ArchiveStore;
use crate::source::PhotoSource;

/// R2 takes one write a second to one key (its documentation, "Limits").
const WRITE_SPACING: Duration = Duration::from_secs(1);
/// How often progress is written: at least every two seconds.
const WRITE_EVERY: Duration = Duration::from_millis(1500);
/// How long the last heartbeat may take once the work is over.
const LAST_BEAT: Duration = Duration::from_secs(2);
/// How often a write that met another writer is tried again.
const MAX_CONFLICTS: u32 = 5;

/// Why a claim is no more.
#[derive(Debug)]
pub(super) enum Lost {
    /// Somebody called the job off.
    Cancelled,
    /// Another container has it, or its state is gone.
    Taken,
    /// The bucket could not be reached.
    Bucket(BucketError),
    /// The bucket did not answer in time.
    Slow,
}

/// A state that this container holds the lease of.
pub(super) struct Claim<B> {
    bucket: Arc<B>,
    owner: Owner,
    clock: Clock,
    lease: Duration,
    pub(super) state: State,
    /// The number of the attempt that this is about.
    attempt: u32,
    version: Version,
    written: Instant,
}

/// How long a lease holds: less than the message stays hidden when it was last hidden a third of that
/// time ago. So when a container dies, its lease has run out when its message comes back.
pub(super) fn lease(visibility_timeout: Duration) -> Duration {
    visibility_timeout / 2
}

impl<B: Bucket> Claim<B> {
    /// Writes the claim into the state that was read as `version` (`None`: there was none). `None` if
    /// somebody was faster.
    pub(super) async fn take<Q, A, S>(
        worker: &Worker<B, Q, A, S>,
        mut state: State,
        version: Option<Version>,
    ) -> Result<Option<Self>, BucketError> {
        let lease = lease(worker.options.visibility_timeout);
        let now = (worker.clock)();
        state.begin(&worker.owner, new_secret(), now, lease);
        state.updated_at = now;
        let condition = version.map_or(Condition::Absent, Condition::Unchanged);
        let json = Bytes::from(state.to_json());
        match worker.bucket.put(&state.job.state(), json, condition).await {
            Ok(version) => Ok(Some(Self {
                bucket: Arc::clone(&worker.bucket),
                owner: worker.owner.clone(),
                clock: worker.clock,
                lease,
                attempt: state.attempt_count,
                state,
                version,
                written: Instant::now(),
            })),
            Err(BucketError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the state as `change` makes it, and renews the lease if there is one; gives up after
    /// `limit`. Whether the write came through then is seen at the next one.
    pub(super) async fn write(
        &mut self,
        limit: Duration,
        change: impl Fn(&mut State),
    ) -> Result<(), Lost> {
        timeout(limit, self.write_at_last(change))
            .await
            .unwrap_or(Err(Lost::Slow))
    }

    async fn write_at_last(&mut self, change: impl Fn(&mut State)) -> Result<(), Lost> {
        sleep_until(self.written + WRITE_SPACING).await;
        for _ in 0..MAX_CONFLICTS {
            let now = (self.clock)();
            let mut state = self.state.clone();
            change(&mut state);
            state.renew(now, self.lease);
            state.updated_at = now;
            let json = Bytes::from(state.to_json());
            let condition = Condition::Unchanged(self.version.clone());
            let written = self.bucket.put(&state.job.state(), json, condition).await;
            self.written = Instant::now();
            match written {
                Ok(version) => {
                    (self.state, self.version) = (state, version);
                    return Ok(());
                }
                Err(BucketError::Conflict { .. }) => self.read_again().await?,
                Err(error) => return Err(Lost::Bucket(error)),
            }
        }
        Err(Lost::Taken)
    }

    /// How long the lease holds without being renewed.
    pub(super) fn lease(&self) -> Duration {
        self.lease
    }

    /// The clock.
    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// Takes over what another writer wrote, if that leaves the job to us.
    async fn read_again(&mut self) -> Result<(), Lost> {
        let object = self.bucket.get(&self.state.job.state()).await;
        // What was forgotten is as good as cancelled.
        let object = object.map_err(Lost::Bucket)?.ok_or(Lost::Cancelled)?;
        let state = State::of(&self.state.job, &object.bytes).map_err(|_| Lost::Taken)?;
        if state.status == Status::Cancelled {
            return Err(Lost::Cancelled);
        }
        if !state.is_held_by(&self.owner) || state.attempt_count != self.attempt {
            return Err(Lost::Taken);
        }
        (self.state, self.version) = (state, object.version);
        Ok(())
    }
}

/// Keeps a claim alive, in the background: writes progress into the state, and hides the message.
pub(super) struct Heartbeat<B> {
    claim: Arc<Mutex<Claim<B>>>,
    stop: CancellationToken,
    /// Ends with the work, however that ends.
    task: AbortOnDropHandle<Option<Lost>>,
}

impl<B: Bucket> Heartbeat<B> {
    /// Begins. `lost` is cancelled when the claim is no more.
    pub(super) fn start<Q: Queue, A: ArchiveStore, S: PhotoSource>(
        worker: &Arc<Worker<B, Q, A, S>>,
        claim: Claim<B>,
        delivery: Delivery,
        progress: Arc<Progress>,
        lost: CancellationToken,
    ) -> Self {
        let stop = CancellationToken::new();
        let claim = Arc::new(Mutex::new(claim));
        let hiding = hide(Arc::clone(worker), delivery, stop.clone());
        let every = WRITE_EVERY.min(lease(worker.options.visibility_timeout) / 3);
        let writing = write(Arc::clone(&claim), every, progress, stop.clone(), lost);
        let task = tokio::spawn(async move { tokio::join!(writing, hiding).0 });
        let task = AbortOnDropHandle::new(task);
        Self { claim, stop, task }
    }

    /// Ends. The claim as it was written last, or why it is no more.
    pub(super) async fn stop(self) -> Result<Claim<B>, Lost> {
        self.stop.cancel();
        let mut task = self.task;
        match timeout(LAST_BEAT, &mut task).await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(lost))) => return Err(lost),
            Ok(Err(error)) => std::panic::resume_unwind(error.into_panic()),
            Err(_) => {
                // Whether its write came through is seen when the outcome is written.
                task.abort();
                let _ = task.await;
            }
        }
        Arc::into_inner(self.claim)
            .map(Mutex::into_inner)
            .ok_or(Lost::Taken)
    }
}

async fn hide<B: Bucket, Q: Queue, A: ArchiveStore, S: PhotoSource>(
    worker: Arc<Worker<B, Q, A, S>>,
    delivery: Delivery,
    stop: CancellationToken,
) {
    let visibility_timeout = worker.options.visibility_timeout;
    let mut tick = interval(visibility_timeout / 3);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let hidden = stop.run_until_cancelled(worker.queue.hide(&delivery, visibility_timeout));
        match hidden.await {
            Some(Ok(true)) | None => {}
            // The lease protects the work all the same.
            Some(Ok(false)) => tracing::warn!("the message came back to the queue too early"),
            Some(Err(error)) => {
                tracing::warn!("the message could not be kept hidden: {}", chain(&error));
            }
        }
    }
}

async fn write<B: Bucket>(
    claim: Arc<Mutex<Claim<B>>>,
    every: Duration,
    progress: Arc<Progress>,
    stop: CancellationToken,
    lost: CancellationToken,
) -> Option<Lost> {
    let mut tick = interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;
    loop {
        tokio::select! {
            () = stop.cancelled() => return None,
            _ = tick.tick() => {}
        }
        let mut claim = claim.lock().await;
        let limit = claim.lease() / 3 + WRITE_SPACING;
        let written = claim
            .write(limit, |state| {
                state.status = match progress.phase() {
                    Phase::Probing => Status::Probing,
                    Phase::Transferring | Phase::Verifying => Status::Transferring,
                };
                note_progress(state, &progress);
            })
            .await;
        match written {
            Ok(()) => {}
            // It may come back before the lease runs out, and if not, the next write tells.
            Err(Lost::Bucket(error)) => {
                tracing::warn!("progress could not be written: {}", chain(&error));
            }
            Err(Lost::Slow) => tracing::warn!("progress could not be written in time"),
            Err(reason) => {
                lost.cancel();
                return Some(reason);
            }
        }
    }
}

/// The counters, for the state.
pub(super) fn note_progress(state: &mut State, progress: &Progress) {
    // Only the listing tells how many photos are in a folder.
    let asked = usize::try_from(progress.photos_asked.get()).unwrap_or(usize::MAX);
    if asked > 0 {
        state.photos = asked;
    }
    state.progress = Transferred {
        photos_probed: progress.probed.get(),
        photos_done: progress.photos_done.get(),
        photos_total: progress.photos_total.get(),
        bytes_done: progress.bytes_fetched.get(),
        bytes_total: progress.bytes_total.get(),
    };
    // Whoever works out the time that is left must know when bytes began to move.
    if progress.phase() != Phase::Probing {
        let probing = Duration::from_millis(progress.probing_ms.get());
        state.timings.probing_seconds = Some(probing.as_secs_f64());
    }
}
