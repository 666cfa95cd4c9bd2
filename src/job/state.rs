//! How a job is: the one place that answers.
//!
//! Everybody who changes a state does so by a conditional write over the version that they read.
//! The container that works on a job holds its [`Lease`] and renews it with every write; when it
//! is lost, the lease runs out and the next one takes over.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::JobKey;
use super::key::Layout;
use crate::manifest::EntryName;
use crate::plan::Missing;

/// The version of states that this program writes.
const VERSION: u32 = 1;
/// Attempts that are remembered; earlier ones are only counted.
const ATTEMPTS_KEPT: usize = 10;
/// How long a job rests that failed twice in a row.
const FIRST_REST: Duration = Duration::from_mins(1);
/// Secrets of attempts that are remembered: in all likelihood, of all whose archives have not expired.
const SECRETS_KEPT: usize = 1000;
/// Missing or empty photos that are named; the note in the archive has all that are missing.
const NAMES_KEPT: usize = 1000;

/// How a job is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    /// The job.
    pub job: JobKey,
    /// What is going on.
    pub status: Status,
    /// Whether the queue has confirmed the message that asks for this job.
    pub sent: bool,
    /// When a caller began to send that message, while it has not told what came of it: others wait for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sending_since: Option<Timestamp>,
    /// When it was handed in for the first time.
    pub created_at: Timestamp,
    /// When it was last put into the queue.
    pub queued_at: Timestamp,
    /// When this was written.
    pub updated_at: Timestamp,
    /// Photos that the manifest names.
    pub photos: usize,
    /// Makes the keys of the attempt's archives such that nobody can guess them.
    pub secret: String,
    /// The secrets of all attempts, the last ones of very many: whatever they left behind can be found by them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Who works on it.
    #[serde(default)]
    pub lease: Option<Lease>,
    /// How far it is.
    #[serde(default)]
    pub progress: Transferred,
    /// How long what took.
    #[serde(default)]
    pub timings: Timings,
    /// Attempts so far.
    #[serde(default)]
    pub attempt_count: u32,
    /// The last ones.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
    /// How often in a row it ended as failed.
    #[serde(default, skip_serializing_if = "is_never")]
    pub failed_runs: u32,
    /// Attempts since it was handed in that failed in a way that may pass, or were lost.
    #[serde(default)]
    pub failures: u32,
    /// The finished archives, in order.
    #[serde(default)]
    pub archives: Vec<StateArchive>,
    /// The secret of the attempt that made them: that they are this job's is proved by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archives_secret: Option<String>,
    /// Photos that are not in them.
    #[serde(default)]
    pub missing_count: usize,
    /// The first of these.
    #[serde(default)]
    pub missing: Vec<Missing>,
    /// Files in folders that are left out because they are junk or not selected.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ignored: usize,
    /// Photos in the archives that have no bytes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub empty_count: usize,
    /// The first of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub empty: Vec<EntryName>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<StateError>,
    /// How often it was handed in again after it had ended.
    #[serde(default)]
    pub redone: u32,
    /// Who is told how it ends: those who asked in this `redone`, or later.
    #[serde(default)]
    pub told_from: u32,
    /// How often everybody was to be told anew; part of what makes a notice the same one.
    #[serde(default)]
    pub round: u32,
    /// Whether those who want to know have been told how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<StateDelivery>,
    /// Whether what names people was deleted, some time after its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_anonymous: bool,
}

/// Whether those who want to know have been told, without saying who they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateDelivery {
    /// E-mails that a mail server has accepted.
    pub mails: usize,
    /// Webhooks that have answered well.
    pub calls: usize,
    /// Notices that are tried again.
    pub waiting: usize,
    /// Notices that were given up.
    pub failed: usize,
    /// What went wrong, each thing once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// What is going on with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It waits for a container.
    Queued,
    /// Its photos are being looked at.
    Probing,
    /// Its photos are on their way into the archives.
    Transferring,
    /// Its archives are complete, and whoever wants to know is being told.
    Delivering,
    /// All is done.
    Done,
    /// It failed for good.
    Failed,
    /// Somebody called it off.
    Cancelled,
}

impl Status {
    /// Every status, in order.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Probing,
        Self::Transferring,
        Self::Delivering,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Whether nothing more happens by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }

    /// Its name, as in the JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Probing => "probing",
            Self::Transferring => "transferring",
            Self::Delivering => "delivering",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The right of one container to work on a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Whose it is.
    pub owner: Owner,
    /// Until when, unless it is renewed.
    pub until: Timestamp,
}

