//! What each command does: settings → adapters → library → output.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use wedding_photo_processor::cli::args::ManifestArgs;
use wedding_photo_processor::cli::{Failure, input, output, services};
use wedding_photo_processor::demo;
use wedding_photo_processor::engine::{self, EngineError, Progress, Report};
use wedding_photo_processor::exit_code::ExitCode;
use wedding_photo_processor::manifest::{Defaults, Manifest};
use wedding_photo_processor::plan::{Plan, count_of};
use wedding_photo_processor::s3::StoreErrorKind;
use wedding_photo_processor::settings::{Loaded, LogFormat, Settings};
use wedding_photo_processor::sink::discard::DiscardSink;
use wedding_photo_processor::sink::file::FileSink;
use wedding_photo_processor::sink::s3::S3Sink;
use wedding_photo_processor::text::{one_line, shown};
use wedding_photo_processor::verify::{self, Completeness, Findings};

use crate::args::{Command, DemoArgs, PlanArgs, RunArgs, VerifyArgs};
use crate::drain::{BATCH_JOB_ID, drain};
use crate::progress_bar::Bar;

/// What every command needs.
pub(crate) struct Context {
    pub(crate) loaded: Loaded,
    pub(crate) store: services::Store,
    pub(crate) cancel: CancellationToken,
}

pub(crate) async fn run(command: Option<Command>, context: &Context) -> Result<ExitCode, Failure> {
    let Some(command) = command else {
        return drain(context).await;
    };
    refuse_in_batch(std::env::var_os(BATCH_JOB_ID).as_deref())?;
    match command {
        Command::Run(args) => run_manifest(&args, context).await,
        Command::Plan(args) => plan(&args, context).await,
        Command::Verify(args) => verify_archives(&args, context).await,
        Command::Demo(args) => run_demo(&args, context).await,
        Command::Config(args) => config(&context.loaded, args.json),
    }
}

/// Refuses every command in a container of AWS Batch. `batch:SubmitJob` lets its caller choose the
/// command, and the container has keys that the caller has not. The caller chooses the environment,
/// too, so that this only makes misuse harder.
fn refuse_in_batch(batch_job_id: Option<&OsStr>) -> Result<(), Failure> {
    if batch_job_id.is_none_or(OsStr::is_empty) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "a container of AWS Batch only drains the job queue, and takes no command (`{BATCH_JOB_ID}` is \
         set); start it without one, or run the command elsewhere"
    )))
}

async fn run_manifest(args: &RunArgs, context: &Context) -> Result<ExitCode, Failure> {
    let settings = &context.loaded.settings;
    let destination = Destination::parse(&args.output, context).await?;
    let manifest = read_manifest(&args.manifest, context).await?;
    let destination = match destination {
        // The key is what the caller calls it, unless the manifest does.
        Destination::S3(sink) if manifest.archive_name.is_none() => {
            Destination::S3(sink.named_by_key())
        }
        destination => destination,
    };
    let report = make_archives(manifest, &destination, settings, context).await?;
    show(&report, args.json, settings.log.format)?;
    Ok(ExitCode::Done)
}

async fn run_demo(args: &DemoArgs, context: &Context) -> Result<ExitCode, Failure> {
    let mut settings = context.loaded.settings.clone();
    settings.source.allow_http = true;
    settings.source.allow_private = true;
    settings.source.allowed_hosts.0 = vec!["127.0.0.1".to_owned()];
    output::note(format!("making {} sample photos …", demo::PHOTOS));
    let photos = tokio::task::spawn_blocking(demo::photos)
        .await
        .map_err(Failure::try_again)?;
    let origin = demo::DemoOrigin::start(photos)
        .await
        .map_err(Failure::try_again)?;
    let manifest = demo::manifest(&origin);
    output::note(format!(
        "serving them at {} and downloading them from there …",
        origin.url(0).trim_end_matches("/photos/0.jpg")
    ));
    let manifest = Manifest::parse(
        manifest.as_bytes(),
        &Defaults::default(),
        &settings.source_rules(),
    )?;
    let destination = Destination::parse(&args.output, context).await?;
    let report = make_archives(manifest, &destination, &settings, context).await?;
    show(&report, args.json, settings.log.format)?;
    Ok(ExitCode::Done)
}

async fn make_archives(
    manifest: Manifest,
    destination: &Destination,
    settings: &Settings,
    context: &Context,
) -> Result<Report, Failure> {
    let source = Arc::new(services::source(settings, &context.store)?);
    let cancel = &context.cancel;
    let options = settings.engine_options();
    let progress = Arc::new(Progress::default());
    let bar = Bar::follow(Arc::clone(&progress));
    let manifest = Arc::new(manifest);
    let report = match destination {
        Destination::Discard => {
            engine::run(manifest, source, &DiscardSink, &options, progress, cancel).await
        }
        Destination::File(sink) => {
            engine::run(manifest, source, sink, &options, progress, cancel).await
        }
        Destination::S3(sink) => {
            engine::run(manifest, source, sink, &options, progress, cancel).await
        }
    };
    drop(bar);
    Ok(report?)
}

