//! What the `submit` program does: hand jobs in, and ask and tell about them.
//!
//! [`Submitter`] works over the bucket, the queue and the compute. Handing in goes in this order:
//! claim, manifest, container, message, state. The claim is the state, written on the condition that
//! no other was faster: of many callers at once, one pays for a container, and the others wait for it and join.
//! There is never a message without its manifest, and a job counts as sent only when its state says so, after
//! the message; handing in again sends again
//! whatever is not confirmed, since messages that come twice are harmless. [`jobs`] is about jobs
//! that were handed in.

pub mod forget;
pub mod jobs;
pub mod preview;
pub mod view;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use tokio::join;
use tokio::time::{Instant, sleep};

use crate::archives::Archives;
use crate::bucket::{Bucket, BucketError, Condition, Version};
use crate::clock::Clock;
use crate::compute::{Active, Compute, ComputeError};
use crate::deliver::has_ended;
use crate::job::state::StateFormatError;
use crate::job::{JobKey, Message, State, StateArchive, Status, Subscriber};
use crate::manifest::{Given, Manifest};
use crate::queue::{Depth, Queue, QueueError};
use crate::sink::{ArchiveStore, SinkError};

/// How often a state is read again because somebody else changed it.
const MAX_CONFLICTS: u32 = 5;
/// How long a caller waits for another that sends the same job, before it takes it for lost.
const SENDING: Duration = Duration::from_secs(15);
/// How often it looks.
const LOOK_AT_SENDING: Duration = Duration::from_millis(500);
/// How long an idle container has to take a message before another one is asked for. It takes a
/// few requests, unless it is just about to end.
const IDLE_TAKES: Duration = Duration::from_secs(2);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Hands jobs in, and knows about them.
#[derive(Debug)]
pub struct Submitter<B, Q, C, A> {
    /// Manifests and states.
    pub bucket: Arc<B>,
    /// Its name, for people.
    pub bucket_name: String,
    /// Work that waits.
    pub queue: Q,
    /// Where it is done.
    pub compute: C,
    /// Where archives are.
    pub archives: Archives<A>,
    /// The most containers that are asked for.
    pub max_containers: usize,
    /// What time it is.
    pub clock: Clock,
}

/// What came of handing a job in.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Submitted {
    /// The job.
    pub job: JobKey,
    /// How it is.
    pub status: Status,
    /// It was done before, and its archives are there.
    pub already_done: bool,
    /// It was handed in before, and is not done yet.
    pub joined: bool,
    /// The container that was asked for; `None` where there are enough.
    pub batch_job_id: Option<String>,
    /// Where its state is.
    pub state_url: String,
    /// Its archives, if it is done.
    pub archives: Vec<StateArchive>,
    /// It failed several times in a row, and is not begun again before this, unless it is forced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rests_until: Option<Timestamp>,
}

/// What `submit --dry-run` tells.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DryRun {
    /// The job.
    pub job: JobKey,
    /// Photos in the manifest.
    pub photos: usize,
    /// Where the manifest would be stored, and how long it is in bytes.
    pub manifest_url: String,
    /// Length of the manifest in bytes.
    pub manifest_bytes: usize,
    /// Recipients of the e-mail.
    pub recipients: usize,
    /// The message that would be sent.
    pub message: Message,
}

