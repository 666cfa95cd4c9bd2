//! What each command does: settings → adapters → library → output.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use clap::CommandFactory as _;
use clap_complete::Shell;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use wedding_photo_processor::cli::services::Containers;
use wedding_photo_processor::cli::{Failure, output, services};
use wedding_photo_processor::clock;
use wedding_photo_processor::exit_code::ExitCode;
use wedding_photo_processor::job::{JobKey, State, Status};
use wedding_photo_processor::manifest::{MAX_EXPIRES_IN, Manifest, is_event_id};
use wedding_photo_processor::queue::sqs::SqsQueue;
use wedding_photo_processor::s3::S3Bucket;
use wedding_photo_processor::settings::Settings;
use wedding_photo_processor::submit::jobs::Filter;
use wedding_photo_processor::submit::{Submitter, dry_run, preview, view};

use crate::args::{
    Args, Command, DeliverArgs, ForgetArgs, JobArgs, ListArgs, PreviewArgs, RetryArgs, SubmitArgs,
};
use crate::progress_bar::Bar;

/// How often a job that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What every command needs.
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) cancel: CancellationToken,
}

type Service = Submitter<S3Bucket, SqsQueue, Containers, S3Bucket>;

impl Context {
    async fn service(&self) -> Result<Service, Failure> {
        let http = services::http()?;
        let store = self.settings.s3_options();
        let service = services::service(&self.settings, &store, &http).await?;
        let compute = services::compute(&self.settings, &service)?;
        Ok(Submitter {
            bucket_name: service.bucket.name().to_owned(),
            bucket: Arc::new(service.bucket),
            queue: service.queue,
            compute,
            archives: service.archives,
            max_containers: self.settings.batch.max_containers,
            clock: clock::system,
        })
    }
}

impl Context {
    async fn take_in_feedback(&self, service: &Service) -> Result<(), Failure> {
        if self.settings.deliver.feedback_url.is_some() {
            let options = self.settings.aws_options().map_err(Failure::usage)?;
            let http = services::http()?;
            let aws = services::aws(&options, &http).await?;
            services::take_in_feedback(&self.settings, &aws, &service.bucket).await;
        }
        Ok(())
    }
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<ExitCode, Failure> {
    match args.command {
        None => submit(args.submit, context).await,
        Some(Command::Status(args)) => status(&args, context).await,
        Some(Command::Wait(args)) => wait(&args, context).await,
        Some(Command::Cancel(args)) => cancel(&args, context).await,
        Some(Command::List(args)) => list(args, context).await,
        Some(Command::Retry(args)) => retry(args, context).await,
        Some(Command::Deliver(args)) => deliver(&args, context).await,
        Some(Command::Forget(args)) => forget(&args, context).await,
        Some(Command::PreviewEmail(args)) => preview_email(&args, context).await,
        Some(Command::Completions(args)) => {
            completions(args.shell);
            Ok(ExitCode::Done)
        }
    }
}

async fn submit(args: SubmitArgs, context: &Context) -> Result<ExitCode, Failure> {
    let settings = &context.settings;
    let bytes = args.manifest.read(&context.cancel).await?;
    let defaults = args.manifest.defaults();
    let (manifest, given) = Manifest::parse_given(&bytes, &defaults, &settings.source_rules())?;
    manifest.check_depth()?;
    if args.dry_run {
        let names = settings.service().map_err(Failure::usage)?;
        settings.containers().map_err(Failure::usage)?;
        output::json(&dry_run(&names.bucket, &manifest, &given))?;
        return Ok(ExitCode::Done);
    }
    let service = context.service().await?;
    let submitted = service.submit(&manifest, &given, args.force).await?;
    output::json(&submitted)?;
    if let Some(until) = submitted.rests_until {
        return Err(Failure::try_again(view::rests(&submitted.job, until)));
    }
    if args.wait {
        return follow(&service, &submitted.job).await.map(|state| {
            output::note(view::outcome(&state));
            outcome(&state)
        });
    }
    Ok(ExitCode::Done)
}

async fn status(args: &JobArgs, context: &Context) -> Result<ExitCode, Failure> {
    let service = context.service().await?;
    context.take_in_feedback(&service).await?;
    let job = service.find(&args.job).await?;
    show(&service, &job, args.json).await?;
    Ok(ExitCode::Done)
}

async fn wait(args: &JobArgs, context: &Context) -> Result<ExitCode, Failure> {
    let service = context.service().await?;
    let job = service.find(&args.job).await?;
    let state = follow(&service, &job).await?;
    show(&service, &job, args.json).await?;
    Ok(outcome(&state))
}

async fn show(service: &Service, job: &JobKey, json: bool) -> Result<(), Failure> {
    let report = service.report(job, MAX_EXPIRES_IN).await?;
    if json {
        output::json(&report)?;
    } else {
        output::data(view::report(&report))?;
    }
    Ok(())
}

/// Follows a job until it ends.
async fn follow(service: &Service, job: &JobKey) -> Result<State, Failure> {
    let bar = Bar::show();
    let mut tick = interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let state = service.state(job).await?;
        if state.status.is_final() {
            return Ok(state);
        }
        bar.draw(&state);
    }
}

