//! What both programs share at their edge: options that are settings, printing, failures, and the
//! services that the settings name. The programs themselves are in `src/bin`.

pub mod args;
pub mod input;
pub mod output;
pub mod services;

use std::error::Error;
use std::io;

use crate::engine::EngineError;
use crate::exit_code::ExitCode;
use crate::manifest::Violations;
use crate::processor::DrainError;
use crate::submit::SubmitError;

/// Why a command failed, and the exit code for that.
#[derive(Debug)]
pub struct Failure {
    /// What happened, with its causes.
    pub error: Box<dyn Error + Send + Sync>,
    /// How the program ends.
    pub code: ExitCode,
}

impl Failure {
    /// A failure with an exit code.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>, code: ExitCode) -> Self {
        Self {
            error: error.into(),
            code,
        }
    }

    /// The command line or a setting is wrong.
    pub fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(error, ExitCode::Usage)
    }

    /// It may pass.
    pub fn try_again(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(error, ExitCode::TryAgain)
    }

    /// Somebody asked to stop.
    pub fn stopped(code: ExitCode) -> Self {
        Self::new("interrupted", code)
    }
}

/// Failures whose exit code the table knows.
macro_rules! by_exit_code {
    ($($error:ty),+) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                let code = ExitCode::from(&error);
                Self::new(error, code)
            }
        })+
    };
}

by_exit_code!(EngineError, DrainError, SubmitError);

impl From<Violations> for Failure {
    fn from(violations: Violations) -> Self {
        Self::new(violations, ExitCode::BadData)
    }
}

/// Printing failed.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::try_again(error)
    }
}
