//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use wedding_photo_processor::cli::args::{EngineArgs, ManifestArgs, SettingsArgs};

/// Turns an event's photos into ZIP archives. Without a command: does what the job queue says until
/// it is empty, as containers do.
#[derive(Debug, Parser)]
#[command(
    name = "processor",
    version,
    max_term_width = 100,
    after_help = "Settings come from the defaults, wedding-photo-processor.toml, WPP_<SECTION>__<KEY> \
                  in the environment, and the options, in this order; see `processor config`.\n\
                  Exit codes: 0 done, 2 usage or settings, 65 bad manifest or damaged archive, \
                  66 photos missing, 70 aborted again, 75 failed but worth another try, 130/143 interrupted. While \
                  draining the queue they speak of the container, never of one job."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
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
