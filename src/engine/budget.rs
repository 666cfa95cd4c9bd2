//! Memory for photo bytes, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many bytes of photos may be in memory at once.
#[derive(Debug, Clone)]
pub struct Budget {
    limit: u64,
    used: Arc<AtomicU64>,
}

/// The right to hold some bytes; given back when dropped.
#[derive(Debug)]
#[must_use]
pub struct Reservation {
    bytes: u64,
    used: Arc<AtomicU64>,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            used: Arc::default(),
        }
    }

    /// How many bytes there are in all.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Reserves `bytes` if they are free.
    pub fn try_reserve(&self, bytes: u64) -> Option<Reservation> {
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
                used.checked_add(bytes).filter(|used| *used <= self.limit)
            })
            .ok()?;
        Some(Reservation {
            bytes,
            used: Arc::clone(&self.used),
        })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_free_again() {
        let budget = Budget::new(100);
        let first = budget.try_reserve(60).unwrap();
        assert!(budget.try_reserve(41).is_none());
        let second = budget.try_reserve(40).unwrap();
        drop(first);
        assert!(budget.try_reserve(61).is_none());
        assert!(budget.try_reserve(60).is_some());
        drop(second);
    }
}
