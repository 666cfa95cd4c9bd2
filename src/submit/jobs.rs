//! Jobs that were handed in: how they are, calling them off, doing them again.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde::Serialize;

use super::{SubmitError, Submitted, Submitter};
use crate::bucket::Bucket;
use crate::compute::Compute;
use crate::deliver;
use crate::job::{JobKey, Layout, Message, State, Status};
use crate::manifest::{Defaults, Manifest, SourceRules};
use crate::queue::Queue;
use crate::sink::ArchiveStore;
use crate::told;

/// States that are read at once.
const READERS: usize = 32;
/// How long a dead letter stays hidden while it is dealt with; those that are left come back then.
const LOOKED_AT: Duration = Duration::from_mins(1);
/// What is said of a dead letter whose job is queued again.
const SENT_AGAIN: &str = "sent again";

/// A job's state, with links to its archives.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The state.
    #[serde(flatten)]
    pub state: State,
    /// Where that is.
    pub state_url: String,
    /// The stream in CloudWatch Logs of the container that works or worked on it last.
    pub log_stream: Option<String>,
    /// Links to the archives, in order, valid from now on.
    pub links: Vec<String>,
    /// The container that had it is gone, and none has taken over yet.
    pub lost: bool,
}

/// What came of one dead letter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeadLetter {
    /// The job, if it asks for one.
    pub job: Option<JobKey>,
    /// Whether it was put back into the queue.
    pub sent_again: bool,
    /// What was done, or why not.
    pub what: String,
    /// Why it was a dead letter, if a container has said so.
    pub reason: Option<String>,
}

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those of this event.
    pub event_id: Option<String>,
    /// Those with this status.
    pub status: Option<Status>,
}

impl<B: Bucket, Q: Queue, C: Compute, A: ArchiveStore> Submitter<B, Q, C, A> {
    /// The job that `text` names: by event and id, or by the event, if that has but one.
    ///
    /// # Errors
    /// If there is none, or several.
    pub async fn find(&self, text: &str) -> Result<JobKey, SubmitError> {
        if let Ok(job) = text.parse::<JobKey>() {
            return Ok(job);
        }
        if !crate::manifest::is_event_id(text) {
            return Err(SubmitError::NoJob(text.escape_debug().to_string()));
        }
        let filter = Filter {
            event_id: Some(text.to_owned()),
            status: None,
        };
        let mut states = self.list(&filter).await?;
        match states.len() {
            0 => Err(SubmitError::NoJob(text.to_owned())),
            1 => Ok(states.remove(0).job),
            _ => Err(SubmitError::SeveralJobs {
                event: text.to_owned(),
                jobs: (states.iter())
                    .map(|state| format!("{}  {}", state.job, state.status))
                    .collect(),
            }),
        }
    }

    /// A job's state.
    ///
    /// # Errors
    /// If there is no such job.
    pub async fn state(&self, job: &JobKey) -> Result<State, SubmitError> {
        match self.read_state(job).await? {
            Some((state, _)) => Ok(state),
            None => Err(SubmitError::NoJob(job.to_string())),
        }
    }

    /// Everything about a job.
    ///
    /// # Errors
    /// If there is no such job.
    pub async fn report(&self, job: &JobKey, links: Duration) -> Result<Report, SubmitError> {
        let state = self.state(job).await?;
        let owner = state.attempts.last().map(|attempt| &attempt.owner);
        let mut log_stream = owner.and_then(|owner| owner.log_stream.clone());
        if let (None, Some(id)) = (&log_stream, owner.and_then(|o| o.batch_job_id.as_ref())) {
            // Batch forgets jobs after a week, and the rest is worth telling without it.
            log_stream = match self.compute.describe(id).await {
                Ok(container) => container.and_then(|container| container.log_stream),
                // Callers may not ask: it would show them the environment of all jobs of the account.
                Err(error) if error.is_about_settings() => {
                    tracing::info!("the log stream is known to operators only: {error}");
                    None
                }
                Err(error) => {
                    tracing::warn!("the log stream is not known: {error}");
                    None
                }
            };
        }
        let urls = self.archives.links(&state.archives, links).await?;
        let at_work = !deliver::has_ended(state.status)
            && !matches!(state.status, Status::Queued | Status::Cancelled);
        Ok(Report {
            state_url: super::url(&self.bucket_name, &job.state()),
            log_stream,
            links: urls,
            lost: at_work && state.held_until((self.clock)()).is_none(),
            state,
        })
    }

