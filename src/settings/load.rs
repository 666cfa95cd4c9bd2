//! The layers of settings, and where each value came from: for `processor config` and for error
//! messages.

use std::fmt;
use std::path::Path;

use figment::providers::{Env, Format as _, Serialized, Toml};
use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider, Source};
use serde::Serialize;

use super::{Settings, Size};
use crate::redact;
use crate::source::http::ProxyOptions;

/// The file that is read from the working directory when no other is named.
pub const DEFAULT_FILE: &str = "wedding-photo-processor.toml";
/// What every environment name begins with.
const ENV_PREFIX: &str = "WPP_";

/// Environment names that the Worker uses already, beside those with our prefix.
///
/// Values are taken as they are: a secret that looks like a number must stay as it is, and not be
/// quoted in an error. Later ones win; empty ones are not set.
const RAW_ENV_NAMES: [(&str, &str, &str); 46] = [
    ("R2_ENDPOINT", "r2", "endpoint"),
    ("R2_ACCESS_KEY", "r2", "access_key"),
    ("R2_SECRET_KEY", "r2", "secret_key"),
    ("R2_SECRET_ARN", "r2", "secret_arn"),
    ("R2_BUCKET", "r2", "bucket"),
    ("R2_ARCHIVE_BUCKET", "r2", "archive_bucket"),
    ("SMTP_URL", "deliver", "smtp_url"),
    ("MAIL_FROM", "deliver", "mail_from"),
    ("MAIL_REPLY_TO", "deliver", "reply_to"),
    ("ALERT_TO", "deliver", "alert_to"),
    ("PUBLIC_BASE_URL", "deliver", "public_base_url"),
    ("WEBHOOK_SECRET", "deliver", "webhook_secret"),
    ("MAIL_FEEDBACK_URL", "deliver", "feedback_url"),
    ("UNSUBSCRIBE_URL", "deliver", "unsubscribe_url"),
    ("UNSUBSCRIBE_SECRET", "deliver", "unsubscribe_secret"),
    ("GOOGLE_APPLICATION_CREDENTIALS", "gcs", "credentials"),
    ("BATCH_AWS_REGION", "aws", "region"),
    ("BATCH_AWS_ACCESS_KEY", "aws", "access_key"),
    ("BATCH_AWS_SECRET_KEY", "aws", "secret_key"),
    ("BATCH_SQS_QUEUE_URL", "queue", "url"),
    ("BATCH_JOB_QUEUE_ARN", "batch", "job_queue"),
    ("BATCH_JOB_DEFINITION_ARN", "batch", "job_definition"),
    ("BATCH_DOORBELL_URL", "batch", "doorbell_url"),
    ("WPP_R2__ENDPOINT", "r2", "endpoint"),
    ("WPP_R2__ACCESS_KEY", "r2", "access_key"),
    ("WPP_R2__SECRET_KEY", "r2", "secret_key"),
    ("WPP_R2__SECRET_ARN", "r2", "secret_arn"),
    ("WPP_R2__BUCKET", "r2", "bucket"),
    ("WPP_R2__ARCHIVE_BUCKET", "r2", "archive_bucket"),
    ("WPP_DELIVER__SMTP_URL", "deliver", "smtp_url"),
    ("WPP_DELIVER__MAIL_FROM", "deliver", "mail_from"),
    ("WPP_DELIVER__REPLY_TO", "deliver", "reply_to"),
    ("WPP_DELIVER__ALERT_TO", "deliver", "alert_to"),
    ("WPP_DELIVER__PUBLIC_BASE_URL", "deliver", "public_base_url"),
    ("WPP_DELIVER__WEBHOOK_SECRET", "deliver", "webhook_secret"),
    ("WPP_DELIVER__FEEDBACK_URL", "deliver", "feedback_url"),
    ("WPP_DELIVER__UNSUBSCRIBE_URL", "deliver", "unsubscribe_url"),
    (
        "WPP_DELIVER__UNSUBSCRIBE_SECRET",
        "deliver",
        "unsubscribe_secret",
    ),
    ("WPP_GCS__CREDENTIALS", "gcs", "credentials"),
    ("WPP_AWS__REGION", "aws", "region"),
    ("WPP_AWS__ACCESS_KEY", "aws", "access_key"),
    ("WPP_AWS__SECRET_KEY", "aws", "secret_key"),
    ("WPP_QUEUE__URL", "queue", "url"),
    ("WPP_BATCH__JOB_QUEUE", "batch", "job_queue"),
    ("WPP_BATCH__JOB_DEFINITION", "batch", "job_definition"),
    ("WPP_BATCH__DOORBELL_URL", "batch", "doorbell_url"),
];

