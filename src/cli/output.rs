//! The only place that prints: data to stdout, everything for people to stderr. Names come from
//! outside, so all that is printed is [`printable`].

use std::fmt::Display;
use std::io::{self, Write as _};

use serde::Serialize;

use super::Failure;
use crate::engine::Report;
use crate::redact;
use crate::settings::{Loaded, LogFormat};
use crate::text::printable;

/// Prints data. A reader that went away is not an error.
///
/// # Errors
/// If stdout cannot be written.
pub fn data(text: impl Display) -> io::Result<()> {
    quiet_pipe(writeln!(
        io::stdout().lock(),
        "{}",
        printable(&text.to_string())
    ))
}

/// Prints data on one line as it is, such as a line of metrics. A reader that went away is not an error.
pub fn line(text: &str) {
    let _ = data(text);
}

/// Prints data as JSON, for people to read as well.
///
/// # Errors
/// If stdout cannot be written.
pub fn json(value: &impl Serialize) -> io::Result<()> {
    data(serde_json::to_string_pretty(value)?)
}

/// Tells people something.
pub fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{}", printable(&text.to_string()));
}

/// Names the settings file that was found without being asked for: whoever is surprised by a setting should know.
pub fn found_file(loaded: &Loaded) {
    let Some(file) = loaded.found_file() else {
        return;
    };
    match loaded.settings.log.format {
        LogFormat::Text => note(format_args!(
            "settings are also read from `{file}` in this folder"
        )),
        LogFormat::Json => tracing::info!("settings are also read from `{file}` in this folder"),
    }
}

/// Tells what went wrong, with every cause: people in words, machines as a log line.
pub fn error(failure: &Failure, format: LogFormat) {
    let text = redact::causes(&*failure.error).join("\n  because: ");
    match format {
        LogFormat::Text => note(format_args!("error: {text}")),
        LogFormat::Json => tracing::error!(exit_code = failure.code as u8, "{text}"),
    }
}

/// Tells how a run ended: people in words, machines as a log line.
pub fn summary(report: &Report, format: LogFormat) {
    match format {
        LogFormat::Text => note(report),
        LogFormat::Json => report.log(&report.event_id),
    }
}

fn quiet_pipe(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
