//! Jobs in words, for people.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::forget::Forgotten;
use super::jobs::{DeadLetter, Report};
use crate::job::{JobKey, State, StateDelivery, Status};
use crate::plan::{bytes_for_people, count_of, is_or_are, part_of};
use crate::text::one_line;

/// What was erased of an event, or would be.
pub fn forgotten(forgotten: &Forgotten) -> String {
    let (verb, event) = if forgotten.dry_run {
        ("would be erased", &forgotten.event_id)
    } else {
        ("erased", &forgotten.event_id)
    };
    let mut parts = vec![
        count_of(forgotten.jobs, "job"),
        count_of(forgotten.objects, "object"),
        count_of(forgotten.archives, "archive"),
    ];
    parts.extend(
        forgotten
            .messages
            .map(|messages| count_of(messages, "message")),
    );
    format!("{event}: {} {verb}", parts.join(", "))
}

/// Why a job is not begun again now, and what to do.
pub fn rests(job: &JobKey, until: Timestamp) -> String {
    format!(
        "`{job}` failed several times in a row and is not begun again before {until:.0}; `submit status {job}` tells \
         why it failed, `submit retry {job}` begins at once"
    )
}

/// Missing or empty photos that are named.
const NAMED: usize = 10;

/// Everything about a job.
pub fn report(report: &Report) -> String {
    let state = &report.state;
    let mut text = format!("{}  {}\n", state.job, state.status);
    let mut line = |name: &str, value: String| {
        // A name from the bucket may have a line break in it.
        let _ = writeln!(text, "  {name:<10} {}", one_line(&value));
    };
    line(
        "queued",
        format!("{} ({})", time(state.queued_at), sent(state)),
    );
    if let Some(progress) = progress(state) {
        line("progress", progress);
    }
    if let Some(attempt) = state.attempts.last() {
        let outcome = attempt.outcome.as_deref().unwrap_or(if report.lost {
            "lost: its container is gone; another one takes over"
        } else {
            "at work"
        });
        line(
            "attempt",
            format!(
                "{}, since {}: {outcome}",
                attempt.number,
                time(attempt.started_at)
            ),
        );
        if let Some(id) = &attempt.owner.batch_job_id {
            let attempt = attempt.owner.batch_attempt.unwrap_or(1);
            line("batch job", format!("{id}, attempt {attempt}"));
        }
    }
    if let Some(stream) = &report.log_stream {
        line("log stream", stream.clone());
    }
    if state.failures > 0 {
        line("failures", state.failures.to_string());
    }
    if let Some(took) = took(state) {
        line("took", took);
    }
    for (archive, link) in state.archives.iter().zip(&report.links) {
        line(
            "archive",
            format!(
                "{}, {}, {}",
                archive.name,
                count_of(archive.photos, "photo"),
                bytes_for_people(archive.bytes)
            ),
        );
        line("", link.clone());
    }
    if let Some(error) = &state.error {
        let message = format!("{} (exit code {})", error.message, error.exit_code);
        let names = ["error"].into_iter().chain(std::iter::repeat(""));
        for (name, said) in names.zip(message.lines()) {
            line(name, said.to_owned());
        }
    }
    if state.missing_count > 0 {
        line("missing", count_of(state.missing_count, "photo"));
        for photo in state.missing.iter().take(NAMED) {
            line("", format!("{}: {}", photo.name, photo.reason));
        }
        if state.missing_count > NAMED {
            line("", format!("and {} more", state.missing_count - NAMED));
        }
    }
    if state.empty_count > 0 {
        let photos = count_of(state.empty_count, "photo");
        line("empty", format!("{photos} of 0 bytes"));
        for name in state.empty.iter().take(NAMED) {
            line("", name.to_string());
        }
        if state.empty_count > NAMED {
            line("", format!("and {} more", state.empty_count - NAMED));
        }
    }
    if state.ignored > 0 {
        let files = count_of(state.ignored, "file");
        line("ignored", format!("{files} in folders"));
    }
    if let Some(delivery) = &state.delivery {
        line("told", told(delivery));
        for problem in &delivery.problems {
            line("", problem.clone());
        }
    }
    line("state", report.state_url.clone());
    text.trim_end().to_owned()
}

/// Who has been told.
fn told(delivery: &StateDelivery) -> String {
    let mut parts = Vec::new();
    let counts = [
        (delivery.mails, "e-mail", ""),
        (delivery.calls, "webhook", ""),
        (delivery.waiting, "notice", " tried again"),
        (delivery.failed, "notice", " given up"),
    ];
    for (count, what, how) in counts {
        if count > 0 {
            parts.push(format!("{}{how}", count_of(count, what)));
        }
    }
    parts.join(", ")
}

