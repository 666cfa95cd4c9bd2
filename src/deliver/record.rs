//! What came of one notice: an object beside the job.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Undelivered;

/// Bytes of a problem that are kept.
const MAX_PROBLEM_BYTES: usize = 500;

/// How far a notice is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    /// Nobody has tried yet, or the last try failed in a way that may pass.
    #[default]
    Waiting,
    /// Somebody is at it.
    Telling,
    /// It was handed over.
    Told,
    /// It was given up.
    Failed,
}

/// How far a notice is, and who is at it. It names no receiver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) outcome: Outcome,
    /// Tries so far.
    pub(super) attempts: u32,
    /// Who tried last.
    owner: String,
    /// When that began or ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    /// Until when nobody else tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_until: Option<Timestamp>,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<String>,
}

impl Record {
    /// One that is not written: it waits for the next round.
    pub(super) fn waiting(problem: impl Into<String>) -> Self {
        Self {
            problem: Some(problem.into()),
            ..Self::default()
        }
    }

    /// Whether it is time to try.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        match self.outcome {
            Outcome::Waiting => true,
            // Whoever was at it is gone.
            Outcome::Telling => self.claimed_until.is_none_or(|until| until <= now),
            Outcome::Told | Outcome::Failed => false,
        }
    }

    pub(super) fn claim(&self, owner: &str, now: Timestamp, time: Duration) -> Self {
        Self {
            outcome: Outcome::Telling,
            attempts: self.attempts.saturating_add(1),
            owner: owner.to_owned(),
            at: Some(now),
            claimed_until: now.checked_add(time).ok(),
            problem: self.problem.clone(),
        }
    }

    /// Returns the record of an e-mail that bounced; `None` if it has failed already.
    pub(super) fn came_back(&self, problem: &str, now: Timestamp) -> Option<Self> {
        (self.outcome != Outcome::Failed).then(|| Self {
            outcome: Outcome::Failed,
            at: Some(now),
            claimed_until: None,
            problem: Some(problem.to_owned()),
            ..self.clone()
        })
    }

    /// After a try, of which there are so many at most.
    pub(super) fn ended(
        &self,
        whom: &str,
        told: Result<(), Undelivered>,
        now: Timestamp,
        attempts: u32,
    ) -> Self {
        let (outcome, problem) = match told {
            Ok(()) => (Outcome::Told, None),
            Err(problem) => {
                let outcome = if problem.may_pass && self.attempts < attempts {
                    Outcome::Waiting
                } else {
                    Outcome::Failed
                };
                let mut text = format!("{whom}: {}", problem.why);
                text.truncate(text.floor_char_boundary(MAX_PROBLEM_BYTES));
                (outcome, Some(text))
            }
        };
        Self {
            outcome,
            at: Some(now),
            claimed_until: None,
            problem,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn it_is_told_once_given_up_at_last_and_taken_over_from_the_dead() {
        let minute = Duration::from_mins(1);
        let mut record = Record::default();
        for attempt in 1..=3 {
            assert!(record.is_due(at(0)));
            let claimed = record.claim("c1", at(0), minute);
            assert!(!claimed.is_due(at(59)) && claimed.is_due(at(60)));
            record = claimed.ended("a", Err(Undelivered::for_now("down")), at(1), 3);
            assert_eq!(record.attempts, attempt);
        }
        assert_eq!(record.outcome, Outcome::Failed);
        assert_eq!(record.problem.as_deref(), Some("a: down"));
        assert!(!record.is_due(at(1000)));
        let claimed = Record::default().claim("c1", at(0), minute);
        let told = claimed.ended("a", Ok(()), at(1), 3);
        assert!(!told.is_due(at(1000)) && told.problem.is_none());
        let refused = claimed.ended("a", Err(Undelivered::for_good("no")), at(1), 3);
        assert_eq!(refused.outcome, Outcome::Failed);
        let read: Record = serde_json::from_str(&serde_json::to_string(&refused).unwrap()).unwrap();
        assert_eq!(read, refused);
    }
}
