//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use figment::value::{Dict, Value};

/// Turns an event's photos into ZIP archives.
#[derive(Debug, Parser)]
#[command(
    name = "processor",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = "Settings come from the defaults, wedding-photo-processor.toml, WPP_<SECTION>__<KEY> \
                  in the environment, and the options, in this order; see `processor config`.\n\
                  Exit codes: 0 done, 2 usage or settings, 65 bad manifest or damaged archive, \
                  66 photos missing, 75 failed but worth another try, 130/143 interrupted."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the archives of one manifest, here and now
    Run(RunArgs),
    /// Show what `run` would make: entries, sizes, offsets, volumes
    Plan(PlanArgs),
    /// Check archives: structure, names, checksums, completeness
    Verify(VerifyArgs),
    /// The whole job on this machine: sample photos, a local server, a ZIP
    Demo(DemoArgs),
    /// Show each setting in force, and where it came from
    Config(ConfigArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ManifestArgs {
    /// The manifest: JSON, or one photo URL a line; `-` is stdin
    pub(crate) manifest: PathBuf,
    /// Name of the event, for manifests that don't say
    #[arg(long, value_name = "ID")]
    pub(crate) event_id: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    /// Where the archive goes: a file, a folder, `s3://bucket/key`, or /dev/null to measure only
    #[arg(short, long, value_name = "DEST")]
    pub(crate) output: PathBuf,
    /// Print the summary as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    /// Print the plan as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct VerifyArgs {
    /// The archives, files or `s3://bucket/key`; all volumes of an event together
    #[arg(required = true, value_name = "ARCHIVE")]
    pub(crate) archives: Vec<PathBuf>,
    /// The manifest that they were made from; `-` is stdin
    #[arg(long, value_name = "FILE", conflicts_with = "plan")]
    pub(crate) manifest: Option<PathBuf>,
    /// The plan that they were made by, as `plan --json` prints it; `-` is stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,
    /// Print what was found as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DemoArgs {
    /// Where the ZIP goes
    #[arg(short, long, value_name = "FILE", default_value = "wedding-demo.zip")]
    pub(crate) output: PathBuf,
    /// Print the summary as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ConfigArgs {
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options that are settings too.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Settings")]
pub(crate) struct SettingsArgs {
    /// The settings file [default: wedding-photo-processor.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Bytes of photos in memory at once, such as 256MiB, or `auto`
    #[arg(long, global = true, value_name = "SIZE")]
    memory_budget: Option<String>,
    /// The most downloads at once
    #[arg(long, global = true, value_name = "N")]
    max_connections: Option<u32>,
    /// Where photos of unknown length are put first
    #[arg(long, global = true, value_name = "DIR")]
    spool_dir: Option<String>,
    /// Hosts that photos may come from, separated by commas; `*` is any
    #[arg(long, global = true, value_name = "HOSTS")]
    allowed_hosts: Option<String>,
    /// Allow unencrypted http
    #[arg(long, global = true)]
    allow_http: bool,
    /// Allow loopback and private addresses
    #[arg(long, global = true)]
    allow_private: bool,
    /// How log lines on stderr look
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// What is logged: error, warn, info, debug, trace, or a filter
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl SettingsArgs {
    /// The options that were given, as settings.
    pub(crate) fn flags(&self) -> Dict {
        let mut flags = Dict::new();
        let mut set = |section: &str, key: &str, value: Option<Value>| {
            if let Some(value) = value {
                let section = flags
                    .entry(section.to_owned())
                    .or_insert_with(|| Value::from(Dict::new()));
                if let Value::Dict(_, keys) = section {
                    keys.insert(key.to_owned(), value);
                }
            }
        };
        let text = |value: &Option<String>| value.as_deref().map(Value::from);
        set("engine", "memory_budget", text(&self.memory_budget));
        set(
            "engine",
            "max_connections",
            self.max_connections.map(Value::from),
        );
        set("engine", "spool_dir", text(&self.spool_dir));
        set("source", "allowed_hosts", text(&self.allowed_hosts));
        set("source", "allow_http", self.allow_http.then(|| true.into()));
        set(
            "source",
            "allow_private",
            self.allow_private.then(|| true.into()),
        );
        let format = self.log_format.map(|format| match format {
            LogFormat::Text => "text".into(),
            LogFormat::Json => "json".into(),
        });
        set("log", "format", format);
        set("log", "level", text(&self.log_level));
        flags
    }
}
