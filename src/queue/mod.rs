//! The port for work that waits: SQS ([`sqs`]), or memory ([`memory`], for tests).
//!
//! "Queue" always means this one; the other that AWS has, of Batch, is always called job queue. A
//! message that is received is hidden from others for a while, not gone: it comes back unless it is
//! deleted. So whoever works on one hides it again and again, and when they die it is somebody
//! else's turn. All implementations pass one conformance suite (`tests/it/queue.rs`).

pub mod memory;
pub mod sqs;

use std::future::Future;
use std::time::Duration;

use crate::aws::{AwsError, AwsErrorKind};

/// Keeps messages until somebody has dealt with them.
pub trait Queue: Sized + Send + Sync + 'static {
    /// Adds a message.
    fn send(&self, body: &str) -> impl Future<Output = Result<(), QueueError>> + Send;

    /// Takes one message, and hides it from others for so long; `None` if there is none within
    /// `wait` (at most 20 s). Dropped while it waits, it may have hidden a message.
    fn receive(
        &self,
        wait: Duration,
        hide: Duration,
    ) -> impl Future<Output = Result<Option<Delivery>, QueueError>> + Send;

    /// Hides a message for so long from now on; not at all gives it back at once. False if it is
    /// not this delivery's any more.
    fn hide(
        &self,
        delivery: &Delivery,
        time: Duration,
    ) -> impl Future<Output = Result<bool, QueueError>> + Send;

    /// Removes a message for good; fine if it is gone.
    fn delete(&self, delivery: &Delivery) -> impl Future<Output = Result<(), QueueError>> + Send;

    /// Moves a message that nobody can deal with to the dead-letter queue, with the reason.
    fn bury(
        &self,
        delivery: &Delivery,
        reason: &str,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;

    /// The dead-letter queue.
    fn dead_letters(&self) -> impl Future<Output = Result<Self, QueueError>> + Send;

    /// About how many messages there are.
    fn depth(&self) -> impl Future<Output = Result<Depth, QueueError>> + Send;
}

/// A message that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its text.
    pub body: String,
    /// How often it was received, this time included.
    pub receive_count: u32,
    /// Why it is in the dead-letter queue, if somebody put it there and said so.
    pub reason: Option<String>,
    /// What the queue calls this delivery.
    pub receipt: String,
}

/// How many messages there are, about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Those that wait.
    pub waiting: usize,
    /// Those that are hidden, because somebody works on them.
    pub in_flight: usize,
}

impl Depth {
    /// Both.
    pub fn total(self) -> usize {
        self.waiting + self.in_flight
    }
}

/// Why the queue did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// SQS did not.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// Nobody has given the queue a dead-letter queue.
    #[error("{0} has no dead-letter queue; give it one (its `RedrivePolicy`)")]
    NoDeadLetters(String),
}

impl QueueError {
    /// Whether nothing will change until somebody changes a setting or a permission.
    pub fn is_about_settings(&self) -> bool {
        match self {
            Self::Aws(error) => error.kind == AwsErrorKind::Settings,
            Self::NoDeadLetters(_) => true,
        }
    }
}
