//! How many connections at once.
//!
//! Starts at a number that serves most origins. While most of the time is spent waiting, every
//! answer allows one connection more, which doubles them with every round trip (the slow start of
//! TCP, RFC 5681), and so does every window: thousands of small photos, each some 60 ms away, are
//! over before a second is, and long ones do not wait for the first to arrive.
//! When the CPU has work to do, or the origin asks for mercy (429, 503), that is over, and the
//! number feels its way: up while more connections bring more, back when they don't, and down by
//! a fixed step, at most once a window, when the origin asks for mercy. Additive steps both ways,
//! because halving on every refusal was measured to collapse where many requests are refused at
//! once.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

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
/// A larger share of all cores than this, and it is not for waiting that time passes.
const BUSY_CPU: f64 = 0.4;
/// How often the CPU is looked at.
const CPU_WINDOW: Duration = Duration::from_millis(50);

/// What happened in one window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// What arrived per second: bytes, or answers.
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
    /// While every answer allows one more.
    opening: Option<CpuMeter>,
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
            opening: Some(CpuMeter::new()),
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Forgets an increase that has yet to show its worth: what follows cannot be compared.
    pub(super) fn forget_trial(&mut self) {
        self.trial = None;
    }

    /// Starts over with few: the origin refuses photos when it is asked for more.
    pub(super) fn calm(&mut self, limit: usize) {
        self.opening = None;
        self.limit = self.limit.min(limit);
        self.rest = REST;
        self.trial = None;
    }

    /// Takes note of an answer; see [`Window`] about `busy` and `throttled`.
    pub(super) fn answered(&mut self, busy: bool, throttled: bool) {
        if throttled {
            self.opening = None;
        }
        if self.is_opening() && busy && self.limit < self.most {
            self.limit += 1;
        }
    }

    /// Whether it is still for waiting that time passes.
    fn is_opening(&mut self) -> bool {
        if let Some(cpu) = &mut self.opening
            && cpu.share().is_some_and(|share| share > BUSY_CPU)
        {
            self.opening = None;
        }
        self.opening.is_some()
    }

    /// Takes note of a window.
    pub(super) fn observe(&mut self, window: Window) {
        if window.throttled {
            self.opening = None;
            self.limit = self
                .limit
                .saturating_sub(STEP_DOWN)
                .max(FLOOR.min(self.most));
            self.rest = REST;
            self.trial = None;
            return;
        }
        let opening = self.is_opening();
        if let Some(trial) = self.trial.take()
            && window.rate < trial.rate_before * GAIN
        {
            self.opening = None;
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
            let step = if opening {
                self.limit
            } else {
                (self.limit / 4).max(STEP_DOWN)
            };
            self.limit = (self.limit + step).min(self.most);
        }
    }
}

/// How busy this process keeps the CPU.
#[derive(Debug)]
struct CpuMeter {
    cores: f64,
    since: Instant,
    used: Duration,
}

impl CpuMeter {
    fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            cores: cores as f64,
            since: Instant::now(),
            used: cpu_time(),
        }
    }

    /// The share of all cores since the last look, which must not be too recent.
    fn share(&mut self) -> Option<f64> {
        let elapsed = self.since.elapsed();
        if elapsed < CPU_WINDOW {
            return None;
        }
        let before = std::mem::replace(&mut self.used, cpu_time());
        self.since = Instant::now();
        let used = self.used.saturating_sub(before);
        Some(used.as_secs_f64() / (elapsed.as_secs_f64() * self.cores))
    }
}

/// What all threads of this process have used.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// Bytes per second since the last look.
pub(super) struct WindowClock {
    since: Instant,
    bytes: u64,
}

impl WindowClock {
    pub(super) fn new(bytes: u64) -> Self {
        Self {
            since: Instant::now(),
            bytes,
        }
    }

    pub(super) fn rate(&mut self, bytes: u64) -> f64 {
        let seconds = self.since.elapsed().as_secs_f64().max(0.001);
        let rate = bytes.saturating_sub(self.bytes) as f64 / seconds;
        *self = Self::new(bytes);
        rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Past the opening.
    fn opened(most: usize) -> Concurrency {
        Concurrency {
            opening: None,
            ..Concurrency::new(most)
        }
    }

    #[test]
    fn while_it_waits_every_answer_allows_one_more() {
        let mut concurrency = Concurrency::new(256);
        for _ in 0..START {
            concurrency.answered(true, false);
        }
        assert_eq!(concurrency.limit(), 2 * START);
        for _ in 0..1000 {
            concurrency.answered(false, false);
        }
        assert_eq!(concurrency.limit(), 2 * START, "no more than are needed");
        for _ in 0..1000 {
            concurrency.answered(true, false);
        }
        assert_eq!(concurrency.limit(), 256);
    }

    #[test]
    fn while_it_waits_windows_double() {
        let mut concurrency = Concurrency::new(256);
        assert_eq!(settle(&mut concurrency, 2, |n| n as f64), 256);
        let mut concurrency = Concurrency::new(256);
        assert_eq!(settle(&mut concurrency, 2, |_| 1e9), START);
        assert!(concurrency.opening.is_none());
    }

    #[test]
    fn a_refusal_ends_the_opening() {
        let mut concurrency = Concurrency::new(256);
        concurrency.answered(true, true);
        concurrency.answered(true, false);
        assert_eq!(concurrency.limit(), START);
    }

    #[test]
    fn where_few_are_served_at_once_it_feels_its_way_from_there() {
        let mut concurrency = Concurrency::new(256);
        concurrency.calm(2);
        concurrency.answered(true, false);
        assert_eq!(concurrency.limit(), 2);
        // Every connection more is refused.
        let rate = |connections: usize| connections.min(4) as f64;
        settle(&mut concurrency, REST as usize, rate);
        assert_eq!(concurrency.limit(), 2);
        assert!(settle(&mut concurrency, 40, |n| n as f64) > 20);
        let mut one = Concurrency::new(1);
        one.calm(2);
        assert_eq!(one.limit(), 1);
    }

    #[test]
    fn a_busy_cpu_ends_the_opening() {
        let mut concurrency = Concurrency::new(256);
        let mut meter = CpuMeter::new();
        // A tenth of one is enough: others may have the rest.
        meter.cores = 0.1;
        concurrency.opening = Some(meter);
        let started = Instant::now();
        while started.elapsed() < 4 * CPU_WINDOW {
            std::hint::black_box(cpu_time());
        }
        concurrency.answered(true, false);
        assert!(concurrency.opening.is_none());
        assert_eq!(concurrency.limit(), START);
    }

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
        let mut concurrency = opened(256);
        assert_eq!(settle(&mut concurrency, 20, |n| n as f64 * 2e6), 256);
    }

    #[test]
    fn stays_where_more_connections_bring_nothing() {
        let mut concurrency = opened(256);
        for _ in 0..50 {
            let limit = settle(&mut concurrency, 1, |_| 1e9);
            assert!(limit <= START + START / 4, "{limit}");
        }
    }

    #[test]
    fn steps_down_once_a_window_and_not_below_the_floor() {
        let mut concurrency = opened(256);
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
        let mut concurrency = opened(256);
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
