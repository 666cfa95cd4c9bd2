//! When to try again, and when to give up: one way for downloads and for the store.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

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
/// The longest wait that a server may ask for. Who asks for more is asked again as if it had not.
const MAX_ASKED: Duration = Duration::from_mins(5);
/// The longest that is waited in all because a server asks for it, for one photo.
const PATIENCE: Duration = Duration::from_mins(15);
/// The most that is added to a wait, so that not all come back at the same moment.
const MAX_STAGGER: Duration = Duration::from_millis(500);

/// Attempts that are worth it where a failure is unlikely to pass: a bad certificate, an unknown host,
/// a host that has failed with many photos.
const ATTEMPTS_OF_LASTING: u32 = 3;

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
    patience: Arc<Patience>,
}

/// The time that was waited because servers asked for it, by all requests that share this. Waits at
/// the same time count once.
#[derive(Debug, Default)]
pub(crate) struct Patience(Mutex<Waited>);

#[derive(Debug, Default)]
struct Waited {
    /// All that was waited for.
    time: Duration,
    /// The end of the last wait.
    until: Option<Instant>,
}

impl Patience {
    /// Takes a wait out of what is left; false if there is not enough, or the wait is too long or none.
    fn take(&self, asked: Duration) -> bool {
        if asked.is_zero() || asked > MAX_ASKED {
            return false;
        }
        let mut waited = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let from = waited.until.map_or(now, |until| until.max(now));
        let until = from.max(now + asked);
        let time = waited.time + (until - from);
        if time > PATIENCE {
            return false;
        }
        *waited = Waited {
            time,
            until: Some(until),
        };
        true
    }
}

impl Retry {
    pub(crate) fn new(policy: RetryPolicy) -> Self {
        Self::sharing(policy, Arc::default())
    }

    /// The attempts of one request among several that share their patience.
    pub(crate) fn sharing(policy: RetryPolicy, patience: Arc<Patience>) -> Self {
        Self {
            policy,
            failures: 0,
            patience,
        }
    }

    /// Forgets earlier failures: something useful has arrived since.
    pub(crate) fn progressed(&mut self) {
        self.failures = 0;
    }

    /// Allows few attempts only: what failed is unlikely to pass.
    pub(crate) fn expect_no_change(&mut self) {
        self.policy.attempts = self.policy.attempts.min(ATTEMPTS_OF_LASTING);
    }

    /// Attempts in a row without progress before giving up.
    pub(crate) fn attempts(&self) -> u32 {
        self.policy.attempts
    }

    /// Failures in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Waits until the next attempt; false when there should be none. A wait that the server asks
    /// for uses up no attempt, as long as it does not ask for too much.
    pub(crate) async fn wait(&mut self, retry_after: Option<Duration>) -> bool {
        if let Some(asked) = retry_after.filter(|asked| self.patience.take(*asked)) {
            let stagger = (asked / 8).min(MAX_STAGGER).mul_f64(rand::random());
            tokio::time::sleep(asked + stagger).await;
            return true;
        }
        self.failures += 1;
        if self.failures >= self.policy.attempts {
            return false;
        }
        tokio::time::sleep(backoff(self.policy.delay, self.failures, rand::random())).await;
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

    fn retry(attempts: u32) -> Retry {
        Retry::new(RetryPolicy {
            attempts,
            delay: Duration::from_millis(100),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_unlikely_to_pass_gets_three_attempts() {
        for (attempts, made) in [(9, 3), (2, 2)] {
            let mut retry = retry(attempts);
            let start = tokio::time::Instant::now();
            retry.expect_no_change();
            while retry.wait(None).await {
                retry.expect_no_change();
            }
            assert_eq!(retry.failures(), made);
            assert!(start.elapsed() < Duration::from_secs(1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_run_out() {
        let mut retry = retry(3);
        assert!(retry.wait(None).await);
        assert!(retry.wait(None).await);
        assert!(!retry.wait(None).await);
        retry.progressed();
        assert!(retry.wait(None).await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_server_may_ask_for_patience_which_uses_up_no_attempt() {
        let mut retry = retry(2);
        let start = tokio::time::Instant::now();
        for _ in 0..20 {
            assert!(retry.wait(Some(Duration::from_secs(7))).await);
        }
        let waited = start.elapsed().as_secs();
        assert!((140..=150).contains(&waited), "{waited}");
        assert_eq!(retry.failures(), 0);
        assert!(retry.wait(None).await);
        assert!(!retry.wait(None).await);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_has_an_end() {
        let mut retry = retry(2);
        let asked = Some(Duration::from_mins(5));
        for _ in 0..3 {
            assert!(retry.wait(asked).await);
        }
        let start = tokio::time::Instant::now();
        assert!(retry.wait(asked).await, "an attempt of its own");
        assert!(!retry.wait(asked).await);
        assert!(start.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_of_one_photo_share_their_patience_and_wait_together() {
        let patience = Arc::<Patience>::default();
        let policy = retry(2).policy;
        let asked = Some(Duration::from_mins(5));
        // Two ranges at the same time: ten minutes of waiting within five.
        let mut ranges = [(); 2].map(|()| Retry::sharing(policy, patience.clone()));
        let [first, second] = &mut ranges;
        let start = Instant::now();
        assert_eq!(
            tokio::join!(first.wait(asked), second.wait(asked)),
            (true, true)
        );
        assert!(start.elapsed() < Duration::from_secs(302));
        // Ten minutes are left, for whatever comes after.
        for _ in 0..2 {
            assert!(Retry::sharing(policy, patience.clone()).wait(asked).await);
        }
        let mut last = Retry::sharing(policy, patience);
        assert!(last.wait(asked).await, "an attempt of its own");
        assert!(!last.wait(asked).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_hours_or_for_nothing_uses_up_attempts() {
        for asked in [Duration::ZERO, Duration::from_secs(301), Duration::MAX] {
            let mut retry = retry(2);
            let start = tokio::time::Instant::now();
            assert!(retry.wait(Some(asked)).await);
            assert!(!retry.wait(Some(asked)).await);
            assert!(start.elapsed() < Duration::from_secs(1));
        }
    }
}
