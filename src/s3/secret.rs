//! Keys of a store in AWS Secrets Manager, so that they can change while programs run.
//!
//! The SDK's own cache of credentials is not used for them ([`KeyRing`] is one): it is each client's own,
//! nobody can tell it that keys are refused, and it has no use for old keys where no new ones can be had.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_secretsmanager::Client;
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};
use tokio::time::{Instant, timeout};

use super::StoreError;
use crate::aws::{Action, Aws, AwsError, AwsErrorKind, AwsOptions, HyperClient, Target};
use crate::redact;
use crate::retry::RetryPolicy;
use crate::text::tidy;

/// How patiently the secret is read again: requests to the store wait for it. They go on with the keys that
/// are known, or are repeated themselves.
const READ_AGAIN: RetryPolicy = RetryPolicy {
    attempts: 2,
    delay: Duration::from_millis(250),
};
/// How long that may take in all.
const READ_AGAIN_WITHIN: Duration = Duration::from_secs(5);
/// How long old keys are gone on with before the secret is tried again, if that has failed.
const TRY_AGAIN_AFTER: Duration = Duration::from_mins(1);

/// Which secret, and how it is read.
#[derive(Debug, Clone)]
pub struct SecretOptions {
    /// Its ARN or its name.
    pub secret: String,
    /// How long keys are used before the secret is read again.
    pub max_age: Duration,
    /// The account that it is in.
    pub aws: AwsOptions,
}

/// Keys in a secret. Clones share what was read.
#[derive(Clone)]
pub struct SecretKeys {
    options: SecretOptions,
    ring: Arc<OnceCell<Arc<KeyRing>>>,
}

impl fmt::Debug for SecretKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKeys")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl SecretKeys {
    /// The keys in this secret. Nothing is read yet.
    pub fn new(mut options: SecretOptions) -> Self {
        // `arn:aws:secretsmanager:<region>:…` knows better than the settings of the account.
        let region = options.secret.strip_prefix("arn:").and_then(|arn| {
            let region = arn.split(':').nth(2)?;
            (!region.is_empty()).then(|| region.to_owned())
        });
        options.aws.region = region.or(options.aws.region);
        Self {
            options,
            ring: Arc::default(),
        }
    }

    /// Reads the secret, if nobody has yet.
    ///
    /// # Errors
    /// If it cannot be read, or is not as it must be.
    pub(super) async fn ring(&self, http: &HyperClient) -> Result<Arc<KeyRing>, StoreError> {
        // On the heap: too deep for the compiler where it is part of all that needs a store.
        let read = || Box::pin(KeyRing::read_first(&self.options, http));
        let ring = self.ring.get_or_try_init(read).await?;
        Ok(Arc::clone(ring))
    }
}

/// The keys as they were read last.
pub(super) struct KeyRing {
    vault: Vault,
    max_age: Duration,
    /// Held while the secret is read, so that it is read once for all who wait.
    held: Mutex<Held>,
}

struct Held {
    /// `None` once the store refused them.
    keys: Option<Credentials>,
    since: Instant,
    renew_at: Instant,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("secret", &self.vault.secret)
            .finish_non_exhaustive()
    }
}

impl KeyRing {
    async fn read_first(
        options: &SecretOptions,
        http: &HyperClient,
    ) -> Result<Arc<Self>, AwsError> {
        let mut vault = Vault::new(options, http).await?;
        let keys = vault.read().await?;
        vault.aws = vault.aws.with_retry(READ_AGAIN);
        let now = Instant::now();
        Ok(Arc::new(Self {
            vault,
            max_age: options.max_age,
            held: Mutex::new(Held {
                keys: Some(keys),
                since: now,
                renew_at: now + options.max_age,
            }),
        }))
    }

    /// The keys; read again where they are old. Old ones are better than none.
    async fn keys(&self) -> Result<Credentials, AwsError> {
        let mut held = self.held.lock().await;
        if let Some(keys) = &held.keys
            && Instant::now() < held.renew_at
        {
            return Ok(keys.clone());
        }
        let read = timeout(READ_AGAIN_WITHIN, self.vault.read()).await;
        let read = read.unwrap_or_else(|_| Err(self.vault.slow()));
        let now = Instant::now();
        match (read, held.keys.take()) {
            (Ok(keys), old) => {
                if old.is_none_or(|old| old.access_key_id() != keys.access_key_id()) {
                    tracing::info!("read new keys of the store from {}", self.vault.name());
                }
                *held = Held {
                    keys: Some(keys.clone()),
                    since: now,
                    renew_at: now + self.max_age,
                };
                Ok(keys)
            }
            (Err(error), Some(old)) => {
                tracing::warn!("going on with the keys of the store that are known: {error}");
                held.renew_at = now + self.max_age.min(TRY_AGAIN_AFTER);
                held.keys = Some(old.clone());
                Ok(old)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// The store refuses the keys of a request that was begun then. They are not used again, unless they
    /// have been read since.
    pub(super) async fn refused(&self, asked: Instant) {
        let mut held = self.held.lock().await;
        if held.since <= asked && held.keys.take().is_some() {
            let name = self.vault.name();
            tracing::warn!("the store refuses its keys; reading {name} again");
        }
    }
}

impl ProvideCredentials for KeyRing {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            self.keys().await.map_err(|error| match error.kind {
                AwsErrorKind::Temporary => CredentialsError::provider_error(error),
                _ => CredentialsError::invalid_configuration(error),
            })
        })
    }
}

