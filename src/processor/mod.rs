//! What a container does: drain the job queue, one job at a time at full bandwidth.
//!
//! [`drain`] receives messages until there are none. [`work`] deals with one: reads manifest and state,
//! claims the job, runs the engine. [`outcome`] records what came of it. [`claim`] is the right to
//! do so: the state's lease, renewed with every write, and the message, hidden again and again.
//! The queue owns the repetition of work; a container that stops gives its message back at once,
//! one that dies loses it after the visibility timeout. Everything here may happen twice, and it
//! would do no harm: keys and bytes are the same, and a final state is not worked on again.

mod claim;
mod delivery;
mod keep;
pub mod metrics;
mod outcome;
mod work;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use self::work::Next;
use crate::archives::Archives;
use crate::bucket::{Bucket, BucketError};
use crate::clock::Clock;
use crate::deliver::{Courier, DeliverOptions, Deliverer};
use crate::engine::EngineOptions;
use crate::job::Owner;
use crate::manifest::SourceRules;
use crate::queue::{Delivery, Queue, QueueError};
use crate::sink::ArchiveStore;
use crate::source::PhotoSource;

/// Jobs whose outcome may be waiting to be recorded while the next one runs: a state is written
/// at most once a second, which tiny jobs need not wait for.
const MAX_FINISHING: usize = 64;
/// How much later than asked SQS may show a message again.
const COMES_LATE: Duration = Duration::from_secs(5);
/// The least time between two looks into the queue.
const POLL_PAUSE: Duration = Duration::from_millis(100);
/// How long recording may take once somebody asked to stop: Batch kills 30 s after it asks.
const GRACE: Duration = Duration::from_secs(5);

/// How jobs are done.
#[derive(Debug, Clone)]
pub struct WorkOptions {
    /// How long a message stays hidden unless it is hidden again.
    pub visibility_timeout: Duration,
    /// How long an empty queue is watched.
    pub wait: Duration,
    /// Attempts before a job that fails in a way that may pass is given up.
    pub attempts: u32,
    /// Pause before the second attempt; doubled for each one after that.
    pub retry_delay: Duration,
    /// The most jobs of one event that are done at the same time.
    pub max_per_event: usize,
    /// How long after the end of a job what names people is kept.
    pub keep_personal: Duration,
    /// How the engine goes about it.
    pub engine: EngineOptions,
    /// Where a manifest may say that photos are.
    pub rules: SourceRules,
    /// What those who want to know are told.
    pub deliver: DeliverOptions,
}

/// A container at work: its ports, and who it is.
pub struct Worker<B, Q, A, S> {
    /// Manifests and states.
    pub bucket: Arc<B>,
    /// What is to be done.
    pub queue: Q,
    /// Where archives go.
    pub archives: Archives<A>,
    /// Where photos come from.
    pub source: Arc<S>,
    /// Who tells those who want to know.
    pub courier: Arc<dyn Courier>,
    /// Who this is.
    pub owner: Owner,
    /// How jobs are done.
    pub options: WorkOptions,
    /// What time it is.
    pub clock: Clock,
    /// Takes a line of metrics in CloudWatch's Embedded Metric Format.
    pub metrics: fn(&str),
}

impl<B, Q, A, S> std::fmt::Debug for Worker<B, Q, A, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

/// What a container did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drained {
    /// Jobs that were carried out.
    pub done: u32,
    /// Jobs that failed for good.
    pub failed: u32,
    /// Attempts that failed and come back, and messages that nobody can deal with.
    pub put_aside: u32,
    /// Somebody asked to stop before the queue was empty.
    pub interrupted: bool,
}

