//! One bucket of Cloudflare R2, or of any S3-compatible store.
//!
//! [`S3Bucket`] is what the archive sink and the bucket port share: the client with settings that
//! suit R2 (checksums only where required, no chunked encoding, region `auto`), repetition of
//! what may pass, and [`StoreError`]s that name the setting that is wrong.

pub mod error;
mod listing;
pub mod reader;
mod secret;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::{ReconnectMode, RetryConfig};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, IdentityCache, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use tokio::time::Instant;

pub use error::{Names, StoreError, StoreErrorKind};
pub(crate) use listing::WholeListing;
use secret::KeyRing;
pub use secret::{SecretKeys, SecretOptions};

use url::Url;

use crate::aws::HyperClient;
pub use crate::aws::Keys;
use crate::redact;
use crate::retry::{RetryPolicy, repeat};

/// How long a request without a body may take, from its beginning to the head of the answer.
/// Completing an upload of thousands of parts takes the longest: some stores put the object
/// together only then.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// The slowest transfer that is put up with, in bytes per second.
const SLOWEST_TRANSFER: u64 = 256 * 1024;

/// How to reach a store.
#[derive(Clone)]
pub struct S3Options {
    /// The store's address; `None` for AWS itself.
    pub endpoint: Option<String>,
    /// `auto` for R2.
    pub region: String,
    /// The region where it is AWS by the credential chain; `None` for what the environment says.
    pub aws_region: Option<String>,
    /// Whose keys it is used with.
    pub keys: StoreKeys,
    /// How failed requests are repeated.
    pub retry: RetryPolicy,
}

/// Whose keys a store is used with.
#[derive(Debug, Clone)]
pub enum StoreKeys {
    /// Whose the AWS credential chain finds.
    Chain,
    /// These.
    Fixed(Keys),
    /// Those in a secret of AWS.
    Secret(SecretKeys),
}

impl fmt::Debug for S3Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Options")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("aws_region", &self.aws_region)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// A client for one store.
#[derive(Debug, Clone)]
pub struct S3Store {
    client: Client,
    /// Where keys can change.
    ring: Option<Arc<KeyRing>>,
    retry: RetryPolicy,
    names: Names,
}

/// One bucket of a store.
#[derive(Debug, Clone)]
pub struct S3Bucket {
    store: S3Store,
    name: String,
}

impl S3Store {
    /// Makes a client. Nothing is sent to the store yet, but the AWS credential chain may look around, and
    /// a secret is read.
    ///
    /// # Errors
    /// If nobody knows the AWS region, or the secret cannot be read.
    pub async fn new(options: &S3Options, http: &HyperClient) -> Result<Self, StoreError> {
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(http.clone())
            .region(Region::new(options.region.clone()))
            // R2 and others don't know the newer defaults (R2 documentation, "aws-sdk-rust").
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            // Known to misfire on uploads (aws-sdk-rust issue 1146); our own timeouts serve.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            // The SDK's retries share a token bucket that many parallel parts exhaust.
            // Hyper closes what breaks; the SDK would only complain that it cannot.
            .retry_config(
                RetryConfig::disabled().with_reconnect_mode(ReconnectMode::ReuseAllConnections),
            );
        let mut ring = None;
        let endpoint = match &options.keys {
            StoreKeys::Fixed(keys) => {
                config.set_credentials_provider(Some(keys.provider()));
                options.endpoint.clone()
            }
            StoreKeys::Secret(keys) => {
                let read = keys.ring(http).await?;
                let provider: Arc<dyn ProvideCredentials> = Arc::clone(&read) as _;
                config.set_identity_cache(IdentityCache::no_cache());
                config.set_credentials_provider(Some(provider.into()));
                ring = Some(read);
                options.endpoint.clone()
            }
            StoreKeys::Chain => {
                let aws = crate::aws::chain(http, options.aws_region.as_ref(), None).await;
                config.set_credentials_provider(aws.credentials_provider());
                let endpoint = match &options.endpoint {
                    Some(endpoint) => Some(endpoint.clone()),
                    None => chain_endpoint(aws.endpoint_url())?,
                };
                match (aws.region(), &endpoint) {
                    (Some(region), _) => config.set_region(Some(region.clone())),
                    (None, Some(_)) => config.set_region(Some(Region::new("us-east-1"))),
                    (None, None) => {
                        return Err(StoreError::settings(
                            "the store is AWS, but its region is not known; set `AWS_REGION` or `BATCH_AWS_REGION`, or \
                         `R2_ENDPOINT`, `R2_ACCESS_KEY` and `R2_SECRET_KEY` for another store",
                        ));
                    }
                };
                endpoint
            }
        };
        let names = Names::of(&options.keys, endpoint.clone());
        if let Some(endpoint) = endpoint {
            // Virtual hosts need DNS that only AWS has for certain.
            config = config.endpoint_url(endpoint).force_path_style(true);
        }
        Ok(Self {
            client: Client::from_conf(config.build()),
            ring,
            retry: options.retry,
            names,
        })
    }

