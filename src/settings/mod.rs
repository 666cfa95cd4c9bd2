//! Settings, layered: defaults ← `wedding-photo-processor.toml` ← environment ← flags.
//!
//! Every setting `section.key` has the environment name `WPP_SECTION__KEY`. This module says what
//! there is, with its defaults, and turns it into the options of the modules that need them;
//! [`load`] reads the layers. `config.example.toml` shows all; a test holds it to the defaults.

mod load;
mod value;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use load::{DEFAULT_FILE, Effective, Loaded, SECRETS, SettingsError, env_name};
pub use value::{Folder, GoogleCredentials, Human, MemoryBudget, Names, Secret, Size, Text};

use crate::aws::{AwsOptions, Keys, is_region};
use crate::deliver::mailbox::Unsubscribe;
use crate::deliver::wire::{MailOptions, SecretText, WireOptions};
use crate::deliver::{DeliverOptions, MAX_PER_ADDRESS};
use crate::engine::EngineOptions;
use crate::manifest::rules::host_pattern;
use crate::manifest::{OnMissing, SourceRules};
use crate::retry::RetryPolicy;
use crate::s3::{S3Options, SecretKeys, SecretOptions, StoreKeys};
use crate::source::gcs::{self, Credentials, GcsOptions};
use crate::source::http::{HttpOptions, ProxyOptions};
use crate::source::routed::RoutedOptions;

/// Attempts before a request to AWS is given up, and the pause before the second one: half a minute in
/// all. What fails longer is done again as a whole.
const AWS_ATTEMPTS: u32 = 8;
const AWS_RETRY_DELAY: Duration = Duration::from_millis(250);

/// How long photos are asked for that their host refuses: servers that refuse whoever asks too often
/// do so for some seconds.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(10);

/// All settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where photos may come from.
    pub source: SourceSettings,
    /// How archives are made.
    pub engine: EngineSettings,
    /// What `gs://` means.
    pub gcs: GcsSettings,
    /// The store that `s3://` means.
    pub r2: R2Settings,
    /// The account at AWS that the queue and the compute are in.
    pub aws: AwsSettings,
    /// The queue of jobs.
    pub queue: QueueSettings,
    /// Where containers run.
    pub batch: BatchSettings,
    /// How jobs are done.
    pub job: JobSettings,
    /// How those who want to know are told.
    pub deliver: DeliverSettings,
    /// What is written about it.
    pub log: LogSettings,
    /// Proxies, which only the environment names, for all programs alike.
    #[serde(skip)]
    pub proxies: ProxyOptions,
}

/// Where photos may come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceSettings {
    /// Hosts that photos may come from; `*.example.com` for all below it, `*` for any.
    pub allowed_hosts: Names,
    /// Private buckets that photos may come from: `gs://bucket`, `s3://bucket/folder/`, `gs://*`, `*`.
    pub allowed_buckets: Names,
    /// Whether unencrypted `http` may be used.
    pub allow_http: bool,
    /// Whether loopback and private addresses may be connected to.
    pub allow_private: bool,
    /// Redirects that are followed for one request; 0 to 20.
    pub max_redirects: u32,
    /// How long a connection may take to come about.
    pub connect_timeout: Human,
    /// How long a server may take to begin its answer.
    pub response_timeout: Human,
    /// Time in which a download brings at least 1 KiB/s, or else is replaced.
    pub stall_timeout: Human,
    /// Attempts in a row without progress before a photo is given up; 1 to 100.
    pub attempts: u32,
    /// Pause before the second attempt; doubled for each one after that.
    pub retry_delay: Human,
    /// The share of the photos that may be unreachable, or refused by 401 or 403; 0 to 1. If more are,
    /// the job fails and can be run again.
    pub max_unreachable: f64,
    /// The longest photo that is taken; longer ones are missing.
    pub max_photo_bytes: Size,
}

/// How archives are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineSettings {
    /// Bytes of photos in memory at once; `auto` is half of the memory there is, at most 1 GiB.
    pub memory_budget: MemoryBudget,
    /// The most downloads at once; 1 to 1024.
    pub max_connections: usize,
    /// Where photos of unknown length are put first.
    pub spool_dir: Folder,
    /// The most bytes that may be there, and so the longest photo of unknown length.
    pub spool_limit: Size,
}

