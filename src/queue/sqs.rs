//! Messages in Amazon SQS.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName};
use url::Url;

use super::{Delivery, Depth, Queue, QueueError};
use crate::aws::{Action, Aws, AwsError, AwsErrorKind, Target};

/// The message attribute that tells why a message is in the dead-letter queue.
const REASON: &str = "reason";
/// The longest reason that is sent along, in bytes.
const MAX_REASON_BYTES: usize = 1000;
/// The longest time that SQS hides a message.
const MAX_HIDDEN: Duration = Duration::from_hours(12);
/// The longest time that SQS waits for a message.
const MAX_WAIT: Duration = Duration::from_secs(20);

/// A queue of SQS.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    aws: Aws,
    client: Client,
    url: String,
    target: Target,
}

impl SqsQueue {
    /// The queue at `url`, which the setting called `setting` names.
    pub fn new(aws: &Aws, url: impl Into<String>, setting: &str) -> Self {
        let url = url.into();
        let mut config = aws_sdk_sqs::config::Builder::from(aws.config());
        let endpoint_is_set = aws.config().endpoint_url().is_some()
            || std::env::var_os("AWS_ENDPOINT_URL_SQS").is_some_and(|url| !url.is_empty());
        if !endpoint_is_set && let Ok(url) = Url::parse(&url) {
            // The queue's own address says where SQS is; the SDK would only look at the region.
            config.set_endpoint_url(Some(url.origin().ascii_serialization()));
        }
        Self {
            client: Client::from_conf(config.build()),
            aws: aws.clone(),
            target: Target {
                service: "SQS",
                resource: format!("queue `{url}` ({setting})"),
            },
            url,
        }
    }

    async fn attributes(
        &self,
        names: &[QueueAttributeName],
    ) -> Result<std::collections::HashMap<QueueAttributeName, String>, AwsError> {
        let action = Action {
            doing: "looking at the queue",
            permission: "sqs:GetQueueAttributes",
        };
        let answer = self
            .aws
            .call(&self.target, action, Duration::ZERO, || {
                self.client
                    .get_queue_attributes()
                    .queue_url(&self.url)
                    .set_attribute_names(Some(names.to_vec()))
                    .send()
            })
            .await?;
        Ok(answer.attributes.unwrap_or_default())
    }

    /// Sends a message, and tells its id.
    ///
    /// # Errors
    /// If SQS does not take it.
    pub async fn post(&self, body: &str) -> Result<String, QueueError> {
        self.send_with(body, None).await
    }

    async fn send_with(&self, body: &str, reason: Option<&str>) -> Result<String, QueueError> {
        let action = Action {
            doing: "sending a message",
            permission: "sqs:SendMessage",
        };
        let reason = reason.map(|reason| {
            let end = reason.floor_char_boundary(MAX_REASON_BYTES);
            MessageAttributeValue::builder()
                .data_type("String")
                .string_value(&reason[..end])
                .build()
        });
        let reason = reason
            .transpose()
            .map_err(|error| AwsError::odd(format!("a reason cannot be sent along: {error}")))?;
        let answer = self
            .aws
            .call(&self.target, action, Duration::ZERO, || {
                let send = self.client.send_message().queue_url(&self.url);
                let send = send.message_body(body);
                match reason.clone() {
                    Some(reason) => send.message_attributes(REASON, reason),
                    None => send,
                }
                .send()
            })
            .await?;
        Ok(answer.message_id.unwrap_or_default())
    }
}

/// Whole seconds, as SQS counts.
fn seconds(time: Duration, most: Duration) -> i32 {
    i32::try_from(time.min(most).as_secs()).unwrap_or(i32::MAX)
}

impl Queue for SqsQueue {
    async fn send(&self, body: &str) -> Result<(), QueueError> {
        self.post(body).await.map(drop)
    }

