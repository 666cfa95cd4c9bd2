//! Containers by way of a *doorbell*: an SQS queue. For each message in it, an `EventBridge` pipe submits one Batch
//! job, always with the same parameters.
//!
//! `batch:SubmitJob` allows any command and any environment for our image, with the container's own rights, and IAM
//! has no condition for them. A caller that may only ring chooses neither.

use super::{Active, Compute, ComputeError, ContainerJob};
use crate::aws::Aws;
use crate::queue::Queue as _;
use crate::queue::sqs::SqsQueue;

/// The message body. The pipe ignores it.
const RING: &str = "a container, please";

/// A doorbell, and the job queue that containers drain.
#[derive(Debug, Clone)]
pub struct Doorbell {
    bell: SqsQueue,
    jobs: SqsQueue,
}

impl Doorbell {
    /// Creates the doorbell at `url`. The depth of `jobs` stands for the number of containers.
    pub fn new(aws: &Aws, url: &str, jobs: SqsQueue) -> Self {
        Self {
            bell: SqsQueue::new(aws, url, "`BATCH_DOORBELL_URL`"),
            jobs,
        }
    }
}

impl Compute for Doorbell {
    /// Sends a message, and returns `doorbell:` and its id. The id of the Batch job is not known to the caller.
    async fn submit(&self, _name: &str) -> Result<String, ComputeError> {
        let id = self.bell.post(RING).await?;
        Ok(format!("doorbell:{id}"))
    }

    /// Counts one container for each message in the job queue, since each sender rang once. Idle containers are not
    /// counted, so there may be one too many; it exits when the queue is empty.
    async fn active(&self, enough: usize) -> Result<Active, ComputeError> {
        let depth = self.jobs.depth().await?;
        Ok(Active {
            waiting: depth.waiting.min(enough),
            running: depth.in_flight.min(enough),
        })
    }

    /// Returns `None`: only operators may describe Batch jobs.
    async fn describe(&self, _id: &str) -> Result<Option<ContainerJob>, ComputeError> {
        Ok(None)
    }
}