/// The settings that are secret.
pub const SECRETS: [&str; 6] = [
    "r2.secret_key",
    "aws.secret_key",
    "gcs.credentials",
    "deliver.smtp_url",
    "deliver.webhook_secret",
    "deliver.unsubscribe_secret",
];

/// Settings, and where each came from.
pub struct Loaded {
    /// The values.
    pub settings: Settings,
    /// The layers. They hold secrets in the clear.
    figment: Figment,
    found_file: bool,
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
pub struct SettingsError(pub(super) Vec<String>);

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
            check_toml(path)?;
            figment = figment.merge(Toml::file_exact(path));
        }
        let raw: Vec<&str> = RAW_ENV_NAMES
            .iter()
            .filter_map(|(name, ..)| name.strip_prefix(ENV_PREFIX))
            .collect();
        let figment = figment
            .merge(RawEnv)
            .merge(Env::prefixed(ENV_PREFIX).ignore(&raw).split("__"))
            .merge(Flags(flags));
        let mut settings: Settings = figment.extract().map_err(|errors| {
            SettingsError(errors.into_iter().map(|error| describe(&error)).collect())
        })?;
        settings.proxies = proxies();
        let loaded = Self {
            settings,
            figment,
            found_file: file.is_none() && path.is_file(),
        };
        if let Some((key, problem, remedy)) = loaded.settings.wrong_host() {
            return Err(SettingsError(vec![format!(
                "setting `{key}`: {problem}; {remedy} (from {})",
                loaded.origin(key)
            )]));
        }
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
                    value: without_password(value),
                    key,
                });
            }
        }
        found
    }

    /// The settings file that was found in the current folder and not named: whoever wonders about a setting has
    /// to know of it.
    pub fn found_file(&self) -> Option<&'static str> {
        self.found_file.then_some(DEFAULT_FILE)
    }

    fn origin(&self, key: &str) -> String {
        match self.figment.find_metadata(key) {
            Some(metadata) => place(metadata, key),
            None => "default".to_owned(),
        }
    }
}

/// A setting as it may be shown: no address with the user and the password in it.
fn without_password(value: String) -> String {
    let Some((before, rest)) = value.split_once("://") else {
        return value;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rfind('@') {
        Some(at) => format!("{before}://***{}", &rest[at..]),
        None => value,
    }
}

/// Checks that a file is TOML. The parser's own words show the line that is wrong, which may hold a secret.
fn check_toml(path: &Path) -> Result<(), SettingsError> {
    let name = path.display();
    let wrong =
        |problem: String| SettingsError(vec![format!("the settings file `{name}` {problem}")]);
    let bytes = std::fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|_| {
        wrong("is not UTF-8; save it as UTF-8 (PowerShell writes UTF-16)".to_owned())
    })?;
    let Err(error) = toml::from_str::<toml::Table>(&text) else {
        return Ok(());
    };
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.unwrap_or_default().matches('\n').count() + 1;
    Err(wrong(format!(
        "is not TOML (line {line}); texts stand in quotes, and each name stands once: `bucket = \"photos\"`"
    )))
}

/// The values of [`RAW_ENV_NAMES`].
struct RawEnv;

/// How [`RawEnv`] names itself.
const RAW_ENV: &str = "raw environment names";

/// A variable that is set, and not to nothing. What is no UTF-8 is replaced, and refused by whoever reads it.
fn raw_env(name: &str) -> Option<String> {
    let value = std::env::var_os(name)?.to_string_lossy().into_owned();
    Some(value).filter(|value| !value.trim().is_empty())
}