/// How those who want to know are told how a job ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeliverSettings {
    /// The mail server: `smtps://user:password@host`, `smtp://user:password@host` for STARTTLS.
    pub smtp_url: Option<Secret>,
    /// The sender of e-mails.
    pub mail_from: Option<Text>,
    /// Where answers to them go.
    pub reply_to: Option<Text>,
    /// Operators who are told of jobs that failed.
    pub alert_to: Names,
    /// Where everyone can see the bucket of archives; without it, links are signed.
    pub public_base_url: Option<Text>,
    /// The secret that webhooks are signed with: `whsec_…`.
    pub webhook_secret: Option<Secret>,
    /// Hosts of webhooks that are called, written like `source.allowed_hosts`.
    pub webhook_hosts: Names,
    /// The most e-mails for one address in a day; 1 to 10000.
    pub max_per_address: u32,
    /// The URL of the queue (SQS) with bounces and complaints from Amazon SES.
    pub feedback_url: Option<Text>,
    /// The unsubscribe page.
    pub unsubscribe_url: Option<Text>,
    /// The secret that links to it are signed with: `whsec_…`.
    pub unsubscribe_secret: Option<Secret>,
}

/// Google Cloud Storage, which Firebase's buckets are in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GcsSettings {
    /// Its address; another one for emulators and private endpoints.
    pub endpoint: Text,
    /// Who asks: a file, or the text of a service account's key; `metadata`; `anonymous`. Without,
    /// what this machine has.
    pub credentials: Option<GoogleCredentials>,
}

/// The store that `s3://` means: R2, or any other that speaks S3. Without keys it is AWS, by the
/// standard chain of credentials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct R2Settings {
    /// Its address, such as `https://<account>.r2.cloudflarestorage.com`.
    pub endpoint: Option<Text>,
    /// Id of the access key.
    pub access_key: Option<Text>,
    /// Secret of the access key.
    pub secret_key: Option<Secret>,
    /// The secret of AWS Secrets Manager that holds the keys, by ARN or name; instead of them.
    pub secret_arn: Option<Text>,
    /// How long keys of the secret are used before it is read again; 1 s to 12 h.
    pub secret_max_age: Human,
    /// The bucket of jobs, and of their archives where these have none of their own.
    pub bucket: Option<Text>,
    /// The bucket of archives alone: the only one that everyone may see.
    pub archive_bucket: Option<Text>,
    /// Region; `auto` for R2.
    pub region: Text,
    /// Attempts before a request is given up; 1 to 100.
    pub attempts: u32,
    /// Pause before the second attempt; doubled for each one after that.
    pub retry_delay: Human,
}

/// The account at AWS. Without keys, the standard chain of credentials tells.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AwsSettings {
    /// Region, such as `us-east-1`; else what `AWS_REGION` or the profile says.
    pub region: Option<Text>,
    /// Id of the access key.
    pub access_key: Option<Text>,
    /// Secret of the access key.
    pub secret_key: Option<Secret>,
}

/// The queue of jobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueSettings {
    /// Its URL at SQS.
    pub url: Option<Text>,
    /// How long a message stays hidden unless the container that works on it hides it again; 10 s to
    /// 12 h. A job whose container was lost is taken over after this time.
    pub visibility_timeout: Human,
    /// How long an empty queue is watched before the container ends; 0 to 20 s.
    pub wait: Human,
}

/// Where containers run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchSettings {
    /// Batch's job queue, by ARN or name.
    pub job_queue: Option<Text>,
    /// The definition of the containers' jobs, by ARN or name.
    pub job_definition: Option<Text>,
    /// The URL of the doorbell (SQS); replaces the two above.
    pub doorbell_url: Option<Text>,
    /// The most containers that `submit` asks for; 1 to 1000.
    pub max_containers: usize,
}