    /// Jobs, the last one first.
    ///
    /// # Errors
    /// If the bucket cannot be read. A state that is not one is left out, with a warning.
    pub async fn list(&self, filter: &Filter) -> Result<Vec<State>, SubmitError> {
        let prefix = match &filter.event_id {
            Some(event_id) => Layout::event(event_id),
            None => Layout::JOBS.to_owned(),
        };
        let keys = self.bucket.list(&prefix).await?;
        let jobs = keys.iter().filter_map(|key| Layout::job_of_state(key));
        let mut reading = stream::iter(jobs)
            .map(|job| async move { self.read_state(&job).await })
            .buffer_unordered(READERS);
        let mut states = Vec::new();
        while let Some(read) = reading.next().await {
            match read {
                Ok(Some((state, _))) => states.push(state),
                // It went away meanwhile.
                Ok(None) => {}
                Err(error @ SubmitError::State { .. }) => tracing::warn!("{error}"),
                Err(error) => return Err(error),
            }
        }
        states.retain(|state| filter.status.is_none_or(|status| state.status == status));
        states.sort_by(|a, b| (b.queued_at, &b.job).cmp(&(a.queued_at, &a.job)));
        Ok(states)
    }

    /// Calls a job off. The container that works on it notices when it writes the state the next
    /// time, and leaves nothing behind.
    ///
    /// # Errors
    /// If there is no such job, or it has ended.
    pub async fn cancel(&self, job: &JobKey) -> Result<State, SubmitError> {
        for _ in 0..super::MAX_CONFLICTS {
            let Some((mut state, version)) = self.read_state(job).await? else {
                return Err(SubmitError::NoJob(job.to_string()));
            };
            if state.status.is_final() || state.status == Status::Delivering {
                return Err(SubmitError::WrongStatus {
                    job: job.clone(),
                    status: state.status,
                    remedy: "there is nothing to call off",
                });
            }
            state.end(Status::Cancelled, "cancelled", (self.clock)());
            if self.write_state(&mut state, Some(version)).await?.is_some() {
                return Ok(state);
            }
        }
        Err(SubmitError::Busy(job.clone()))
    }

    /// Has everybody told again of a job that is done, with fresh links, without making its archives
    /// again.
    ///
    /// # Errors
    /// If it is not done, its archives are gone, or nobody is to be told.
    pub async fn deliver(&self, job: &JobKey) -> Result<Submitted, SubmitError> {
        for _ in 0..super::MAX_CONFLICTS {
            let Some((mut state, version)) = self.read_state(job).await? else {
                return Err(SubmitError::NoJob(job.to_string()));
            };
            if state.status != Status::Done {
                return Err(SubmitError::WrongStatus {
                    job: job.clone(),
                    status: state.status,
                    remedy: "there are no links to it before it is done",
                });
            }
            for archive in &state.archives {
                if !self.archives.has(archive).await? {
                    return Err(SubmitError::ArchivesGone(job.clone()));
                }
            }
            if self.bucket.list(&job.subscribers()).await?.is_empty() {
                return Err(SubmitError::Nobody(job.clone()));
            }
            state.round = state.round.saturating_add(1);
            state.told_from = 0;
            state.delivery = None;
            if self.write_state(&mut state, Some(version)).await?.is_some() {
                let batch_job_id = self.call_for_telling(job).await?;
                return Ok(Submitted {
                    already_done: true,
                    archives: state.archives.clone(),
                    batch_job_id,
                    ..self.submitted(&state)
                });
            }
        }
        Err(SubmitError::Busy(job.clone()))
    }

