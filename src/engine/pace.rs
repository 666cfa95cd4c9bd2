//! The speed of downloads: which one hangs behind the others, and which one all but stands still.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use crate::source::{PhotoBody, SourceError};

/// Bytes a second below which a download counts as standing still.
const LEAST_RATE: u64 = 1024;

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

/// The flow of one body. One that brings nothing for the time of `source.stall_timeout`, or less than
/// a kilobyte a second over that time, has stalled: at one byte a second a photo would take weeks.
#[derive(Debug)]
pub(super) struct Flow {
    stall_timeout: Duration,
    since: Instant,
    /// Bytes since then.
    bytes: u64,
}

impl Flow {
    pub(super) fn new(stall_timeout: Duration) -> Self {
        Self {
            stall_timeout,
            since: Instant::now(),
            bytes: 0,
        }
    }

    /// The next bytes of the body, `None` at the end.
    pub(super) async fn chunk<B: PhotoBody>(
        &mut self,
        body: &mut B,
    ) -> Result<Option<Bytes>, SourceError> {
        let seconds = self.stall_timeout.as_secs_f64();
        let chunk = timeout(self.stall_timeout, body.chunk())
            .await
            .map_err(|_| SourceError::transient(format!("no bytes for {seconds} s")))??;
        self.bytes += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        let elapsed = self.since.elapsed();
        if chunk.is_some() && elapsed >= self.stall_timeout {
            if (self.bytes as f64) < LEAST_RATE as f64 * elapsed.as_secs_f64() {
                return Err(SourceError::transient(format!(
                    "less than 1 KiB/s for {seconds} s"
                )));
            }
            (self.since, self.bytes) = (Instant::now(), 0);
        }
        Ok(chunk)
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

    /// Brings so many bytes after every so many milliseconds, for so many times.
    struct Drops(usize, u64, u32);

    impl PhotoBody for Drops {
        async fn chunk(&mut self) -> Result<Option<Bytes>, SourceError> {
            if self.2 == 0 {
                return Ok(None);
            }
            self.2 -= 1;
            tokio::time::sleep(Duration::from_millis(self.1)).await;
            Ok(Some(vec![0; self.0].into()))
        }
    }

    /// Seconds until the end of a body, or until it counts as stalled.
    async fn flows(mut body: Drops) -> Result<u64, u64> {
        let start = Instant::now();
        let mut flow = Flow::new(Duration::from_secs(30));
        loop {
            match flow.chunk(&mut body).await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(start.elapsed().as_secs()),
                Err(_) => return Err(start.elapsed().as_secs()),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn less_than_a_kilobyte_a_second_is_a_stall() {
        assert_eq!(flows(Drops(1, 1000, 1_000_000)).await, Err(30));
        assert_eq!(flows(Drops(1000, 1000, 1_000_000)).await, Err(30));
        assert_eq!(flows(Drops(0, 29_000, 1_000_000)).await, Err(58));
        assert_eq!(flows(Drops(1, 31_000, 1_000_000)).await, Err(30));
        assert_eq!(flows(Drops(1100, 1000, 100)).await, Ok(100));
        assert_eq!(flows(Drops(20_000, 25_000, 4)).await, Err(50));
        assert_eq!(flows(Drops(64_000, 25_000, 4)).await, Ok(100));
        // Short ones may take their time.
        assert_eq!(flows(Drops(1, 1000, 29)).await, Ok(29));
    }
}
