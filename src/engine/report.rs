//! What a run did, for people and for scripts.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::manifest::EntryName;
use crate::plan::{Content, Missing, Plan, bytes_for_people, count_of, is_or_are};

/// How many of the slowest photos are named.
const SLOWEST: usize = 5;
/// How many missing or empty photos the summary for people names.
const SHOWN: usize = 10;

/// The closing summary of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The event.
    pub event_id: String,
    /// The archives, in order.
    pub archives: Vec<Archive>,
    /// Photos in the archives.
    pub photos: usize,
    /// Bytes of all archives.
    pub bytes: u64,
    /// Seconds from the first probe to the last check.
    pub seconds: f64,
    /// Seconds of that until the plan was made.
    pub probe_seconds: f64,
    /// Megabytes (10⁶ bytes) per second over all of it.
    pub megabytes_per_second: f64,
    /// Requests that were repeated.
    pub retries: u64,
    /// Downloads that went on where they were cut off.
    pub resumed: u64,
    /// Times that the run started over because a photo changed.
    pub restarts: u64,
    /// The most downloads that ran at once.
    pub peak_connections: u64,
    /// The most memory that the process held, in bytes, where the system tells.
    pub peak_memory_bytes: Option<u64>,
    /// The photos that took longest.
    pub slowest: Vec<SlowPhoto>,
    /// Photos that are left out.
    pub missing: Vec<Missing>,
    /// Photos in the archives that have no bytes, as broken uploads leave them behind.
    pub empty: Vec<EntryName>,
    /// Files in folders that are left out because they are junk or not selected.
    pub ignored: usize,
}

/// One finished archive.
#[derive(Debug, Clone, Serialize)]
pub struct Archive {
    /// Its file name.
    pub name: String,
    /// Where it is.
    pub location: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Photos in it.
    pub photos: usize,
}

/// One of the photos that took longest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SlowPhoto {
    /// Its name in the archive.
    pub name: EntryName,
    /// Its length in bytes.
    pub bytes: u64,
    /// Seconds from its first request to its last byte.
    pub seconds: f64,
}

impl Report {
    /// Tells machines about it, as a log line; `what` is what was finished.
    pub fn log(&self, what: &str) {
        tracing::info!(
            event.id = self.event_id,
            photos = self.photos,
            missing = self.missing.len(),
            ignored = self.ignored,
            empty = self.empty.len(),
            size_bytes = self.bytes,
            seconds = self.seconds,
            probe_seconds = self.probe_seconds,
            megabytes_per_second = self.megabytes_per_second,
            retries = self.retries,
            resumed = self.resumed,
            restarts = self.restarts,
            peak_connections = self.peak_connections,
            peak_memory_bytes = self.peak_memory_bytes,
            "finished `{what}`"
        );
    }

    /// Warns of photos that have no bytes.
    pub(super) fn warn_of_empty_photos(&self) {
        if self.empty.is_empty() {
            return;
        }
        let names: Vec<&str> = (self.empty.iter().take(SHOWN))
            .map(EntryName::as_str)
            .collect();
        let more = match self.empty.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        tracing::warn!(
            event.id = self.event_id,
            "{} {} empty (0 bytes): {}{more}",
            count_of(self.empty.len(), "photo"),
            is_or_are(self.empty.len()),
            names.join(", "),
        );
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} in {}, {} in {:.1} s ({:.1} MB/s)",
            count_of(self.photos, "photo"),
            count_of(self.archives.len(), "archive"),
            bytes_for_people(self.bytes),
            self.seconds,
            self.megabytes_per_second
        )?;
        let mut facts = vec![format!("probing {:.1} s", self.probe_seconds)];
        let count = |count: u64, noun| count_of(usize::try_from(count).unwrap_or(usize::MAX), noun);
        facts.push(count(self.peak_connections, "connection"));
        facts.push(count(self.retries, "retry"));
        if self.resumed > 0 {
            facts.push(format!("{} resumed", self.resumed));
        }
        if self.restarts > 0 {
            facts.push(format!("started over {}", count(self.restarts, "time")));
        }
        if let Some(memory) = self.peak_memory_bytes {
            facts.push(format!("peak memory {}", bytes_for_people(memory)));
        }
        write!(f, "  {}", facts.join(", "))?;
        if !self.slowest.is_empty() {
            write!(f, "\n  slowest:")?;
            for photo in &self.slowest {
                write!(
                    f,
                    "\n    {:>6.2} s  {:>9}  {}",
                    photo.seconds,
                    bytes_for_people(photo.bytes),
                    photo.name
                )?;
            }
        }
        if !self.missing.is_empty() {
            write!(f, "\n  {} missing:", count_of(self.missing.len(), "photo"))?;
            for photo in self.missing.iter().take(SHOWN) {
                write!(f, "\n    {}: {}", photo.name, photo.reason)?;
            }
            if self.missing.len() > SHOWN {
                write!(f, "\n    and {} more", self.missing.len() - SHOWN)?;
            }
        }
        if !self.empty.is_empty() {
            let (photos, are) = (
                count_of(self.empty.len(), "photo"),
                is_or_are(self.empty.len()),
            );
            write!(f, "\n  {photos} {are} empty (0 bytes):")?;
            for name in self.empty.iter().take(SHOWN) {
                write!(f, "\n    {name}")?;
            }
            if self.empty.len() > SHOWN {
                write!(f, "\n    and {} more", self.empty.len() - SHOWN)?;
            }
        }
        if self.ignored > 0 {
            let files = count_of(self.ignored, "file");
            write!(
                f,
                "\n  {files} in folders ignored (not selected, or junk such as .DS_Store)"
            )?;
        }
        Ok(())
    }
}

