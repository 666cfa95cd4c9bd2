//! Settings, layered: defaults ← `wedding-photo-processor.toml` ← environment ← flags.
//!
//! Every setting `section.key` has the environment name `WPP_SECTION__KEY`. [`Loaded`] keeps
//! where each value came from, for `processor config` and for error messages.
//! `config.example.toml` shows them all; a test holds it to the defaults.

mod value;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use figment::providers::{Env, Format as _, Serialized, Toml};
use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider, Source};
use serde::{Deserialize, Serialize};

pub use value::{Folder, HostList, Human, MemoryBudget, Secret, Size, Text};

use crate::engine::EngineOptions;
use crate::manifest::HostRules;
use crate::retry::RetryPolicy;
use crate::s3::{Keys, S3Options};
use crate::source::http::HttpOptions;

/// The file that is read from the working directory when no other is named.
pub const DEFAULT_FILE: &str = "wedding-photo-processor.toml";
/// What every environment name begins with.
const ENV_PREFIX: &str = "WPP_";

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

/// Environment names that the Worker uses already, beside those with our prefix.
///
/// Values are taken as they are: a secret that looks like a number must stay as it is, and not be
/// quoted in an error. Later ones win; empty ones are not set.
const RAW_ENV_NAMES: [(&str, &str, &str); 6] = [
    ("R2_ENDPOINT", "r2", "endpoint"),
    ("R2_ACCESS_KEY", "r2", "access_key"),
    ("R2_SECRET_KEY", "r2", "secret_key"),
    ("WPP_R2__ENDPOINT", "r2", "endpoint"),
    ("WPP_R2__ACCESS_KEY", "r2", "access_key"),
    ("WPP_R2__SECRET_KEY", "r2", "secret_key"),
];

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

/// Settings, and where each came from.
pub struct Loaded {
    /// The values.
    pub settings: Settings,
    /// The layers. They hold secrets in the clear.
    figment: Figment,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// One setting as `processor config` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effective {
    /// Its name, such as `engine.memory_budget`.
    pub key: String,
    /// Its value; what `auto` comes to in parentheses.
    pub value: String,
    /// Where it came from.
    pub origin: String,
}

/// Why settings cannot be used. One line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct SettingsError(Vec<String>);

impl Loaded {
    /// Reads all layers. `file` must exist if it is named; `flags` are those that were given.
    ///
    /// # Errors
    /// Everything that is wrong, naming the setting and where it came from.
    pub fn read(file: Option<&Path>, flags: Dict) -> Result<Self, SettingsError> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        if file.is_some() && !path.is_file() {
            return Err(SettingsError(vec![format!(
                "the settings file `{}` does not exist",
                path.display()
            )]));
        }
        let mut figment = Figment::from(Serialized::defaults(Settings::default()));
        if path.is_file() {
            figment = figment.merge(Toml::file_exact(path));
        }
        let figment = figment
            .merge(RawEnv)
            .merge(
                Env::prefixed(ENV_PREFIX)
                    .ignore(&["r2__endpoint", "r2__access_key", "r2__secret_key"])
                    .split("__"),
            )
            .merge(Flags(flags));
        let settings: Settings = figment.extract().map_err(|errors| {
            SettingsError(errors.into_iter().map(|error| describe(&error)).collect())
        })?;
        let loaded = Self { settings, figment };
        match loaded.settings.out_of_range() {
            None => Ok(loaded),
            Some((key, wanted)) => Err(SettingsError(vec![format!(
                "setting `{key}` cannot be used; give {wanted} (from {})",
                loaded.origin(key)
            )])),
        }
    }

    /// Every setting with its value and its origin.
    pub fn effective(&self) -> Vec<Effective> {
        let all = serde_json::to_value(&self.settings).unwrap_or_default();
        let mut found = Vec::new();
        for (section, keys) in all.as_object().into_iter().flatten() {
            for (key, value) in keys.as_object().into_iter().flatten() {
                let key = format!("{section}.{key}");
                let mut value = match value {
                    serde_json::Value::String(text) => text.clone(),
                    serde_json::Value::Null => "(not set)".to_owned(),
                    other => other.to_string(),
                };
                if key == "engine.memory_budget" && value == "auto" {
                    value = format!(
                        "auto ({})",
                        Size(self.settings.engine.memory_budget.bytes())
                    );
                }
                found.push(Effective {
                    origin: self.origin(&key),
                    value,
                    key,
                });
            }
        }
        found
    }

    fn origin(&self, key: &str) -> String {
        match self.figment.find_metadata(key) {
            Some(metadata) => place(metadata, key),
            None => "default".to_owned(),
        }
    }
}

/// The values of [`RAW_ENV_NAMES`].
struct RawEnv;

/// How [`RawEnv`] names itself.
const RAW_ENV: &str = "raw environment names";