/// The proxies that the environment names, in capitals or, as curl reads them, in small letters.
fn proxies() -> ProxyOptions {
    let named = |name: &str| {
        let value = raw_env(name).or_else(|| raw_env(&name.to_ascii_lowercase()))?;
        redact::learn_password(&value);
        Some(value.trim().to_owned())
    };
    ProxyOptions {
        https: named("HTTPS_PROXY"),
        http: named("HTTP_PROXY"),
        all: named("ALL_PROXY"),
        none: named("NO_PROXY"),
    }
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
            // What was given instead of text may be the secret itself.
            let said = match kind {
                Kind::InvalidType(..) if !key.contains('.') => {
                    "it is a section; set what is in it, by names such as `r2.bucket`".to_owned()
                }
                Kind::InvalidType(_, expected) if SECRETS.contains(&key.as_str()) => {
                    format!("something that is not {expected}; put it in quotes")
                }
                kind => kind.to_string(),
            };
            let problem = said
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

    use super::super::EngineSettings;
    use super::*;
    use crate::s3::{Keys, S3Options, StoreKeys};
    use crate::settings::Folder;

    fn read(file: Option<&str>, flags: &str) -> Result<Loaded, SettingsError> {
        let flags: Dict = serde_json::from_str(flags).unwrap();
        Loaded::read(file.map(Path::new), flags)
    }

    fn fixed(options: &S3Options) -> &Keys {
        match &options.keys {
            StoreKeys::Fixed(keys) => keys,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn blanks_around_values_go_and_control_characters_are_refused() {
        Jail::expect_with(|jail| {
            jail.set_env("R2_ENDPOINT", " https://a.r2.cloudflarestorage.com\n");
            jail.set_env("R2_ACCESS_KEY", "AKIA\r\n");
            jail.set_env("R2_SECRET_KEY", "\u{feff}hunter2-secret ");
            jail.set_env("WPP_ENGINE__MEMORY_BUDGET", " 64MiB\n");
            let settings = read(None, "{}").unwrap().settings;
            let store = settings.s3_options().unwrap();
            assert_eq!(
                store.endpoint.as_deref(),
                Some("https://a.r2.cloudflarestorage.com")
            );
            assert_eq!(fixed(&store).access_key, "AKIA");
            assert_eq!(fixed(&store).secret_key, "hunter2-secret");
            assert_eq!(settings.engine.memory_budget.bytes(), 64 << 20);
            let mut told = Vec::new();
            for (name, value) in [
                ("R2_ENDPOINT", "https://a.example\nx"),
                ("R2_ACCESS_KEY", "hunt\rer2"),
                ("R2_ACCESS_KEY", "hunt er2"),
                ("R2_SECRET_KEY", "hunt\ner2"),
                // What `docker run --env-file` makes of a line with quotes.
                ("R2_SECRET_KEY", "\"hunter2\""),
                ("PUBLIC_BASE_URL", "https://me:hunter2@a.example"),
                ("BATCH_AWS_ACCESS_KEY", "hunt\ter2"),
                ("BATCH_AWS_SECRET_KEY", "hunt\u{1}er2"),
                ("BATCH_AWS_REGION", "us east"),
                ("BATCH_SQS_QUEUE_URL", "https://a.example/1\n/q"),
                ("SMTP_URL", "smtps://me:hunt\ner2@a.example"),
                ("WEBHOOK_SECRET", "whsec_hunt\ner2"),
                ("WPP_SOURCE__ALLOWED_HOSTS", "a.example,b\n.example"),
                ("WPP_LOG__LEVEL", "in\nfo"),
            ] {
                jail.set_env(name, value);
                told.push(read(None, "{}").unwrap_err().to_string());
                jail.set_env(name, "");
                jail.set_env("R2_ENDPOINT", "https://a.example");
            }
            let told = told.join("\n");
            assert!(!told.contains("er2"), "{told}");
            insta::assert_snapshot!(told);
            Ok(())
        });
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_without_what_stands_there() {
        Jail::expect_with(|jail| {
            let mut told = Vec::new();
            for text in [
                "[r2]\nsecret_key = hunter2\n",
                "[r2]\nsecret_key = \"hunter2\"\nsecret_key = \"hunter2\"\n",
                "[r2]\nsecret_key = 1.5\n",
                "[r2]\nsecret_key = [\"hunter2\"]\n",
                "[deliver]\nsmtp_url = true\n",
                "[r2]\nsecret_kee = \"hunter2\"\n",
                "r2 = \"hunter2\"\n",
            ] {
                jail.create_file(DEFAULT_FILE, text)?;
                told.push(read(None, "{}").unwrap_err().to_string());
            }
            let told = told
                .join("\n")
                .replace(&jail.directory().display().to_string(), "");
            assert!(!told.contains("hunter2"), "{told}");
            insta::assert_snapshot!(told);
            Ok(())
        });
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
                settings.source_rules().allowed_hosts,
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
                ("WPP_SOURCE__ALLOWED_HOSTS", "a.example, localhost:8080"),
                ("WPP_SOURCE__ALLOWED_HOSTS", "https://photos.example/a"),
                ("WPP_SOURCE__MAX_UNREACHABLE", "50"),
                ("WPP_SOURCE__MAX_UNREACHABLE", "-0.1"),
                ("WPP_SOURCE__MAX_UNREACHABLE", "half"),
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
    fn a_share_may_be_a_whole_number() {
        Jail::expect_with(|jail| {
            for (value, share) in [("0", 0.0), ("1", 1.0), ("0.25", 0.25)] {
                jail.set_env("WPP_SOURCE__MAX_UNREACHABLE", value);
                let found = read(None, "{}").unwrap().settings.source.max_unreachable;
                assert!((found - share).abs() < 1e-9, "{value}");
            }
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
            let keys = fixed(&options);
            assert_eq!(
                (keys.access_key.as_str(), keys.secret_key.as_str()),
                ("123456789012", "hunter2")
            );
            for shown in [format!("{loaded:?}"), format!("{options:?}")] {
                assert!(!shown.contains("hunter2"), "{shown}");
            }
            Ok(())
        });
    }

    #[test]
    fn keys_are_given_or_in_a_secret() {
        Jail::expect_with(|jail| {
            let arn = "arn:aws:secretsmanager:eu-west-3:123456789012:secret:r2-AbCdEf";
            let cases: [&[(&str, &str)]; 5] = [
                &[("R2_SECRET_ARN", arn)],
                &[("R2_SECRET_ARN", arn), ("R2_ACCESS_KEY", "a")],
                &[
                    ("R2_ENDPOINT", "https://store.example"),
                    ("WPP_R2__SECRET_ARN", arn),
                    ("R2_SECRET_KEY", "hunter2"),
                ],
                &[
                    ("R2_ENDPOINT", "https://store.example"),
                    ("R2_SECRET_ARN", arn),
                    ("BATCH_AWS_ACCESS_KEY", "a"),
                ],
                &[("WPP_R2__SECRET_MAX_AGE", "0s")],
            ];
            let mut lines = Vec::new();
            for case in cases {
                for (name, value) in case {
                    jail.set_env(name, value);
                }
                let error = match read(None, "{}") {
                    Ok(loaded) => loaded.settings.s3_options().unwrap_err(),
                    Err(error) => error,
                };
                let names: Vec<&str> = case.iter().map(|(name, _)| *name).collect();
                lines.push(format!("{}\n  {error}", names.join(", ")));
                jail.clear_env();
            }
            insta::assert_snapshot!(lines.join("\n"));

            jail.set_env("R2_ENDPOINT", "https://store.example");
            jail.set_env("R2_SECRET_ARN", "the other name gives way");
            jail.set_env("WPP_R2__SECRET_ARN", arn);
            let loaded = read(None, "{}").unwrap();
            let options = loaded.settings.s3_options().unwrap();
            assert!(matches!(options.keys, StoreKeys::Secret(_)), "{options:?}");
            let shown = loaded.effective();
            let shown = shown.iter().find(|setting| setting.key == "r2.secret_arn");
            let shown = shown.map(|setting| (setting.value.as_str(), setting.origin.as_str()));
            assert_eq!(shown, Some((arn, "WPP_R2__SECRET_ARN")));
            Ok(())
        });
    }

    #[test]
    fn secrets_are_taken_as_they_are() {
        Jail::expect_with(|jail| {
            for secret in ["1.5", "0012", "true", "[1]", "\"quoted"] {
                jail.set_env("WPP_R2__ENDPOINT", "https://store.example");
                jail.set_env("WPP_R2__ACCESS_KEY", secret);
                jail.set_env("WPP_R2__SECRET_KEY", secret);
                jail.set_env("R2_SECRET_KEY", "the other name gives way");
                let options = read(None, "{}").unwrap().settings.s3_options().unwrap();
                let keys = fixed(&options);
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
    fn hosts_are_read_however_they_are_written() {
        Jail::expect_with(|jail| {
            for (written, read_as) in [
                ("[::1]", &["[::1]"][..]),
                ("::1", &["[::1]"]),
                ("[::1],[::2]", &["[::1]", "[::2]"]),
                ("[::1], localhost.", &["[::1]", "localhost"]),
                (
                    "MÜNCHEN.example,*.B.example",
                    &["xn--mnchen-3ya.example", "*.b.example"],
                ),
                (
                    "[\"a.example\", \"b.example\"]",
                    &["a.example", "b.example"],
                ),
                ("*", &["*"]),
                ("", &[]),
            ] {
                jail.set_env("WPP_SOURCE__ALLOWED_HOSTS", written);
                let settings = read(None, "{}").unwrap().settings;
                assert_eq!(settings.source_rules().allowed_hosts, read_as, "{written}");
            }
            Ok(())
        });
    }

    #[test]
    fn passwords_in_addresses_are_never_shown() {
        for (value, shown) in [
            (
                "https://me:hunter2@a.example/b@c",
                "https://***@a.example/b@c",
            ),
            ("smtp://me%40x:hunter2@a.example", "smtp://***@a.example"),
            ("https://hunter2@a.example?x", "https://***@a.example?x"),
            ("https://a.example/@", "https://a.example/@"),
            ("me:hunter", "me:hunter"),
        ] {
            assert_eq!(without_password(value.to_owned()), shown);
        }
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