/// A container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Tells it from every other.
    pub id: String,
    /// Its job's id at AWS Batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_job_id: Option<String>,
    /// Which of that job's attempts it is, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_attempt: Option<u32>,
    /// Its stream in CloudWatch Logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_stream: Option<String>,
}

/// Counters of the attempt that runs or ran last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transferred {
    /// Photos that were looked at.
    pub photos_probed: u64,
    /// Photos that have arrived.
    pub photos_done: u64,
    /// Photos in the archives.
    pub photos_total: u64,
    /// Bytes that have arrived.
    pub bytes_done: u64,
    /// Bytes of all archives.
    pub bytes_total: u64,
}

/// How long what took, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// From being queued until an attempt began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued_seconds: Option<f64>,
    /// Looking at the photos.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probing_seconds: Option<f64>,
    /// Moving them, checks included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transferring_seconds: Option<f64>,
}

/// One container's work on a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u32,
    /// Whose it is.
    pub owner: Owner,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; absent while it goes on, and where it was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// How it ended, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
}

/// One finished archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateArchive {
    /// Its file name.
    pub name: String,
    /// Its bucket, where that is not the one of the jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// Its key in the bucket.
    pub key: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Photos in it.
    pub photos: usize,
}

/// Why a job failed for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateError {
    /// In words.
    pub message: String,
    /// The exit code that stands for it.
    pub exit_code: u8,
}

/// Why a state cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StateFormatError {
    /// It is something else.
    #[error("it is not a job's state")]
    Unreadable(#[source] serde_json::Error),
    /// A newer program wrote it.
    #[error("it has version {0}, which this program does not know; update it")]
    Version(u32),
    /// The state of one job where another job's belongs.
    #[error("it is the state of another job")]
    AnotherJob,
    /// A state with archives that are not its job's.
    #[error("it names an archive that is not this job's")]
    AnothersArchive,
}

impl State {
    /// A job that was just handed in.
    pub fn queued(job: JobKey, photos: usize, now: Timestamp) -> Self {
        Self {
            version: VERSION,
            job,
            status: Status::Queued,
            sent: false,
            sending_since: None,
            created_at: now,
            queued_at: now,
            updated_at: now,
            photos,
            secret: String::new(),
            secrets: Vec::new(),
            lease: None,
            progress: Transferred::default(),
            timings: Timings::default(),
            attempt_count: 0,
            attempts: Vec::new(),
            failed_runs: 0,
            failures: 0,
            archives: Vec::new(),
            archives_secret: None,
            missing_count: 0,
            missing: Vec::new(),
            ignored: 0,
            empty_count: 0,
            empty: Vec::new(),
            error: None,
            redone: 0,
            told_from: 0,
            round: 0,
            delivery: None,
            is_anonymous: false,
        }
    }

    /// Reads a state.
    ///
    /// # Errors
    /// If it is not one, or of another version.
    pub fn from_json(bytes: &[u8]) -> Result<Self, StateFormatError> {
        let state: Self = serde_json::from_slice(bytes).map_err(StateFormatError::Unreadable)?;
        match state.version {
            VERSION => Ok(state),
            version => Err(StateFormatError::Version(version)),
        }
    }

    /// Reads what lies where the state of `job` belongs. One job must not pass for another, even for those
    /// who can write into the bucket.
    ///
    /// # Errors
    /// If it is no state, of another version, or another job's.
    pub fn of(job: &JobKey, bytes: &[u8]) -> Result<Self, StateFormatError> {
        let state = Self::from_json(bytes)?;
        if state.job != *job {
            return Err(StateFormatError::AnotherJob);
        }
        if !state.archives.iter().all(|archive| state.has_made(archive)) {
            return Err(StateFormatError::AnothersArchive);
        }
        Ok(state)
    }

    /// Until when a job that failed rests, so that no guest's button pays for a container each time: after the
    /// second failure in a row a minute, then twice as long each time, an hour at most. `None` if it does not.
    pub fn rests_until(&self) -> Option<Timestamp> {
        if self.status != Status::Failed || self.failed_runs < 2 {
            return None;
        }
        let ended_at = self.attempts.last().and_then(|attempt| attempt.ended_at);
        let rest = FIRST_REST * 2_u32.saturating_pow(self.failed_runs - 2).min(60);
        (ended_at.unwrap_or(self.updated_at).checked_add(rest)).ok()
    }