/// A variable that is set, and not to nothing.
fn raw_env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Provider for RawEnv {
    fn metadata(&self) -> Metadata {
        Metadata::named(RAW_ENV)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut sections = Dict::new();
        for (name, section, key) in RAW_ENV_NAMES {
            let Some(value) = raw_env(name) else {
                continue;
            };
            let section = sections
                .entry(section.to_owned())
                .or_insert_with(|| Dict::new().into());
            if let figment::value::Value::Dict(_, keys) = section {
                keys.insert(key.to_owned(), value.into());
            }
        }
        Ok(Profile::Default.collect(sections))
    }
}

/// Flags as a figment provider that names itself.
struct Flags(Dict);

impl Provider for Flags {
    fn metadata(&self) -> Metadata {
        Metadata::named("the command line")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.0.clone()))
    }
}

/// Where a value came from, in words.
fn place(metadata: &Metadata, key: &str) -> String {
    match &metadata.source {
        Some(Source::File(path)) => path.display().to_string(),
        _ if metadata.name == RAW_ENV => RAW_ENV_NAMES
            .iter()
            .rev()
            .find(|(name, section, of)| key == format!("{section}.{of}") && raw_env(name).is_some())
            .map_or_else(
                || metadata.name.to_string(),
                |(name, ..)| (*name).to_owned(),
            ),
        _ if metadata.name.contains("environment") => env_name(key),
        _ if metadata.name == "the command line" => metadata.name.to_string(),
        _ => "default".to_owned(),
    }
}

/// The environment name of a setting.
pub fn env_name(key: &str) -> String {
    format!(
        "{ENV_PREFIX}{}",
        key.replace('.', "__").to_ascii_uppercase()
    )
}