/// Why a container cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// The queue is out of reach.
    #[error("the job queue cannot be used")]
    Queue(#[from] QueueError),
    /// The bucket is out of reach.
    #[error("the bucket cannot be used")]
    Bucket(#[from] BucketError),
    /// The bucket does not answer.
    #[error("the bucket does not answer")]
    BucketSlow,
    /// The settings do for no job.
    #[error("no job can be done with these settings: {0}")]
    Settings(String),
}

/// Does what the queue says until it is empty or somebody asks to stop.
///
/// # Errors
/// If the queue or the bucket cannot be used. The message at hand is given back.
pub async fn drain<B, Q, A, S>(
    worker: Arc<Worker<B, Q, A, S>>,
    cancel: &CancellationToken,
) -> Result<Drained, DrainError>
where
    B: Bucket,
    Q: Queue,
    A: ArchiveStore,
    S: PhotoSource,
{
    let mut drained = Drained::default();
    let mut finishing: JoinSet<Result<Ended, DrainError>> = JoinSet::new();
    // Messages that come back by themselves; who else would be there to take them?
    let mut put_off: Vec<PutOff> = Vec::new();
    let mut last_message = Instant::now();
    let outcome = loop {
        if cancel.is_cancelled() {
            drained.interrupted = true;
            break Ok(());
        }
        if let Err(error) = drained.note_all(&mut finishing, &mut put_off) {
            break Err(error);
        }
        let options = &worker.options;
        let receiving = worker
            .queue
            .receive(options.wait, options.visibility_timeout);
        let received = tokio::select! {
            () = cancel.cancelled() => continue,
            received = receiving => received,
        };
        let delivery = match received {
            Ok(Some(delivery)) => delivery,
            Ok(None) => {
                if let Err(error) = drained.note_all(&mut finishing, &mut put_off) {
                    break Err(error);
                }
                let now = Instant::now();
                put_off.retain(|message| message.stay_until > now);
                // What is still being told may have to be told again.
                if put_off.is_empty() && finishing.is_empty() {
                    match nothing_comes_back(&worker, last_message).await {
                        Ok(true) => break Ok(()),
                        Ok(false) => {}
                        Err(error) => break Err(error),
                    }
                }
                // Without long polling this would be a busy loop.
                let _ = cancel.run_until_cancelled(sleep(POLL_PAUSE)).await;
                continue;
            }
            Err(error) => break Err(error.into()),
        };
        let worked = work::work(&worker, delivery.clone(), cancel).await;
        last_message = Instant::now();
        match worked {
            Ok(Next::Finish(finish)) => {
                finishing.spawn(finish);
                while finishing.len() > MAX_FINISHING && !cancel.is_cancelled() {
                    let joined = cancel.run_until_cancelled(finishing.join_next()).await;
                    if let Err(error) = drained.note(joined.flatten(), &mut put_off) {
                        finishing.spawn(async { Err(error) });
                        break;
                    }
                }
            }
            Ok(Next::PutAside { back_in }) => {
                drained.put_aside += 1;
                put_off.extend(back_in.map(|time| PutOff::new(delivery, time)));
            }
            Ok(Next::Later { back_in }) => {
                put_off.extend(back_in.map(|time| PutOff::new(delivery, time)));
            }
            Ok(Next::Nothing) => {}
            Err(error) => break Err(error),
        }
    };
    let mut in_time = true;
    let recorded = {
        let record = async {
            while let Some(finished) = finishing.join_next().await {
                drained.note(Some(finished), &mut put_off)?;
            }
            Ok(())
        };
        tokio::select! {
            recorded = record => recorded,
            () = after(cancel, GRACE) => {
                tracing::warn!("some outcomes could not be recorded in time; these jobs are done again");
                in_time = false;
                Ok(())
            }
        }
    };
    drained.interrupted |= !in_time;
    let ended = outcome.and(recorded);
    if cancel.is_cancelled() || ended.is_err() {
        // Others need not wait for the time that we would have waited.
        let give_back = put_off
            .iter()
            .map(|message| work::hide(&worker, &message.delivery, Duration::ZERO));
        join_all(give_back).await;
    }
    if ended.is_ok() && !drained.interrupted {
        keep::delete_personal_data(&worker, cancel).await;
    }
    ended.map(|()| drained)
}

/// Ends so long after somebody asked to stop.
async fn after(cancel: &CancellationToken, time: Duration) {
    cancel.cancelled().await;
    sleep(time).await;
}

/// Whether the queue is empty for good. A message that is hidden may be that of a container which
/// was lost, and shows itself within the visibility timeout.
async fn nothing_comes_back<B, Q: Queue, A, S>(
    worker: &Worker<B, Q, A, S>,
    last_message: Instant,
) -> Result<bool, DrainError> {
    let patience = worker.options.visibility_timeout + COMES_LATE;
    if last_message.elapsed() > patience {
        return Ok(true);
    }
    Ok(worker.queue.depth().await?.in_flight == 0)
}

/// A message that was put off.
struct PutOff {
    delivery: Delivery,
    stay_until: Instant,
}

impl PutOff {
    fn new(delivery: Delivery, time: Duration) -> Self {
        Self {
            delivery,
            stay_until: Instant::now() + time + COMES_LATE,
        }
    }
}

/// How a job ended whose outcome was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finished {
    Done,
    Failed,
    /// It is somebody else's now, or nobody's; or it had ended before.
    Gone,
}

/// What is left of a job that has ended.
struct Ended {
    finished: Finished,
    /// Its message, if somebody is still to be told, and when it comes back.
    put_off: Option<(Delivery, Duration)>,
}

impl From<Finished> for Ended {
    fn from(finished: Finished) -> Self {
        Self {
            finished,
            put_off: None,
        }
    }
}

impl<B: Bucket, Q, A: ArchiveStore, S> Worker<B, Q, A, S> {
    fn deliverer(&self) -> Deliverer<'_, B, A> {
        Deliverer {
            bucket: &*self.bucket,
            archives: &self.archives,
            courier: &*self.courier,
            options: &self.options.deliver,
            clock: self.clock,
            owner: &self.owner.id,
        }
    }
}

impl Drained {
    /// Notes all that have finished by now.
    fn note_all(
        &mut self,
        finishing: &mut JoinSet<Result<Ended, DrainError>>,
        put_off: &mut Vec<PutOff>,
    ) -> Result<(), DrainError> {
        while let Some(ended) = finishing.try_join_next() {
            self.note(Some(ended), put_off)?;
        }
        Ok(())
    }

    fn note(
        &mut self,
        ended: Option<Result<Result<Ended, DrainError>, JoinError>>,
        put_off: &mut Vec<PutOff>,
    ) -> Result<(), DrainError> {
        let ended = match ended {
            Some(Ok(ended)) => ended?,
            Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
            None => return Ok(()),
        };
        match ended.finished {
            Finished::Done => self.done += 1,
            Finished::Failed => self.failed += 1,
            Finished::Gone => {}
        }
        put_off.extend((ended.put_off).map(|(delivery, time)| PutOff::new(delivery, time)));
        Ok(())
    }
}
