//! AWS: the region and the credentials that the queue and the compute share, and one way to call.
//!
//! [`Aws`] is made from fixed keys or from the standard chain of credentials; [`http`] is the SDK's
//! HTTP client, over our one TLS stack; [`AwsError`]s name the setting that is wrong. The store
//! has a client of its own ([`crate::s3`]), since R2 is not AWS.

pub mod error;
pub mod host;
pub mod http;
mod tidy;

use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

pub use error::{AwsError, AwsErrorKind};
use error::{Context, classify};
pub use http::HyperClient;
pub use tidy::is_region;

use crate::retry::{RetryPolicy, repeat};

/// How long a request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// An access key.
#[derive(Clone)]
pub struct Keys {
    /// Its id.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

impl Keys {
    pub(crate) fn provider(&self) -> SharedCredentialsProvider {
        let keys = Credentials::new(&self.access_key, &self.secret_key, None, None, "settings");
        SharedCredentialsProvider::new(keys)
    }
}

/// How to reach AWS.
#[derive(Debug, Clone)]
pub struct AwsOptions {
    /// The region; `None` for what the environment says.
    pub region: Option<String>,
    /// Fixed keys; `None` for the standard chain of credentials.
    pub keys: Option<Keys>,
    /// How failed requests are repeated.
    pub retry: RetryPolicy,
}

/// Region and credentials.
#[derive(Debug, Clone)]
pub struct Aws {
    config: SdkConfig,
    fixed_keys: bool,
    retry: RetryPolicy,
}

/// What the standard chain finds: environment, profile, container, instance. A region that is known is
/// not looked for.
pub(crate) async fn chain(
    http: &HyperClient,
    region: Option<&String>,
    keys: Option<&Keys>,
) -> SdkConfig {
    tidy::learn_environment();
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http.clone())
        // Ours, in `call`; the timeouts too.
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled());
    if let Some(region) = region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(keys) = keys {
        loader = loader.credentials_provider(keys.provider());
    }
    let found = loader.load().await;
    let mut config = found.to_builder();
    config.set_credentials_provider(found.credentials_provider().map(tidy::keys));
    config.set_region(found.region().and_then(tidy::region));
    let endpoint = found.endpoint_url().map(str::trim);
    config.set_endpoint_url(endpoint.filter(|url| !url.is_empty()).map(str::to_owned));
    config.build()
}

impl Aws {
    /// Makes ready. Nothing is sent yet, but the chain of credentials may look around.
    ///
    /// # Errors
    /// If nobody knows the region.
    pub async fn new(options: &AwsOptions, http: &HyperClient) -> Result<Self, AwsError> {
        let config = chain(http, options.region.as_ref(), options.keys.as_ref()).await;
        if config.region().is_none() {
            return Err(AwsError::settings(
                "the AWS region is not known; set `BATCH_AWS_REGION` or `AWS_REGION`",
            ));
        }
        Ok(Self {
            config,
            fixed_keys: options.keys.is_some(),
            retry: options.retry,
        })
    }

    /// The same with another patience.
    pub(crate) fn with_retry(self, retry: RetryPolicy) -> Self {
        Self { retry, ..self }
    }

    /// What clients of services are made from.
    pub(crate) fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// Makes a request, and again while its failure may pass. `wait` is how long the service may
    /// take on purpose.
    pub(crate) async fn call<T, E, F>(
        &self,
        target: &Target,
        action: Action,
        wait: Duration,
        request: impl Fn() -> F,
    ) -> Result<T, AwsError>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let context = Context::new(target, action, self.fixed_keys);
        let limit = REQUEST_TIMEOUT + wait;
        let attempt = || async {
            let asked = Instant::now();
            let answer = tokio::time::timeout(limit, request()).await;
            let seconds = asked.elapsed().as_secs_f64();
            tracing::debug!(seconds, "asked {} ({})", target.service, action.permission);
            match answer {
                Ok(answer) => answer.map_err(|error| classify(&context, &error)),
                Err(_) => Err(context.timeout(limit)),
            }
        };
        repeat(self.retry, attempt, |error| {
            let may_pass = error.kind == AwsErrorKind::Temporary;
            if may_pass {
                tracing::debug!("{}: {error}", action.permission);
            }
            may_pass
        })
        .await
    }
}

/// What a request is about.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The service.
    pub(crate) service: &'static str,
    /// The resource, in words, with the setting that names it.
    pub(crate) resource: String,
}

/// What a request does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Action {
    /// In words.
    pub(crate) doing: &'static str,
    /// The permission that it needs.
    pub(crate) permission: &'static str,
}
