//! Errors of the engine: why a run ended without archives.

use std::path::PathBuf;

use crate::manifest::MAX_PHOTOS;
use crate::plan::{Missing, PlanError, count_of, is_or_are, part_of};
use crate::sink::SinkError;

/// Photos that a message names.
const NAMED: usize = 10;

/// A reason why a run ended without archives.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Photos are missing, and the manifest does not put up with that.
    #[error("{}", missing_message(.missing, *.photos))]
    Missing {
        /// Which ones.
        missing: Vec<Missing>,
        /// Photos in the manifest.
        photos: usize,
    },
    /// Photos are unavailable for reasons that may pass, and not only a few.
    #[error("{}", unreachable_message(.missing, *.photos, .hosts, *.limit))]
    Unreachable {
        /// Which ones, the unreachable ones first.
        missing: Vec<Missing>,
        /// Photos in the manifest.
        photos: usize,
        /// The hosts whose photos say more about their server than about themselves.
        hosts: Vec<String>,
        /// `source.max_unreachable`, where that is what was exceeded.
        limit: Option<f64>,
    },
    /// The archives cannot be planned.
    #[error("the archives cannot be planned")]
    Plan(#[source] PlanError),
    /// The memory budget is too small for the archive.
    #[error(
        "`engine.memory_budget` is {budget} bytes, but `{archive}` needs at least {needed}; raise it"
    )]
    BudgetTooSmall {
        /// The budget in bytes.
        budget: u64,
        /// Bytes that the archive needs.
        needed: u64,
        /// The archive.
        archive: String,
    },
    /// A photo could not be fetched, for reasons that may pass.
    #[error(
        "photo `{photo}` could not be fetched from {url} in {}: {what}",
        count_of(*.attempts as usize, "attempt")
    )]
    Fetch {
        /// The photo.
        photo: String,
        /// The photo's address, without secrets.
        url: String,
        /// The last failure.
        what: String,
        /// Attempts in a row.
        attempts: u32,
    },
    /// Photos changed every time that the run started over.
    #[error(
        "photos changed each time that the run started over, the last one `{photo}`: {what}; \
         try again when they have settled"
    )]
    KeepsChanging {
        /// One of them.
        photo: String,
        /// The photo's change.
        what: String,
    },
    /// A folder could not be listed, for reasons that may pass.
    #[error(
        "{folder} could not be listed in {}: {what}",
        count_of(*.attempts as usize, "attempt")
    )]
    Listing {
        /// The folder.
        folder: String,
        /// The last failure.
        what: String,
        /// Attempts.
        attempts: u32,
    },
    /// A source cannot be used as the settings are.
    #[error("{0}")]
    SourceSettings(String),
    /// The folders have more photos than a job may have.
    #[error(
        "with `{folder}` there are more than {MAX_PHOTOS} photos, the most that fit into one job; \
         split the event"
    )]
    TooManyPhotos {
        /// The folder with which there were too many.
        folder: String,
    },
    /// The photos are larger than a job's may be.
    #[error(
        "the photos have {bytes} bytes, more than `job.max_bytes` ({limit}); split the event, or raise it"
    )]
    TooManyBytes {
        /// Length of all photos, in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// There is no room for photos of unknown length.
    #[error(
        "photo `{photo}` has to be spooled, and more than `engine.spool_limit` \
         ({limit} bytes) would be in the spool; raise it"
    )]
    SpoolFull {
        /// The photo.
        photo: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The spool cannot be written.
    #[error("the spool in `{}` (`engine.spool_dir`) cannot be used", .folder.display())]
    SpoolIo {
        /// The folder.
        folder: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The archive could not be stored.
    #[error("the archive could not be stored")]
    Sink(#[from] SinkError),
    /// The stored archive differs from the one that was sent.
    #[error("the archive `{archive}` was stored wrongly: {problem}")]
    Verify {
        /// The archive.
        archive: String,
        /// The difference.
        problem: String,
    },
    /// The run was asked to stop.
    #[error("interrupted")]
    Cancelled,
    /// A bug in this program.
    #[error("internal error: {0}; please report it")]
    Internal(&'static str),
}

fn missing_message(missing: &[Missing], photos: usize) -> String {
    let (part, are) = (
        part_of(missing.len(), photos, "photo"),
        is_or_are(missing.len()),
    );
    format!("{part} {are} missing:{}", lines(missing))
}

fn unreachable_message(
    missing: &[Missing],
    photos: usize,
    hosts: &[String],
    limit: Option<f64>,
) -> String {
    let (part, are) = (
        part_of(missing.len(), photos, "photo"),
        is_or_are(missing.len()),
    );
    let place = match hosts {
        [] => String::new(),
        [host] => format!(" at `{host}`"),
        [host, others @ ..] => format!(" at `{host}` and {}", count_of(others.len(), "other host")),
    };
    let limit = limit.map_or(String::new(), |share| {
        format!(", more than `source.max_unreachable` ({share}) allows")
    });
    format!("{part} {are} unavailable{place}{limit}:{}", lines(missing))
}

/// A line for each photo.
fn lines(missing: &[Missing]) -> String {
    let mut text = String::new();
    for photo in missing.iter().take(NAMED) {
        text.push_str(&format!("\n  {}: {}", photo.name, photo.reason));
    }
    if missing.len() > NAMED {
        text.push_str(&format!("\n  and {} more", missing.len() - NAMED));
    }
    text
}