    /// Returns whether an archive's key is one that this job made.
    fn has_made(&self, archive: &StateArchive) -> bool {
        let (key, name) = (&archive.key, &archive.name);
        let folder = match &self.archives_secret {
            Some(secret) if is_secret(secret) => Some(Layout::archives(secret)),
            Some(_) => None,
            None => {
                let before = self.job.archives_of_before();
                let secret = (key.strip_prefix(&before)).and_then(|rest| rest.split('/').next());
                secret.map(|secret| format!("{before}{secret}/"))
            }
        };
        !name.contains('/') && folder.is_some_and(|folder| *key == format!("{folder}{name}"))
    }

    /// Notes the archives that the attempt at hand has made.
    pub fn note_archives(&mut self, archives: &[StateArchive]) {
        self.archives = archives.to_vec();
        self.archives_secret = Some(self.secret.clone());
    }

    /// The text that is written.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("texts and numbers only")
    }

    /// The folder of the attempt's archives in the bucket.
    pub fn archive_folder(&self) -> String {
        Layout::archives(&self.secret)
    }

    /// The folders of the archives of all attempts, in the form of before too.
    pub fn archive_folders(&self) -> impl Iterator<Item = String> {
        let secrets = self.secrets.iter().chain(self.archives_secret.iter());
        let secrets = secrets
            .chain([&self.secret])
            .filter(|secret| is_secret(secret));
        secrets.map(|secret| Layout::archives(secret))
    }

    /// The folder of an attempt whose container was lost, and may have left an upload open.
    pub fn lost_folder(&self) -> Option<String> {
        let attempt = self.attempts.last()?;
        (attempt.ended_at.is_none()).then(|| self.archive_folder())
    }

    /// Until when a container's lease holds, if one does at `now`.
    pub fn held_until(&self, now: Timestamp) -> Option<Timestamp> {
        let lease = self.lease.as_ref()?;
        (!self.status.is_final() && lease.until > now).then_some(lease.until)
    }

    /// Whether the lease is this container's.
    pub fn is_held_by(&self, owner: &Owner) -> bool {
        (self.lease.as_ref()).is_some_and(|lease| lease.owner.id == owner.id)
    }

    /// Puts it into the queue again, to be done from the start. Its archives stay until there are
    /// new ones. With `everybody`, all who ever asked are told how it ends; without, if it was done, only
    /// those who ask from now on: the others have got what they asked for.
    pub fn queue_again(&mut self, everybody: bool, now: Timestamp) {
        self.redone = self.redone.saturating_add(1);
        if everybody {
            self.told_from = 0;
        } else if self.status == Status::Done {
            self.told_from = self.redone;
        }
        self.status = Status::Queued;
        self.sent = false;
        self.queued_at = now;
        self.lease = None;
        self.failures = 0;
        self.error = None;
        self.missing_count = 0;
        self.ignored = 0;
        self.missing.clear();
        self.note_empty(&[]);
        self.progress = Transferred::default();
        self.timings = Timings::default();
        self.delivery = None;
        self.is_anonymous = false;
    }

    /// Begins an attempt. `secret` is a random text for the keys of its archives: every attempt has
    /// a folder of its own, so that none can harm what another has finished.
    pub fn begin(&mut self, owner: &Owner, secret: String, now: Timestamp, lease: Duration) {
        self.status = Status::Probing;
        self.sent = true;
        self.sending_since = None;
        self.secrets.push(secret.clone());
        if self.secrets.len() > SECRETS_KEPT {
            self.secrets.remove(0);
        }
        self.secret = secret;
        self.progress = Transferred::default();
        self.timings = Timings {
            queued_seconds: Some(seconds_between(self.queued_at, now)),
            ..Timings::default()
        };
        if let Some(last) = self.attempts.last_mut()
            && last.ended_at.is_none()
        {
            last.ended_at = Some(now);
            last.outcome = Some("lost".to_owned());
            self.failures = self.failures.saturating_add(1);
        }
        self.attempt_count = self.attempt_count.saturating_add(1);
        self.attempts.push(Attempt {
            number: self.attempt_count,
            owner: owner.clone(),
            started_at: now,
            ended_at: None,
            outcome: None,
        });
        if self.attempts.len() > ATTEMPTS_KEPT {
            self.attempts.remove(0);
        }
        self.lease = Some(Lease {
            owner: owner.clone(),
            until: now,
        });
        self.renew(now, lease);
    }

    /// Renews the lease.
    pub fn renew(&mut self, now: Timestamp, lease: Duration) {
        if let Some(held) = &mut self.lease {
            held.until = now.saturating_add(lease).unwrap_or(Timestamp::MAX);
        }
    }

    /// Ends the attempt that runs, and gives the lease back.
    pub fn end(&mut self, status: Status, outcome: impl Into<String>, now: Timestamp) {
        self.status = status;
        match status {
            Status::Failed => self.failed_runs = self.failed_runs.saturating_add(1),
            Status::Delivering | Status::Done => self.failed_runs = 0,
            _ => {}
        }
        self.lease = None;
        if let Some(attempt) = self.attempts.last_mut()
            && attempt.ended_at.is_none()
        {
            attempt.ended_at = Some(now);
            attempt.outcome = Some(outcome.into());
        }
    }

    /// Ends the attempt that runs; the job waits in the queue again.
    pub fn put_back(&mut self, outcome: impl Into<String>, now: Timestamp) {
        self.end(Status::Queued, outcome, now);
        self.queued_at = now;
    }

    /// Drops what names people or photos; what is counted stays.
    pub fn forget_names(&mut self) {
        self.is_anonymous = true;
        self.archives.clear();
        self.missing.clear();
        self.empty.clear();
        for attempt in &mut self.attempts {
            let says_nothing =
                |outcome: &&str| ["done", "lost", "cancelled", "interrupted"].contains(outcome);
            let outcome = attempt.outcome.as_deref().filter(says_nothing);
            attempt.outcome = Some(outcome.unwrap_or("failed").to_owned());
        }
        if let Some(error) = &mut self.error {
            "deleted with all personal data".clone_into(&mut error.message);
        }
        if let Some(delivery) = &mut self.delivery {
            delivery.problems.clear();
        }
    }

    /// Notes missing photos: all are counted, the first are named.
    pub fn note_missing(&mut self, missing: &[Missing]) {
        self.missing_count = missing.len();
        self.missing = missing.iter().take(NAMES_KEPT).cloned().collect();
    }

    /// Notes photos that have no bytes: all are counted, the first are named.
    pub fn note_empty(&mut self, empty: &[EntryName]) {
        self.empty_count = empty.len();
        self.empty = empty.iter().take(NAMES_KEPT).cloned().collect();
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
fn is_never(count: &u32) -> bool {
    *count == 0
}

/// Returns whether this is a secret as [`crate::clock::new_secret`] makes them, and thus cannot be guessed.
fn is_secret(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Seconds from one time to a later one; zero where clocks differ.
pub fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::MissingReason;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + second).unwrap()
    }

    fn state() -> State {
        let job = "smith/0123456789abcdef0123456789abcdef".parse().unwrap();
        State::queued(job, 3, at(0))
    }

    fn owner(id: &str) -> Owner {
        Owner {
            id: id.to_owned(),
            batch_job_id: Some("b-1".to_owned()),
            batch_attempt: Some(1),
            log_stream: None,
        }
    }

    /// Two programs of possibly different versions speak by this.
    #[test]
    fn the_first_version_stays_readable() {
        let mut state = state();
        state.begin(
            &owner("c1"),
            "5ec2e7".to_owned(),
            at(2),
            Duration::from_secs(30),
        );
        state.note_missing(&[Missing {
            photo: 1,
            name: EntryName::sanitize("a.jpg").unwrap(),
            reason: MissingReason::NotFound,
        }]);
        state.note_archives(&[StateArchive {
            name: "smith.zip".to_owned(),
            bucket: Some("archived".to_owned()),
            key: "archives/5ec2e7/smith.zip".to_owned(),
            bytes: 10,
            photos: 2,
        }]);
        state.end(Status::Done, "done", at(5));
        let json = String::from_utf8(state.to_json()).unwrap();
        insta::assert_snapshot!(json);
        assert_eq!(State::from_json(json.as_bytes()).unwrap(), state);
    }

    /// Links to archives are signed with our keys, so a state must not name what others own.
    #[test]
    fn archives_are_those_that_the_job_made() {
        let mut state = state();
        let job = state.job.clone();
        let secret = "0123456789abcdef0123456789abcdef".to_owned();
        let (new, old) = (
            format!("archives/{secret}/"),
            format!("archives/{job}-{secret}/"),
        );
        let mut is_taken = |key: &str, name: &str, secret: Option<&str>| {
            state.archives = vec![StateArchive {
                name: name.to_owned(),
                bucket: None,
                key: key.to_owned(),
                bytes: 10,
                photos: 2,
            }];
            state.archives_secret = secret.map(str::to_owned);
            State::of(&job, &state.to_json()).is_ok()
        };
        let proof = Some(&*secret);
        assert!(is_taken(&format!("{new}a.zip"), "a.zip", proof));
        assert!(is_taken(&format!("{old}a.zip"), "a.zip", None));
        let another = job.to_string().replace("smith", "jones");
        for (key, name, secret) in [
            (format!("{new}a.zip"), "a.zip", None),
            (format!("{old}a.zip"), "a.zip", proof),
            (format!("{new}a.zip"), "b.zip", proof),
            (format!("{new}a/b.zip"), "a/b.zip", proof),
            (format!("archives/{another}-5ec/a.zip"), "a.zip", None),
            (
                format!("jobs/{another}/manifest.json"),
                "manifest.json",
                None,
            ),
            (format!("{old}../a.zip"), "a.zip", None),
            ("archives//a.zip".to_owned(), "a.zip", Some("")),
            (
                format!("archives/{another}/a.zip"),
                "a.zip",
                Some(&*another),
            ),
        ] {
            assert!(!is_taken(&key, name, secret), "{key} {name} {secret:?}");
        }
    }

    #[test]
    fn what_fails_again_and_again_rests_longer_each_time() {
        let mut state = state();
        let mut rests = Vec::new();
        for _ in 0..10 {
            state.queue_again(false, at(0));
            assert_eq!(state.rests_until(), None);
            let owner = owner("c1");
            state.begin(&owner, "5ec2e7".to_owned(), at(0), Duration::from_secs(30));
            state.end(Status::Failed, "failed", at(10));
            rests.push(
                state
                    .rests_until()
                    .map(|until| until.duration_since(at(10)).as_secs()),
            );
        }
        let minutes = [1, 2, 4, 8, 16, 32, 60, 60, 60].map(|minutes| Some(minutes * 60));
        assert_eq!((rests[0], &rests[1..]), (None, &minutes[..]));
        state.failed_runs = u32::MAX;
        assert!(state.rests_until().is_some());
        state.end(Status::Done, "done", at(20));
        assert_eq!(state.failed_runs, 0);
    }

    #[test]
    fn a_lease_holds_until_it_runs_out_or_is_given_back() {
        let mut state = state();
        assert_eq!(state.held_until(at(1)), None);
        state.begin(
            &owner("c1"),
            "5ec2e7".to_owned(),
            at(1),
            Duration::from_secs(30),
        );
        assert!(state.is_held_by(&owner("c1")));
        assert!(!state.is_held_by(&owner("c2")));
        assert_eq!(state.held_until(at(30)), Some(at(31)));
        assert_eq!(state.held_until(at(31)), None);
        state.renew(at(20), Duration::from_secs(30));
        assert_eq!(state.held_until(at(31)), Some(at(50)));
        state.end(Status::Queued, "interrupted", at(21));
        assert_eq!(state.held_until(at(22)), None);
    }

    #[test]
    fn attempts_are_counted_and_the_last_ones_kept() {
        let mut state = state();
        for second in 0..15 {
            state.begin(
                &owner("c"),
                "5ec2e7".to_owned(),
                at(second),
                Duration::from_secs(30),
            );
            state.end(Status::Queued, "interrupted", at(second));
        }
        assert_eq!(
            (state.attempt_count, state.attempts.len()),
            (15, ATTEMPTS_KEPT)
        );
        assert_eq!(state.attempts[0].number, 6);
        state.queue_again(false, at(20));
        assert_eq!((state.attempt_count, state.sent), (15, false));
    }

    #[test]
    fn versions_that_are_not_known_are_refused() {
        let mut json: serde_json::Value = serde_json::from_slice(&state().to_json()).unwrap();
        json["version"] = 2.into();
        let error = State::from_json(json.to_string().as_bytes()).unwrap_err();
        assert!(matches!(error, StateFormatError::Version(2)));
        assert!(State::from_json(b"{}").is_err());
    }

    #[test]
    fn the_state_of_another_job_is_refused() {
        let state = state();
        let json = state.to_json();
        assert!(State::of(&state.job, &json).is_ok());
        let other: JobKey = "jones/0123456789abcdef0123456789abcdef".parse().unwrap();
        let refused = State::of(&other, &json).unwrap_err();
        assert!(matches!(refused, StateFormatError::AnotherJob));
    }
}
