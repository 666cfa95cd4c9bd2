//! How fast downloads usually are, to tell the one that hangs behind.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Downloads that must have finished before any is called slow.
const ENOUGH: u32 = 8;
/// A download this many times slower than usual is worth a new connection.
const FAR_SLOWER: f64 = 10.0;
/// Downloads shorter than this, in bytes, tell more about latency than about speed.
const TELLING_BYTES: u64 = 1024 * 1024;
/// Weight of the newest download in the average.
const WEIGHT: f64 = 0.1;

/// A moving average of bytes per second and connection.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<Average>);

#[derive(Debug, Default, Clone, Copy)]
struct Average {
    rate: f64,
    count: u32,
}

impl Pace {
    /// Takes note of a finished download.
    pub(super) fn record(&self, bytes: u64, elapsed: Duration) {
        let Some(rate) = rate(bytes, elapsed).filter(|_| bytes >= TELLING_BYTES) else {
            return;
        };
        let mut average = self.lock();
        average.rate = match average.count {
            0 => rate,
            _ => average.rate * (1.0 - WEIGHT) + rate * WEIGHT,
        };
        average.count = average.count.saturating_add(1);
    }

    /// Whether a download that got so many bytes in so much time is far behind the others.
    pub(super) fn is_far_behind(&self, bytes: u64, elapsed: Duration) -> bool {
        let average = *self.lock();
        average.count >= ENOUGH
            && rate(bytes, elapsed).is_some_and(|rate| rate * FAR_SLOWER < average.rate)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Average> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rate(bytes: u64, elapsed: Duration) -> Option<f64> {
    let seconds = elapsed.as_secs_f64();
    (seconds > 0.0).then(|| bytes as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_download_far_behind_the_others_is_slow() {
        let pace = Pace::default();
        let second = Duration::from_secs(1);
        for _ in 0..ENOUGH - 1 {
            pace.record(2_000_000, second);
        }
        assert!(!pace.is_far_behind(1, second), "too few to compare with");
        pace.record(2_000_000, second);
        assert!(pace.is_far_behind(100_000, second));
        assert!(!pace.is_far_behind(400_000, second));
        for _ in 0..100 {
            pace.record(20_000, Duration::from_micros(20));
        }
        assert!(
            !pace.is_far_behind(400_000, second),
            "thumbnails tell nothing"
        );
    }
}
