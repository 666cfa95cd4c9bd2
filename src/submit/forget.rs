//! Erasing all that is kept of an event.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;

use super::{SubmitError, Submitter};
use crate::bucket::Bucket;
use crate::compute::Compute;
use crate::job::{JobKey, Layout, Message, Status};
use crate::queue::{Queue, QueueError};
use crate::sink::ArchiveStore;

/// How long a container at work has to notice that its job is gone, and to remove what it was making.
const NOTICES_WITHIN: Duration = Duration::from_secs(10);
/// How long messages of others stay hidden while the queue is looked through.
const LOOKED_AT: Duration = Duration::from_secs(30);
/// How many messages are looked through at most.
const MAX_MESSAGES: usize = 10_000;

/// What was erased of an event, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// The event.
    pub event_id: String,
    /// Whether nothing was erased, but only counted.
    pub dry_run: bool,
    /// Its jobs.
    pub jobs: usize,
    /// Objects about them: manifests, states, addresses, what was told to whom.
    pub objects: usize,
    /// Archives, of earlier attempts too.
    pub archives: usize,
    /// Messages in the queue and among the dead letters; not known beforehand.
    pub messages: Option<usize>,
}

impl<B: Bucket, Q: Queue, C: Compute, A: ArchiveStore> Submitter<B, Q, C, A> {
    /// Erases all that is kept of an event: archives and uploads in both buckets, messages, and at last what
    /// is about its jobs. Jobs at work are cancelled. May be repeated, and goes on where it was interrupted:
    /// the states, which tell where archives are, go last.
    ///
    /// # Errors
    /// If a bucket or the queue cannot be used; then something may be left.
    pub async fn forget(&self, event_id: &str, dry_run: bool) -> Result<Forgotten, SubmitError> {
        let mut forgotten = Forgotten {
            event_id: event_id.to_owned(),
            dry_run,
            ..Forgotten::default()
        };
        if dry_run {
            self.forget_once(&mut forgotten).await?;
            return Ok(forgotten);
        }
        while self.forget_once(&mut forgotten).await? {
            // A container that was at work writes once more before it notices.
            sleep(NOTICES_WITHIN).await;
        }
        Ok(forgotten)
    }

    /// Returns whether a container was at work, so that something may come after.
    async fn forget_once(&self, forgotten: &mut Forgotten) -> Result<bool, SubmitError> {
        let event_id = forgotten.event_id.clone();
        let keys = self.bucket.list(&Layout::event(&event_id)).await?;
        let jobs: Vec<JobKey> = (keys.iter())
            .filter_map(|key| Layout::job_of_state(key))
            .collect();
        let mut at_work = false;
        // Programs of before named the event.
        let mut folders = BTreeSet::from([format!("{}{event_id}/", Layout::ARCHIVES)]);
        for job in &jobs {
            let state = match self.read_state(job).await {
                Ok(Some((state, _))) => state,
                // What cannot be read is erased all the same.
                Ok(None) | Err(SubmitError::State { .. }) => continue,
                Err(error) => return Err(error),
            };
            folders.extend(state.archive_folders());
            if !forgotten.dry_run {
                at_work |= self.stop(job).await?;
            }
        }
        for folder in &folders {
            forgotten.archives += self.archives.clear(folder, forgotten.dry_run).await?;
        }
        forgotten.jobs += jobs.len();
        forgotten.objects += keys.len();
        if forgotten.dry_run {
            return Ok(false);
        }
        let messages = forgotten.messages.get_or_insert(0);
        *messages += erase_messages(&self.queue, &event_id).await?;
        *messages += erase_messages(&self.queue.dead_letters().await?, &event_id).await?;
        let (states, others): (Vec<_>, Vec<_>) =
            (keys.iter()).partition(|key| Layout::job_of_state(key).is_some());
        for key in others.into_iter().chain(states) {
            self.bucket.delete(key).await?;
        }
        Ok(at_work)
    }

    /// Cancels a job unless it has ended; returns whether a container was at work on it.
    async fn stop(&self, job: &JobKey) -> Result<bool, SubmitError> {
        for _ in 0..super::MAX_CONFLICTS {
            let Some((mut state, version)) = self.read_state(job).await? else {
                return Ok(false);
            };
            if state.status.is_final() {
                return Ok(false);
            }
            let held = state.held_until((self.clock)()).is_some();
            state.end(Status::Cancelled, "forgotten", (self.clock)());
            if self.write_state(&mut state, Some(version)).await?.is_some() {
                return Ok(held);
            }
        }
        Err(SubmitError::Busy(job.clone()))
    }
}

/// Removes an event's messages from a queue, and shows the others again at once.
async fn erase_messages<Q: Queue>(queue: &Q, event_id: &str) -> Result<usize, QueueError> {
    let mut erased = 0;
    let mut others = Vec::new();
    while erased + others.len() < MAX_MESSAGES {
        let Some(delivery) = queue.receive(Duration::from_secs(1), LOOKED_AT).await? else {
            break;
        };
        let message = Message::from_body(&delivery.body);
        if message.is_ok_and(|message| message.job.event_id() == event_id) {
            queue.delete(&delivery).await?;
            erased += 1;
        } else {
            others.push(delivery);
        }
    }
    for delivery in others {
        queue.hide(&delivery, Duration::ZERO).await?;
    }
    Ok(erased)
}
