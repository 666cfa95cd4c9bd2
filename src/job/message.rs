//! What the queue carries: which job to do. Small always, whatever the manifest's size.

use serde::{Deserialize, Serialize};

use super::JobKey;

/// The version of messages that this program writes.
const VERSION: u32 = 1;

/// A message of the job queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    version: u32,
    /// The job.
    pub job: JobKey,
    /// One volume of it; the whole job if `None`.
    pub volume: Option<u32>,
}

/// Why a message cannot be acted on, now or later.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// It is something else. What it says is not told, since it may hold secrets.
    #[error("the message is not one of ours ({what} at line {line}, column {column})")]
    Unreadable {
        /// What is wrong with it.
        what: &'static str,
        /// Where, from 1.
        line: usize,
        /// Where in the line, from 1.
        column: usize,
    },
    /// A newer program wrote it.
    #[error("the message has version {0}, which this program does not know; update it")]
    Version(u64),
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unreadable(error: serde_json::Error) -> MessageError {
    MessageError::Unreadable {
        what: match error.classify() {
            serde_json::error::Category::Data => "not the fields of a message",
            _ => "not JSON",
        },
        line: error.line(),
        column: error.column(),
    }
}

impl Message {
    /// Asks for a whole job.
    pub fn new(job: JobKey) -> Self {
        Self {
            version: VERSION,
            job,
            volume: None,
        }
    }

    /// The text that is sent.
    pub fn to_body(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers only")
    }

    /// Reads a message. Fields that are not known are left aside, the version is not.
    ///
    /// # Errors
    /// If it is not one, or of another version.
    pub fn from_body(body: &str) -> Result<Self, MessageError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        #[derive(Deserialize)]
        struct Body {
            job: JobKey,
            volume: Option<u32>,
        }
        let Versioned { version } = serde_json::from_str(body).map_err(unreadable)?;
        if version != u64::from(VERSION) {
            return Err(MessageError::Version(version));
        }
        let Body { job, volume } = serde_json::from_str(body).map_err(unreadable)?;
        Ok(Self {
            version: VERSION,
            job,
            volume,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::State;

    /// Two programs of possibly different versions speak by this.
    #[test]
    fn the_first_version_stays_readable() {
        let body = r#"{"version":1,"job":"smith/0123456789abcdef0123456789abcdef","volume":null}"#;
        let message = Message::from_body(body).unwrap();
        assert_eq!(message.to_body(), body);
        assert_eq!(message, Message::new(message.job.clone()));
    }

    /// The Worker writes them too, and the first state of a job, which leaves out what has a default.
    #[test]
    fn what_the_worker_sends_is_what_is_sent_here() {
        let vectors: Vec<serde_json::Value> =
            serde_json::from_str(include_str!("../../tests/data/messages.json")).unwrap();
        for vector in vectors {
            let job: JobKey = vector["job"].as_str().unwrap().parse().unwrap();
            assert_eq!(vector["message"], Message::new(job.clone()).to_body());
            let at = vector["at"].as_str().unwrap().parse().unwrap();
            let photos = serde_json::from_value(vector["photos"].clone()).unwrap();
            let state = State::from_json(vector["state"].to_string().as_bytes()).unwrap();
            assert_eq!(state, State::queued(job, photos, at));
        }
    }

    #[test]
    fn what_is_not_a_message_says_why() {
        let job = r#""job":"smith/0123456789abcdef0123456789abcdef""#;
        let errors: Vec<String> = [
            "hello".to_owned(),
            "{}".to_owned(),
            format!("{{\"version\":2,{job}}}"),
            r#"{"version":1}"#.to_owned(),
            r#"{"version":1,"job":"../../etc"}"#.to_owned(),
        ]
        .iter()
        .map(|body| crate::chain(&Message::from_body(body).unwrap_err()))
        .collect();
        insta::assert_snapshot!(errors.join("\n"));
    }
}