/// The exit code that stands for how a job ended.
fn outcome(state: &State) -> ExitCode {
    let error = state.error.as_ref();
    match state.status {
        Status::Done => ExitCode::Done,
        Status::Cancelled => ExitCode::Interrupted,
        _ => error
            .and_then(|error| ExitCode::from_number(error.exit_code))
            .unwrap_or(ExitCode::TryAgain),
    }
}

async fn cancel(args: &JobArgs, context: &Context) -> Result<ExitCode, Failure> {
    let service = context.service().await?;
    let job = service.find(&args.job).await?;
    let state = service.cancel(&job).await?;
    if args.json {
        output::json(&state)?;
    } else {
        output::data(format_args!("{job}  {}", state.status))?;
    }
    Ok(ExitCode::Done)
}

async fn list(args: ListArgs, context: &Context) -> Result<ExitCode, Failure> {
    let service = context.service().await?;
    let filter = Filter {
        event_id: args.event,
        status: args.status.map(|status| status.0),
    };
    let states = service.list(&filter).await?;
    if args.json {
        output::json(&states)?;
    } else if states.is_empty() {
        output::note("there are no such jobs");
    } else {
        output::data(view::list(&states))?;
    }
    Ok(ExitCode::Done)
}

async fn retry(args: RetryArgs, context: &Context) -> Result<ExitCode, Failure> {
    let service = context.service().await?;
    let rules = context.settings.source_rules();
    let Some(job) = args.job else {
        let mut any = false;
        service
            .retry_dead_letters(&rules, |letter| {
                any = true;
                output::line(&view::dead_letter(&letter));
            })
            .await?;
        if !any {
            output::note("there are no dead letters");
        }
        return Ok(ExitCode::Done);
    };
    let job = service.find(&job).await?;
    output::json(&service.retry(&job, &rules).await?)?;
    Ok(ExitCode::Done)
}

async fn deliver(args: &DeliverArgs, context: &Context) -> Result<ExitCode, Failure> {
    let service = context.service().await?;
    let job = service.find(&args.job).await?;
    output::json(&service.deliver(&job).await?)?;
    Ok(ExitCode::Done)
}

async fn forget(args: &ForgetArgs, context: &Context) -> Result<ExitCode, Failure> {
    let event_id = &args.event_id;
    if !is_event_id(event_id) {
        return Err(Failure::usage(format!(
            "`{}` is not an event; give its id alone, without a job",
            event_id.escape_debug()
        )));
    }
    if !args.dry_run && !args.yes {
        return Err(Failure::usage(
            "what is erased cannot be brought back; look with `--dry-run`, then give `--yes`",
        ));
    }
    let service = context.service().await?;
    let forgotten = service.forget(event_id, args.dry_run).await?;
    if args.json {
        output::json(&forgotten)?;
    } else {
        output::data(view::forgotten(&forgotten))?;
    }
    Ok(ExitCode::Done)
}

async fn preview_email(args: &PreviewArgs, context: &Context) -> Result<ExitCode, Failure> {
    let bytes = args.manifest.read(&context.cancel).await?;
    let mut defaults = args.manifest.defaults();
    let fallback = || "event".to_owned();
    defaults.fallback_event_id.get_or_insert_with(fallback);
    let manifest = Manifest::parse(&bytes, &defaults, &context.settings.source_rules())?;
    let letter = preview::letter(&manifest, args.locale.as_deref(), clock::system());
    let text = if args.text { letter.text } else { letter.html };
    match &args.output {
        None => output::data(text.trim_end())?,
        Some(path) => std::fs::write(path, text).map_err(|error| {
            Failure::usage(format!("cannot write `{}`: {error}", path.display()))
        })?,
    }
    Ok(ExitCode::Done)
}

pub(crate) fn completions(shell: Shell) {
    clap_complete::generate(shell, &mut Args::command(), "submit", &mut io::stdout());
}
