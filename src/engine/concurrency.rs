//! How many connections at once.
//!
//! Starts at a number that serves most origins and feels its way from there: up while more
//! connections bring more bytes, back when they don't, and down by a fixed step, at most once a
//! window, when the origin asks for mercy (429, 503). Additive steps both ways, because halving
//! on every refusal was measured to collapse where many requests are refused at once.

use std::time::Duration;

/// Connections to start with, enough for 2 MB/s each to fill a small instance's network.
pub(super) const START: usize = 64;
/// How often the number is reconsidered.
pub(super) const WINDOW: Duration = Duration::from_secs(1);
/// Connections less after a window with refusals.
const STEP_DOWN: usize = 8;
/// The fewest that refusals lead to.
const FLOOR: usize = 2;
/// Bytes per second must grow by this factor for an increase to be kept.
const GAIN: f64 = 1.05;
/// Windows to leave the number alone after an increase that brought nothing, or a refusal.
const REST: u32 = 10;

/// What happened in one window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Bytes that arrived per second.
    pub(super) rate: f64,
    /// All connections were in use, and there was more to fetch.
    pub(super) busy: bool,
    /// The origin refused requests.
    pub(super) throttled: bool,
}

/// The present limit, and how it came about.
#[derive(Debug)]
pub(super) struct Concurrency {
    limit: usize,
    most: usize,
    rest: u32,
    trial: Option<Trial>,
}

/// An increase that has yet to show its worth.
#[derive(Debug, Clone, Copy)]
struct Trial {
    limit_before: usize,
    rate_before: f64,
}

impl Concurrency {
    /// `most` bounds it.
    pub(super) fn new(most: usize) -> Self {
        Self {
            limit: START.min(most),
            most,
            rest: 0,
            trial: None,
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Forgets an increase that has yet to show its worth: what follows cannot be compared.
    pub(super) fn forget_trial(&mut self) {
        self.trial = None;
    }

    /// Takes note of a window.
    pub(super) fn observe(&mut self, window: Window) {
        if window.throttled {
            self.limit = self
                .limit
                .saturating_sub(STEP_DOWN)
                .max(FLOOR.min(self.most));
            self.rest = REST;
            self.trial = None;
            return;
        }
        if let Some(trial) = self.trial.take()
            && window.rate < trial.rate_before * GAIN
        {
            self.limit = trial.limit_before;
            self.rest = REST;
            return;
        }
        if self.rest > 0 {
            self.rest -= 1;
        } else if window.busy && self.limit < self.most {
            self.trial = Some(Trial {
                limit_before: self.limit,
                rate_before: window.rate,
            });
            self.limit = (self.limit + (self.limit / 4).max(STEP_DOWN)).min(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs windows against an origin that gives `rate(connections)`.
    fn settle(concurrency: &mut Concurrency, windows: usize, rate: impl Fn(usize) -> f64) -> usize {
        for _ in 0..windows {
            let rate = rate(concurrency.limit());
            concurrency.observe(Window {
                rate,
                busy: true,
                throttled: false,
            });
        }
        concurrency.limit()
    }

    #[test]
    fn climbs_while_each_connection_adds_its_share() {
        let mut concurrency = Concurrency::new(256);
        assert_eq!(settle(&mut concurrency, 20, |n| n as f64 * 2e6), 256);
    }

    #[test]
    fn stays_where_more_connections_bring_nothing() {
        let mut concurrency = Concurrency::new(256);
        for _ in 0..50 {
            let limit = settle(&mut concurrency, 1, |_| 1e9);
            assert!(limit <= START + START / 4, "{limit}");
        }
    }

    #[test]
    fn steps_down_once_a_window_and_not_below_the_floor() {
        let mut concurrency = Concurrency::new(256);
        let refused = Window {
            rate: 1e6,
            busy: true,
            throttled: true,
        };
        concurrency.observe(refused);
        assert_eq!(concurrency.limit(), START - STEP_DOWN);
        for _ in 0..100 {
            concurrency.observe(refused);
        }
        assert_eq!(concurrency.limit(), FLOOR);
        assert!(settle(&mut concurrency, 40, |n| n as f64) > FLOOR);
    }

    #[test]
    fn idle_connections_are_no_reason_for_more() {
        let mut concurrency = Concurrency::new(256);
        for _ in 0..10 {
            concurrency.observe(Window {
                rate: 1e6,
                busy: false,
                throttled: false,
            });
        }
        assert_eq!(concurrency.limit(), START);
        assert_eq!(Concurrency::new(1).limit(), 1);
    }
}