    /// Whose keys it is used with, for people.
    pub(crate) fn whose(&self) -> &'static str {
        self.names.access_key
    }

    /// Sends a request; once more, where the store refuses keys that may have been changed meanwhile.
    pub(crate) async fn send<T, E, F>(
        &self,
        request: impl Fn() -> F,
    ) -> Result<T, SdkError<E, HttpResponse>>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let asked = Instant::now();
        let answer = request().await;
        match (&self.ring, &answer) {
            (Some(ring), Err(error)) if error::refuses_keys(error) => {
                ring.refused(asked).await;
                request().await
            }
            _ => answer,
        }
    }

    /// One of its buckets.
    pub fn bucket(&self, name: impl Into<String>) -> S3Bucket {
        S3Bucket {
            store: self.clone(),
            name: name.into(),
        }
    }
}

/// The address of the store that the environment or a profile names, if one does: for S3 alone, or for all of
/// AWS. Empty ones are not set, as everywhere.
fn chain_endpoint(of_all: Option<&str>) -> Result<Option<String>, StoreError> {
    let of_s3 = std::env::var("AWS_ENDPOINT_URL_S3").ok();
    let given = of_s3.filter(|url| !url.trim().is_empty());
    let Some(given) = given.as_deref().or(of_all) else {
        return Ok(None);
    };
    redact::learn_password(given);
    let is_good = Url::parse(given.trim()).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
    });
    if is_good {
        return Ok(Some(given.trim().to_owned()));
    }
    Err(StoreError::settings(
        "`AWS_ENDPOINT_URL_S3`, or `AWS_ENDPOINT_URL`, in the environment or in the profile, cannot be used; \
         give an address such as `https://s3.us-east-1.amazonaws.com`, without a user and a password",
    ))
}

impl S3Bucket {
    /// The keys that begin with `prefix`, sorted.
    ///
    /// # Errors
    /// If the store does not list them.
    pub(crate) async fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut keys = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let page = self
                .call("listing objects", 0, || {
                    self.client()
                        .list_objects_v2()
                        .bucket(self.name())
                        .prefix(prefix)
                        .set_continuation_token(token.clone())
                        .send()
                })
                .await?;
            keys.extend(
                page.contents()
                    .iter()
                    .filter_map(|object| object.key().map(str::to_owned)),
            );
            token = page.next_continuation_token().map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        keys.sort();
        Ok(keys)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn client(&self) -> &Client {
        &self.store.client
    }

    /// What an error of the SDK means.
    pub(crate) fn error<E>(&self, doing: &str, error: &SdkError<E, HttpResponse>) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        error::classify(&self.store.names, &self.name, doing, error)
    }

    /// Makes a request of `length` bytes, and again while its failure may pass.
    pub(crate) async fn call<T, E, F>(
        &self,
        doing: &'static str,
        length: u64,
        request: impl Fn() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match self.repeat(doing, length, request).await {
            // A store says what it did not find; only something else answers 404 without a code.
            Err(error) if error.kind == StoreErrorKind::BareNotFound => {
                Err(StoreError::not_s3(&self.store.names, 404))
            }
            answer => answer,
        }
    }

    /// The same for HEAD, whose answers have no body and so no codes.
    pub(crate) async fn call_head<T, E, F>(
        &self,
        doing: &'static str,
        request: impl Fn() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let answer = self.repeat(doing, 0, request).await;
        answer.map_err(|error| match error.kind {
            StoreErrorKind::BareNotFound => error.of_kind(StoreErrorKind::NotFound),
            _ => error,
        })
    }

    async fn repeat<T, E, F>(
        &self,
        doing: &'static str,
        length: u64,
        request: impl Fn() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let limit = REQUEST_TIMEOUT + Duration::from_secs(length / SLOWEST_TRANSFER);
        let attempt = || async {
            let asked = Instant::now();
            let answer = tokio::time::timeout(limit, self.store.send(&request)).await;
            let seconds = asked.elapsed().as_secs_f64();
            tracing::debug!(
                seconds,
                store.bucket = self.name,
                "asked the store: {doing}"
            );
            match answer {
                Ok(answer) => answer.map_err(|error| self.error(doing, &error)),
                Err(_) => Err(StoreError::timeout(&self.store.names, doing, limit)),
            }
        };
        repeat(self.store.retry, attempt, |error: &StoreError| {
            let may_pass = error.kind == StoreErrorKind::Temporary;
            if may_pass {
                tracing::debug!(store.bucket = self.name, "{doing} failed: {error}");
            }
            may_pass
        })
        .await
    }
}
