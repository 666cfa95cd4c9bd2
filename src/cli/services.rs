//! The services that the settings name.

use std::time::Duration;

use tokio::time::timeout;

use super::Failure;
use crate::archives::Archives;
use crate::aws::{Aws, AwsErrorKind, AwsOptions, HyperClient};
use crate::clock;
use crate::compute::batch::BatchCompute;
use crate::compute::doorbell::Doorbell;
use crate::compute::{Active, Compute, ComputeError, ContainerJob};
use crate::deliver::feedback;
use crate::deliver::wire::Wire;
use crate::exit_code::ExitCode;
use crate::queue::sqs::SqsQueue;
use crate::s3::{S3Bucket, S3Options, S3Store};
use crate::settings::{ContainerNames, Settings, SettingsError};
use crate::source::routed::RoutedSource;

/// The longest time that reading feedback may take.
const FEEDBACK_WITHIN: Duration = Duration::from_secs(10);

/// A client for HTTP, which all services share.
///
/// # Errors
/// If TLS cannot be set up.
pub fn http() -> Result<HyperClient, Failure> {
    HyperClient::new().map_err(Failure::usage)
}

/// How the store is reached that `s3://` means, or why it is not; made once, so that all share its keys.
pub type Store = Result<S3Options, SettingsError>;

/// The store that `s3://` means.
///
/// # Errors
/// If settings are missing, or its keys cannot be had.
pub async fn store(options: &Store, http: &HyperClient) -> Result<S3Store, Failure> {
    let options = options
        .as_ref()
        .map_err(|error| Failure::usage(error.clone()))?;
    let store = S3Store::new(options, http).await;
    store.map_err(|error| {
        let code = ExitCode::from(&error);
        Failure::new(error, code)
    })
}

/// Where photos come from.
///
/// # Errors
/// If TLS cannot be set up.
pub fn source(settings: &Settings, store: &Store) -> Result<RoutedSource, Failure> {
    if !settings.proxies.is_empty() {
        tracing::info!(
            "photos are fetched through a proxy (`{}`), which looks names up by itself: the address guard \
             checks the proxy's address and `source.allowed_hosts` alone",
            settings.proxies.hosts().join("`, `")
        );
    }
    let google = settings.gcs.credentials.as_ref();
    if let Some(problem) = google.and_then(|given| given.0.problem()) {
        tracing::warn!(
            "what is in `GOOGLE_APPLICATION_CREDENTIALS` is not a key of a Google service account: \
             {problem}; photos in `gs://` are unavailable"
        );
    }
    RoutedSource::new(settings.source_options(store.clone())).map_err(Failure::usage)
}

/// Who tells those who want to know.
///
/// # Errors
/// If settings are missing or wrong.
pub fn courier(settings: &Settings) -> Result<Wire, Failure> {
    let options = settings.wire_options().map_err(Failure::usage)?;
    Wire::new(&options, clock::system).map_err(Failure::usage)
}

/// What jobs need.
#[derive(Debug)]
pub struct Service {
    /// Manifests and states.
    pub bucket: S3Bucket,
    /// Archives.
    pub archives: Archives<S3Bucket>,
    /// The queue of jobs.
    pub queue: SqsQueue,
    /// The account that the queue is in.
    pub aws: Aws,
}

/// The account at AWS.
///
/// # Errors
/// If its credentials are unavailable.
pub async fn aws(options: &AwsOptions, http: &HyperClient) -> Result<Aws, Failure> {
    Aws::new(options, http).await.map_err(|error| {
        let code = match error.kind {
            AwsErrorKind::Settings => ExitCode::Usage,
            _ => ExitCode::TryAgain,
        };
        Failure::new(error, code)
    })
}

/// Buckets and queue of the service, and the account that they are in.
///
/// # Errors
/// If settings are missing, or keys cannot be had.
pub async fn service(
    settings: &Settings,
    options: &Store,
    http: &HyperClient,
) -> Result<Service, Failure> {
    let names = settings.service().map_err(Failure::usage)?;
    let aws_options = settings.aws_options().map_err(Failure::usage)?;
    let store = store(options, http).await?;
    let bucket = store.bucket(names.bucket);
    let mut archives = Archives::beside_jobs(bucket.clone());
    if let Some(name) = names.archive_bucket {
        let apart = store.bucket(name.clone());
        archives = archives.apart(name, apart, names.public_base_url);
    }
    let aws = aws(&aws_options, http).await?;
    let queue = SqsQueue::new(&aws, names.queue_url, "`BATCH_SQS_QUEUE_URL`");
    Ok(Service {
        bucket,
        archives,
        queue,
        aws,
    })
}

/// Reads the feedback queue of Amazon SES, if one is set. Errors are only logged: the next run reads it again.
pub async fn take_in_feedback(settings: &Settings, aws: &Aws, bucket: &S3Bucket) {
    let Some(url) = &settings.deliver.feedback_url else {
        return;
    };
    let queue = SqsQueue::new(aws, url.0.clone(), "`MAIL_FEEDBACK_URL`");
    let taken = feedback::take_in(&queue, bucket, clock::system);
    match timeout(FEEDBACK_WITHIN, taken).await {
        Ok(Ok(0)) => {}
        Ok(Ok(messages)) => tracing::info!(messages, "took in what became of letters"),
        Ok(Err(error)) => tracing::warn!(
            "what became of letters is not known: {}",
            crate::chain(&error)
        ),
        Err(_) => tracing::warn!("what became of letters is not known: it took too long"),
    }
}

/// The compute that the settings choose.
#[derive(Debug, Clone)]
pub enum Containers {
    /// Direct calls of AWS Batch.
    Batch(Box<BatchCompute>),
    /// A message to the doorbell, from which a pipe submits the Batch job.
    Doorbell(Box<Doorbell>),
}

impl Compute for Containers {
    async fn submit(&self, name: &str) -> Result<String, ComputeError> {
        match self {
            Self::Batch(batch) => batch.submit(name).await,
            Self::Doorbell(doorbell) => doorbell.submit(name).await,
        }
    }

    async fn active(&self, enough: usize) -> Result<Active, ComputeError> {
        match self {
            Self::Batch(batch) => batch.active(enough).await,
            Self::Doorbell(doorbell) => doorbell.active(enough).await,
        }
    }

    async fn describe(&self, id: &str) -> Result<Option<ContainerJob>, ComputeError> {
        match self {
            Self::Batch(batch) => batch.describe(id).await,
            Self::Doorbell(doorbell) => doorbell.describe(id).await,
        }
    }
}

/// Where containers run.
///
/// # Errors
/// If settings are missing.
pub fn compute(settings: &Settings, service: &Service) -> Result<Containers, Failure> {
    let aws = &service.aws;
    Ok(match settings.containers().map_err(Failure::usage)? {
        ContainerNames::Batch {
            job_queue,
            job_definition,
        } => {
            let batch = BatchCompute::new(aws, &job_queue, &job_definition);
            Containers::Batch(Box::new(batch))
        }
        ContainerNames::Doorbell { url } => {
            let doorbell = Doorbell::new(aws, &url, service.queue.clone());
            Containers::Doorbell(Box::new(doorbell))
        }
    })
}