    async fn receive(
        &self,
        wait: Duration,
        hide: Duration,
    ) -> Result<Option<Delivery>, QueueError> {
        let action = Action {
            doing: "receiving a message",
            permission: "sqs:ReceiveMessage",
        };
        let answer = self
            .aws
            .call(&self.target, action, wait, || {
                self.client
                    .receive_message()
                    .queue_url(&self.url)
                    .max_number_of_messages(1)
                    .wait_time_seconds(seconds(wait, MAX_WAIT))
                    .visibility_timeout(seconds(hide, MAX_HIDDEN))
                    .message_system_attribute_names(MessageSystemAttributeName::All)
                    .message_attribute_names(REASON)
                    .send()
            })
            .await?;
        let Some(message) = answer.messages.unwrap_or_default().into_iter().next() else {
            return Ok(None);
        };
        let attributes = message.attributes.unwrap_or_default();
        let number = |name| {
            attributes
                .get(&name)
                .and_then(|text| text.parse::<i64>().ok())
        };
        let receive_count = number(MessageSystemAttributeName::ApproximateReceiveCount);
        Ok(Some(Delivery {
            body: message.body.unwrap_or_default(),
            receive_count: receive_count
                .and_then(|count| u32::try_from(count).ok())
                .unwrap_or(1),
            reason: message
                .message_attributes
                .unwrap_or_default()
                .remove(REASON)
                .and_then(|value| value.string_value),
            receipt: message.receipt_handle.unwrap_or_default(),
        }))
    }

    async fn hide(&self, delivery: &Delivery, time: Duration) -> Result<bool, QueueError> {
        let action = Action {
            doing: "keeping hold of a message",
            permission: "sqs:ChangeMessageVisibility",
        };
        let hidden = self
            .aws
            .call(&self.target, action, Duration::ZERO, || {
                self.client
                    .change_message_visibility()
                    .queue_url(&self.url)
                    .receipt_handle(&delivery.receipt)
                    .visibility_timeout(seconds(time, MAX_HIDDEN))
                    .send()
            })
            .await;
        match hidden {
            Ok(_) => Ok(true),
            Err(error) if error.kind == AwsErrorKind::Gone => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn delete(&self, delivery: &Delivery) -> Result<(), QueueError> {
        let action = Action {
            doing: "removing a message",
            permission: "sqs:DeleteMessage",
        };
        let deleted = self
            .aws
            .call(&self.target, action, Duration::ZERO, || {
                self.client
                    .delete_message()
                    .queue_url(&self.url)
                    .receipt_handle(&delivery.receipt)
                    .send()
            })
            .await;
        match deleted {
            Err(error) if error.kind != AwsErrorKind::Gone => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn bury(&self, delivery: &Delivery, reason: &str) -> Result<(), QueueError> {
        let dead_letters = self.dead_letters().await?;
        dead_letters.send_with(&delivery.body, Some(reason)).await?;
        self.delete(delivery).await
    }

    async fn dead_letters(&self) -> Result<Self, QueueError> {
        let policy = QueueAttributeName::RedrivePolicy;
        let attributes = self.attributes(std::slice::from_ref(&policy)).await?;
        // arn:aws:sqs:region:account:name
        let policy: serde_json::Value = attributes
            .get(&policy)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        let arn = policy["deadLetterTargetArn"].as_str().unwrap_or_default();
        let mut parts = arn.rsplit(':');
        let (Some(name), Some(account)) = (parts.next(), parts.next()) else {
            return Err(QueueError::NoDeadLetters(format!(
                "the {}",
                self.target.resource
            )));
        };
        let target = Target {
            service: "SQS",
            resource: format!("dead-letter queue `{name}` (of {})", self.url),
        };
        let action = Action {
            doing: "looking for the dead-letter queue",
            permission: "sqs:GetQueueUrl",
        };
        let answer = self
            .aws
            .call(&target, action, Duration::ZERO, || {
                self.client
                    .get_queue_url()
                    .queue_name(name)
                    .queue_owner_aws_account_id(account)
                    .send()
            })
            .await?;
        Ok(Self {
            url: answer.queue_url.unwrap_or_default(),
            target,
            ..self.clone()
        })
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        let (waiting, in_flight) = (
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        );
        let attributes = self
            .attributes(&[waiting.clone(), in_flight.clone()])
            .await?;
        let number = |name| {
            attributes
                .get(&name)
                .and_then(|text| text.parse().ok())
                .unwrap_or(0)
        };
        Ok(Depth {
            waiting: number(waiting),
            in_flight: number(in_flight),
        })
    }
}
