//! The only place that prints: data to stdout, everything for people to stderr.

use std::fmt::Display;
use std::io::{self, Write as _};

use serde::Serialize;
use wedding_photo_processor::engine::Report;
use wedding_photo_processor::settings::LogFormat;

use crate::commands::Failure;

/// Prints data. A reader that went away is not an error.
pub(crate) fn data(text: impl Display) -> io::Result<()> {
    quiet_pipe(writeln!(io::stdout().lock(), "{text}"))
}

/// Prints data as JSON, for people to read as well.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    data(serde_json::to_string_pretty(value)?)
}

/// Tells people something.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Tells what went wrong, with every cause: people in words, machines as a log line.
pub(crate) fn error(failure: &Failure, format: LogFormat) {
    let mut text = format!("error: {}", failure.error);
    let mut cause = failure.error.source();
    while let Some(error) = cause {
        text.push_str(&format!("\n  because: {error}"));
        cause = error.source();
    }
    match format {
        LogFormat::Text => note(text),
        LogFormat::Json => {
            tracing::error!(
                exit_code = failure.code as u8,
                "{}",
                text.trim_start_matches("error: ")
            );
        }
    }
}

/// Tells how a run ended: people in words, machines as a log line.
pub(crate) fn summary(report: &Report, format: LogFormat) {
    match format {
        LogFormat::Text => note(report),
        LogFormat::Json => tracing::info!(
            event.id = report.event_id,
            photos = report.photos,
            missing = report.missing.len(),
            size_bytes = report.bytes,
            seconds = report.seconds,
            probe_seconds = report.probe_seconds,
            megabytes_per_second = report.megabytes_per_second,
            retries = report.retries,
            resumed = report.resumed,
            restarts = report.restarts,
            peak_connections = report.peak_connections,
            peak_memory_bytes = report.peak_memory_bytes,
            "finished `{}`",
            report.event_id
        ),
    }
}

fn quiet_pipe(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