/// How jobs are done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JobSettings {
    /// Attempts before a job that fails in a way that may pass is given up; 1 to 100. Attempts that
    /// were interrupted don't count, but those whose container was lost do.
    pub attempts: u32,
    /// Pause before the second attempt; doubled for each one after that, up to 15 minutes.
    pub retry_delay: Human,
    /// The most bytes of photos in one job.
    pub max_bytes: Size,
    /// The most jobs of one event that are done at the same time; 1 to 1000. Others wait for their turn.
    pub max_per_event: usize,
    /// For how many days after a job's end its manifest, addresses and names are kept; 1 to 3650.
    pub keep_personal_days: u32,
}

/// What is written about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// `text` for people, `json` for machines.
    pub format: LogFormat,
    /// `auto` (`info` as JSON, `warn` as text), `error`, `warn`, `info`, `debug`, `trace`, or a
    /// filter such as `wedding_photo_processor=debug`.
    pub level: Text,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for SourceSettings {
    fn default() -> Self {
        Self {
            // Firebase download links, and Google Cloud Storage's own.
            allowed_hosts: Names(vec![
                "firebasestorage.googleapis.com".to_owned(),
                "storage.googleapis.com".to_owned(),
            ]),
            allowed_buckets: Names::default(),
            allow_http: false,
            allow_private: false,
            max_redirects: 5,
            connect_timeout: Human(Duration::from_secs(10)),
            response_timeout: Human(Duration::from_secs(30)),
            stall_timeout: Human(Duration::from_secs(15)),
            // With the delay below about a minute in all, which rides out most failures.
            attempts: 9,
            retry_delay: Human(Duration::from_millis(250)),
            max_unreachable: 0.5,
            max_photo_bytes: Size(20 << 30),
        }
    }
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            memory_budget: MemoryBudget::Auto,
            max_connections: 256,
            spool_dir: Folder(std::env::temp_dir()),
            spool_limit: Size(10 << 30),
        }
    }
}

impl Default for DeliverSettings {
    fn default() -> Self {
        Self {
            smtp_url: None,
            mail_from: None,
            reply_to: None,
            alert_to: Names::default(),
            public_base_url: None,
            webhook_secret: None,
            webhook_hosts: Names(vec!["*".to_owned()]),
            max_per_address: MAX_PER_ADDRESS,
            feedback_url: None,
            unsubscribe_url: None,
            unsubscribe_secret: None,
        }
    }
}

impl Default for GcsSettings {
    fn default() -> Self {
        Self {
            endpoint: Text(gcs::ENDPOINT.to_owned()),
            credentials: None,
        }
    }
}

impl Default for R2Settings {
    fn default() -> Self {
        Self {
            endpoint: None,
            access_key: None,
            secret_key: None,
            secret_arn: None,
            secret_max_age: Human(Duration::from_mins(5)),
            bucket: None,
            archive_bucket: None,
            region: Text("auto".to_owned()),
            // With the delay below more than a minute in all: stores have had outages that long.
            attempts: 13,
            retry_delay: Human(Duration::from_millis(250)),
        }
    }
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            url: None,
            visibility_timeout: Human(Duration::from_mins(1)),
            wait: Human(Duration::from_secs(20)),
        }
    }
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self {
            job_queue: None,
            job_definition: None,
            doorbell_url: None,
            // 100 vCPUs, two for each.
            max_containers: 50,
        }
    }
}

impl Default for JobSettings {
    fn default() -> Self {
        Self {
            attempts: 4,
            retry_delay: Human(Duration::from_secs(15)),
            max_bytes: Size(1 << 40),
            max_per_event: 10,
            keep_personal_days: 30,
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: Text("auto".to_owned()),
        }
    }
}

impl Settings {
    /// Which hosts a manifest may name.
    pub fn source_rules(&self) -> SourceRules {
        let hosts = |names: &Names| {
            let hosts = names.0.iter().filter_map(|host| host_pattern(host).ok());
            hosts.collect()
        };
        SourceRules {
            allowed_hosts: hosts(&self.source.allowed_hosts),
            webhook_hosts: hosts(&self.deliver.webhook_hosts),
            allow_http: self.source.allow_http,
            allowed_buckets: self.source.allowed_buckets.0.clone(),
            job_buckets: ([&self.r2.bucket, &self.r2.archive_bucket]
                .into_iter()
                .flatten())
            .map(|bucket| bucket.0.clone())
            .collect(),
        }
    }

