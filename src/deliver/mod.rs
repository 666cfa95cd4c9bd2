//! Telling those who want to know how a job ended: by e-mail and by webhook, each of them once.
//!
//! A job that has ended has *notices*: one letter for each recipient of each subscriber, one call for
//! each webhook, one alert for each operator. [`Deliverer::round`] hands over those that are due. Each
//! notice has a record beside the job (`delivery-<id>.json`), which is claimed by a conditional write
//! before the notice is handed over and tells what came of it after; so two containers don't tell
//! anyone twice, and a later round goes on where an earlier one stopped. What has been told, and to
//! whom, is worked out anew each time from the state and the subscribers.
//!
//! [`Courier`] is the port: [`wire`] is SMTP and HTTPS, [`memory`] is for tests.

pub mod feedback;
pub mod mailbox;
pub mod memory;
mod notices;
mod record;
pub mod webhook;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::mailbox::{Addressee, Unsubscribe};
use self::notices::{Due, Notices, due};
use self::record::{Outcome, Record};
use crate::archives::Archives;
use crate::bucket::{Bucket, BucketError, Condition, Version};
use crate::clock::Clock;
use crate::job::{JobKey, State, StateDelivery, Status, Subscriber};
use crate::letter::Letter;
use crate::sink::{ArchiveStore, SinkError};

/// Notices that are handed over at once.
pub(crate) const AT_ONCE: usize = 8;
/// Webhooks that are called about one job, over all of its subscribers. A guess, revisit.
pub(crate) const MAX_WEBHOOKS: usize = 50;
/// How long a container may take over one notice before another one may try: longer than a courier
/// takes.
const CLAIM: Duration = Duration::from_mins(1);
/// Attempts at one notice before it is given up.
pub const ATTEMPTS: u32 = 6;
/// The default limit of e-mails for one address in a day: enough for a photographer with several events. A guess,
/// revisit.
pub const MAX_PER_ADDRESS: u32 = 20;
/// Problems that are told in the state.
const PROBLEMS_KEPT: usize = 10;

/// A message for one receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// An e-mail.
    Mail(Mail),
    /// A call of a webhook.
    Call(Call),
}

/// An e-mail to one recipient.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The same each time that the same is said to the same person: for the `Message-ID`.
    pub id: String,
    /// The recipient.
    pub to: String,
    /// The job that it is about.
    pub job: JobKey,
    /// What it says.
    pub letter: Letter,
    /// The addressee, for the daily limit and the opt-out; `None` for operators, who have neither.
    pub addressee: Option<Addressee>,
    /// The unsubscribe link. Anyone who has it can use it.
    pub unsubscribe: Option<String>,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail")
            .field("id", &self.id)
            .field("letter", &self.letter)
            .finish_non_exhaustive()
    }
}

/// A call of a webhook.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// The same each time that the same is said to the same receiver.
    pub id: String,
    /// Where to. It may hold a secret.
    pub url: String,
    /// The JSON.
    pub body: String,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Why a notice was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Undelivered {
    /// Whether another try may work.
    pub may_pass: bool,
    /// What happened, without addresses and secrets.
    pub why: String,
}

impl Undelivered {
    /// Another try may work.
    pub fn for_now(why: impl Into<String>) -> Self {
        Self {
            may_pass: true,
            why: why.into(),
        }
    }

    /// It would fail every time.
    pub fn for_good(why: impl Into<String>) -> Self {
        Self {
            may_pass: false,
            why: why.into(),
        }
    }
}

/// Hands notices over.
pub trait Courier: Send + Sync + 'static {
    /// A single attempt.
    fn deliver<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, Result<(), Undelivered>>;
}

/// What is said, and to whom besides the subscribers.
#[derive(Debug, Clone)]
pub struct DeliverOptions {
    /// Operators who are told of jobs that failed.
    pub alert_to: Vec<String>,
    /// The most e-mails for one address in a day (UTC), across all jobs.
    pub max_per_address: u32,
    /// The unsubscribe page.
    pub unsubscribe: Option<Arc<Unsubscribe>>,
}

