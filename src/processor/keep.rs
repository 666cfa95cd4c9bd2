//! Deleting what names people, some time after their jobs have ended: once a day, by the first container that
//! finds the queue empty. A lifecycle rule cannot do it, since it knows no end of a job.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::Worker;
use crate::bucket::{Bucket, BucketError, Condition};
use crate::chain;
use crate::deliver::mailbox;
use crate::job::{JobKey, Layout, State};

/// How often it is done.
const EVERY: Duration = Duration::from_hours(24);
/// Jobs that are looked at at once.
const READERS: usize = 16;

/// When it was done last.
#[derive(Debug, Serialize, Deserialize)]
struct Swept {
    at: Timestamp,
}

/// Does it if it was not done today, until it is cancelled; what goes wrong is tried again tomorrow.
pub(super) async fn delete_personal_data<B: Bucket, Q, A, S>(
    worker: &Worker<B, Q, A, S>,
    cancel: &CancellationToken,
) {
    match cancel.run_until_cancelled(sweep(worker)).await {
        Some(Err(error)) => {
            tracing::warn!(
                "personal data of jobs could not be deleted: {}",
                chain(&error)
            );
        }
        Some(Ok(jobs)) if jobs > 0 => tracing::info!(jobs, "deleted personal data of ended jobs"),
        _ => {}
    }
}

async fn sweep<B: Bucket, Q, A, S>(worker: &Worker<B, Q, A, S>) -> Result<usize, BucketError> {
    let now = (worker.clock)();
    if !claim(&*worker.bucket, now).await? {
        return Ok(0);
    }
    mailbox::forget_counts(&*worker.bucket, now).await?;
    let keys = worker.bucket.list(Layout::JOBS).await?;
    let jobs: Vec<JobKey> = (keys.iter())
        .filter_map(|key| Layout::job_of_state(key))
        .collect();
    let mut swept = stream::iter(jobs)
        .map(|job| async move { delete_of(worker, &job, now).await })
        .buffer_unordered(READERS);
    let mut count = 0;
    while let Some(deleted) = swept.next().await {
        count += usize::from(deleted?);
    }
    Ok(count)
}

/// Returns whether today's sweep is this container's.
async fn claim<B: Bucket>(bucket: &B, now: Timestamp) -> Result<bool, BucketError> {
    let condition = match bucket.get(Layout::SWEPT).await? {
        None => Condition::Absent,
        Some(object) => {
            let last = serde_json::from_slice::<Swept>(&object.bytes);
            if last.is_ok_and(|last| now.duration_since(last.at).unsigned_abs() < EVERY) {
                return Ok(false);
            }
            Condition::Unchanged(object.version)
        }
    };
    let json = serde_json::to_vec(&Swept { at: now }).expect("a time only");
    match bucket
        .put(Layout::SWEPT, Bytes::from(json), condition)
        .await
    {
        Ok(_) => Ok(true),
        Err(BucketError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Deletes what names people of one job, if it ended long enough ago. The state is changed last, so that an
/// interrupted sweep goes on.
async fn delete_of<B: Bucket, Q, A, S>(
    worker: &Worker<B, Q, A, S>,
    job: &JobKey,
    now: Timestamp,
) -> Result<bool, BucketError> {
    let bucket = &worker.bucket;
    let Some(object) = bucket.get(&job.state()).await? else {
        return Ok(false);
    };
    let Ok(mut state) = State::of(job, &object.bytes) else {
        return Ok(false);
    };
    let kept = now.duration_since(state.updated_at).unsigned_abs();
    if !state.status.is_final() || state.is_anonymous || kept < worker.options.keep_personal {
        return Ok(false);
    }
    let about = bucket.list(&job.folder()).await?;
    let mut deleted = Vec::new();
    for key in about.into_iter().filter(|key| *key != job.state()) {
        if let Some(object) = bucket.get(&key).await? {
            bucket.delete(&key).await?;
            deleted.push((key, object.bytes));
        }
    }
    state.forget_names();
    let json = Bytes::from(state.to_json());
    match bucket
        .put(&job.state(), json, Condition::Unchanged(object.version))
        .await
    {
        Ok(_) => Ok(true),
        // It was submitted again just now: what was written with that must not be lost.
        Err(BucketError::Conflict { .. }) => {
            for (key, bytes) in deleted {
                match bucket.put(&key, bytes, Condition::Absent).await {
                    Ok(_) | Err(BucketError::Conflict { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
