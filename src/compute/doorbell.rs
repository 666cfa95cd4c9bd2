//! Containers that somebody else asks Batch for: whoever wants one sends a message to the *doorbell*, a queue of
//! SQS from which a pipe of `EventBridge` submits one job, with the same parameters each time.
//!
//! `batch:SubmitJob` allows any command and any environment for our image, with the container's own rights, and IAM
//! has no condition for them. Who may only ring chooses neither.

use super::{Active, Compute, ComputeError, ContainerJob};
use crate::aws::Aws;
use crate::queue::Queue as _;
use crate::queue::sqs::SqsQueue;

/// What is sent. The pipe does not look at it.
const RING: &str = "a container, please";

/// A doorbell, and the queue of the jobs that containers take.
#[derive(Debug, Clone)]
pub struct Doorbell {
    bell: SqsQueue,
    jobs: SqsQueue,
}

impl Doorbell {
    /// The doorbell at `url`. `jobs` tells how many containers there are.
    pub fn new(aws: &Aws, url: &str, jobs: SqsQueue) -> Self {
        Self {
            bell: SqsQueue::new(aws, url, "`BATCH_DOORBELL_URL`"),
            jobs,
        }
    }
}

impl Compute for Doorbell {
    /// Rings, and tells `doorbell:` and the message's id: who rings does not learn the job's.
    async fn submit(&self, _name: &str) -> Result<String, ComputeError> {
        let id = self.bell.post(RING).await?;
        Ok(format!("doorbell:{id}"))
    }

    /// One container for each message in the queue of jobs: each was sent by somebody who rang. Containers that
    /// are idle for the last time are not counted, so one too many may be asked for; it ends by itself.
    async fn active(&self, enough: usize) -> Result<Active, ComputeError> {
        let depth = self.jobs.depth().await?;
        Ok(Active {
            waiting: depth.waiting.min(enough),
            running: depth.in_flight.min(enough),
        })
    }

    /// Nothing: what Batch knows of its jobs is for operators.
    async fn describe(&self, _id: &str) -> Result<Option<ContainerJob>, ComputeError> {
        Ok(None)
    }
}
