//! Exit codes: an interface, read by AWS Batch's `evaluateOnExit` and by scripts.

use std::io;

use crate::bucket::BucketError;
use crate::engine::EngineError;
use crate::plan::PlanError;
use crate::processor::DrainError;
use crate::s3::{StoreError, StoreErrorKind};
use crate::sink::SinkError;
use crate::submit::SubmitError;

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// All is done.
    Done = 0,
    /// The command line or a setting is wrong.
    Usage = 2,
    /// The manifest is bad, or the archive looked at is damaged (`EX_DATAERR` of sysexits.h).
    BadData = 65,
    /// Photos are missing (`EX_NOINPUT`).
    Missing = 66,
    /// Aborted again, where the attempt before may have been, too (`EX_SOFTWARE`): a fault of the program, or no
    /// memory.
    Aborted = 70,
    /// Failed, worth another try (`EX_TEMPFAIL`).
    TryAgain = 75,
    /// Stopped by Ctrl-C (128 + SIGINT); can be run again.
    Interrupted = 130,
    /// Stopped by SIGTERM (128 + 15); can be run again.
    Terminated = 143,
}

impl ExitCode {
    /// Every code, its meaning in a few words, and whether another attempt makes sense.
    pub const TABLE: [(Self, &'static str, bool); 8] = [
        (Self::Done, "done", false),
        (Self::Usage, "usage or settings", false),
        (
            Self::BadData,
            "the manifest is bad, or the archive damaged",
            false,
        ),
        (Self::Missing, "photos are missing", false),
        (Self::Aborted, "aborted again", false),
        (Self::TryAgain, "failed, worth another try", true),
        (Self::Interrupted, "interrupted (Ctrl-C)", true),
        (Self::Terminated, "terminated (SIGTERM)", true),
    ];
}

impl ExitCode {
    /// A file that cannot be written: a matter of settings where it is about names and
    /// permissions, else something that may pass.
    fn of_io(error: &io::Error) -> Self {
        use io::ErrorKind::{
            IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem,
        };
        match error.kind() {
            IsADirectory | NotADirectory | NotFound | PermissionDenied | ReadOnlyFilesystem => {
                Self::Usage
            }
            _ => Self::TryAgain,
        }
    }
}

impl ExitCode {
    /// The code of this number, if there is one.
    pub fn from_number(number: u8) -> Option<Self> {
        (Self::TABLE.iter())
            .map(|(code, ..)| *code)
            .find(|code| *code as u8 == number)
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

impl From<&StoreError> for ExitCode {
    fn from(error: &StoreError) -> Self {
        match error.kind {
            StoreErrorKind::Settings => Self::Usage,
            _ => Self::TryAgain,
        }
    }
}

impl From<&SinkError> for ExitCode {
    fn from(error: &SinkError) -> Self {
        match error {
            SinkError::Unusable { source, .. } => Self::of_io(source),
            SinkError::Store(error) => Self::from(error),
            _ => Self::TryAgain,
        }
    }
}

impl From<&BucketError> for ExitCode {
    fn from(error: &BucketError) -> Self {
        match error {
            BucketError::Store { source, .. } => Self::from(source),
            BucketError::Io { source, .. } => Self::of_io(source),
            BucketError::Unacceptable { .. } => Self::BadData,
            BucketError::Conflict { .. } => Self::TryAgain,
        }
    }
}

/// Settings, or something that may pass.
fn settings_or_not(is_about_settings: bool) -> ExitCode {
    if is_about_settings {
        ExitCode::Usage
    } else {
        ExitCode::TryAgain
    }
}

impl From<&DrainError> for ExitCode {
    fn from(error: &DrainError) -> Self {
        match error {
            DrainError::Queue(error) => settings_or_not(error.is_about_settings()),
            DrainError::Bucket(error) => settings_or_not(Self::from(error) == Self::Usage),
            DrainError::BucketSlow => Self::TryAgain,
            DrainError::Settings(_) => Self::Usage,
        }
    }
}

impl From<&SubmitError> for ExitCode {
    fn from(error: &SubmitError) -> Self {
        match error {
            SubmitError::Queue(error) => settings_or_not(error.is_about_settings()),
            SubmitError::Compute(error) => settings_or_not(error.is_about_settings()),
            SubmitError::Bucket(error) => Self::from(error),
            SubmitError::Archives(error) => Self::from(error),
            SubmitError::NoJob(_)
            | SubmitError::SeveralJobs { .. }
            | SubmitError::WrongStatus { .. }
            | SubmitError::Nobody(_)
            | SubmitError::ArchivesGone(_) => Self::Usage,
            SubmitError::State { .. } | SubmitError::Manifest { .. } => Self::BadData,
            SubmitError::Busy(_) => Self::TryAgain,
        }
    }
}

impl From<&EngineError> for ExitCode {
    fn from(error: &EngineError) -> Self {
        match error {
            EngineError::Missing { .. } => Self::Missing,
            EngineError::Plan(PlanError::TooLong { .. })
            | EngineError::TooManyPhotos { .. }
            | EngineError::TooManyBytes { .. } => Self::BadData,
            EngineError::BudgetTooSmall { .. }
            | EngineError::SpoolFull { .. }
            | EngineError::SourceSettings(_) => Self::Usage,
            EngineError::SpoolIo { source, .. } => Self::of_io(source),
            EngineError::Sink(error) => Self::from(error),
            EngineError::Plan(_)
            | EngineError::Unreachable { .. }
            | EngineError::Fetch { .. }
            | EngineError::Listing { .. }
            | EngineError::KeepsChanging { .. }
            | EngineError::Verify { .. }
            | EngineError::Internal(_) => Self::TryAgain,
            EngineError::Cancelled => Self::Terminated,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_job_definition_knows_every_code() {
        let contract: Value =
            serde_json::from_str(include_str!("../tests/data/contract.json")).unwrap();
        let codes: Vec<Value> = ExitCode::TABLE
            .iter()
            .map(|&(code, meaning, retry)| json!({"code": code as u8, "meaning": meaning, "retry": retry}))
            .collect();
        assert_eq!(
            contract["exit_codes"],
            json!(codes),
            "tests/data/contract.json, for terraform/"
        );
    }
}
