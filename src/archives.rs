//! The archives of jobs: in a bucket of their own, or beside the jobs.
//!
//! Only a bucket that holds nothing but archives may be seen by everyone: manifests and states have the
//! photos' tokens and the guests' addresses in them. So links below a public address lead into that bucket
//! alone. Each archive in a state names its bucket where that is not the one of the jobs, so archives of
//! before a bucket was set are still found.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::job::StateArchive;
use crate::sink::{ArchiveStore, SinkError};

/// What stands in a path as it is: unreserved characters (RFC 3986, 2.3), and `/`.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// Where archives are, and how links lead to them.
#[derive(Debug, Clone)]
pub struct Archives<A> {
    beside_jobs: A,
    apart: Option<Apart<A>>,
}

#[derive(Debug, Clone)]
struct Apart<A> {
    bucket: String,
    store: A,
    public_base_url: Option<String>,
}

impl<A: ArchiveStore> Archives<A> {
    /// Keeps archives in the bucket of the jobs.
    pub fn beside_jobs(store: A) -> Self {
        Self {
            beside_jobs: store,
            apart: None,
        }
    }

    /// Keeps new archives in a bucket of their own. `public_base_url` is where everyone can see it, such as
    /// `https://photos.example.com`; without it, links are signed.
    #[must_use]
    pub fn apart(self, bucket: String, store: A, public_base_url: Option<String>) -> Self {
        let apart = Apart {
            bucket,
            store,
            public_base_url,
        };
        Self {
            apart: Some(apart),
            ..self
        }
    }

    /// The bucket that a new archive notes in its state; `None` where that is the bucket of the jobs.
    pub fn bucket(&self) -> Option<&str> {
        self.apart.as_ref().map(|apart| apart.bucket.as_str())
    }

    /// The store of new archives.
    pub fn store(&self) -> &A {
        (self.apart.as_ref()).map_or(&self.beside_jobs, |apart| &apart.store)
    }

    /// The store of an archive, and its public address; `None` if its bucket is none of ours, as after
    /// another one was set.
    fn place_of(&self, archive: &StateArchive) -> Option<(&A, Option<&str>)> {
        let Some(bucket) = &archive.bucket else {
            return Some((&self.beside_jobs, None));
        };
        let apart = (self.apart.as_ref()).filter(|apart| apart.bucket == *bucket)?;
        Some((&apart.store, apart.public_base_url.as_deref()))
    }

    /// Returns whether an archive is there, as long as it should be.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn has(&self, archive: &StateArchive) -> Result<bool, SinkError> {
        match self.place_of(archive) {
            Some((store, _)) => Ok(store.length(&archive.key).await? == Some(archive.bytes)),
            None => Ok(false),
        }
    }

    /// Removes an archive; fine if there is none.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn remove(&self, archive: &StateArchive) -> Result<(), SinkError> {
        match self.place_of(archive) {
            Some((store, _)) => store.remove(&archive.key).await,
            None => Ok(()),
        }
    }

    /// Removes all archives in a folder, which ends with a slash, and the uploads into it, in both buckets; or
    /// only counts the archives.
    ///
    /// # Errors
    /// If a store does not answer.
    pub async fn clear(&self, folder: &str, only_count: bool) -> Result<usize, SinkError> {
        let mut archives = 0;
        let apart = self.apart.as_ref().map(|apart| &apart.store);
        for store in [Some(&self.beside_jobs), apart].into_iter().flatten() {
            let keys = store.keys(folder).await?;
            archives += keys.len();
            if only_count {
                continue;
            }
            store.abort_uploads(folder).await?;
            for key in keys {
                store.remove(&key).await?;
            }
        }
        Ok(archives)
    }

    /// A link to each archive, in order, which anyone who has it can follow: below the public address where
    /// there is one, else signed and good for so long. Either way the archive is saved under its own name,
    /// since the object has a `Content-Disposition`. An archive whose bucket is none of ours has an empty
    /// link.
    ///
    /// # Errors
    /// If the store cannot sign.
    pub async fn links(
        &self,
        archives: &[StateArchive],
        valid: Duration,
    ) -> Result<Vec<String>, SinkError> {
        let mut links = Vec::new();
        for archive in archives {
            links.push(match self.place_of(archive) {
                Some((_, Some(base))) => below(base, &archive.key),
                Some((store, None)) => store.link(&archive.key, valid).await?,
                None => String::new(),
            });
        }
        Ok(links)
    }
}

fn below(base: &str, key: &str) -> String {
    let base = base.trim_end_matches('/');
    format!("{base}/{}", utf8_percent_encode(key, PATH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::memory::MemorySink;

    fn archive(bucket: Option<&str>) -> StateArchive {
        StateArchive {
            name: "Smith & Jones ü.zip".to_owned(),
            bucket: bucket.map(str::to_owned),
            key: "archives/5ec/Smith & Jones ü.zip".to_owned(),
            bytes: 1,
            photos: 1,
        }
    }

    /// What is beside the jobs is never linked below the public address: it would show the manifests, too.
    #[tokio::test]
    async fn only_the_bucket_of_archives_is_public() {
        let archives = Archives::beside_jobs(MemorySink::default()).apart(
            "archives".to_owned(),
            MemorySink::default(),
            Some("https://photos.example.com/".to_owned()),
        );
        let all = [None, Some("archives"), Some("another")].map(archive);
        let links = archives.links(&all, Duration::from_secs(9)).await.unwrap();
        assert_eq!(
            links,
            [
                "memory:archives/5ec/Smith & Jones ü.zip?valid=9",
                "https://photos.example.com/archives/5ec/Smith%20%26%20Jones%20%C3%BC.zip",
                "",
            ]
        );
        assert!(!archives.has(&all[2]).await.unwrap());
    }
}