    /// How photos are reached, wherever they are; those in a store by `store`.
    pub fn source_options(&self, store: Result<S3Options, SettingsError>) -> RoutedOptions {
        let credentials = self.gcs.credentials.as_ref();
        RoutedOptions {
            http: self.http_options(),
            gcs: GcsOptions {
                endpoint: self.gcs.endpoint.0.clone(),
                credentials: credentials.map_or(Credentials::Machine, |given| given.0.clone()),
            },
            s3: store.map_err(|error| error.to_string()),
        }
    }

    /// How the web is asked.
    pub fn http_options(&self) -> HttpOptions {
        HttpOptions {
            hosts: self.source_rules(),
            allow_private: self.source.allow_private,
            max_redirects: self.source.max_redirects,
            connect_timeout: self.source.connect_timeout.0,
            response_timeout: self.source.response_timeout.0,
            proxies: self.proxies.clone(),
        }
    }

    /// How the engine goes about it.
    pub fn engine_options(&self) -> EngineOptions {
        EngineOptions {
            memory_budget: self.engine.memory_budget.bytes(),
            max_connections: self.engine.max_connections,
            spool_dir: self.engine.spool_dir.0.clone(),
            spool_limit: self.engine.spool_limit.0,
            retry: RetryPolicy {
                attempts: self.source.attempts,
                delay: self.source.retry_delay.0,
            },
            stall_timeout: self.source.stall_timeout.0,
            max_unreachable: self.source.max_unreachable,
            on_unreachable: OnMissing::Skip,
            max_photo_bytes: self.source.max_photo_bytes.0,
            max_bytes: self.job.max_bytes.0,
            refusal_patience: REFUSAL_PATIENCE,
        }
    }

    /// How notices are handed over.
    ///
    /// # Errors
    /// If only one half of what e-mail needs is there, or somebody is to be alerted without it.
    pub fn wire_options(&self) -> Result<WireOptions, SettingsError> {
        let deliver = &self.deliver;
        let all_or_none = [
            ("SMTP_URL", "deliver.smtp_url", deliver.smtp_url.is_some()),
            (
                "MAIL_FROM",
                "deliver.mail_from",
                deliver.mail_from.is_some(),
            ),
        ];
        together(&all_or_none, "the mail server's")?;
        if deliver.smtp_url.is_none() && !deliver.alert_to.0.is_empty() {
            return Err(SettingsError(vec![format!(
                "`ALERT_TO` is set, but no e-mail can be sent; set `SMTP_URL` and `MAIL_FROM`, too, in the \
                 environment, or as `deliver.smtp_url` and `deliver.mail_from` in `{DEFAULT_FILE}`"
            )]));
        }
        let secret = |secret: &Secret| SecretText(secret.expose().to_owned());
        let mail = deliver.smtp_url.as_ref().zip(deliver.mail_from.as_ref());
        Ok(WireOptions {
            mail: mail.map(|(smtp_url, from)| MailOptions {
                smtp_url: secret(smtp_url),
                from: from.0.clone(),
                reply_to: deliver.reply_to.as_ref().map(|address| address.0.clone()),
                has_feedback: deliver.feedback_url.is_some(),
            }),
            webhook_secret: deliver.webhook_secret.as_ref().map(secret),
            webhooks: self.source_rules().for_webhooks(),
            allow_private: self.source.allow_private,
        })
    }

