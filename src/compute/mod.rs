//! The port for places to work: AWS Batch ([`batch`]), Batch behind a [`doorbell`], or memory ([`memory`], for
//! tests).
//!
//! A container needs no parameters, since the queue says what to do; so all that is asked for is
//! one more. "Job queue" is Batch's word for where containers wait for a machine.

pub mod batch;
pub mod doorbell;
pub mod memory;

use std::future::Future;

use crate::aws::{AwsError, AwsErrorKind};
use crate::queue::QueueError;

/// Gives containers a machine.
pub trait Compute: Send + Sync + 'static {
    /// Asks for one more container, and tells the id of its job.
    fn submit(&self, name: &str) -> impl Future<Output = Result<String, ComputeError>> + Send;

    /// How many containers there are; counts no further than `enough` of each kind.
    fn active(&self, enough: usize) -> impl Future<Output = Result<Active, ComputeError>> + Send;

    /// What is known of a container's job; `None` if nothing is, any more.
    fn describe(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<Option<ContainerJob>, ComputeError>> + Send;
}

/// Containers that have not ended, by what they do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Active {
    /// Those that will run.
    pub waiting: usize,
    /// Those that run; some may be about to end.
    pub running: usize,
}

impl Active {
    /// Both.
    pub fn total(self) -> usize {
        self.waiting + self.running
    }
}

/// A container's job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerJob {
    /// Its stream in CloudWatch Logs.
    pub log_stream: Option<String>,
}

/// Why there is no container.
#[derive(Debug, thiserror::Error)]
pub enum ComputeError {
    /// Batch did not do what it was asked.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The doorbell or the job queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl ComputeError {
    /// Whether nothing will change until somebody changes a setting or a permission.
    pub fn is_about_settings(&self) -> bool {
        match self {
            Self::Aws(error) => error.kind == AwsErrorKind::Settings,
            Self::Queue(error) => error.is_about_settings(),
        }
    }
}
