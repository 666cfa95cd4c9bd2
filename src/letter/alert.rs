//! The operator's letter: a job has failed for good. Only in English, as logs are.

use super::line::{self, MAX_TITLE, MAX_TITLE_IN_SUBJECT};
use super::page::{Block, Fact, Page};
use super::unlink::job_in_a_command;
use super::{Letter, Locale};

/// Characters of an error that are shown; the log has all of it.
const MAX_FAILURE: usize = 1000;

/// A job that failed for good.
#[derive(Debug, Clone, Copy)]
pub struct Alert<'a> {
    /// The event's title, else its id.
    pub event: &'a str,
    /// The job, as `submit` takes it: `<event_id>/<job_id>`.
    pub job: &'a str,
    /// What failed, with its causes.
    pub failure: &'a str,
    /// The exit code that stands for it.
    pub exit_code: u8,
    /// Attempts so far.
    pub attempts: u32,
    /// The log stream of the last one, where it is known.
    pub log_stream: Option<&'a str>,
}

/// Tells the operator what failed, where to look and what to do.
pub fn alert(alert: &Alert) -> Letter {
    let job = line::clean(alert.job);
    let in_a_command = job_in_a_command(alert.job);
    let event = Some(line::clean(alert.event))
        .filter(|event| !event.is_empty())
        .unwrap_or_else(|| job.clone());
    let failure = line::shorten(&line::clean(alert.failure), MAX_FAILURE);
    let log_stream = alert.log_stream.map_or_else(
        || "unknown; the state may name the container".to_owned(),
        line::clean,
    );
    let facts = [
        ("What failed", failure.clone()),
        ("Job", job.clone()),
        (
            "Exit code",
            format!("{} ({})", alert.exit_code, meaning(alert.exit_code)),
        ),
        ("Attempts", alert.attempts.to_string()),
        ("Log stream", log_stream),
    ]
    .map(|(name, value)| Fact { name, value });
    Page {
        locale: Locale::En,
        subject: format!(
            "Job failed: {}",
            line::shorten(&event, MAX_TITLE_IN_SUBJECT)
        ),
        preview: line::shorten(&failure, MAX_TITLE),
        heading: "A job has failed".to_owned(),
        event: line::shorten(&event, MAX_TITLE),
        blocks: vec![
            Block::Facts(facts.into()),
            Block::Heading("What to do".to_owned()),
            Block::Text("See how the job is, with all its attempts:".to_owned()),
            Block::Command(format!("submit status {in_a_command}")),
            Block::Text(format!("{}:", before_retry(alert.exit_code))),
            Block::Command(format!("submit retry {in_a_command}")),
        ],
        footer: "You receive this e-mail because failures are reported to this address (ALERT_TO)."
            .to_owned(),
        unsubscribe: None,
    }
    .into_letter()
}

fn meaning(exit_code: u8) -> &'static str {
    match exit_code {
        2 => "usage or settings",
        65 => "the manifest is bad",
        66 => "photos are missing",
        75 => "given up after several attempts",
        _ => "unexpected",
    }
}

fn before_retry(exit_code: u8) -> &'static str {
    match exit_code {
        2 => "Mend the settings, then do it again",
        65 => {
            "The same manifest will fail again: hand in a corrected one. If it was not to blame, do it again"
        }
        66 => "Put the missing photos back, then do it again",
        _ => "When the cause is gone, do it again",
    }
}