/// A table of jobs, without its last line break.
pub fn list(states: &[State]) -> String {
    let width = states
        .iter()
        .map(|state| state.job.to_string().len())
        .max()
        .unwrap_or(0);
    let lines: Vec<String> = states
        .iter()
        .map(|state| {
            let more = match state.status {
                Status::Queued | Status::Cancelled => count_of(state.photos, "photo"),
                Status::Failed => state
                    .error
                    .as_ref()
                    .and_then(|error| error.message.lines().next().map(str::to_owned))
                    .unwrap_or_default(),
                _ => progress(state).unwrap_or_default(),
            };
            format!(
                "{:width$}  {:<12}  {}  {more}",
                state.job.to_string(),
                state.status,
                time(state.queued_at),
            )
            .trim_end()
            .to_owned()
        })
        .collect();
    lines.join("\n")
}

/// What came of a dead letter.
pub fn dead_letter(letter: &DeadLetter) -> String {
    let what = match &letter.job {
        Some(job) => format!("{job}  {}", letter.what),
        None => format!("(not one of ours)  {}", letter.what),
    };
    match &letter.reason {
        Some(reason) if letter.job.is_some() => {
            format!("{what}\n  it was given up: {}", one_line(reason))
        }
        _ => what,
    }
}

/// How far a job is; `None` while there is nothing to tell.
pub fn progress(state: &State) -> Option<String> {
    let progress = &state.progress;
    match state.status {
        Status::Probing => Some(format!(
            "probed {}",
            part_of(to_usize(progress.photos_probed), state.photos, "photo")
        )),
        Status::Done => {
            // A state from the bucket may say anything.
            let archives = state.archives.iter();
            let photos =
                (archives.clone()).fold(0_usize, |sum, one| sum.saturating_add(one.photos));
            let bytes = archives.fold(0_u64, |sum, one| sum.saturating_add(one.bytes));
            Some(format!(
                "{}, {}",
                count_of(photos, "photo"),
                bytes_for_people(bytes)
            ))
        }
        _ if progress.bytes_total > 0 => Some(format!(
            "{}, {} of {}",
            part_of(
                to_usize(progress.photos_done),
                to_usize(progress.photos_total),
                "photo"
            ),
            bytes_for_people(progress.bytes_done),
            bytes_for_people(progress.bytes_total)
        )),
        _ => None,
    }
}

fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn sent(state: &State) -> &'static str {
    if state.sent {
        "the queue has it"
    } else {
        "not confirmed by the queue; submit it again"
    }
}

