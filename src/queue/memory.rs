//! Messages in memory.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::{Delivery, Depth, Queue, QueueError};

/// A queue for tests; clones share it. Its clock is tokio's.
#[derive(Debug, Clone)]
pub struct MemoryQueue {
    messages: Arc<Mutex<Vec<Message>>>,
    changed: Arc<Notify>,
    dead_letters: Option<Box<MemoryQueue>>,
    max_receive_count: u32,
}

#[derive(Debug, Clone)]
struct Message {
    body: String,
    reason: Option<String>,
    receive_count: u32,
    receipt: String,
    hidden_until: Instant,
}

impl MemoryQueue {
    /// An empty queue that moves a message to its dead-letter queue when it was received more often
    /// than that.
    pub fn new(max_receive_count: u32) -> Self {
        Self {
            dead_letters: Some(Box::new(Self::without_dead_letters())),
            max_receive_count,
            ..Self::without_dead_letters()
        }
    }

    /// An empty queue without a dead-letter queue.
    pub fn without_dead_letters() -> Self {
        Self {
            messages: Arc::default(),
            changed: Arc::default(),
            dead_letters: None,
            max_receive_count: u32::MAX,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Message>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, body: &str, reason: Option<&str>) {
        self.lock().push(Message {
            body: body.to_owned(),
            reason: reason.map(str::to_owned),
            receive_count: 0,
            receipt: String::new(),
            hidden_until: Instant::now(),
        });
        self.changed.notify_waiters();
    }

    fn take(&self, hide: Duration) -> Option<Delivery> {
        let now = Instant::now();
        let mut messages = self.lock();
        loop {
            let at = messages
                .iter()
                .position(|message| message.hidden_until <= now)?;
            let message = &mut messages[at];
            message.receive_count += 1;
            if let Some(dead_letters) = &self.dead_letters
                && message.receive_count > self.max_receive_count
            {
                let dead = messages.remove(at);
                dead_letters.add(&dead.body, None);
                continue;
            }
            message.receipt = format!("{:016x}", rand::random::<u64>());
            message.hidden_until = now + hide;
            return Some(Delivery {
                body: message.body.clone(),
                receive_count: message.receive_count,
                reason: message.reason.clone(),
                receipt: message.receipt.clone(),
            });
        }
    }

    /// When the next hidden message shows itself.
    fn next_visible(&self) -> Option<Instant> {
        self.lock().iter().map(|message| message.hidden_until).min()
    }
}

impl Queue for MemoryQueue {
    async fn send(&self, body: &str) -> Result<(), QueueError> {
        self.add(body, None);
        Ok(())
    }

    async fn receive(
        &self,
        wait: Duration,
        hide: Duration,
    ) -> Result<Option<Delivery>, QueueError> {
        let end = Instant::now() + wait;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(delivery) = self.take(hide) {
                return Ok(Some(delivery));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            let until = self.next_visible().map_or(end, |next| next.min(end));
            let _ = timeout_at(until, changed).await;
        }
    }

    async fn hide(&self, delivery: &Delivery, time: Duration) -> Result<bool, QueueError> {
        let now = Instant::now();
        let mut messages = self.lock();
        let ours = messages
            .iter_mut()
            .find(|message| message.receipt == delivery.receipt && message.hidden_until > now);
        let found = ours.is_some();
        if let Some(message) = ours {
            message.hidden_until = now + time;
        }
        drop(messages);
        self.changed.notify_waiters();
        Ok(found)
    }

    async fn delete(&self, delivery: &Delivery) -> Result<(), QueueError> {
        self.lock()
            .retain(|message| message.receipt != delivery.receipt);
        Ok(())
    }

    async fn bury(&self, delivery: &Delivery, reason: &str) -> Result<(), QueueError> {
        self.dead_letters().await?.add(&delivery.body, Some(reason));
        self.delete(delivery).await
    }

    async fn dead_letters(&self) -> Result<Self, QueueError> {
        match &self.dead_letters {
            Some(queue) => Ok((**queue).clone()),
            None => Err(QueueError::NoDeadLetters("the queue".to_owned())),
        }
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        let now = Instant::now();
        let messages = self.lock();
        let in_flight = messages
            .iter()
            .filter(|message| message.hidden_until > now)
            .count();
        Ok(Depth {
            waiting: messages.len() - in_flight,
            in_flight,
        })
    }
}
