//! Photos in memory: a source for tests that need no network.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Mutex;

use bytes::Bytes;

use super::{Encoding, Opened, Page, PhotoBody, PhotoSource, Probe, SourceError, Validators, Want};
use crate::manifest::{Described, Hashes, Photo, PhotoUrl, StoredUrl};
use crate::plan::MissingReason;

/// Photos by the path of their URL; of objects in buckets, `/bucket/object`.
#[derive(Debug, Default)]
pub struct MemorySource {
    photos: Mutex<BTreeMap<String, (Bytes, Validators)>>,
}

/// The largest chunk that a body gives, in bytes, so that tests see more than one.
const CHUNK_BYTES: usize = 64 * 1024;

impl MemorySource {
    /// Adds or replaces a photo.
    pub fn insert(&self, path: impl Into<String>, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        // Once: a long photo is opened many times.
        let validators = validators(&bytes);
        self.lock().insert(path.into(), (bytes, validators));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (Bytes, Validators)>> {
        self.photos
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn find(&self, photo: &Photo) -> Result<(Bytes, Validators), SourceError> {
        self.lock()
            .get(&path(&photo.url))
            .cloned()
            .ok_or(SourceError::Missing(MissingReason::NotFound))
    }
}

fn path(url: &PhotoUrl) -> String {
    match url {
        PhotoUrl::Web(url) => url.expose().path().to_owned(),
        PhotoUrl::Stored(url) => format!("/{}/{}", url.bucket(), url.key()),
    }
}

/// Objects of one page, so that tests see more than one.
const PAGE_OBJECTS: usize = 100;

/// A body that is all there already.
#[derive(Debug)]
pub struct MemoryBody(Bytes);

impl PhotoBody for MemoryBody {
    async fn chunk(&mut self) -> Result<Option<Bytes>, SourceError> {
        let chunk = self.0.split_to(self.0.len().min(CHUNK_BYTES));
        Ok((!chunk.is_empty()).then_some(chunk))
    }
}

fn validators(bytes: &Bytes) -> Validators {
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes);
    Validators {
        etag: Some(format!("\"{crc:08x}\"")),
        ..Validators::default()
    }
}

impl PhotoSource for MemorySource {
    type Body = MemoryBody;

    async fn probe(&self, photo: &Photo, _thorough: bool) -> Result<Probe, SourceError> {
        let (bytes, validators) = self.find(photo)?;
        Ok(Probe {
            length: Some(bytes.len() as u64),
            validators,
            ..Probe::default()
        })
    }

    async fn list(&self, folder: &Photo, after: Option<&str>) -> Result<Page, SourceError> {
        let PhotoUrl::Stored(url) = &folder.url else {
            return Ok(Page::default());
        };
        let bucket = format!("/{}/", url.bucket());
        let prefix = path(&folder.url);
        let photos = self.lock();
        let first = match after {
            Some(after) => Bound::Excluded(format!("{bucket}{after}")),
            None => Bound::Included(prefix.clone()),
        };
        let mut objects: Vec<(StoredUrl, Probe)> = photos
            .range((first, Bound::Unbounded))
            .take_while(|(path, _)| path.starts_with(&prefix))
            .map(|(path, (bytes, validators))| {
                let probe = Probe {
                    length: Some(bytes.len() as u64),
                    validators: validators.clone(),
                    ..Probe::default()
                };
                (url.sibling(&path[bucket.len()..]), probe)
            })
            .take(PAGE_OBJECTS + 1)
            .collect();
        let more = objects.len() > PAGE_OBJECTS;
        objects.truncate(PAGE_OBJECTS);
        let last = objects.last().map(|(url, _)| url.key().to_owned());
        Ok(Page {
            next: last.filter(|_| more),
            objects,
        })
    }

    async fn open(
        &self,
        photo: &Photo,
        want: Want,
        _version: &Validators,
    ) -> Result<Opened<MemoryBody>, SourceError> {
        let (bytes, validators) = self.find(photo)?;
        let total = bytes.len() as u64;
        let range = match want {
            Want::Whole | Want::MaybePacked => 0..total,
            Want::Range(range) => range.start..range.end.min(total),
        };
        let slice = usize::try_from(range.start)
            .ok()
            .zip(usize::try_from(range.end).ok())
            .filter(|(start, end)| start <= end)
            .map(|(start, end)| bytes.slice(start..end))
            .ok_or_else(|| SourceError::Changed("the photo has become shorter".to_owned()))?;
        Ok(Opened {
            start: range.start,
            total: Some(total),
            validators,
            hashes: Hashes::default(),
            described: Described::default(),
            encoding: Encoding::Identity,
            body: MemoryBody(slice),
        })
    }
}
