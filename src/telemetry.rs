//! Log lines: as text for people or as JSON for machines, without secrets ([`crate::redact`]).

use std::io::{IsTerminal as _, Write as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::redact::Redacting;
use crate::settings::{LogFormat, LogSettings};

/// Why logging cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("setting `log.level` is `{level}`, which is not a level or a filter")]
pub struct TelemetryError {
    level: String,
    #[source]
    source: tracing_subscriber::filter::ParseError,
}

/// Where log lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    /// To stdout: containers, whose lines are collected from there.
    Stdout,
    /// To stderr: commands, whose stdout is for data.
    Stderr,
}

/// Starts logging for the whole process; to be called once.
///
/// # Errors
/// If the level is not one.
pub fn start(settings: &LogSettings, stream: LogStream) -> Result<(), TelemetryError> {
    let level = match (settings.level.0.as_str(), settings.format) {
        // The SDK warns of each place in the credential chain that has nothing; that nothing was
        // found anywhere is our own error.
        ("auto", LogFormat::Json) => "info,aws_config=error",
        ("auto", LogFormat::Text) => "warn,aws_config=error",
        (level, _) => level,
    };
    let filter = EnvFilter::builder()
        .parse(level)
        .map_err(|source| TelemetryError {
            level: settings.level.0.clone(),
            source,
        })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(match stream {
            LogStream::Stdout => std::io::stdout().is_terminal(),
            LogStream::Stderr => std::io::stderr().is_terminal(),
        })
        .with_writer(match stream {
            LogStream::Stdout => BoxMakeWriter::new(|| Redacting(std::io::stdout())),
            LogStream::Stderr => BoxMakeWriter::new(|| Redacting(std::io::stderr())),
        });
    // A second start is refused and changes nothing, which is what tests want.
    let _ = match settings.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}

/// Has panics told as everything else is: in the log, without secrets. A panic is a bug, and its message may
/// quote what it met.
pub fn tell_of_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let said = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string);
        let place = place.as_deref().unwrap_or("an unknown place");
        let said = crate::redact::text(said);
        let told = format!("internal error, please report it: {said} (a panic at {place})");
        if tracing::dispatcher::has_been_set() {
            tracing::error!("{told}");
        } else {
            let _ = writeln!(std::io::stderr(), "error: {told}");
        }
    }));
}
