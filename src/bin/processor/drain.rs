//! What a container does: the job queue, until it is empty.

use std::sync::Arc;
use std::time::Duration;

use wedding_photo_processor::aws::host;
use wedding_photo_processor::cli::{Failure, output, services};
use wedding_photo_processor::clock;
use wedding_photo_processor::exit_code::ExitCode;
use wedding_photo_processor::job::Owner;
use wedding_photo_processor::processor::{self, WorkOptions, Worker};
use wedding_photo_processor::settings::Settings;

use crate::commands::Context;

/// AWS Batch tells a container these (its documentation, "AWS Batch job environment variables").
pub(crate) const BATCH_JOB_ID: &str = "AWS_BATCH_JOB_ID";
const BATCH_JOB_ATTEMPT: &str = "AWS_BATCH_JOB_ATTEMPT";
/// ECS, on which Batch runs, tells where to ask for more ("Task metadata endpoint version 4").
const ECS_METADATA: &str = "ECS_CONTAINER_METADATA_URI_V4";

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns which attempt of its Batch job this container is, counted from 1.
pub(crate) fn batch_attempt() -> Option<u32> {
    variable(BATCH_JOB_ATTEMPT)?.parse().ok()
}

pub(crate) async fn drain(context: &Context) -> Result<ExitCode, Failure> {
    let settings = &context.loaded.settings;
    let http = services::http()?;
    let service = services::service(settings, &context.store, &http).await?;
    let source = services::source(settings, &context.store)?;
    let log_stream = match variable(ECS_METADATA) {
        Some(url) => host::log_stream(&http, &url).await,
        None => None,
    };
    let owner = Owner {
        id: clock::new_secret(),
        batch_job_id: variable(BATCH_JOB_ID),
        batch_attempt: batch_attempt(),
        log_stream,
    };
    tracing::info!(
        owner.id,
        owner.batch_job_id,
        owner.batch_attempt,
        owner.log_stream,
        "draining the job queue"
    );
    let (aws, bucket) = (service.aws, service.bucket.clone());
    let watch = tokio::spawn(host::watch_for_interruption(http, context.cancel.clone()));
    let worker = Worker {
        bucket: Arc::new(service.bucket),
        queue: service.queue,
        archives: service.archives,
        source: Arc::new(source),
        courier: Arc::new(services::courier(settings)?),
        owner,
        options: work_options(settings)?,
        clock: clock::system,
        metrics: output::line,
    };
    // Jobs need not wait for it.
    let feedback = services::take_in_feedback(settings, &aws, &bucket);
    let (drained, _) = tokio::join!(
        processor::drain(Arc::new(worker), &context.cancel),
        context.cancel.run_until_cancelled(feedback),
    );
    watch.abort();
    let drained = drained?;
    let (done, failed, put_aside) = (drained.done, drained.failed, drained.put_aside);
    if drained.interrupted {
        tracing::warn!(
            done,
            failed,
            put_aside,
            "stopped before the job queue was empty"
        );
        return Ok(ExitCode::Terminated);
    }
    tracing::info!(done, failed, put_aside, "the job queue is empty");
    Ok(ExitCode::Done)
}

fn work_options(settings: &Settings) -> Result<WorkOptions, Failure> {
    let deliver = settings.deliver_options().map_err(Failure::usage)?;
    Ok(WorkOptions {
        visibility_timeout: settings.queue.visibility_timeout.0,
        wait: settings.queue.wait.0,
        attempts: settings.job.attempts,
        retry_delay: settings.job.retry_delay.0,
        max_per_event: settings.job.max_per_event,
        keep_personal: Duration::from_hours(24 * u64::from(settings.job.keep_personal_days)),
        engine: settings.engine_options(),
        rules: settings.source_rules(),
        deliver,
    })
}