fn show(report: &Report, json: bool, format: LogFormat) -> Result<(), Failure> {
    if json {
        output::json(report)?;
    } else {
        output::summary(report, format);
        for archive in &report.archives {
            output::data(&archive.location)?;
        }
    }
    Ok(())
}

async fn plan(args: &PlanArgs, context: &Context) -> Result<ExitCode, Failure> {
    let settings = &context.loaded.settings;
    let manifest = Arc::new(read_manifest(&args.manifest, context).await?);
    let source = Arc::new(services::source(settings, &context.store)?);
    let progress = Arc::new(Progress::default());
    let bar = Bar::follow(Arc::clone(&progress));
    let options = settings.engine_options();
    let plan = engine::plan(manifest, source, &options, &progress, &context.cancel).await;
    drop(bar);
    let plan = plan?;
    if args.json {
        output::json(&plan)?;
    } else {
        output::data(plan.to_string().trim_end())?;
    }
    Ok(ExitCode::Done)
}

/// What `verify --json` prints.
#[derive(Serialize)]
struct Verification {
    ok: bool,
    archives: Vec<NamedFindings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completeness: Option<Completeness>,
}

#[derive(Serialize)]
struct NamedFindings {
    archive: String,
    #[serde(flatten)]
    findings: Findings,
}

/// Looks at an archive where it is: in a file, or in a bucket by ranged reads.
async fn inspect(path: &Path, context: &Context) -> Result<Findings, Failure> {
    let text = path.to_string_lossy();
    if let Some((bucket, key)) = s3_address(&text)? {
        if key.is_empty() || key.ends_with('/') {
            return Err(Failure::usage(format!(
                "`{text}` names no object; write s3://bucket/key"
            )));
        }
        let bucket = services::store(&context.store, &services::http()?)
            .await?
            .bucket(bucket);
        let opened = bucket.open(key).await.map_err(|error| {
            let code = match error.kind {
                StoreErrorKind::NotFound => ExitCode::Usage,
                _ => ExitCode::from(&error),
            };
            Failure::new(format!("cannot open `{text}`: {error}"), code)
        })?;
        return tokio::task::spawn_blocking(|| verify::inspect(opened))
            .await
            .map_err(Failure::try_again);
    }
    let file = File::open(path)
        .map_err(|error| Failure::usage(format!("cannot open `{}`: {error}", path.display())))?;
    tokio::task::spawn_blocking(|| verify::inspect(io::BufReader::new(file)))
        .await
        .map_err(Failure::try_again)
}

async fn verify_archives(args: &VerifyArgs, context: &Context) -> Result<ExitCode, Failure> {
    let mut found = Vec::new();
    for path in &args.archives {
        tokio::select! {
            () = context.cancel.cancelled() => return Err(EngineError::Cancelled.into()),
            findings = inspect(path, context) => found.push(findings?),
        }
    }
    let completeness = match (&args.plan, &args.manifest) {
        (Some(path), _) => {
            let plan: Plan = serde_json::from_slice(&input::read(path, &context.cancel).await?)
                .map_err(|error| {
                    let problem = format!("`{}` is not a plan: {error}", path.display());
                    Failure::new(problem, ExitCode::BadData)
                })?;
            Some(verify::compare_with_plan(&found, &plan))
        }
        (None, Some(path)) => {
            let bytes = input::read(path, &context.cancel).await?;
            let manifest = without_folders(parse(&bytes, Defaults::default(), context)?, context);
            Some(verify::compare_with_manifest(&found, &*manifest.await?))
        }
        (None, None) => None,
    };
    let problems = found
        .iter()
        .map(|findings| findings.problems.len())
        .sum::<usize>()
        + completeness
            .as_ref()
            .map_or(0, |found| found.problems.len());
    let noted = completeness
        .as_ref()
        .map_or(0, |found| found.noted_missing.len());
    let verification = Verification {
        ok: problems == 0 && noted == 0,
        archives: args
            .archives
            .iter()
            .zip(found)
            .map(|(path, findings)| NamedFindings {
                archive: path.display().to_string(),
                findings,
            })
            .collect(),
        completeness,
    };
    if args.json {
        output::json(&verification)?;
    } else {
        output::data(verification_text(&verification))?;
    }
    Ok(match (problems, noted) {
        (0, 0) => ExitCode::Done,
        (0, _) => ExitCode::Missing,
        _ => ExitCode::BadData,
    })
}

