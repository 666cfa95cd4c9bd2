//! Telling those who want to know, once a job has ended; and how far it is, while it goes on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::work::{backoff, forget, hide};
use super::{Ended, Finished, Worker};
use crate::bucket::{Bucket, BucketError, Condition};
use crate::chain;
use crate::deliver::{AT_ONCE, Call, MAX_WEBHOOKS, Notice, Round, has_ended, webhook};
use crate::engine::Progress;
use crate::job::{JobKey, State, StateDelivery, Status};
use crate::queue::{Delivery, Queue};
use crate::sink::ArchiveStore;
use crate::source::PhotoSource;

/// How long a round of telling goes on to begin with the next one; what has begun is always ended.
const ROUND: Duration = Duration::from_secs(20);
/// How long looking for subscribers may hold up the record of an outcome.
const LOOK_WITHIN: Duration = Duration::from_secs(2);
/// How often a state is written that somebody else writes, too.
const MAX_CONFLICTS: u32 = 5;
/// How often webhooks are told how far a job is.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Whether anyone wants to know how a job ends.
pub(super) async fn is_awaited<B, Q, A, S>(worker: &Worker<B, Q, A, S>, job: &JobKey) -> bool
where
    B: Bucket,
    A: ArchiveStore,
{
    match timeout(LOOK_WITHIN, worker.bucket.list(&job.subscribers())).await {
        Ok(Ok(keys)) => !keys.is_empty(),
        // The round that follows finds out.
        Ok(Err(_)) | Err(_) => true,
    }
}

/// Tells of a job that has ended whatever is to be told now, records that, and deals with the message:
/// it is gone when there is nobody left to tell.
pub(super) async fn tell<B, Q, A, S>(
    worker: &Worker<B, Q, A, S>,
    delivery: Delivery,
    job: &JobKey,
    finished: Finished,
    cancel: &CancellationToken,
) -> Ended
where
    B: Bucket,
    Q: Queue,
    A: ArchiveStore,
    S: PhotoSource,
{
    let telling = tell_once(worker, job, cancel);
    let mut telling = std::pin::pin!(telling);
    // A round may take longer than a message stays hidden.
    let mut tick = interval(worker.options.visibility_timeout / 3);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let told = loop {
        tokio::select! {
            told = &mut telling => break told,
            _ = tick.tick() => hide(worker, &delivery, worker.options.visibility_timeout).await,
        }
    };
    let attempts = match told {
        Ok(None) => {
            forget(worker, &delivery).await;
            return finished.into();
        }
        Ok(Some(attempts)) => attempts,
        Err(error) => {
            tracing::warn!("the state cannot tell who was told: {}", chain(&*error));
            delivery.receive_count
        }
    };
    let pause = if cancel.is_cancelled() {
        Duration::ZERO
    } else {
        backoff(worker.options.retry_delay, attempts)
    };
    hide(worker, &delivery, pause).await;
    Ended {
        finished,
        put_off: Some((delivery, pause)),
    }
}

/// One round. `None` when nobody is left; else the most attempts that anyone waiting has seen.
async fn tell_once<B, Q, A, S>(
    worker: &Worker<B, Q, A, S>,
    job: &JobKey,
    cancel: &CancellationToken,
) -> Result<Option<u32>, Box<dyn std::error::Error + Send + Sync>>
where
    B: Bucket,
    Q: Queue,
    A: ArchiveStore,
    S: PhotoSource,
{
    let key = job.state();
    let mut round = None;
    for _ in 0..MAX_CONFLICTS {
        let Some(object) = worker.bucket.get(&key).await? else {
            return Ok(None);
        };
        let mut state = State::of(job, &object.bytes)?;
        if !has_ended(state.status) {
            // It is done again, and told of then.
            return Ok(None);
        }
        let told = if let Some(told) = &round {
            Round::clone(told)
        } else {
            let until = Instant::now() + ROUND;
            let told = worker.deliverer().round(&state, until, cancel).await;
            // The archives are there, whether or not anyone can be told of them now.
            let told = told.unwrap_or_else(|error| Round::failed(&crate::told(&error)));
            round.insert(told).clone()
        };
        let waiting = (told.delivery.waiting > 0).then_some(told.attempts.max(1));
        let anything = told.delivery != StateDelivery::default();
        let news = anything && state.delivery.as_ref() != Some(&told.delivery);
        if !news && state.status != Status::Delivering {
            return Ok(waiting);
        }
        if anything {
            state.delivery = Some(told.delivery);
        }
        if state.status == Status::Delivering {
            state.status = Status::Done;
        }
        state.updated_at = (worker.clock)();
        let json = Bytes::from(state.to_json());
        match worker
            .bucket
            .put(&key, json, Condition::Unchanged(object.version))
            .await
        {
            Ok(_) => return Ok(waiting),
            Err(BucketError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err("the state is changed by somebody else all the time".into())
}

/// Tells webhooks how far a job is, until this is dropped. Nobody waits for them.
pub(super) fn tell_progress<B, Q, A, S>(
    worker: &Arc<Worker<B, Q, A, S>>,
    job: JobKey,
    progress: Arc<Progress>,
) -> AbortOnDropHandle<()>
where
    B: Bucket,
    Q: Queue,
    A: ArchiveStore,
    S: PhotoSource,
{
    let worker = Arc::clone(worker);
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut tick = interval(PROGRESS_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is at once, when there is nothing to tell.
        tick.tick().await;
        let mut number = 0_u32;
        loop {
            tick.tick().await;
            number = number.wrapping_add(1);
            let round = call_all(&worker, &job, &progress, number);
            // The next round has newer numbers; what is slow is dropped.
            let _ = timeout(PROGRESS_EVERY, round).await;
        }
    }))
}

/// Calls a job's webhooks once each: the first of them, and some at once, as for the end of a job.
async fn call_all<B, Q, A, S>(
    worker: &Worker<B, Q, A, S>,
    job: &JobKey,
    progress: &Progress,
    number: u32,
) where
    B: Bucket,
    Q: Queue,
    A: ArchiveStore,
    S: PhotoSource,
{
    let subscribers = worker.deliverer().subscribers(job).await;
    let urls = (subscribers.unwrap_or_default().into_iter())
        .filter_map(|(_, subscriber)| subscriber.webhook)
        .take(MAX_WEBHOOKS);
    let now = (worker.clock)();
    stream::iter(urls.enumerate())
        .for_each_concurrent(AT_ONCE, |(index, url)| {
            let id = format!("msg_{}_{number}_{index}", crate::clock::new_secret());
            let body = webhook::progress(job, progress, now, &url).to_string();
            async move {
                let call = Notice::Call(Call { id, url, body });
                if let Err(problem) = worker.courier.deliver(&call).await {
                    tracing::debug!("a webhook was not told how far it is: {problem}");
                }
            }
        })
        .await;
}
