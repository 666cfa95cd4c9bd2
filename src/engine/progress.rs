//! How far a run is, for whoever shows it.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Asking what there is.
    Probing,
    /// Moving bytes.
    Transferring,
    /// Looking at what was stored.
    Verifying,
}

/// Counters that the engine advances and anyone may read at any time.
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    /// Photos that are probed.
    pub probed: Counter,
    /// Photos that are asked for, once folders are listed.
    pub photos_asked: Counter,
    /// How long the run has probed before it moved bytes, in milliseconds.
    pub probing_ms: Counter,
    /// Photos to probe, then photos in the archives.
    pub photos_total: Counter,
    /// Photos that have arrived.
    pub photos_done: Counter,
    /// Bytes of all archives.
    pub bytes_total: Counter,
    /// Bytes of photos that have arrived.
    pub bytes_fetched: Counter,
    /// Requests that were repeated.
    pub retries: Counter,
    /// Downloads that went on where they were cut off.
    pub resumed: Counter,
    /// Times that the run started over because a photo changed.
    pub restarts: Counter,
    /// The most downloads that ran at once.
    pub peak_connections: Counter,
}

/// A number that several tasks may change.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    pub(super) fn add(&self, value: u64) {
        self.0.fetch_add(value, Relaxed);
    }

    pub(super) fn subtract(&self, value: u64) {
        self.0.fetch_sub(value, Relaxed);
    }

    pub(super) fn at_least(&self, value: u64) {
        self.0.fetch_max(value, Relaxed);
    }
}

impl Progress {
    /// What the run is doing now.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Probing,
            1 => Phase::Transferring,
            _ => Phase::Verifying,
        }
    }

    pub(super) fn enter(&self, phase: Phase) {
        let phase = match phase {
            Phase::Probing => 0,
            Phase::Transferring => 1,
            Phase::Verifying => 2,
        };
        self.phase.store(phase, Relaxed);
    }
}