    /// What those who want to know are told.
    ///
    /// # Errors
    /// If only one of the page and its secret is set, or the secret is malformed.
    pub fn deliver_options(&self) -> Result<DeliverOptions, SettingsError> {
        let deliver = &self.deliver;
        let (url, secret) = (&deliver.unsubscribe_url, &deliver.unsubscribe_secret);
        let all_or_none = [
            ("UNSUBSCRIBE_URL", "deliver.unsubscribe_url", url.is_some()),
            (
                "UNSUBSCRIBE_SECRET",
                "deliver.unsubscribe_secret",
                secret.is_some(),
            ),
        ];
        together(&all_or_none, "the unsubscribe page's")?;
        let page = url.as_ref().zip(secret.as_ref()).map(|(url, secret)| {
            Unsubscribe::new(url.0.clone(), secret.expose()).ok_or_else(|| {
                SettingsError(vec![
                    "setting `deliver.unsubscribe_secret` cannot be used; give `whsec_` and 24 to 64 random bytes \
                     in base64 (`UNSUBSCRIBE_SECRET`)"
                        .to_owned(),
                ])
            })
        });
        Ok(DeliverOptions {
            alert_to: deliver.alert_to.0.clone(),
            max_per_address: deliver.max_per_address,
            unsubscribe: page.transpose()?.map(Arc::new),
        })
    }

    /// How the store is reached. Clones share the keys of a secret.
    ///
    /// # Errors
    /// If only some of the store's settings are there, or keys twice.
    pub fn s3_options(&self) -> Result<S3Options, SettingsError> {
        let r2 = &self.r2;
        let endpoint = ("R2_ENDPOINT", "r2.endpoint", r2.endpoint.is_some());
        let fixed = [
            ("R2_ACCESS_KEY", "r2.access_key", r2.access_key.is_some()),
            ("R2_SECRET_KEY", "r2.secret_key", r2.secret_key.is_some()),
        ];
        let keys = if let Some(secret) = &r2.secret_arn {
            if let Some((env, ..)) = fixed.iter().find(|(.., given)| *given) {
                return Err(SettingsError(vec![format!(
                    "`R2_SECRET_ARN` and `{env}` are both set, and both say which keys the store is used with; \
                     keep one of them, in the environment and in `{DEFAULT_FILE}`: `r2.secret_arn`, or \
                     `r2.access_key` and `r2.secret_key`"
                )]));
            }
            together(
                &[endpoint, ("R2_SECRET_ARN", "r2.secret_arn", true)],
                "the store's",
            )?;
            StoreKeys::Secret(SecretKeys::new(SecretOptions {
                secret: secret.0.clone(),
                max_age: r2.secret_max_age.0,
                aws: self.aws_options()?,
            }))
        } else {
            let [access_key, secret_key] = fixed;
            together(&[endpoint, access_key, secret_key], "the store's")?;
            let keys = keys(r2.access_key.as_ref(), r2.secret_key.as_ref());
            keys.map_or(StoreKeys::Chain, StoreKeys::Fixed)
        };
        Ok(S3Options {
            endpoint: r2.endpoint.as_ref().map(|endpoint| endpoint.0.clone()),
            region: r2.region.0.clone(),
            aws_region: self.aws.region.as_ref().map(|region| region.0.clone()),
            keys,
            retry: RetryPolicy {
                attempts: r2.attempts,
                delay: r2.retry_delay.0,
            },
        })
    }

    /// How AWS is reached.
    ///
    /// # Errors
    /// If only one half of a key is there.
    pub fn aws_options(&self) -> Result<AwsOptions, SettingsError> {
        let aws = &self.aws;
        let all_or_none = [
            (
                "BATCH_AWS_ACCESS_KEY",
                "aws.access_key",
                aws.access_key.is_some(),
            ),
            (
                "BATCH_AWS_SECRET_KEY",
                "aws.secret_key",
                aws.secret_key.is_some(),
            ),
        ];
        together(&all_or_none, "the AWS account's")?;
        Ok(AwsOptions {
            region: aws.region.as_ref().map(|region| region.0.clone()),
            keys: keys(aws.access_key.as_ref(), aws.secret_key.as_ref()),
            retry: RetryPolicy {
                attempts: AWS_ATTEMPTS,
                delay: AWS_RETRY_DELAY,
            },
        })
    }

