//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use wedding_photo_processor::cli::args::{ManifestArgs, SettingsArgs};
use wedding_photo_processor::job;

/// Hands an event's photos in, to be made into ZIP archives; prints the job as JSON.
#[derive(Debug, Parser)]
#[command(
    name = "submit",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "The same photos again are the same job: it is answered from what is done, or joined while \
                  it is under way.\n\
                  Settings come from the defaults, wedding-photo-processor.toml, the environment (R2_*, \
                  BATCH_*, WPP_<SECTION>__<KEY>), and the options, in this order; see `processor config`.\n\
                  Exit codes: 0 done, 2 usage or settings, 65 bad manifest, 66 photos missing, 75 failed \
                  but worth another try, 130/143 interrupted or cancelled. With --wait, the job's."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) submit: SubmitArgs,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SubmitArgs {
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    /// Follow the job until it ends, and exit as it does
    #[arg(long)]
    pub(crate) wait: bool,
    /// Do the job again even if it is done
    #[arg(long)]
    pub(crate) force: bool,
    /// Check everything that needs no network, and show what would be sent
    #[arg(long, conflicts_with_all = ["wait", "force"])]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// How a job is: progress, attempts, log stream, archives with fresh links, missing photos
    Status(JobArgs),
    /// Follow a job until it ends, and exit as it does
    Wait(JobArgs),
    /// Call a job off
    Cancel(JobArgs),
    /// Which jobs there are, the last one first
    List(ListArgs),
    /// Do a job again that failed, was called off, or left photos out
    Retry(RetryArgs),
    /// Tell everybody again of a job that is done, with fresh links
    Deliver(DeliverArgs),
    /// Erase all that is kept of an event: jobs, archives, addresses, messages
    Forget(ForgetArgs),
    /// Show the e-mail that those whom a manifest names will get
    PreviewEmail(PreviewArgs),
    /// Print a script that completes this program's commands in a shell
    Completions(CompletionsArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct JobArgs {
    /// The job, as `submit` printed it: event/id; of an event with one job, the event will do
    pub(crate) job: String,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ListArgs {
    /// Only this event's
    #[arg(long, value_name = "ID")]
    pub(crate) event: Option<String>,
    /// Only those with this status
    #[arg(long)]
    pub(crate) status: Option<Status>,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RetryArgs {
    /// The job: event/id; of an event with one job, the event will do
    #[arg(
        required_unless_present = "dead_letters",
        conflicts_with = "dead_letters"
    )]
    pub(crate) job: Option<String>,
    /// Look through the dead-letter queue, and put back what asks for jobs that are not done
    #[arg(long)]
    pub(crate) dead_letters: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DeliverArgs {
    /// The job: event/id; of an event with one job, the event will do
    pub(crate) job: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ForgetArgs {
    /// The event
    #[arg(value_name = "EVENT")]
    pub(crate) event_id: String,
    /// Only tell what would be erased
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Erase it, without asking
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) yes: bool,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PreviewArgs {
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    /// Write it into a file instead of printing it
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The plain text instead of the HTML
    #[arg(long)]
    pub(crate) text: bool,
    /// The language, such as `de` [default: the manifest's]
    #[arg(long, value_name = "TAG")]
    pub(crate) locale: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    pub(crate) shell: Shell,
}

/// [`job::Status`] as an option.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Status(pub(crate) job::Status);

/// Every status, for clap.
const STATUSES: [Status; job::Status::ALL.len()] = {
    let mut all = [Status(job::Status::Queued); job::Status::ALL.len()];
    let mut index = 0;
    while index < all.len() {
        all[index] = Status(job::Status::ALL[index]);
        index += 1;
    }
    all
};

impl ValueEnum for Status {
    fn value_variants<'a>() -> &'a [Self] {
        &STATUSES
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(self.0.name().into())
    }
}