/// One line that names the setting and where it was looked for.
fn describe(error: &figment::Error) -> String {
    use figment::error::Kind;
    let key = error.path.join(".");
    let from = error
        .metadata
        .as_ref()
        .map(|metadata| format!(" (from {})", place(metadata, &key)))
        .unwrap_or_default();
    match &error.kind {
        Kind::UnknownField(field, known) => {
            let key = if key.is_empty() { field.clone() } else { key };
            format!(
                "unknown setting `{key}`{from}; known here: {}",
                known.join(", ")
            )
        }
        kind => {
            let problem = kind
                .to_string()
                .replace("``", "`")
                .replace("expected usize", "expected a whole number")
                .replace("expected u32", "expected a whole number");
            if key.is_empty() {
                format!("{problem}{from}")
            } else {
                format!("setting `{key}`: {problem}{from}")
            }
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::result_large_err,
    reason = "the error type of figment::Jail's closures"
)]
mod tests {
    use figment::Jail;

    use super::*;

    fn read(file: Option<&str>, flags: &str) -> Result<Loaded, SettingsError> {
        let flags: Dict = serde_json::from_str(flags).unwrap();
        Loaded::read(file.map(Path::new), flags)
    }

    #[test]
    fn later_layers_win_and_every_origin_is_known() {
        Jail::expect_with(|jail| {
            jail.create_file(
                DEFAULT_FILE,
                "[engine]\nmax_connections = 8\nmemory_budget = \"64MiB\"\n[source]\nattempts = 4",
            )?;
            jail.set_env("WPP_ENGINE__MAX_CONNECTIONS", "16");
            jail.set_env("WPP_SOURCE__ALLOWED_HOSTS", "a.example, *.b.example");
            jail.set_env("WPP_SOURCE__STALL_TIMEOUT", "500ms");
            let loaded = read(None, r#"{"engine": {"memory_budget": "256MiB"}}"#).unwrap();
            let settings = &loaded.settings;
            assert_eq!(settings.engine.max_connections, 16);
            assert_eq!(settings.engine.memory_budget.bytes(), 256 << 20);
            assert_eq!(
                settings.host_rules().allowed_hosts,
                ["a.example", "*.b.example"]
            );
            let origins: Vec<String> = loaded
                .effective()
                .into_iter()
                .filter(|setting| setting.origin != "default")
                .map(|setting| format!("{} = {} <- {}", setting.key, setting.value, setting.origin))
                .collect();
            insta::assert_snapshot!(origins.join("\n"), @r"
            engine.max_connections = 16 <- WPP_ENGINE__MAX_CONNECTIONS
            engine.memory_budget = 256MiB <- the command line
            source.allowed_hosts = a.example,*.b.example <- WPP_SOURCE__ALLOWED_HOSTS
            source.attempts = 4 <- wedding-photo-processor.toml
            source.stall_timeout = 500ms <- WPP_SOURCE__STALL_TIMEOUT
            ");
            Ok(())
        });
    }

    #[test]
    fn wrong_settings_are_one_line_that_says_where() {
        Jail::expect_with(|jail| {
            let mut lines = Vec::new();
            for (name, value) in [
                ("WPP_ENGINE__MAX_CONNECTIONS", "many"),
                ("WPP_ENGINE__MAX_CONNECTIONS", "0"),
                ("WPP_ENGINE__MEMORY_BUDGET", "lots"),
                ("WPP_ENGINE__MEMORY_BUGDET", "64MiB"),
                ("WPP_ENGIN__MEMORY_BUDGET", "64MiB"),
                ("WPP_SOURCE__STALL_TIMEOUT", "15"),
                ("WPP_SOURCE__STALL_TIMEOUT", "0s"),
                ("WPP_SOURCE__ALLOW_HTTP", "maybe"),
                ("WPP_LOG__FORMAT", "xml"),
                ("R2_ENDPOINT", "account.r2.cloudflarestorage.com"),
                ("WPP_R2__ENDPOINT", "https://x.example/bucket"),
            ] {
                jail.set_env(name, value);
                lines.push(format!(
                    "{name}={value}\n  {}",
                    read(None, "{}").unwrap_err()
                ));
                jail.clear_env();
            }
            lines.push(read(Some("nowhere.toml"), "{}").unwrap_err().to_string());
            insta::assert_snapshot!(lines.join("\n"));
            Ok(())
        });
    }

    #[test]
    fn secrets_are_never_shown_and_half_a_store_is_an_error() {
        Jail::expect_with(|jail| {
            jail.set_env("R2_SECRET_KEY", "hunter2");
            jail.set_env("WPP_R2__ACCESS_KEY", "123456789012");
            let loaded = read(None, "{}").unwrap();
            let shown: Vec<String> = loaded
                .effective()
                .into_iter()
                .filter(|setting| setting.key.starts_with("r2."))
                .map(|setting| format!("{} = {} <- {}", setting.key, setting.value, setting.origin))
                .collect();
            let error = loaded.settings.s3_options().unwrap_err();
            insta::assert_snapshot!(format!("{}\n{error}", shown.join("\n")));
            jail.set_env("R2_ENDPOINT", "https://store.example");
            let loaded = read(None, "{}").unwrap();
            let options = loaded.settings.s3_options().unwrap();
            assert_eq!(options.keys.as_ref().unwrap().access_key, "123456789012");
            assert_eq!(options.keys.as_ref().unwrap().secret_key, "hunter2");
            for shown in [format!("{loaded:?}"), format!("{options:?}")] {
                assert!(!shown.contains("hunter2"), "{shown}");
            }
            Ok(())
        });
    }

    #[test]
    fn secrets_are_taken_as_they_are() {
        Jail::expect_with(|jail| {
            for secret in ["1.5", "0012", "true", "[1]", "\"quoted\""] {
                jail.set_env("WPP_R2__ENDPOINT", "https://store.example");
                jail.set_env("WPP_R2__ACCESS_KEY", secret);
                jail.set_env("WPP_R2__SECRET_KEY", secret);
                jail.set_env("R2_SECRET_KEY", "the other name gives way");
                let options = read(None, "{}").unwrap().settings.s3_options().unwrap();
                let keys = options.keys.unwrap();
                assert_eq!(
                    (keys.access_key.as_str(), keys.secret_key.as_str()),
                    (secret, secret)
                );
            }
            jail.clear_env();
            jail.set_env("R2_ENDPOINT", "");
            assert!(read(None, "{}").unwrap().settings.r2.endpoint.is_none());
            Ok(())
        });
    }

    #[test]
    fn digits_are_text_where_text_is_meant() {
        Jail::expect_with(|jail| {
            jail.set_env("WPP_SOURCE__ALLOWED_HOSTS", "10");
            jail.set_env("WPP_ENGINE__SPOOL_DIR", "2026");
            jail.set_env("WPP_ENGINE__SPOOL_LIMIT", "1048576");
            jail.set_env("WPP_ENGINE__MEMORY_BUDGET", "67108864");
            let settings = read(None, "{}").unwrap().settings;
            assert_eq!(settings.source.allowed_hosts.0, ["10"]);
            assert_eq!(settings.engine.spool_dir.0, Path::new("2026"));
            assert_eq!(settings.engine.spool_limit, Size(1 << 20));
            assert_eq!(settings.engine.memory_budget.bytes(), 64 << 20);
            Ok(())
        });
    }

    #[test]
    fn the_example_file_shows_every_default() {
        let text = include_str!("../../config.example.toml");
        let example: Settings = Figment::from(Toml::string(text)).extract().unwrap();
        let defaults = Settings {
            engine: EngineSettings {
                spool_dir: Folder("/tmp".into()),
                ..EngineSettings::default()
            },
            ..Settings::default()
        };
        assert_eq!(example, defaults);
        let all = serde_json::to_value(&defaults).unwrap();
        for (section, keys) in all.as_object().unwrap() {
            assert!(text.contains(&format!("[{section}]")), "{section}");
            for key in keys.as_object().unwrap().keys() {
                let shown = [format!("\n{key} = "), format!("\n# {key} = ")];
                let found = shown.iter().any(|line| text.contains(line));
                assert!(found, "{section}.{key}");
            }
        }
    }
}