    /// The names of what jobs need, all of which must be set but for the archives' bucket.
    ///
    /// # Errors
    /// Every one that is missing; a public address for a bucket that has more than archives in it.
    pub fn service(&self) -> Result<ServiceNames, SettingsError> {
        let (r2, queue) = (&self.r2, &self.queue);
        let [bucket, queue_url] = required([
            (r2.bucket.as_ref(), "R2_BUCKET", "r2.bucket"),
            (queue.url.as_ref(), "BATCH_SQS_QUEUE_URL", "queue.url"),
        ])?;
        let archive_bucket = r2.archive_bucket.as_ref().map(|name| name.0.clone());
        let base = self.deliver.public_base_url.as_ref();
        if base.is_some() && archive_bucket.is_none() {
            return Err(SettingsError(vec![format!(
                "`PUBLIC_BASE_URL` is set, but `R2_ARCHIVE_BUCKET` is not: everyone would see the bucket of the \
                 jobs, with the photos' tokens and the guests' addresses; make a bucket for archives alone, let \
                 that address show it and no other, and set `R2_ARCHIVE_BUCKET`, or `r2.archive_bucket` in \
                 `{DEFAULT_FILE}`"
            )]));
        }
        if archive_bucket.as_ref() == Some(&bucket) {
            return Err(SettingsError(vec![format!(
                "`R2_ARCHIVE_BUCKET` and `R2_BUCKET` are both `{bucket}`; give archives a bucket of their own, or \
                 leave `R2_ARCHIVE_BUCKET` out"
            )]));
        }
        Ok(ServiceNames {
            bucket,
            archive_bucket,
            public_base_url: base.map(|url| url.0.clone()),
            queue_url,
        })
    }

    /// The names of what starts containers: the doorbell, or else both names of Batch.
    ///
    /// # Errors
    /// Every one that is missing.
    pub fn containers(&self) -> Result<ContainerNames, SettingsError> {
        if let Some(url) = &self.batch.doorbell_url {
            return Ok(ContainerNames::Doorbell { url: url.0.clone() });
        }
        let (job_queue, job_definition) = (&self.batch.job_queue, &self.batch.job_definition);
        let [job_queue, job_definition] = required([
            (job_queue.as_ref(), "BATCH_JOB_QUEUE_ARN", "batch.job_queue"),
            (
                job_definition.as_ref(),
                "BATCH_JOB_DEFINITION_ARN",
                "batch.job_definition",
            ),
        ])?;
        Ok(ContainerNames::Batch {
            job_queue,
            job_definition,
        })
    }

    /// Returns whether the store's address names the bucket in front of its host, where it would be part of every
    /// key.
    fn endpoint_has_bucket(&self) -> bool {
        let (Some(endpoint), Some(bucket)) = (&self.r2.endpoint, &self.r2.bucket) else {
            return false;
        };
        let host = url::Url::parse(&endpoint.0)
            .ok()
            .and_then(|url| url.host_str().map(str::to_owned));
        host.is_some_and(|host| host.starts_with(&format!("{}.", bucket.0)))
    }

    /// The first of the allowed hosts that is none: the setting, the problem and its remedy.
    fn wrong_host(&self) -> Option<(&'static str, String, String)> {
        let lists = [
            ("source.allowed_hosts", &self.source.allowed_hosts),
            ("deliver.webhook_hosts", &self.deliver.webhook_hosts),
        ];
        lists.into_iter().find_map(|(key, hosts)| {
            let (problem, remedy) = hosts.0.iter().find_map(|host| host_pattern(host).err())?;
            Some((key, problem, remedy))
        })
    }