/// Returns the names of the photos that have no bytes.
pub(super) fn empty_photos(plan: &Plan) -> Vec<EntryName> {
    (plan.volumes.iter())
        .flat_map(|volume| &volume.entries)
        .filter(|entry| entry.size == 0 && matches!(entry.content, Content::Photo(_)))
        .map(|entry| entry.name.clone())
        .collect()
}

/// The slowest photos so far.
#[derive(Debug, Default)]
pub(super) struct Slowest(Vec<SlowPhoto>);

impl Slowest {
    pub(super) fn offer(&mut self, name: &EntryName, bytes: u64, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        let at = self.0.partition_point(|known| known.seconds >= seconds);
        if at < SLOWEST {
            self.0.insert(
                at,
                SlowPhoto {
                    name: name.clone(),
                    bytes,
                    seconds,
                },
            );
            self.0.truncate(SLOWEST);
        }
    }

    pub(super) fn into_vec(self) -> Vec<SlowPhoto> {
        self.0
    }
}

/// The most memory that this process ever held, in bytes: `VmHWM` of proc(5). `None` where
/// there is no such file.
pub fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::MissingReason;

    #[test]
    fn keeps_the_slowest_in_order() {
        let mut slowest = Slowest::default();
        for millis in [10, 50, 30, 70, 20, 60, 40] {
            let name = EntryName::sanitize(&format!("{millis}.jpg")).unwrap();
            slowest.offer(&name, 1, Duration::from_millis(millis));
        }
        let names: Vec<String> = slowest
            .into_vec()
            .into_iter()
            .map(|photo| photo.name.to_string())
            .collect();
        assert_eq!(names, ["70.jpg", "60.jpg", "50.jpg", "40.jpg", "30.jpg"]);
    }

    #[test]
    fn the_summary_reads_well() {
        let name = |name: &str| EntryName::sanitize(name).unwrap();
        let report = Report {
            event_id: "smith".to_owned(),
            archives: vec![Archive {
                name: "smith.zip".to_owned(),
                location: "out.zip".to_owned(),
                bytes: 200_000_000,
                photos: 24,
            }],
            photos: 24,
            bytes: 200_000_000,
            seconds: 4.04,
            probe_seconds: 0.31,
            megabytes_per_second: 49.5,
            retries: 3,
            resumed: 2,
            restarts: 0,
            peak_connections: 24,
            peak_memory_bytes: Some(230_000_000),
            slowest: vec![SlowPhoto {
                name: name("Ceremony/IMG_7.jpg"),
                bytes: 8_000_000,
                seconds: 3.9,
            }],
            missing: vec![Missing {
                photo: 3,
                name: name("IMG_3.jpg"),
                reason: MissingReason::NotFound,
            }],
            empty: vec![name("IMG_4.jpg")],
            ignored: 5,
        };
        insta::assert_snapshot!(report);
        insta::assert_json_snapshot!(report);
    }

    #[test]
    fn a_process_knows_its_peak_memory() {
        assert!(peak_memory_bytes().is_some_and(|bytes| bytes > 1024 * 1024));
    }
}
