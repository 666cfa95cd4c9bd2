//! Names of jobs, and of what belongs to them in the bucket.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::manifest::{Given, is_event_id};

/// Bytes of the hash that make a job's id; written as twice as many hexadecimal digits.
const ID_BYTES: usize = 16;

/// A job: its event and its id, written as `event/id`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobKey {
    event_id: String,
    id: String,
}

impl JobKey {
    /// The job that carries out this manifest. Its id is the beginning of the SHA-256 of the
    /// manifest's canonical JSON.
    pub fn of(event_id: &str, given: &Given) -> Self {
        Self {
            event_id: event_id.to_owned(),
            id: id_of(&given.canonical_json()),
        }
    }

    /// Returns true if the job's id was made from this manifest, which is what is stored of it.
    pub fn is_made_from(&self, manifest: &[u8]) -> bool {
        self.id == id_of(manifest)
    }

    /// The event.
    pub fn event_id(&self) -> &str {
        &self.event_id
    }

    /// The id: 32 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key of an object of this job.
    fn object(&self, name: &str) -> String {
        format!("{}{self}/{name}", Layout::JOBS)
    }

    /// What was asked.
    pub fn manifest(&self) -> String {
        self.object("manifest.json")
    }

    /// How it is.
    pub fn state(&self) -> String {
        self.object(Layout::STATE)
    }

    /// Somebody who wants to be told.
    pub fn subscriber(&self, fingerprint: &str) -> String {
        self.object(&format!("subscriber-{fingerprint}.json"))
    }

    /// What the keys of all that is about it begin with.
    pub fn folder(&self) -> String {
        self.object("")
    }

    /// What the keys of all who want to be told begin with.
    pub fn subscribers(&self) -> String {
        self.object("subscriber-")
    }

    /// What came of telling somebody.
    pub fn delivery(&self, id: &str) -> String {
        self.object(&format!("delivery-{id}.json"))
    }

    /// What the keys of archives begin with that programs of before made: their folders named event and
    /// job.
    pub fn archives_of_before(&self) -> String {
        format!("{}{self}-", Layout::ARCHIVES)
    }
}

fn id_of(canonical_json: &[u8]) -> String {
    let hash = Sha256::digest(canonical_json);
    let digits = hash[..ID_BYTES].iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// Where jobs are in the bucket.
#[derive(Debug, Clone, Copy)]
pub struct Layout;

impl Layout {
    /// What the keys of all jobs begin with.
    pub const JOBS: &'static str = "jobs/";
    /// What the keys of all archives begin with.
    pub const ARCHIVES: &'static str = "archives/";
    /// When personal data was deleted last.
    pub const SWEPT: &'static str = "jobs/swept.json";
    /// The prefix of the daily e-mail counts.
    pub const LETTERS: &'static str = "mail/letters/";
    const STATE: &'static str = "state.json";

    /// What the keys of one event's jobs begin with.
    pub fn event(event_id: &str) -> String {
        format!("{}{event_id}/", Self::JOBS)
    }

    /// The folder of one attempt's archives, with a slash at the end. Its name is a secret, so that the link to
    /// an archive leads to no other, and tells neither event nor job.
    pub fn archives(secret: &str) -> String {
        format!("{}{secret}/", Self::ARCHIVES)
    }

    /// The key of an addressee's e-mail count on a day, such as `2026-11-27`.
    pub fn letters(day: &str, addressee: &str) -> String {
        format!("{}{day}/{addressee}.json", Self::LETTERS)
    }

    /// The key of the object that marks an addressee as unsubscribed.
    pub fn unsubscribed(addressee: &str) -> String {
        format!("mail/unsubscribed/{addressee}.json")
    }

    /// The job whose state is at `key`; `None` if that is something else.
    pub fn job_of_state(key: &str) -> Option<JobKey> {
        let job = key.strip_prefix(Self::JOBS)?.strip_suffix(Self::STATE)?;
        job.strip_suffix('/')?.parse().ok()
    }
}

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.event_id, self.id)
    }
}

/// A text that does not name a job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a job; write <event>/<id>, as `submit` prints it")]
pub struct NotAJob(String);

impl FromStr for JobKey {
    type Err = NotAJob;

    fn from_str(text: &str) -> Result<Self, NotAJob> {
        let is_id = |id: &str| {
            id.len() == 2 * ID_BYTES
                && id
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        };
        match text.split_once('/') {
            Some((event_id, id)) if is_event_id(event_id) && is_id(id) => Ok(Self {
                event_id: event_id.to_owned(),
                id: id.to_owned(),
            }),
            _ => Err(NotAJob(text.escape_debug().to_string())),
        }
    }
}

impl Serialize for JobKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for JobKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::rules::JOB_FOLDERS;
    use crate::manifest::{Defaults, Manifest, SourceRules};

    /// Vectors that every implementation of the id must reproduce.
    #[test]
    fn ids_are_as_in_the_shared_vectors() {
        let vectors: Vec<serde_json::Value> =
            serde_json::from_str(include_str!("../../tests/data/job-ids.json")).unwrap();
        for vector in vectors {
            let defaults = Defaults {
                event_id: vector["event_id"].as_str().map(str::to_owned),
                ..Defaults::default()
            };
            let text = match &vector["manifest"] {
                serde_json::Value::String(lines) => lines.clone(),
                json => json.to_string(),
            };
            let hosts = SourceRules::anything();
            let (manifest, given) =
                Manifest::parse_given(text.as_bytes(), &defaults, &hosts).unwrap();
            let canonical = String::from_utf8(given.canonical_json()).unwrap();
            assert_eq!(canonical, vector["canonical"], "{}", vector["about"]);
            let job = JobKey::of(&manifest.event_id, &given);
            assert_eq!(job.to_string(), vector["job"], "{}", vector["about"]);
            assert!(job.is_made_from(canonical.as_bytes()));
            assert!(!job.is_made_from(format!("{canonical} ").as_bytes()));
        }
    }

    #[test]
    fn keys_are_read_back() {
        let id = "0123456789abcdef0123456789abcdef";
        let job: JobKey = format!("smith/{id}").parse().unwrap();
        assert_eq!(job.to_string(), format!("smith/{id}"));
        assert_eq!(job.state(), format!("jobs/smith/{id}/state.json"));
        assert_eq!(Layout::archives("5ec"), "archives/5ec/");
        assert_eq!(job.archives_of_before(), format!("archives/smith/{id}-"));
        assert_eq!(Layout::job_of_state(&job.state()), Some(job.clone()));
        assert_eq!(Layout::job_of_state(&job.manifest()), None);
        for key in [job.manifest(), Layout::archives("5ec")] {
            assert!(
                JOB_FOLDERS.iter().any(|folder| key.starts_with(folder)),
                "{key}"
            );
        }
        for bad in [
            "",
            "smith",
            "smith/",
            "/x",
            "smith/xyz",
            &format!("../{id}"),
            &format!("a/b/{id}"),
            &format!("smith/{}", id.to_uppercase()),
        ] {
            assert!(bad.parse::<JobKey>().is_err(), "{bad}");
        }
    }
}
