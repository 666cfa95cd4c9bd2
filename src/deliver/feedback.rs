//! Bounces and complaints. Amazon SES publishes them to a topic, and the topic sends them to a queue ("Contents of
//! event data that Amazon SES publishes to Amazon SNS", in its Developer Guide).
//!
//! They arrive seconds to days after the e-mail. Containers read the queue when they start, and `submit status`
//! before it answers. Both note bounces in the e-mail's record and in the job's state.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use super::mailbox::{self, Addressee};
use super::record::Record;
use super::{PROBLEMS_KEPT, StateDelivery};
use crate::bucket::{Bucket, BucketError, Condition};
use crate::clock::Clock;
use crate::job::{JobKey, State};
use crate::queue::{Queue, QueueError};

/// The header that names job and notification, `event/job/notice`. SES repeats it in its events.
pub(super) const NOTICE: &str = "X-Photo-Notice";
/// The most messages that one call reads.
const AT_MOST: usize = 100;
/// The visibility timeout of a message while it is noted.
const HIDE: Duration = Duration::from_secs(30);
/// Attempts at a conditional write.
const MAX_CONFLICTS: u32 = 5;

/// A failure to read feedback. Unread messages stay in the queue.
#[derive(Debug, thiserror::Error)]
pub enum FeedbackError {
    /// The queue cannot be used.
    #[error("the feedback queue is unavailable")]
    Queue(#[from] QueueError),
    /// The bucket cannot be used.
    #[error("the bucket is unavailable")]
    Bucket(#[from] BucketError),
}

/// The fields of an SES event that matter here.
#[derive(Deserialize)]
struct Event {
    /// The type; notifications of an identity call it `notificationType`.
    #[serde(rename = "eventType", alias = "notificationType")]
    kind: String,
    mail: Sent,
    bounce: Option<Bounce>,
    complaint: Option<Complaint>,
}

#[derive(Deserialize)]
struct Sent {
    #[serde(default)]
    headers: Vec<Header>,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bounce {
    bounce_type: String,
    #[serde(default)]
    bounce_sub_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Complaint {
    #[serde(default)]
    complained_recipients: Vec<Recipient>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recipient {
    email_address: String,
}

/// The envelope of a topic without raw message delivery.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Message")]
    message: String,
}

/// A bounce, a rejection or a complaint.
#[derive(Debug, PartialEq, Eq)]
struct Feedback {
    /// The job and the notification, if the event names one of ours.
    letter: Option<(JobKey, String)>,
    /// The problem in words, without addresses.
    problem: String,
    /// True if the e-mail did not arrive.
    came_back: bool,
    /// Recipients who complained.
    complained: Vec<Addressee>,
}

impl Feedback {
    /// Parses a message; `None` for anything but a bounce, a rejection or a complaint.
    fn parse(body: &str) -> Option<Self> {
        let envelope = serde_json::from_str::<Envelope>(body).ok();
        let body = envelope.as_ref().map_or(body, |envelope| &envelope.message);
        let event: Event = serde_json::from_str(body).ok()?;
        let mut complained = Vec::new();
        let (problem, came_back) = match (event.kind.as_str(), event.bounce, event.complaint) {
            ("Bounce", Some(bounce), _) => {
                let why: String = (bounce.bounce_sub_type.chars())
                    .filter(char::is_ascii_alphanumeric)
                    .take(40)
                    .collect();
                let what = if bounce.bounce_type == "Permanent" {
                    "there is no such mailbox, or it takes nothing from us"
                } else {
                    "the mailbox could not take it"
                };
                (format!("an e-mail came back: {what} ({why})"), true)
            }
            ("Reject", ..) => ("an e-mail was refused by Amazon SES".to_owned(), true),
            ("Complaint", _, Some(complaint)) => {
                let recipients = complaint.complained_recipients.iter();
                complained.extend(recipients.map(|one| Addressee::of(&one.email_address)));
                let what = "a recipient has marked an e-mail as spam, and gets no more";
                (what.to_owned(), false)
            }
            _ => return None,
        };
        let headers = event.mail.headers.iter();
        let letter = (headers.filter(|header| header.name.eq_ignore_ascii_case(NOTICE))).find_map(
            |header| {
                let (job, notice) = header.value.trim().rsplit_once('/')?;
                let is_id = notice.bytes().all(|byte| byte.is_ascii_hexdigit());
                let job = job.parse().ok().filter(|_| is_id)?;
                Some((job, notice.to_owned()))
            },
        );
        Some(Self {
            letter,
            problem,
            came_back,
            complained,
        })
    }
}

/// Reads the queue, and notes what it says; returns the number of messages.
///
/// # Errors
/// If the queue or the bucket cannot be used.
pub async fn take_in<B: Bucket, Q: Queue>(
    queue: &Q,
    bucket: &B,
    clock: Clock,
) -> Result<usize, FeedbackError> {
    let mut count = 0;
    while count < AT_MOST {
        let Some(delivery) = queue.receive(Duration::ZERO, HIDE).await? else {
            break;
        };
        count += 1;
        if let Some(feedback) = Feedback::parse(&delivery.body) {
            note(bucket, &feedback, clock).await?;
        } else {
            // Such as the one by which SES tries a topic.
            tracing::info!("dropped a feedback message that reports no problem");
        }
        queue.delete(&delivery).await?;
    }
    Ok(count)
}

async fn note<B: Bucket>(bucket: &B, feedback: &Feedback, clock: Clock) -> Result<(), BucketError> {
    for addressee in &feedback.complained {
        mailbox::end_letters(bucket, addressee, clock()).await?;
    }
    let Some((job, notice)) = &feedback.letter else {
        return Ok(());
    };
    tracing::warn!(%job, notice.id = notice, "{}", feedback.problem);
    let mut is_news = true;
    if feedback.came_back {
        // Not news where it was noted before, also by a container that was stopped before it told the state.
        is_news = change(bucket, &job.delivery(notice), |bytes| {
            let record: Record = serde_json::from_slice(bytes).ok()?;
            let record = record.came_back(&feedback.problem, clock())?;
            Some(serde_json::to_vec(&record).expect("texts and numbers only"))
        })
        .await?;
    }
    change(bucket, &job.state(), |bytes| {
        let mut state = State::of(job, bytes).ok()?;
        let delivery = state.delivery.get_or_insert_with(StateDelivery::default);
        let is_known = delivery.problems.contains(&feedback.problem);
        if is_known && !is_news {
            return None;
        }
        if feedback.came_back && delivery.mails > 0 {
            delivery.mails -= 1;
            delivery.failed = delivery.failed.saturating_add(1);
        }
        if !is_known && delivery.problems.len() < PROBLEMS_KEPT {
            delivery.problems.push(feedback.problem.clone());
            delivery.problems.sort();
        }
        state.updated_at = clock();
        Some(state.to_json())
    })
    .await?;
    Ok(())
}

/// Changes an object by a conditional write; returns false if there is no object or nothing to change.
async fn change<B: Bucket>(
    bucket: &B,
    key: &str,
    to: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Result<bool, BucketError> {
    for conflict in 1.. {
        let Some(object) = bucket.get(key).await? else {
            return Ok(false);
        };
        let Some(changed) = to(&object.bytes) else {
            return Ok(false);
        };
        let condition = Condition::Unchanged(object.version);
        match bucket.put(key, Bytes::from(changed), condition).await {
            Ok(_) => return Ok(true),
            Err(BucketError::Conflict { .. }) if conflict < MAX_CONFLICTS => {}
            Err(error) => return Err(error),
        }
    }
    unreachable!("the last conflict is an error")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documentation's own examples, with our header, and what else may be in the queue.
    #[test]
    fn what_ses_publishes_is_understood() {
        let events: Vec<serde_json::Value> =
            serde_json::from_str(include_str!("../../tests/data/ses-events.json")).unwrap();
        let told: Vec<String> = (events.iter())
            .map(|event| format!("{:#?}", Feedback::parse(&event["event"].to_string())))
            .collect();
        insta::assert_snapshot!(told.join("\n"));
        // Delivered without `RawMessageDelivery`.
        let event = events[0]["event"].to_string();
        let envelope = serde_json::json!({"Type": "Notification", "Message": event});
        assert_eq!(
            Feedback::parse(&envelope.to_string()),
            Feedback::parse(&event)
        );
        let tried = "Successfully validated SNS topic for Amazon SES event publishing.";
        for body in [
            tried,
            "",
            "{}",
            "[]",
            r#"{"eventType": "Bounce", "mail": {}}"#,
        ] {
            assert_eq!(Feedback::parse(body), None);
        }
    }
}