impl Default for DeliverOptions {
    fn default() -> Self {
        Self {
            alert_to: Vec::new(),
            max_per_address: MAX_PER_ADDRESS,
            unsubscribe: None,
        }
    }
}

/// What it takes to tell of jobs.
pub struct Deliverer<'a, B, A> {
    /// Subscribers and records.
    pub bucket: &'a B,
    /// What links lead to.
    pub archives: &'a Archives<A>,
    /// Who hands over.
    pub courier: &'a dyn Courier,
    /// What is said, and to whom besides the subscribers.
    pub options: &'a DeliverOptions,
    /// What time it is.
    pub clock: Clock,
    /// Who this is.
    pub owner: &'a str,
}

impl<B, A> std::fmt::Debug for Deliverer<'_, B, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deliverer")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Why nothing could be told.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// Subscribers or records cannot be read or written.
    #[error("the bucket cannot be used")]
    Bucket(#[from] BucketError),
    /// No links can be made.
    #[error("no links can be made")]
    Links(#[from] SinkError),
}

/// What a round has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Round {
    /// All notices of the job so far, for its state.
    pub delivery: StateDelivery,
    /// The most attempts that a waiting notice has had.
    pub attempts: u32,
}

impl Round {
    /// Nobody could be told anything.
    pub fn failed(why: &str) -> Self {
        Self {
            delivery: StateDelivery {
                waiting: 1,
                problems: vec![why.to_owned()],
                ..StateDelivery::default()
            },
            attempts: 1,
        }
    }
}

