//! A courier for tests, who keeps what it is given.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use tokio::time::sleep;

use super::{Courier, Notice, Undelivered};

/// How long a receiver that hangs is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Keeps notices, and fails when it is told to. Clones share what is kept.
#[derive(Debug, Clone, Default)]
pub struct MemoryCourier {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    delivered: Vec<Notice>,
    failures: VecDeque<Undelivered>,
    mood: Mood,
}

/// What becomes of notices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mood {
    /// They are handed over.
    #[default]
    Good,
    /// Nothing happens, and after a while they are given up.
    HangsBefore,
    /// They are handed over, but nobody hears that they were: as if the container were killed in
    /// between.
    HangsAfter,
}

impl MemoryCourier {
    /// What was handed over, in order.
    pub fn delivered(&self) -> Vec<Notice> {
        self.lock().delivered.clone()
    }

    /// The next notice will not be handed over.
    pub fn fail_next(&self, failure: Undelivered) {
        self.lock().failures.push_back(failure);
    }

    /// What becomes of notices from now on.
    pub fn set(&self, mood: Mood) {
        self.lock().mood = mood;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Courier for MemoryCourier {
    fn deliver<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, Result<(), Undelivered>> {
        let mut inner = self.lock();
        if let Some(failure) = inner.failures.pop_front() {
            return ready(Err(failure)).boxed();
        }
        if inner.mood != Mood::HangsBefore {
            inner.delivered.push(notice.clone());
        }
        match inner.mood {
            Mood::Good => ready(Ok(())).boxed(),
            Mood::HangsBefore | Mood::HangsAfter => async {
                sleep(PATIENCE).await;
                Err(Undelivered::for_now("no answer"))
            }
            .boxed(),
        }
    }
}