    /// Does a job again that failed, was called off, left photos out, or got lost on the way.
    ///
    /// # Errors
    /// If there is no such job, or it is being done, or it is done.
    pub async fn retry(&self, job: &JobKey, rules: &SourceRules) -> Result<Submitted, SubmitError> {
        let state = self.state(job).await?;
        if state.status == Status::Delivering {
            let batch_job_id = self.call_for_telling(job).await?;
            return Ok(Submitted {
                batch_job_id,
                ..self.submitted(&state)
            });
        }
        let remedy = match state.status {
            Status::Done if state.missing_count == 0 => "to do it again, submit it with `--force`",
            _ if state.held_until((self.clock)()).is_some() => "`submit wait` follows it",
            _ => return self.again(job, rules).await,
        };
        Err(SubmitError::WrongStatus {
            job: job.clone(),
            status: state.status,
            remedy,
        })
    }

    async fn again(&self, job: &JobKey, rules: &SourceRules) -> Result<Submitted, SubmitError> {
        let Some(asked) = self.bucket.get(&job.manifest()).await? else {
            return Err(SubmitError::NoJob(job.to_string()));
        };
        let (manifest, given) = Manifest::parse_given(&asked.bytes, &Defaults::default(), rules)
            .map_err(|violations| SubmitError::Manifest {
                job: job.clone(),
                problems: violations.to_string(),
            })?;
        self.submit(&manifest, &given, true).await
    }

    /// Looks through the dead-letter queue: puts back what asks for a job that is to be done, removes
    /// what asks for one that is done or was called off, and leaves what nobody can deal with. Tells
    /// of each letter when it has been dealt with.
    ///
    /// # Errors
    /// If the queue or the bucket cannot be used.
    pub async fn retry_dead_letters(
        &self,
        rules: &SourceRules,
        mut tell: impl FnMut(DeadLetter),
    ) -> Result<(), SubmitError> {
        let dead_letters = self.queue.dead_letters().await?;
        let mut left = HashSet::new();
        loop {
            let wait = Duration::from_secs(1);
            let Some(delivery) = dead_letters.receive(wait, LOOKED_AT).await? else {
                return Ok(());
            };
            // Those that are left come back after a while.
            if left.contains(&delivery.body) {
                return Ok(());
            }
            let (job, what) = match Message::from_body(&delivery.body) {
                Ok(message) => {
                    let what = self.revive(&message.job, rules).await?;
                    (Some(message.job), what)
                }
                Err(error) => (None, Err(told(&error))),
            };
            let sent_again = what == Ok(SENT_AGAIN);
            let what = match what {
                Ok(what) => {
                    dead_letters.delete(&delivery).await?;
                    what.to_owned()
                }
                Err(why) => {
                    left.insert(delivery.body);
                    format!("left where it is: {why}")
                }
            };
            tell(DeadLetter {
                job,
                sent_again,
                what,
                reason: delivery.reason,
            });
        }
    }

    /// Has those told who still wait for it.
    async fn tell_again(&self, job: &JobKey) -> Result<Result<&'static str, String>, SubmitError> {
        self.call_for_telling(job).await?;
        Ok(Ok(SENT_AGAIN))
    }

    /// Does what a dead letter asks for, if that is still wanted: what was done, or why nobody can.
    async fn revive(
        &self,
        job: &JobKey,
        rules: &SourceRules,
    ) -> Result<Result<&'static str, String>, SubmitError> {
        if let Some((state, _)) = self.read_state(job).await? {
            match state.status {
                Status::Delivering => return self.tell_again(job).await,
                Status::Done if (state.delivery.as_ref()).is_some_and(|told| told.waiting > 0) => {
                    return self.tell_again(job).await;
                }
                Status::Done => return Ok(Ok("removed: it is done")),
                Status::Cancelled => return Ok(Ok("removed: it was cancelled")),
                _ if state.held_until((self.clock)()).is_some() => {
                    return Ok(Ok("removed: it is being done"));
                }
                _ => {}
            }
        }
        match self.again(job, rules).await {
            Ok(_) => Ok(Ok(SENT_AGAIN)),
            Err(error @ (SubmitError::NoJob(_) | SubmitError::Manifest { .. })) => {
                Ok(Err(told(&error)))
            }
            Err(error) => Err(error),
        }
    }
}
