//! Options that both programs have.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use figment::value::{Dict, Value};
use tokio_util::sync::CancellationToken;

use super::{Failure, input};
use crate::manifest::{Defaults, is_event_id};

/// Which manifest.
#[derive(Debug, Args)]
pub struct ManifestArgs {
    /// The manifest: JSON, or one photo URL a line; `-` is stdin
    #[arg(required_unless_present = "from")]
    pub manifest: Option<PathBuf>,
    /// Photos without a manifest: `gs://bucket/folder/`, `s3://bucket/folder/`, or any photo's URL;
    /// can be given again
    #[arg(long, value_name = "URL", conflicts_with = "manifest")]
    pub from: Vec<String>,
    /// Name of the event, for manifests that don't say [default with --from: the folder's name]
    #[arg(long, value_name = "ID")]
    pub event_id: Option<String>,
}

impl ManifestArgs {
    /// The bytes of a manifest: those of the file, or a manifest of what `--from` names.
    ///
    /// # Errors
    /// If the file cannot be read, or somebody asks to stop.
    pub async fn read(&self, cancel: &CancellationToken) -> Result<Vec<u8>, Failure> {
        match &self.manifest {
            Some(path) => input::read(path, cancel).await,
            None => serde_json::to_vec(&self.from).map_err(Failure::usage),
        }
    }

    /// What the command line knows that the manifest may leave out.
    pub fn defaults(&self) -> Defaults {
        let folder = self.from.first().and_then(|url| {
            let name = url.trim_end_matches('/').rsplit('/').next()?;
            is_event_id(name).then(|| name.to_owned())
        });
        Defaults {
            event_id: self.event_id.clone(),
            fallback_event_id: folder,
        }
    }
}

/// Options that are settings too.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub struct SettingsArgs {
    /// The settings file [default: wedding-photo-processor.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Hosts that photos may come from, separated by commas; `*` is any
    #[arg(long, global = true, value_name = "HOSTS")]
    allowed_hosts: Option<String>,
    /// Private buckets that photos may come from, separated by commas, such as `gs://bucket`
    #[arg(long, global = true, value_name = "BUCKETS")]
    allowed_buckets: Option<String>,
    /// Allow unencrypted http
    #[arg(long, global = true)]
    allow_http: bool,
    /// How log lines look
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// What is logged: error, warn, info, debug, trace, or a filter
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
}

/// Options about how archives are made that are settings too.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub struct EngineArgs {
    /// Bytes of photos in memory at once, such as 256MiB, or `auto`
    #[arg(long, global = true, value_name = "SIZE")]
    memory_budget: Option<String>,
    /// The most downloads at once
    #[arg(long, global = true, value_name = "N")]
    max_connections: Option<u32>,
    /// Where photos of unknown length are put first
    #[arg(long, global = true, value_name = "DIR")]
    spool_dir: Option<String>,
    /// Allow loopback and private addresses
    #[arg(long, global = true)]
    allow_private: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// Adds a setting that was given.
fn set(flags: &mut Dict, section: &str, key: &str, value: Option<Value>) {
    let Some(value) = value else {
        return;
    };
    let section = flags
        .entry(section.to_owned())
        .or_insert_with(|| Value::from(Dict::new()));
    if let Value::Dict(_, keys) = section {
        keys.insert(key.to_owned(), value);
    }
}

fn text(value: Option<&String>) -> Option<Value> {
    value.map(|text| Value::from(text.as_str()))
}

fn on(flag: bool) -> Option<Value> {
    flag.then(|| true.into())
}

impl SettingsArgs {
    /// The options that were given, as settings.
    pub fn flags(&self) -> Dict {
        let mut flags = Dict::new();
        let format = self.log_format.map(|format| match format {
            LogFormat::Text => "text".into(),
            LogFormat::Json => "json".into(),
        });
        for (section, key, value) in [
            ("source", "allowed_hosts", text(self.allowed_hosts.as_ref())),
            (
                "source",
                "allowed_buckets",
                text(self.allowed_buckets.as_ref()),
            ),
            ("source", "allow_http", on(self.allow_http)),
            ("log", "format", format),
            ("log", "level", text(self.log_level.as_ref())),
        ] {
            set(&mut flags, section, key, value);
        }
        flags
    }
}

impl EngineArgs {
    /// Adds the options that were given.
    pub fn add_to(&self, flags: &mut Dict) {
        let connections = self.max_connections.map(Value::from);
        for (section, key, value) in [
            ("engine", "memory_budget", text(self.memory_budget.as_ref())),
            ("engine", "max_connections", connections),
            ("engine", "spool_dir", text(self.spool_dir.as_ref())),
            ("source", "allow_private", on(self.allow_private)),
        ] {
            set(flags, section, key, value);
        }
    }
}
