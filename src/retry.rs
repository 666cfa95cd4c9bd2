//! When to try again, and when to give up: one way for downloads and for the store.

use std::future::Future;
use std::time::Duration;

/// How often and how patiently a failed request is repeated.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Attempts in a row without progress before giving up.
    pub attempts: u32,
    /// Pause before the second attempt; doubled for each one after that.
    pub delay: Duration,
}

/// The longest pause between attempts, unless the server asks for more.
const MAX_DELAY: Duration = Duration::from_secs(20);

/// Makes `attempt` until it works, fails in a way that won't pass, or has failed often enough.
pub(crate) async fn repeat<T, E, F: Future<Output = Result<T, E>>>(
    policy: RetryPolicy,
    attempt: impl Fn() -> F,
    may_pass: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let mut retry = Retry::new(policy);
    loop {
        match attempt().await {
            Err(error) if may_pass(&error) => {
                if !retry.wait(None).await {
                    return Err(error);
                }
            }
            answer => return answer,
        }
    }
}

/// The attempts of one request.
#[derive(Debug)]
pub(crate) struct Retry {
    policy: RetryPolicy,
    failures: u32,
}

impl Retry {
    pub(crate) fn new(policy: RetryPolicy) -> Self {
        Self {
            policy,
            failures: 0,
        }
    }

    /// Forgets earlier failures: something useful has arrived since.
    pub(crate) fn progressed(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Waits until the next attempt, at least as long as the server asks; false when there should
    /// be none.
    pub(crate) async fn wait(&mut self, retry_after: Option<Duration>) -> bool {
        self.failures += 1;
        if self.failures >= self.policy.attempts {
            return false;
        }
        let pause = backoff(self.policy.delay, self.failures, rand::random());
        tokio::time::sleep(retry_after.unwrap_or_default().max(pause)).await;
        true
    }
}

/// The pause after so many failures: doubling, and between half and all of it by `chance`, so
/// that many requests that failed together do not come back together.
fn backoff(delay: Duration, failures: u32, chance: f64) -> Duration {
    let doubled = delay.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1)));
    doubled.min(MAX_DELAY).mul_f64(0.5 + chance / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        let pause = |failures, chance| backoff(Duration::from_millis(200), failures, chance);
        assert_eq!(pause(1, 1.0), Duration::from_millis(200));
        assert_eq!(pause(1, 0.0), Duration::from_millis(100));
        assert_eq!(pause(4, 1.0), Duration::from_millis(1600));
        assert_eq!(pause(40, 1.0), MAX_DELAY);
    }

    #[test]
    fn the_stores_outages_of_a_minute_are_ridden_out() {
        let policy = crate::settings::R2Settings::default();
        let shortest: Duration = (1..policy.attempts)
            .map(|failures| backoff(policy.retry_delay.0, failures, 0.0))
            .sum();
        assert!(shortest > Duration::from_mins(1), "{shortest:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_server_may_ask_for_more_patience() {
        let mut retry = Retry::new(RetryPolicy {
            attempts: 3,
            delay: Duration::from_millis(100),
        });
        let asked = Some(Duration::from_secs(7));
        let start = tokio::time::Instant::now();
        assert!(retry.wait(asked).await);
        assert_eq!(start.elapsed(), Duration::from_secs(7));
        assert!(retry.wait(asked).await);
        assert!(!retry.wait(asked).await);
        retry.progressed();
        assert!(retry.wait(asked).await);
    }
}
