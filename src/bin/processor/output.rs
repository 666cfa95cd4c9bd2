//! The only place that prints: data to stdout, everything for people to stderr.

use std::fmt::Display;
use std::io::{self, Write as _};

use serde::Serialize;

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

/// Tells people what went wrong, with every cause.
pub(crate) fn error(failure: &Failure) {
    let mut text = format!("error: {}", failure.error);
    let mut cause = failure.error.source();
    while let Some(error) = cause {
        text.push_str(&format!("\n  because: {error}"));
        cause = error.source();
    }
    note(text);
}

fn quiet_pipe(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
