//! Settings, layered: defaults ← `wedding-photo-processor.toml` ← environment ← flags.
//!
//! Every setting `section.key` has the environment name `WPP_SECTION__KEY`. This module says what
//! there is, with its defaults, and turns it into the options of the modules that need them;
//! [`load`] reads the layers. `config.example.toml` shows all; a test holds it to the defaults.

mod load;
mod value;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use load::{DEFAULT_FILE, Effective, Loaded, SettingsError, env_name};
pub use value::{Folder, HostList, Human, MemoryBudget, Secret, Size, Text};

use crate::engine::EngineOptions;
use crate::manifest::HostRules;
use crate::retry::RetryPolicy;
use crate::s3::{Keys, S3Options};
use crate::source::http::HttpOptions;

/// All settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where photos may come from.
    pub source: SourceSettings,
    /// How archives are made.
    pub engine: EngineSettings,
    /// The store that `s3://` means.
    pub r2: R2Settings,
    /// What is written about it.
    pub log: LogSettings,
}

/// Where photos may come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceSettings {
    /// Hosts that photos may come from; `*.example.com` for all below it, `*` for any.
    pub allowed_hosts: HostList,
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
    /// How long a download may bring nothing before it is replaced.
    pub stall_timeout: Human,
    /// Attempts in a row without progress before a photo is given up; 1 to 100.
    pub attempts: u32,
    /// Pause before the second attempt; doubled for each one after that.
    pub retry_delay: Human,
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
    /// The most bytes that may be there.
    pub spool_limit: Size,
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
    /// Region; `auto` for R2.
    pub region: Text,
    /// Attempts before a request is given up; 1 to 100.
    pub attempts: u32,
    /// Pause before the second attempt; doubled for each one after that.
    pub retry_delay: Human,
}

/// What is written about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// `text` for people, `json` for machines.
    pub format: LogFormat,
    /// `auto` (`info` as JSON, `warn` as text), `error`, `warn`, `info`, `debug`, `trace`, or a
    /// filter such as `wedding_photo_processor=debug`.
    pub level: String,
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
            allowed_hosts: HostList(vec![
                "firebasestorage.googleapis.com".to_owned(),
                "storage.googleapis.com".to_owned(),
            ]),
            allow_http: false,
            allow_private: false,
            max_redirects: 5,
            connect_timeout: Human(Duration::from_secs(10)),
            response_timeout: Human(Duration::from_secs(30)),
            stall_timeout: Human(Duration::from_secs(15)),
            // With the delay below about a minute in all, which rides out most failures.
            attempts: 9,
            retry_delay: Human(Duration::from_millis(250)),
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

impl Default for R2Settings {
    fn default() -> Self {
        Self {
            endpoint: None,
            access_key: None,
            secret_key: None,
            region: Text("auto".to_owned()),
            // With the delay below more than a minute in all: stores have had outages that long.
            attempts: 13,
            retry_delay: Human(Duration::from_millis(250)),
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "auto".to_owned(),
        }
    }
}

impl Settings {
    /// Which hosts a manifest may name.
    pub fn host_rules(&self) -> HostRules {
        HostRules {
            allowed_hosts: self.source.allowed_hosts.0.clone(),
            allow_http: self.source.allow_http,
        }
    }

    /// How the web is asked.
    pub fn http_options(&self) -> HttpOptions {
        HttpOptions {
            hosts: self.host_rules(),
            allow_private: self.source.allow_private,
            max_redirects: self.source.max_redirects,
            connect_timeout: self.source.connect_timeout.0,
            response_timeout: self.source.response_timeout.0,
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
        }
    }

    /// How the store is reached.
    ///
    /// # Errors
    /// If only some of the store's settings are there.
    pub fn s3_options(&self) -> Result<S3Options, SettingsError> {
        let r2 = &self.r2;
        let given = [
            ("R2_ENDPOINT", r2.endpoint.is_some()),
            ("R2_ACCESS_KEY", r2.access_key.is_some()),
            ("R2_SECRET_KEY", r2.secret_key.is_some()),
        ];
        let keys = match (&r2.endpoint, &r2.access_key, &r2.secret_key) {
            (Some(_), Some(access_key), Some(secret_key)) => Some(Keys {
                access_key: access_key.0.clone(),
                secret_key: secret_key.expose().to_owned(),
            }),
            (None, None, None) => None,
            _ => {
                let lines = given.iter().filter(|(_, given)| !given).map(|(name, _)| {
                    format!(
                        "`{name}` is not set, but others of the store's settings are; looked for \
                         it in the environment, and as `r2.{}` in `{DEFAULT_FILE}`",
                        name[3..].to_ascii_lowercase()
                    )
                });
                return Err(SettingsError(lines.collect()));
            }
        };
        Ok(S3Options {
            endpoint: r2.endpoint.as_ref().map(|endpoint| endpoint.0.clone()),
            region: r2.region.0.clone(),
            keys,
            retry: RetryPolicy {
                attempts: r2.attempts,
                delay: r2.retry_delay.0,
            },
        })
    }

    /// What is out of range: the setting, and what it should be.
    fn out_of_range(&self) -> Option<(&'static str, String)> {
        let source = &self.source;
        let check = |ok: bool, key, wanted: &str| (!ok).then(|| (key, wanted.to_owned()));
        check(
            source.max_redirects <= 20,
            "source.max_redirects",
            "0 to 20",
        )
        .or_else(|| {
            check(
                (1..=100).contains(&source.attempts),
                "source.attempts",
                "1 to 100",
            )
        })
        .or_else(|| {
            check(
                (1..=1024).contains(&self.engine.max_connections),
                "engine.max_connections",
                "1 to 1024",
            )
        })
        .or_else(|| {
            check(
                (1..=100).contains(&self.r2.attempts),
                "r2.attempts",
                "1 to 100",
            )
        })
        .or_else(|| {
            let endpoint = self.r2.endpoint.as_ref();
            let web = |endpoint: &Text| {
                url::Url::parse(&endpoint.0).is_ok_and(|url| {
                    matches!(url.scheme(), "http" | "https")
                        && url.path() == "/"
                        && url.username().is_empty()
                        && url.password().is_none()
                })
            };
            let wanted = "an address such as `https://<account>.r2.cloudflarestorage.com`";
            check(endpoint.is_none_or(web), "r2.endpoint", wanted)
        })
        .or_else(|| {
            [
                (source.connect_timeout, "source.connect_timeout"),
                (source.response_timeout, "source.response_timeout"),
                (source.stall_timeout, "source.stall_timeout"),
            ]
            .into_iter()
            .find_map(|(timeout, key)| check(!timeout.0.is_zero(), key, "more than zero"))
        })
    }
}