fn verification_text(verification: &Verification) -> String {
    let mut lines = Vec::new();
    for archive in &verification.archives {
        let findings = &archive.findings;
        let verdict = if findings.problems.is_empty() {
            let entries = count_of(findings.entries, "entry");
            format!("ok, {entries}, {} bytes", findings.bytes)
        } else {
            "damaged".to_owned()
        };
        lines.push(format!("{}: {verdict}", archive.archive));
        lines.extend(
            findings
                .problems
                .iter()
                .map(|problem| format!("  {}", one_line(problem))),
        );
    }
    if let Some(completeness) = &verification.completeness {
        let present = count_of(completeness.present, "entry");
        let noted = completeness.noted_missing.len();
        lines.push(match (completeness.problems.len(), noted) {
            (0, 0) => format!("complete: {present} as asked for"),
            (0, _) => format!(
                "complete but for what it says is missing: {present} as asked for, \
                 {noted} missing"
            ),
            _ => format!("not complete: {present} as asked for"),
        });
        lines.extend(
            completeness
                .problems
                .iter()
                .map(|problem| format!("  {}", one_line(problem))),
        );
        lines.extend(
            completeness
                .noted_missing
                .iter()
                .map(|name| format!("  `{}` is missing", one_line(name))),
        );
    }
    lines.join("\n")
}

fn config(loaded: &Loaded, json: bool) -> Result<ExitCode, Failure> {
    let settings = loaded.effective();
    if json {
        output::json(&settings)?;
        return Ok(ExitCode::Done);
    }
    let width = |text: fn(&wedding_photo_processor::settings::Effective) -> &str| {
        settings
            .iter()
            .map(|setting| text(setting).len())
            .max()
            .unwrap_or(0)
    };
    let (keys, values) = (
        width(|setting| &setting.key),
        width(|setting| &setting.value),
    );
    for setting in &settings {
        let (key, value, origin) = (&setting.key, &setting.value, &setting.origin);
        output::data(format_args!("{key:keys$}  {value:values$}  {origin}"))?;
    }
    Ok(ExitCode::Done)
}

/// Where `run` puts its archives.
#[derive(Debug)]
enum Destination {
    File(FileSink),
    S3(S3Sink),
    Discard,
}

impl Destination {
    async fn parse(output: &Path, context: &Context) -> Result<Self, Failure> {
        let text = output.to_string_lossy();
        if text == "-" {
            return Err(Failure::usage(
                "archives cannot go to stdout, because their parts are written in any order; \
                 name a file",
            ));
        }
        if let Some((bucket, key)) = s3_address(&text)? {
            let bucket = services::store(&context.store, &services::http()?)
                .await?
                .bucket(bucket);
            return Ok(Self::S3(S3Sink::new(bucket, key)));
        }
        if text.contains("://") {
            return Err(Failure::usage(format!(
                "cannot write to `{}`; name a file, a folder, or s3://bucket/key",
                shown(&text)
            )));
        }
        if output == Path::new("/dev/null") {
            return Ok(Self::Discard);
        }
        if output.is_dir() {
            return Ok(Self::File(FileSink::Folder(output.to_owned())));
        }
        let folder = match output.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if text.ends_with('/') || !folder.is_dir() {
            let missing = if text.ends_with('/') { output } else { folder };
            return Err(Failure::usage(format!(
                "the folder `{}` does not exist; make it first",
                missing.display()
            )));
        }
        Ok(Self::File(FileSink::File(output.to_owned())))
    }
}

/// Bucket and key of an `s3://bucket/key`; `None` if it is not one.
fn s3_address(text: &str) -> Result<Option<(&str, &str)>, Failure> {
    let Some(address) = text.strip_prefix("s3://") else {
        return Ok(None);
    };
    let (bucket, key) = address.split_once('/').unwrap_or((address, ""));
    if bucket.is_empty() {
        return Err(Failure::usage(format!(
            "`{text}` names no bucket; write s3://bucket/key"
        )));
    }
    Ok(Some((bucket, key)))
}

async fn read_manifest(args: &ManifestArgs, context: &Context) -> Result<Manifest, Failure> {
    let bytes = args.read(&context.cancel).await?;
    parse(&bytes, args.defaults(), context)
}

fn parse(bytes: &[u8], mut defaults: Defaults, context: &Context) -> Result<Manifest, Failure> {
    let fallback = || "event".to_owned();
    defaults.fallback_event_id.get_or_insert_with(fallback);
    let rules = context.loaded.settings.source_rules();
    Ok(Manifest::parse(bytes, &defaults, &rules)?)
}

/// What is in the folders of a manifest now.
async fn without_folders(manifest: Manifest, context: &Context) -> Result<Arc<Manifest>, Failure> {
    let settings = &context.loaded.settings;
    let source = services::source(settings, &context.store)?;
    let options = settings.engine_options();
    let listing = engine::list_folders(Arc::new(manifest), &source, &options);
    match context.cancel.run_until_cancelled(listing).await {
        Some(manifest) => Ok(manifest?),
        None => Err(EngineError::Cancelled.into()),
    }
}
