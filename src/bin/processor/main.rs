//! `processor`: turns a manifest of photos into ZIP archives.
//!
//! Only this program reads arguments, environment and signals, and decides exit codes; the work
//! is in the library.

mod args;
mod commands;
mod drain;
mod progress_bar;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use tokio_util::sync::CancellationToken;
use wedding_photo_processor::cli::{Failure, output};
use wedding_photo_processor::settings::{Loaded, LogFormat};
use wedding_photo_processor::telemetry::{self, LogStream};
use wedding_photo_processor::{exit_code, shutdown};

use crate::args::Args;
use crate::commands::Context;

fn main() -> ExitCode {
    telemetry::tell_of_panics();
    if drain::batch_attempt().is_some_and(|attempt| attempt > 1) {
        // Without it, an abort is tried again like the first one.
        let _ = shutdown::abort_by_exit_code();
    }
    let args = Args::parse();
    // Until the settings are read, nobody knows how machines want their lines.
    let mut format = LogFormat::Text;
    match start(args, &mut format) {
        Ok(code) => code.into(),
        Err(failure) => {
            output::error(&failure, format);
            failure.code.into()
        }
    }
}

fn start(args: Args, format: &mut LogFormat) -> Result<exit_code::ExitCode, Failure> {
    let mut flags = args.settings.flags();
    args.engine.add_to(&mut flags);
    let loaded = Loaded::read(args.settings.config.as_deref(), flags).map_err(Failure::usage)?;
    let stream = match args.command {
        Some(_) => LogStream::Stderr,
        None => LogStream::Stdout,
    };
    telemetry::start(&loaded.settings.log, stream).map_err(Failure::usage)?;
    *format = loaded.settings.log.format;
    output::found_file(&loaded);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::try_again)?;
    let outcome = runtime.block_on(async {
        let cancel = CancellationToken::new();
        let signal = shutdown::listen(cancel.clone()).map_err(Failure::try_again)?;
        let context = Context {
            store: loaded.settings.s3_options(),
            loaded,
            cancel,
        };
        let outcome = commands::run(args.command, &context).await;
        if context.cancel.is_cancelled() && outcome.is_err() {
            // A Spot instance that is taken away stops the program without a signal.
            let code = match tokio::time::timeout(Duration::from_secs(1), signal).await {
                Ok(Ok(code)) => code,
                _ => exit_code::ExitCode::Terminated,
            };
            return Err(Failure::stopped(code));
        }
        outcome
    });
    // Downloads that hang in a system call must not keep the process.
    runtime.shutdown_background();
    outcome
}