    /// Checks the values, for whoever tries hostile ones.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn check(&self) {
        let _ = (self.wrong_host(), self.out_of_range());
    }

    /// What is out of range: the setting, and what it should be.
    fn out_of_range(&self) -> Option<(&'static str, &'static str)> {
        let Self {
            source,
            queue,
            deliver,
            ..
        } = self;
        let hours = Duration::from_secs(10)..=Duration::from_hours(12);
        let checks = [
            (
                (1..=1024).contains(&self.engine.max_connections),
                "engine.max_connections",
                "1 to 1024",
            ),
            (
                set(self.r2.access_key.as_ref(), is_key_id),
                "r2.access_key",
                "the id of a key: letters and digits without blanks",
            ),
            (
                set(self.aws.access_key.as_ref(), is_key_id),
                "aws.access_key",
                "the id of a key: letters and digits without blanks",
            ),
            (
                set(self.aws.region.as_ref(), is_region),
                "aws.region",
                "a region such as `us-east-1`",
            ),
            (
                is_region(&self.r2.region.0),
                "r2.region",
                "a region such as `auto` or `us-east-1`",
            ),
            (attempts(self.r2.attempts), "r2.attempts", "1 to 100"),
            (
                (Duration::from_secs(1)..=Duration::from_hours(12))
                    .contains(&self.r2.secret_max_age.0),
                "r2.secret_max_age",
                "1 second to 12 hours",
            ),
            (
                hours.contains(&queue.visibility_timeout.0),
                "queue.visibility_timeout",
                "10 seconds to 12 hours",
            ),
            (
                queue.wait.0 <= Duration::from_secs(20),
                "queue.wait",
                "at most 20 seconds",
            ),
            (
                set(queue.url.as_ref(), is_web_with_path),
                "queue.url",
                "an address such as `https://sqs.us-east-1.amazonaws.com/123456789012/jobs`",
            ),
            (
                set(self.r2.endpoint.as_ref(), is_endpoint) && !self.endpoint_has_bucket(),
                "r2.endpoint",
                "an address such as `https://<account>.r2.cloudflarestorage.com`, without the bucket",
            ),
            (
                is_endpoint(&self.gcs.endpoint.0),
                "gcs.endpoint",
                "an address such as `https://storage.googleapis.com`",
            ),
            (
                set(deliver.public_base_url.as_ref(), is_web),
                "deliver.public_base_url",
                "an address such as `https://photos.example.com`",
            ),
            (
                all(&deliver.alert_to, |address| {
                    crate::mail_address::parse(address).is_ok()
                }),
                "deliver.alert_to",
                "addresses such as `ops@example.com`, in a list or separated by commas",
            ),
        ];
        let mut checks = (source.checks().into_iter())
            .chain(self.batch.checks())
            .chain(self.job.checks())
            .chain(deliver.checks())
            .chain(checks);
        let wrong = checks.find(|(ok, ..)| !ok)?;
        Some((wrong.1, wrong.2))
    }
}

/// A check: true if a setting is in its range, its name, and what it should be.
type Check = (bool, &'static str, &'static str);

impl SourceSettings {
    fn checks(&self) -> [Check; 7] {
        let timed = |timeout: Human| !timeout.0.is_zero();
        [
            (self.max_redirects <= 20, "source.max_redirects", "0 to 20"),
            (attempts(self.attempts), "source.attempts", "1 to 100"),
            (
                (0.0..=1.0).contains(&self.max_unreachable),
                "source.max_unreachable",
                "a share from 0 to 1, such as 0.5",
            ),
            (
                all(&self.allowed_buckets, is_bucket),
                "source.allowed_buckets",
                "buckets such as `gs://bucket` and `s3://bucket/folder/`, or `*`",
            ),
            (
                timed(self.connect_timeout),
                "source.connect_timeout",
                "more than zero",
            ),
            (
                timed(self.response_timeout),
                "source.response_timeout",
                "more than zero",
            ),
            (
                timed(self.stall_timeout),
                "source.stall_timeout",
                "more than zero",
            ),
        ]
    }
}

impl DeliverSettings {
    fn checks(&self) -> [Check; 3] {
        [
            (
                set(self.feedback_url.as_ref(), is_web_with_path),
                "deliver.feedback_url",
                "an address such as `https://sqs.us-east-1.amazonaws.com/123456789012/mail-feedback`",
            ),
            (
                (1..=10_000).contains(&self.max_per_address),
                "deliver.max_per_address",
                "1 to 10000",
            ),
            (
                set(self.unsubscribe_url.as_ref(), |url| {
                    url.starts_with("https://") && is_web_with_path(url)
                }),
                "deliver.unsubscribe_url",
                "an address such as `https://photos.example.com/unsubscribe`, without a query",
            ),
        ]
    }
}

impl BatchSettings {
    fn checks(&self) -> [Check; 2] {
        [
            (
                set(self.doorbell_url.as_ref(), is_web_with_path),
                "batch.doorbell_url",
                "an address such as `https://sqs.us-east-1.amazonaws.com/123456789012/doorbell`",
            ),
            (
                (1..=1000).contains(&self.max_containers),
                "batch.max_containers",
                "1 to 1000",
            ),
        ]
    }
}