/// Why a job could not be handed in, or nothing is known of it.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The bucket did not do what it was asked.
    #[error("the bucket cannot be used")]
    Bucket(#[from] BucketError),
    /// The queue did not.
    #[error("the job queue cannot be used")]
    Queue(#[from] QueueError),
    /// The compute did not.
    #[error("no container can be asked for")]
    Compute(#[from] ComputeError),
    /// The archives cannot be looked at.
    #[error("the archives cannot be looked at")]
    Archives(#[from] SinkError),
    /// A state is not one.
    #[error("the state of `{job}` cannot be read")]
    State {
        /// The job.
        job: JobKey,
        /// Why not.
        #[source]
        source: StateFormatError,
    },
    /// There is no such job.
    #[error("there is no job `{0}`; `submit list` shows those that there are")]
    NoJob(String),
    /// An event has several jobs.
    #[error("the event `{event}` has several jobs; name one:{}", .jobs.iter().map(|job| format!("\n  {job}")).collect::<String>())]
    SeveralJobs {
        /// The event.
        event: String,
        /// Its jobs, each with its status.
        jobs: Vec<String>,
    },
    /// The job is in a state in which this makes no sense.
    #[error("`{job}` is {status}; {remedy}")]
    WrongStatus {
        /// The job.
        job: JobKey,
        /// How it is.
        status: Status,
        /// What to do.
        remedy: &'static str,
    },
    /// The stored manifest does not pass any more.
    #[error("the stored manifest of `{job}` cannot be used: {problems}")]
    Manifest {
        /// The job.
        job: JobKey,
        /// What is wrong with it.
        problems: String,
    },
    /// Nobody wants to know.
    #[error("nobody is to be told of `{0}`: submit its manifest again with `notify`")]
    Nobody(JobKey),
    /// What links would lead to is not there any more.
    #[error("the archives of `{0}` are gone; to make them again, submit it with `--force`")]
    ArchivesGone(JobKey),
    /// Others change the state all the time.
    #[error("`{0}` is changed by somebody else all the time; try again")]
    Busy(JobKey),
}

/// What is to be done about a job that is handed in.
enum Decision {
    /// Nobody has heard of it.
    New,
    /// Its archives are there.
    AlreadyDone(State),
    /// It is on its way.
    Joined(State),
    /// Another caller is just sending it.
    Sending,
    /// It failed too often to be begun again at once.
    Rests(State, Timestamp),
    /// Nobody confirmed its message.
    SendAgain(State, Version),
    /// It has ended, but not as wanted now.
    Redo(State, Version),
}

impl Decision {
    /// In which of the state's `redone` somebody asks who is told of the outcome.
    fn asked_in(&self) -> u32 {
        match self {
            Self::New | Self::Sending => 0,
            Self::AlreadyDone(state)
            | Self::Joined(state)
            | Self::Rests(state, _)
            | Self::SendAgain(state, _) => state.redone,
            Self::Redo(state, _) => state.redone + 1,
        }
    }
}

impl<B: Bucket, Q: Queue, C: Compute, A: ArchiveStore> Submitter<B, Q, C, A> {
    /// Hands a job in. `force` does a job again that is done, and sends the message of one that waits
    /// again, in case it got lost; a job that is being done is not disturbed.
    ///
    /// # Errors
    /// See [`SubmitError`]; then no message was sent, unless the error is about what follows it.
    pub async fn submit(
        &self,
        manifest: &Manifest,
        given: &Given,
        force: bool,
    ) -> Result<Submitted, SubmitError> {
        let job = JobKey::of(&manifest.event_id, given);
        // All at once, since each takes a round trip; of a job that is done, only the first counts.
        let (known, depth, active) = join!(
            self.read_state(&job),
            self.queue.depth(),
            self.compute.active(self.max_containers)
        );
        let mut known = known?;
        let mut capacity = Some((depth, active));
        let mut counted = (Depth::default(), Active::default());
        let mut subscriber = Subscriber::of(manifest);
        let mut is_new = false;
        let patience = Instant::now() + SENDING;
        let mut conflicts = 0;
        while conflicts < MAX_CONFLICTS {
            // What is in a folder now, only doing it again tells.
            let again = force || manifest.has_folders();
            let waits = Instant::now() < patience;
            let decision = self.decide(known.take(), force, again, waits).await?;
            if matches!(decision, Decision::Sending) {
                sleep(LOOK_AT_SENDING).await;
                known = self.read_state(&job).await?;
                continue;
            }
            conflicts += 1;
            if let Some(subscriber) = &mut subscriber {
                subscriber.asked_in = decision.asked_in();
                is_new |= self.subscribe(&job, subscriber).await?;
            }
            let (mut state, version) = match decision {
                Decision::Sending => continue,
                Decision::Rests(state, until) => {
                    return Ok(Submitted {
                        rests_until: Some(until),
                        ..self.submitted(&state)
                    });
                }
                Decision::AlreadyDone(state) => {
                    let archives = state.archives.clone();
                    let batch_job_id = match &subscriber {
                        Some(late) if is_new => self.call_for(&job, late).await?,
                        _ => None,
                    };
                    return Ok(Submitted {
                        already_done: true,
                        archives,
                        batch_job_id,
                        ..self.submitted(&state)
                    });
                }
                Decision::Joined(state) => {
                    let mut batch_job_id = None;
                    if let Some(late) = subscriber.as_ref().filter(|_| is_new) {
                        let now = self.state(&job).await?;
                        if now.redone != state.redone {
                            // Others had it done again meanwhile, and only those who ask now are told.
                            known = self.read_state(&job).await?;
                            continue;
                        }
                        // It may have ended since, and those who were there then been told.
                        if has_ended(now.status) {
                            batch_job_id = self.call_for(&job, late).await?;
                        }
                    }
                    return Ok(Submitted {
                        joined: true,
                        batch_job_id,
                        ..self.submitted(&state)
                    });
                }
                Decision::New => {
                    let photos = manifest.photos.len();
                    (State::queued(job.clone(), photos, (self.clock)()), None)
                }
                Decision::SendAgain(state, version) => (state, Some(version)),
                Decision::Redo(mut state, version) => {
                    state.queue_again(force, (self.clock)());
                    (state, Some(version))
                }
            };
            // Nothing is written where nothing could be sent.
            if let Some((depth, active)) = capacity.take() {
                counted = (depth?, active?);
            }
            // The claim. Besides, a state that says that the job has ended would make a container drop the
            // message.
            state.sending_since = Some((self.clock)());
            let Some(version) = self.write_state(&mut state, version).await? else {
                known = self.read_state(&job).await?;
                continue;
            };
            let sent = self
                .send(state.clone(), version.clone(), given, counted)
                .await;
            if sent.is_err() {
                // The next caller need not wait for this one.
                state.sending_since = None;
                let _ = self.write_state(&mut state, Some(version)).await;
            }
            return sent;
        }
        Err(SubmitError::Busy(job))
    }

    async fn decide(
        &self,
        known: Option<(State, Version)>,
        force: bool,
        again: bool,
        waits: bool,
    ) -> Result<Decision, SubmitError> {
        let Some((state, version)) = known else {
            return Ok(Decision::New);
        };
        let now = (self.clock)();
        let held = state.held_until(now).is_some();
        let sending = |since: Timestamp| now.duration_since(since).unsigned_abs() < SENDING;
        if waits && state.sending_since.is_some_and(sending) {
            return Ok(Decision::Sending);
        }
        let rest = state.rests_until().filter(|until| !force && *until > now);
        if let Some(until) = rest {
            return Ok(Decision::Rests(state, until));
        }
        Ok(match state.status {
            Status::Done if !again && self.is_there(&state).await? => Decision::AlreadyDone(state),
            Status::Done | Status::Failed | Status::Cancelled => Decision::Redo(state, version),
            Status::Queued if state.sent && !force => Decision::Joined(state),
            Status::Queued => Decision::SendAgain(state, version),
            Status::Delivering if !force => Decision::Joined(state),
            _ if held => Decision::Joined(state),
            // Its container is lost, and maybe its message too.
            _ => Decision::SendAgain(state, version),
        })
    }

    /// Whether a job that is done has all its photos and all its archives.
    async fn is_there(&self, state: &State) -> Result<bool, SubmitError> {
        // Those of a job without names are not known any more.
        if state.missing_count > 0 || state.is_anonymous {
            return Ok(false);
        }
        for archive in &state.archives {
            if !self.archives.has(archive).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Notes whom to tell; whether that is news.
    async fn subscribe(&self, job: &JobKey, subscriber: &Subscriber) -> Result<bool, SubmitError> {
        let key = job.subscriber(&subscriber.fingerprint());
        if let Some(object) = self.bucket.get(&key).await?
            && let Ok(known) = serde_json::from_slice::<Subscriber>(&object.bytes)
            && known.asked_in >= subscriber.asked_in
        {
            return Ok(false);
        }
        let json = Bytes::from(subscriber.to_json());
        self.bucket.put(&key, json, Condition::None).await?;
        Ok(true)
    }

    /// Has somebody told who came late. Where that does not work, they are as if they had not come, so
    /// that it does the next time.
    async fn call_for(
        &self,
        job: &JobKey,
        late: &Subscriber,
    ) -> Result<Option<String>, SubmitError> {
        let called = self.call_for_telling(job).await;
        if called.is_err() {
            let key = job.subscriber(&late.fingerprint());
            self.bucket.delete(&key).await?;
        }
        called
    }

    /// Has a container tell those who want to know of a job that has ended and were not told yet: a
    /// message, and a container unless one is surely there for it, as when a job is handed in.
    async fn call_for_telling(&self, job: &JobKey) -> Result<Option<String>, SubmitError> {
        let (depth, active) = join!(self.queue.depth(), self.compute.active(self.max_containers));
        let (depth, active) = (depth?, active?);
        let work = (depth.total() + 1).min(self.max_containers);
        let surely = active.waiting + active.running.min(depth.in_flight);
        let batch_job_id = if active.total() < work || surely == 0 {
            Some(self.compute.submit(job.event_id()).await?)
        } else {
            None
        };
        let message = Message::new(job.clone()).to_body();
        self.queue.send(&message).await?;
        Ok(batch_job_id)
    }

    /// Manifest, container, message, state of a job that was claimed; and another container if none of those
    /// that there are takes the message.
    async fn send(
        &self,
        mut state: State,
        version: Version,
        given: &Given,
        (depth, active): (Depth, Active),
    ) -> Result<Submitted, SubmitError> {
        let job = state.job.clone();
        let attempts = state.attempt_count;
        let json = Bytes::from(given.canonical_json());
        self.bucket
            .put(&job.manifest(), json, Condition::None)
            .await?;
        let work = (depth.total() + 1).min(self.max_containers);
        let mut batch_job_id = None;
        if active.total() < work {
            batch_job_id = Some(self.compute.submit(job.event_id()).await?);
        }
        let body = Message::new(job.clone()).to_body();
        self.queue.send(&body).await?;
        state.sent = true;
        state.sending_since = None;
        self.write_state(&mut state, Some(version)).await?;
        // Containers that wait for a machine or are busy look into the queue again. One that is idle
        // may just have looked for the last time; then it takes nothing, and counts as none.
        let surely = active.waiting + active.running.min(depth.in_flight);
        if batch_job_id.is_none() && surely == 0 && !self.is_taken_soon(&job, attempts).await? {
            batch_job_id = Some(self.compute.submit(job.event_id()).await?);
        }
        Ok(Submitted {
            batch_job_id,
            ..self.submitted(&state)
        })
    }

    async fn is_taken_soon(&self, job: &JobKey, attempts: u32) -> Result<bool, SubmitError> {
        let end = Instant::now() + IDLE_TAKES;
        loop {
            let state = self.read_state(job).await?;
            let taken = |state: &State| state.attempt_count > attempts || state.status.is_final();
            if state.is_some_and(|(state, _)| taken(&state)) {
                return Ok(true);
            }
            if Instant::now() >= end {
                return Ok(false);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Writes a state over the version that was read; `None` if somebody else was faster.
    async fn write_state(
        &self,
        state: &mut State,
        version: Option<Version>,
    ) -> Result<Option<Version>, SubmitError> {
        state.updated_at = (self.clock)();
        let condition = version.map_or(Condition::Absent, Condition::Unchanged);
        let json = Bytes::from(state.to_json());
        match self.bucket.put(&state.job.state(), json, condition).await {
            Ok(version) => Ok(Some(version)),
            Err(BucketError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn read_state(&self, job: &JobKey) -> Result<Option<(State, Version)>, SubmitError> {
        let Some(object) = self.bucket.get(&job.state()).await? else {
            return Ok(None);
        };
        let state = State::of(job, &object.bytes).map_err(|source| SubmitError::State {
            job: job.clone(),
            source,
        })?;
        Ok(Some((state, object.version)))
    }

    fn submitted(&self, state: &State) -> Submitted {
        Submitted {
            job: state.job.clone(),
            status: state.status,
            already_done: false,
            joined: false,
            batch_job_id: None,
            state_url: url(&self.bucket_name, &state.job.state()),
            archives: Vec::new(),
            rests_until: None,
        }
    }
}

fn url(bucket: &str, key: &str) -> String {
    format!("s3://{bucket}/{key}")
}

/// What handing in a manifest would do, without asking anyone.
pub fn dry_run(bucket_name: &str, manifest: &Manifest, given: &Given) -> DryRun {
    let job = JobKey::of(&manifest.event_id, given);
    DryRun {
        photos: manifest.photos.len(),
        manifest_url: url(bucket_name, &job.manifest()),
        manifest_bytes: given.canonical_json().len(),
        recipients: manifest.notify.email.len(),
        message: Message::new(job.clone()),
        job,
    }
}