fn took(state: &State) -> Option<String> {
    let timings = &state.timings;
    let parts: Vec<String> = [
        ("waiting", timings.queued_seconds),
        ("probing", timings.probing_seconds),
        ("transferring", timings.transferring_seconds),
    ]
    .into_iter()
    .filter_map(|(name, seconds)| seconds.map(|seconds| format!("{name} {seconds:.1} s")))
    .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// A time to the second; people don't care for more.
fn time(time: Timestamp) -> String {
    let second = Timestamp::from_second(time.as_second()).unwrap_or(time);
    second.to_string()
}

/// How a job ended, in one or two lines.
pub fn outcome(state: &State) -> String {
    let job = &state.job;
    let mut text = match (state.status, &state.error) {
        (Status::Done, _) => {
            let what = progress(state).unwrap_or_default();
            format!("`{job}` is done: {what}")
        }
        (status, Some(error)) => format!("`{job}` {status}: {}", error.message),
        (status, None) => format!("`{job}` is {status}"),
    };
    if state.status == Status::Done && state.missing_count > 0 {
        let (photos, are) = (
            count_of(state.missing_count, "photo"),
            is_or_are(state.missing_count),
        );
        let _ = write!(text, "\n{photos} {are} missing");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::job::{Owner, StateArchive, StateError, Transferred};
    use crate::manifest::EntryName;
    use crate::plan::{Missing, MissingReason};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + second).unwrap()
    }

    fn queued() -> State {
        let job = "smith/0123456789abcdef0123456789abcdef".parse().unwrap();
        State::queued(job, 250, at(0))
    }

    fn begun() -> State {
        let mut state = queued();
        let owner = Owner {
            id: "c1".to_owned(),
            batch_job_id: Some("b0b".to_owned()),
            batch_attempt: Some(2),
            log_stream: None,
        };
        state.begin(&owner, "5ec".to_owned(), at(4), Duration::from_secs(30));
        state
    }

    fn shown(state: State, lost: bool) -> String {
        let links = state
            .archives
            .iter()
            .map(|archive| format!("https://store.example/{}?…", archive.key))
            .collect();
        report(&Report {
            state_url: format!("s3://photos/{}", state.job.state()),
            log_stream: state.attempts.last().map(|_| "job/default/1".to_owned()),
            links,
            lost,
            state,
        })
    }

    /// A name in a state must not look like a line of the report.
    #[test]
    fn names_with_line_breaks_make_no_lines() {
        let mut state = begun();
        let before = shown(state.clone(), false).lines().count();
        state.archives = vec![StateArchive {
            name: "a.zip\n  state      s3://elsewhere/".to_owned(),
            bucket: None,
            key: "archives/a.zip".to_owned(),
            bytes: 1,
            photos: 1,
        }];
        let text = shown(state, false);
        assert_eq!(text.lines().count(), before + 2, "{text}");
        assert!(text.contains("a.zip\\u000a  state"), "{text}");
    }

    /// Sums of a state that somebody else wrote overflowed.
    #[test]
    fn states_with_the_greatest_numbers_are_shown() {
        let mut state = begun();
        let archive = StateArchive {
            name: "a.zip".to_owned(),
            bucket: None,
            key: "archives/a.zip".to_owned(),
            bytes: u64::MAX,
            photos: usize::MAX,
        };
        state.archives = vec![archive.clone(), archive];
        for time in [Timestamp::MIN, Timestamp::MAX] {
            state.queued_at = time;
            state.redone = u32::MAX;
            state.attempt_count = u32::MAX;
            state.queue_again(false, time);
            let owner = state.attempts[0].owner.clone();
            state.begin(&owner, "5ec".to_owned(), at(4), Duration::MAX);
            state.progress.bytes_total = u64::MAX;
            state.progress.bytes_done = u64::MAX;
            for status in Status::ALL {
                state.status = status;
                assert!(!shown(state.clone(), false).is_empty());
                assert!(!outcome(&state).is_empty());
            }
        }
        assert_eq!((state.redone, state.attempt_count), (u32::MAX, u32::MAX));
    }

    #[test]
    fn every_status_reads_well() {
        let mut probing = begun();
        probing.progress.photos_probed = 120;
        let mut transferring = begun();
        transferring.status = Status::Transferring;
        transferring.progress = Transferred {
            photos_probed: 250,
            photos_done: 100,
            photos_total: 250,
            bytes_done: 800_000_000,
            bytes_total: 2_000_000_000,
        };
        let mut failed = transferring.clone();
        failed.failures = 4;
        failed.end(Status::Failed, "the store is in trouble", at(60));
        failed.error = Some(StateError {
            message: "the store is in trouble".to_owned(),
            exit_code: 75,
        });
        let mut done = transferring.clone();
        done.end(Status::Done, "done", at(60));
        done.timings.probing_seconds = Some(0.5);
        done.timings.transferring_seconds = Some(12.34);
        done.archives = (1..=2)
            .map(|number| StateArchive {
                name: format!("smith-{number}-of-2.zip"),
                bucket: None,
                key: format!("archives/smith-{number}-of-2.zip"),
                bytes: 1_000_000_000,
                photos: 119,
            })
            .collect();
        let missing: Vec<Missing> = (0..12)
            .map(|photo| Missing {
                photo,
                name: EntryName::sanitize(&format!("IMG_{photo}.jpg")).unwrap(),
                reason: MissingReason::NotFound,
            })
            .collect();
        done.note_missing(&missing);
        done.ignored = 1;
        done.note_empty(&[EntryName::sanitize("IMG_99.jpg").unwrap()]);
        let mut cancelled = queued();
        cancelled.sent = true;
        cancelled.end(Status::Cancelled, "cancelled", at(9));
        let states = [
            queued(),
            probing,
            transferring.clone(),
            failed,
            done,
            cancelled,
        ];
        let mut texts: Vec<String> = states
            .iter()
            .map(|state| shown(state.clone(), false))
            .collect();
        texts.push(shown(transferring, true));
        texts.push(list(&states));
        texts.extend(states[3..].iter().map(outcome));
        insta::assert_snapshot!(texts.join("\n\n"));
    }

    #[test]
    fn dead_letters_read_well() {
        let job: crate::job::JobKey = "smith/0123456789abcdef0123456789abcdef".parse().unwrap();
        let letter = |job, what: &str, reason: Option<&str>| {
            dead_letter(&DeadLetter {
                job,
                sent_again: false,
                what: what.to_owned(),
                reason: reason.map(str::to_owned),
            })
        };
        let lines = [
            letter(
                Some(job.clone()),
                "sent again",
                Some("the store is in trouble"),
            ),
            letter(Some(job), "removed: it is done", None),
            letter(
                None,
                "left where it is: it is not JSON",
                Some("it is not JSON"),
            ),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r"
        smith/0123456789abcdef0123456789abcdef  sent again
          it was given up: the store is in trouble
        smith/0123456789abcdef0123456789abcdef  removed: it is done
        (not one of ours)  left where it is: it is not JSON
        ");
    }
}
