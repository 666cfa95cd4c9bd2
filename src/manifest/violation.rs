//! What is wrong with a manifest, in words that let its author mend it.

use std::fmt;

/// How many violations are shown; the rest are counted.
const SHOWN: usize = 20;

/// One thing that is wrong: where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The place, such as `photos[12].url`; `manifest` for the document itself.
    pub place: String,
    /// The fact.
    pub problem: String,
    /// The fix.
    pub remedy: String,
}

/// Everything that is wrong with one manifest; never empty as an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations {
    first: Vec<Violation>,
    total: usize,
}

impl Violations {
    /// Notes one more.
    pub fn add(
        &mut self,
        place: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.total += 1;
        if self.first.len() < SHOWN {
            self.first.push(Violation {
                place: place.into(),
                problem: problem.into(),
                remedy: remedy.into(),
            });
        }
    }

    /// The first twenty.
    pub fn first(&self) -> &[Violation] {
        &self.first
    }

    /// How many there are in all.
    pub fn total(&self) -> usize {
        self.total
    }

    /// `value` if nothing is wrong.
    pub(super) fn or(self, value: Option<super::Manifest>) -> Result<super::Manifest, Self> {
        match value {
            Some(value) if self.total == 0 => Ok(value),
            _ => Err(self),
        }
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.total {
            1 => write!(f, "the manifest has 1 problem")?,
            n => write!(f, "the manifest has {n} problems")?,
        }
        for violation in &self.first {
            write!(
                f,
                "\n  {}: {}; {}",
                violation.place, violation.problem, violation.remedy
            )?;
        }
        match self.total - self.first.len() {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl std::error::Error for Violations {}