impl<B: Bucket, A: ArchiveStore> Deliverer<'_, B, A> {
    /// Who wants to know how a job ends, each with the name that tells one from the other.
    ///
    /// # Errors
    /// If the bucket cannot be read. What is no subscriber is left out, with a warning.
    pub async fn subscribers(
        &self,
        job: &JobKey,
    ) -> Result<Vec<(String, Subscriber)>, BucketError> {
        let prefix = job.subscribers();
        let keys = self.bucket.list(&prefix).await?;
        let mut found = Vec::new();
        for key in keys {
            let Some(object) = self.bucket.get(&key).await? else {
                continue;
            };
            if let Ok(subscriber) = serde_json::from_slice(&object.bytes) {
                found.push((key[prefix.len()..].to_owned(), subscriber));
            } else {
                tracing::warn!("`{key}` is no subscriber, and is told nothing");
            }
        }
        Ok(found)
    }

    /// Hands over what is due of a job that has ended; begins with nothing more after `until`. What is not
    /// handed over now waits for the next round.
    ///
    /// # Errors
    /// If subscribers or links cannot be had; then nobody was told anything.
    pub async fn round(
        &self,
        state: &State,
        until: Instant,
        cancel: &CancellationToken,
    ) -> Result<Round, DeliverError> {
        let mut subscribers = self.subscribers(&state.job).await?;
        subscribers.retain(|(_, subscriber)| subscriber.asked_in >= state.told_from);
        let Notices { due, problems } = due(self, state, &subscribers).await?;
        let outcomes: Vec<(bool, Record)> = stream::iter(due)
            .map(|due| async move {
                let is_mail = matches!(due.notice, Notice::Mail(_));
                (is_mail, self.tell(&state.job, due, until, cancel).await)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut round = Round::default();
        round.delivery.problems = problems;
        for (is_mail, record) in outcomes {
            let delivery = &mut round.delivery;
            match record.outcome {
                Outcome::Told if is_mail => delivery.mails += 1,
                Outcome::Told => delivery.calls += 1,
                Outcome::Failed => delivery.failed += 1,
                Outcome::Telling | Outcome::Waiting => {
                    delivery.waiting += 1;
                    round.attempts = round.attempts.max(record.attempts);
                }
            }
            if let Some(problem) = record.problem
                && !delivery.problems.contains(&problem)
                && delivery.problems.len() < PROBLEMS_KEPT
            {
                delivery.problems.push(problem);
            }
        }
        round.delivery.problems.sort();
        Ok(round)
    }

    /// Hands one notice over, unless that was done before or somebody else is about to.
    async fn tell(
        &self,
        job: &JobKey,
        due: Due,
        until: Instant,
        cancel: &CancellationToken,
    ) -> Record {
        match self.try_to_tell(job, &due, until, cancel).await {
            Ok(record) => record,
            Err(BucketError::Conflict { .. }) => Record::waiting("somebody else is telling it"),
            Err(error) => Record::waiting(crate::told(&error)),
        }
    }

    async fn try_to_tell(
        &self,
        job: &JobKey,
        due: &Due,
        until: Instant,
        cancel: &CancellationToken,
    ) -> Result<Record, BucketError> {
        let now = (self.clock)();
        let mut key = job.delivery(&due.id);
        let mut found = self.bucket.get(&key).await?;
        for id in &due.ids_before {
            if found.is_some() {
                break;
            }
            let before = job.delivery(id);
            found = self.bucket.get(&before).await?;
            if found.is_some() {
                key = before;
            }
        }
        let key = &key;
        let (known, condition) = match found {
            None => (Record::default(), Condition::Absent),
            Some(object) => (
                serde_json::from_slice::<Record>(&object.bytes).unwrap_or_default(),
                Condition::Unchanged(object.version),
            ),
        };
        if !known.is_due(now) {
            return Ok(known);
        }
        if cancel.is_cancelled() {
            return Ok(Record::waiting("interrupted"));
        }
        if Instant::now() >= until {
            return Ok(Record::waiting("others took too long"));
        }
        let claimed = known.claim(self.owner, now, CLAIM);
        let version = self.put(key, &claimed, condition).await?;
        let told = match self.objection(&due.notice, known.attempts, now).await? {
            Some(objection) => Err(objection),
            None => self.courier.deliver(&due.notice).await,
        };
        if let Err(problem) = &told {
            tracing::warn!(notice.id = due.id, "{} was not told: {problem}", due.whom);
        } else {
            tracing::info!(notice.id = due.id, "told {}", due.whom);
        }
        let record = claimed.ended(&due.whom, told, (self.clock)(), ATTEMPTS);
        if let Err(error) = self.put(key, &record, Condition::Unchanged(version)).await {
            // If it was told, it may be told again.
            tracing::warn!("`{key}` could not be written: {}", crate::chain(&error));
        }
        Ok(record)
    }

    /// Returns the reason for not sending an e-mail, if there is one.
    async fn objection(
        &self,
        notice: &Notice,
        attempts: u32,
        now: Timestamp,
    ) -> Result<Option<Undelivered>, BucketError> {
        let Notice::Mail(Mail {
            addressee: Some(addressee),
            ..
        }) = notice
        else {
            return Ok(None);
        };
        if mailbox::wants_no_more(self.bucket, addressee).await? {
            return Ok(Some(Undelivered::for_good(
                "wants no more e-mails, and has said so by the link in one",
            )));
        }
        let limit = self.options.max_per_address;
        // What is tried again was counted.
        if attempts == 0 && !mailbox::count(self.bucket, addressee, limit, now).await? {
            return Ok(Some(Undelivered::for_good(format!(
                "has had {limit} e-mails today, the most that `deliver.max_per_address` allows; tell it \
                 tomorrow by `submit deliver`"
            ))));
        }
        Ok(None)
    }

    async fn put(
        &self,
        key: &str,
        record: &Record,
        condition: Condition,
    ) -> Result<Version, BucketError> {
        let json = serde_json::to_vec(record).expect("texts and numbers only");
        self.bucket.put(key, Bytes::from(json), condition).await
    }
}

/// Whether anything of a job is to be told now.
pub fn has_ended(status: Status) -> bool {
    matches!(status, Status::Delivering | Status::Done | Status::Failed)
}
