//! `submit`: hands an event's photos in, to be made into ZIP archives, and tells how that is going.
//!
//! Only this program reads arguments and signals and decides exit codes; the work is in the
//! library.

mod args;
mod commands;
mod progress_bar;

use std::process::ExitCode;

use clap::Parser as _;
use tokio_util::sync::CancellationToken;
use wedding_photo_processor::cli::{Failure, output};
use wedding_photo_processor::settings::{Loaded, LogFormat};
use wedding_photo_processor::telemetry::{self, LogStream};
use wedding_photo_processor::{exit_code, shutdown};

use crate::args::{Args, Command};
use crate::commands::Context;

fn main() -> ExitCode {
    telemetry::tell_of_panics();
    let args = Args::parse();
    if let Some(Command::Completions(wanted)) = &args.command {
        commands::completions(wanted.shell);
        return ExitCode::SUCCESS;
    }
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
    let loaded = Loaded::read(args.settings.config.as_deref(), args.settings.flags())
        .map_err(Failure::usage)?;
    telemetry::start(&loaded.settings.log, LogStream::Stderr).map_err(Failure::usage)?;
    *format = loaded.settings.log.format;
    output::found_file(&loaded);
    // A few requests at a time: threads would only cost time to start.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::try_again)?;
    let outcome = runtime.block_on(async {
        let cancel = CancellationToken::new();
        let signal = shutdown::listen(cancel.clone()).map_err(Failure::try_again)?;
        let context = Context {
            settings: loaded.settings,
            cancel: cancel.clone(),
        };
        let work = commands::run(args, &context);
        tokio::select! {
            outcome = work => outcome,
            // What was asked for is done or not; handing in again makes up for what is not.
            code = signal => {
                Err(Failure::stopped(code.unwrap_or(exit_code::ExitCode::Terminated)))
            }
        }
    });
    runtime.shutdown_background();
    outcome
}