impl JobSettings {
    fn checks(&self) -> [Check; 3] {
        [
            (attempts(self.attempts), "job.attempts", "1 to 100"),
            (
                (1..=1000).contains(&self.max_per_event),
                "job.max_per_event",
                "1 to 1000",
            ),
            (
                (1..=3650).contains(&self.keep_personal_days),
                "job.keep_personal_days",
                "1 to 3650",
            ),
        ]
    }
}

/// Returns true for a text that is not there or passes.
fn set(text: Option<&Text>, test: fn(&str) -> bool) -> bool {
    text.is_none_or(|text| test(&text.0))
}

/// Returns true for a number of attempts that makes sense.
fn attempts(attempts: u32) -> bool {
    (1..=100).contains(&attempts)
}

fn all(names: &Names, test: fn(&str) -> bool) -> bool {
    names.0.iter().all(|name| test(name))
}

/// What jobs need, by name.
#[derive(Debug, Clone)]
pub struct ServiceNames {
    /// The bucket of the jobs.
    pub bucket: String,
    /// The bucket of archives alone.
    pub archive_bucket: Option<String>,
    /// Where everyone can see that one.
    pub public_base_url: Option<String>,
    /// The queue's URL.
    pub queue_url: String,
}

/// The names of the compute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerNames {
    /// AWS Batch itself.
    Batch {
        /// The job queue, by ARN or name.
        job_queue: String,
        /// The definition of jobs, by ARN or name.
        job_definition: String,
    },
    /// A queue from which a pipe asks Batch.
    Doorbell {
        /// The URL of the queue.
        url: String,
    },
}

/// Returns whether this can be the id of a key, as it stands in a request's head.
fn is_key_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether this names a bucket, or many.
fn is_bucket(name: &str) -> bool {
    name == "*" || name.starts_with("gs://") || name.starts_with("s3://")
}

/// Whether this is an address on the web, without a query.
fn is_web(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.query().is_none() && is_nobodys(&url)
    })
}

/// Returns whether an address has neither a user nor a password: they would be shown wherever it is.
fn is_nobodys(url: &url::Url) -> bool {
    url.username().is_empty() && url.password().is_none()
}

fn is_web_with_path(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.path().len() > 1 && is_nobodys(&url)
    })
}

/// Whether this is the address of a service, and nothing more.
fn is_endpoint(text: &str) -> bool {
    is_web(text) && url::Url::parse(text).is_ok_and(|url| url.path() == "/")
}

/// The values, or a line for each that is missing.
fn required<const N: usize>(
    settings: [(Option<&Text>, &str, &str); N],
) -> Result<[String; N], SettingsError> {
    let missing: Vec<String> = settings
        .iter()
        .filter(|(value, ..)| value.is_none())
        .map(|(_, env, key)| {
            format!(
                "`{env}` is not set; looked for it in the environment, and as `{key}` in \
                 `{DEFAULT_FILE}`"
            )
        })
        .collect();
    if missing.is_empty() {
        Ok(settings.map(|(value, ..)| value.map(|text| text.0.clone()).unwrap_or_default()))
    } else {
        Err(SettingsError(missing))
    }
}

/// Settings of which all must be there, or none.
fn together(settings: &[(&str, &str, bool)], whose: &str) -> Result<(), SettingsError> {
    if settings.iter().all(|(.., given)| *given == settings[0].2) {
        return Ok(());
    }
    let missing = settings.iter().filter(|(.., given)| !given);
    let lines = missing.map(|(env, key, _)| {
        format!(
            "`{env}` is not set, but others of {whose} settings are; looked for it in the \
             environment, and as `{key}` in `{DEFAULT_FILE}`"
        )
    });
    Err(SettingsError(lines.collect()))
}

fn keys(access_key: Option<&Text>, secret_key: Option<&Secret>) -> Option<Keys> {
    Some(Keys {
        access_key: access_key?.0.clone(),
        secret_key: secret_key?.expose().to_owned(),
    })
}