/// One secret of Secrets Manager.
struct Vault {
    aws: Aws,
    client: Client,
    secret: String,
    target: Target,
}

impl Vault {
    async fn new(options: &SecretOptions, http: &HyperClient) -> Result<Self, AwsError> {
        let aws = Aws::new(&options.aws, http).await?;
        let secret = options.secret.clone();
        Ok(Self {
            client: Client::new(aws.config()),
            aws,
            target: Target {
                service: "Secrets Manager",
                resource: format!("secret `{secret}` (`R2_SECRET_ARN`)"),
            },
            secret,
        })
    }

    fn name(&self) -> String {
        format!("the {}", self.target.resource)
    }

    fn slow(&self) -> AwsError {
        let seconds = READ_AGAIN_WITHIN.as_secs();
        AwsError::temporary(format!("{} was not read within {seconds} s", self.name()))
    }

    async fn read(&self) -> Result<Credentials, AwsError> {
        let action = Action {
            doing: "reading the secret",
            permission: "secretsmanager:GetSecretValue",
        };
        let read = self
            .aws
            .call(&self.target, action, Duration::ZERO, || {
                self.client
                    .get_secret_value()
                    .secret_id(&self.secret)
                    .send()
            })
            .await;
        let answer = read.map_err(|error| match error.kind {
            // Such as a secret that is to be deleted. No other request would do better.
            AwsErrorKind::Refused => AwsError::settings(format!("{error}; check {}", self.name())),
            _ => error,
        })?;
        parse(answer.secret_string()).map_err(|problem| {
            AwsError::settings(format!(
                "{} {problem}; it must be JSON such as \
                 {{\"access_key\": \"…\", \"secret_key\": \"…\"}}, with the keys of the store",
                self.name()
            ))
        })
    }
}

/// The keys in a secret's text, or what is wrong with it, in words without the text.
fn parse(text: Option<&str>) -> Result<Credentials, String> {
    let text = text.ok_or("is not a text")?;
    let secret: Value = serde_json::from_str(text).map_err(|_| "is not JSON")?;
    let fields = secret.as_object().ok_or("is not a JSON object")?;
    let field = |name: &str| match fields.get(name) {
        Some(Value::String(text)) => match tidy(text) {
            Ok("") => Err(format!("has nothing in the field `{name}`")),
            Ok(text) => Ok(text.to_owned()),
            Err(problem) => Err(format!("has a field `{name}` {problem}")),
        },
        Some(_) => Err(format!(
            "has something else than text in the field `{name}`"
        )),
        None => Err(format!("has no field `{name}`")),
    };
    let (access_key, secret_key) = (field("access_key")?, field("secret_key")?);
    redact::learn(&secret_key);
    Ok(Credentials::new(
        access_key,
        secret_key,
        None,
        None,
        "Secrets Manager",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_secret_is_said_without_it() {
        let problems: Vec<String> = [
            None,
            Some("AKIA:hunter2"),
            Some(r#""hunter2""#),
            Some(r#"{"access_key": "a"}"#),
            Some(r#"{"secret_key": "hunter2"}"#),
            Some(r#"{"access_key": "a", "secret_key": ""}"#),
            Some(r#"{"access_key": 7, "secret_key": "hunter2"}"#),
            Some(r#"{"access_key": "a\nb", "secret_key": "hunter2"}"#),
            Some(r#"{"access_key": "a", "secret_key": "hunter2\u0000x"}"#),
            Some(r#"{"access_key": " \n", "secret_key": "hunter2"}"#),
        ]
        .into_iter()
        .map(|text| parse(text).unwrap_err())
        .collect();
        insta::assert_snapshot!(problems.join("\n"), @r"
        is not a text
        is not JSON
        is not a JSON object
        has no field `secret_key`
        has no field `access_key`
        has nothing in the field `secret_key`
        has something else than text in the field `access_key`
        has a field `access_key` with a line break in it
        has a field `secret_key` with a control character in it
        has nothing in the field `access_key`
        ");
        let keys = parse(Some(
            r#"{"access_key": " a\r\n", "secret_key": "hunter2\n", "endpoint": "https://store.example"}"#,
        ))
        .unwrap();
        assert_eq!(
            (keys.access_key_id(), keys.secret_access_key()),
            ("a", "hunter2")
        );
        assert!(!format!("{keys:?}").contains("hunter2"));
    }

    #[test]
    fn an_arn_says_its_region() {
        let region = |secret: &str| {
            let aws = AwsOptions {
                region: Some("us-east-1".to_owned()),
                keys: None,
                retry: RetryPolicy {
                    attempts: 1,
                    delay: Duration::ZERO,
                },
            };
            let keys = SecretKeys::new(SecretOptions {
                secret: secret.to_owned(),
                max_age: Duration::from_mins(5),
                aws,
            });
            keys.options.aws.region.unwrap()
        };
        let arn = "arn:aws:secretsmanager:eu-west-3:123456789012:secret:r2/photos-AbCdEf";
        assert_eq!(region(arn), "eu-west-3");
        assert_eq!(region("r2/photos"), "us-east-1");
    }
}
