//! Lessons of earlier attempts about photos, so that a run that starts over knows better.

use std::collections::HashMap;

use super::fetch::FailureKind;
use crate::plan::{Fate, MissingReason};

/// Lessons of earlier attempts about photos, by index.
#[derive(Debug, Default)]
pub(super) struct Lessons {
    /// True if every photo is probed, even those whose size the manifest gives, and thoroughly.
    pub(super) distrust: bool,
    verdicts: HashMap<usize, Verdict>,
}

#[derive(Debug, Clone)]
enum Verdict {
    Missing(MissingReason),
    ChangedOnce,
    Spool,
}

impl Lessons {
    /// Takes note of what a transfer found.
    pub(super) fn learn(&mut self, photo: usize, kind: FailureKind) {
        self.distrust = true;
        let verdict = match (kind, self.verdicts.get(&photo)) {
            (FailureKind::Missing(reason), _) => Verdict::Missing(reason),
            (FailureKind::Exhausted { what, .. }, _) => {
                Verdict::Missing(MissingReason::Unreachable { what })
            }
            // What keeps changing between two requests may hold still within one.
            (FailureKind::Changed(_), Some(Verdict::ChangedOnce)) => Verdict::Spool,
            (FailureKind::Changed(_), _) => Verdict::ChangedOnce,
            (FailureKind::NoRanges | FailureKind::Spool(_) | FailureKind::Settings(_), _) => {
                Verdict::Spool
            }
        };
        self.verdicts.insert(photo, verdict);
    }

    /// Takes note of photos that took long to be given up, so that this is done only once.
    pub(super) fn remember(&mut self, fates: &[Fate]) {
        for (photo, fate) in fates.iter().enumerate() {
            if let Fate::Missing(reason) = fate
                && (reason.may_be_a_limit() || matches!(reason, MissingReason::Unreachable { .. }))
            {
                self.verdicts
                    .insert(photo, Verdict::Missing(reason.clone()));
            }
        }
    }

    /// Returns whether anything is known of this photo.
    pub(super) fn knows(&self, photo: usize) -> bool {
        self.verdicts.contains_key(&photo)
    }

    /// Returns why this photo is missing for certain, if it is.
    pub(super) fn missing(&self, photo: usize) -> Option<&MissingReason> {
        match self.verdicts.get(&photo) {
            Some(Verdict::Missing(reason)) => Some(reason),
            _ => None,
        }
    }

    /// Returns whether this photo is only to be had whole.
    pub(super) fn is_to_be_spooled(&self, photo: usize) -> bool {
        matches!(self.verdicts.get(&photo), Some(Verdict::Spool))
    }
}
