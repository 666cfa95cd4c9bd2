//! Containers on AWS Batch.

use std::time::Duration;

use aws_sdk_batch::Client;
use aws_sdk_batch::types::JobStatus;
use futures_util::future::try_join_all;
use tokio::try_join;

use super::{Active, Compute, ComputeError, ContainerJob};
use crate::aws::{Action, Aws, Target};

/// The longest name of a job (API reference, `SubmitJob`).
const MAX_NAME: usize = 128;

/// A job queue of AWS Batch, and the definition of the jobs that are put into it.
#[derive(Debug, Clone)]
pub struct BatchCompute {
    aws: Aws,
    client: Client,
    job_queue: String,
    job_definition: String,
    target: Target,
}

impl BatchCompute {
    /// Jobs of this definition in this job queue; names or ARNs.
    pub fn new(aws: &Aws, job_queue: &str, job_definition: &str) -> Self {
        Self {
            client: Client::new(aws.config()),
            aws: aws.clone(),
            target: Target {
                service: "AWS Batch",
                resource: format!(
                    "job queue `{job_queue}` (`BATCH_JOB_QUEUE_ARN`) and the job definition \
                     `{job_definition}` (`BATCH_JOB_DEFINITION_ARN`)"
                ),
            },
            job_queue: job_queue.to_owned(),
            job_definition: job_definition.to_owned(),
        }
    }

    async fn count(&self, status: JobStatus, enough: usize) -> Result<usize, ComputeError> {
        let action = Action {
            doing: "counting the containers",
            permission: "batch:ListJobs",
        };
        let mut count = 0;
        let mut token: Option<String> = None;
        loop {
            let page = self
                .aws
                .call(&self.target, action, Duration::ZERO, || {
                    self.client
                        .list_jobs()
                        .job_queue(&self.job_queue)
                        .job_status(status.clone())
                        .set_next_token(token.clone())
                        .send()
                })
                .await?;
            let ours = page.job_summary_list().iter().filter(|job| {
                (job.job_definition()).is_none_or(|definition| {
                    definition_name(definition) == definition_name(&self.job_definition)
                })
            });
            count += ours.count();
            token = page.next_token;
            if token.is_none() || count >= enough {
                return Ok(count);
            }
        }
    }
}

/// A name that Batch takes: it begins with a letter or a digit, and has letters, digits, `-` and `_`.
fn job_name(name: &str) -> String {
    let name = name.chars().map(|c| match c {
        c if c.is_ascii_alphanumeric() || c == '_' => c,
        _ => '-',
    });
    "photos-".chars().chain(name).take(MAX_NAME).collect()
}

/// The name in `arn:aws:batch:region:account:job-definition/name:revision`, or in `name:revision`.
fn definition_name(definition: &str) -> &str {
    let name = definition.rsplit('/').next().unwrap_or_default();
    name.split(':').next().unwrap_or_default()
}

impl Compute for BatchCompute {
    async fn submit(&self, name: &str) -> Result<String, ComputeError> {
        let action = Action {
            doing: "asking for a container",
            permission: "batch:SubmitJob",
        };
        let name = job_name(name);
        let answer = self
            .aws
            .call(&self.target, action, Duration::ZERO, || {
                self.client
                    .submit_job()
                    .job_name(&name)
                    .job_queue(&self.job_queue)
                    .job_definition(&self.job_definition)
                    .send()
            })
            .await?;
        Ok(answer.job_id.unwrap_or_default())
    }

    async fn active(&self, enough: usize) -> Result<Active, ComputeError> {
        let waiting = [
            JobStatus::Submitted,
            JobStatus::Pending,
            JobStatus::Runnable,
            JobStatus::Starting,
        ]
        .map(|status| self.count(status, enough));
        let running = self.count(JobStatus::Running, enough);
        let (waiting, running) = try_join!(try_join_all(waiting), running)?;
        Ok(Active {
            waiting: waiting.into_iter().sum::<usize>().min(enough),
            running: running.min(enough),
        })
    }

    async fn describe(&self, id: &str) -> Result<Option<ContainerJob>, ComputeError> {
        let action = Action {
            doing: "looking at a container",
            permission: "batch:DescribeJobs",
        };
        let answer = self
            .aws
            .call(&self.target, action, Duration::ZERO, || {
                self.client.describe_jobs().jobs(id).send()
            })
            .await?;
        let job = answer.jobs.unwrap_or_default().into_iter().next();
        Ok(job.map(|job| ContainerJob {
            log_stream: job
                .container
                .and_then(|container| container.log_stream_name),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_definitions_are_told_apart_by_name() {
        let arn = "arn:aws:batch:us-east-1:123456789012:job-definition/photos:7";
        assert_eq!(definition_name(arn), "photos");
        assert_eq!(definition_name("photos:3"), "photos");
        assert_eq!(definition_name("photos"), "photos");
    }

    #[test]
    fn names_are_such_as_batch_takes() {
        assert_eq!(job_name("smith-jones_2026"), "photos-smith-jones_2026");
        assert_eq!(job_name("_.smith & jones"), "photos-_-smith---jones");
        assert_eq!(job_name(&"x".repeat(200)).len(), MAX_NAME);
    }
}
