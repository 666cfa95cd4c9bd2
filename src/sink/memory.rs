//! Archives in memory: a sink for tests that looks closely at what it is given.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::{
    ArchiveSink, ArchiveSpec, ArchiveStore, ArchiveUpload, PartData, PartReceipt, SinkError,
    Stored, check_receipts,
};

/// A sink that keeps completed archives by name, and counts uploads that are still open. Clones, and
/// those for folders, share what is kept.
#[derive(Debug, Clone, Default)]
pub struct MemorySink {
    inner: Arc<Mutex<Inner>>,
    /// Precedes the names.
    folder: String,
}

#[derive(Debug, Default)]
struct Inner {
    archives: HashMap<String, Bytes>,
    open: usize,
}

impl MemorySink {
    /// A completed archive.
    pub fn archive(&self, name: &str) -> Option<Bytes> {
        self.lock().archives.get(name).cloned()
    }

    /// Keeps an archive that another program has made.
    pub fn insert(&self, name: &str, bytes: Bytes) {
        self.lock().archives.insert(name.to_owned(), bytes);
    }

    /// Names of all completed archives, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.lock().archives.keys().cloned().collect();
        names.sort();
        names
    }

    /// Uploads that are neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        self.lock().open
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ArchiveStore for MemorySink {
    type Sink = Self;

    fn folder(&self, folder: &str) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            folder: folder.to_owned(),
        }
    }

    async fn length(&self, key: &str) -> Result<Option<u64>, SinkError> {
        Ok(self.archive(key).map(|bytes| bytes.len() as u64))
    }

    async fn keys(&self, folder: &str) -> Result<Vec<String>, SinkError> {
        let mut keys = self.names();
        keys.retain(|key| key.starts_with(folder));
        Ok(keys)
    }

    async fn remove(&self, key: &str) -> Result<(), SinkError> {
        self.lock().archives.remove(key);
        Ok(())
    }

    /// Uploads end with whoever made them.
    async fn abort_uploads(&self, _folder: &str) -> Result<(), SinkError> {
        Ok(())
    }

    async fn link(&self, key: &str, valid: Duration) -> Result<String, SinkError> {
        Ok(format!("memory:{key}?valid={}", valid.as_secs()))
    }
}

/// One archive on its way into memory.
#[derive(Debug)]
pub struct MemoryUpload {
    sink: MemorySink,
    key: String,
    spec: ArchiveSpec,
    /// `None` once completed or aborted.
    parts: Mutex<Option<HashMap<u32, Bytes>>>,
}

impl MemoryUpload {
    fn problem(&self, problem: impl Into<String>) -> SinkError {
        SinkError::Parts {
            name: self.spec.name.clone(),
            problem: problem.into(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<HashMap<u32, Bytes>>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ArchiveSink for MemorySink {
    type Upload = MemoryUpload;

    async fn begin(&self, archive: &ArchiveSpec) -> Result<MemoryUpload, SinkError> {
        self.lock().open += 1;
        Ok(MemoryUpload {
            sink: self.clone(),
            key: format!("{}{}", self.folder, archive.name),
            spec: archive.clone(),
            parts: Mutex::new(Some(HashMap::new())),
        })
    }
}

impl ArchiveUpload for MemoryUpload {
    async fn put_part(&self, part: PartData) -> Result<PartReceipt, SinkError> {
        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &part.bytes);
        if crc != u64::from(part.crc32) {
            return Err(self.problem(format!("part {} has another CRC", part.number)));
        }
        let offset = u64::from(part.number - 1) * self.spec.part_size;
        let length = self.spec.part_size.min(self.spec.length - offset);
        if part.offset != offset || part.bytes.len() as u64 != length {
            return Err(self.problem(format!("part {} has another range", part.number)));
        }
        // A copy, so that the sender gets its buffer back.
        let copy = Bytes::copy_from_slice(&part.bytes);
        match self.lock().as_mut() {
            Some(parts) => parts.insert(part.number, copy),
            None => return Err(self.problem("the upload is over")),
        };
        Ok(PartReceipt {
            number: part.number,
            e_tag: None,
            crc32: part.crc32,
        })
    }

    async fn complete(&self, parts: &[PartReceipt]) -> Result<Stored, SinkError> {
        check_receipts(&self.spec, parts)?;
        let kept = self
            .lock()
            .take()
            .ok_or_else(|| self.problem("the upload is over"))?;
        let mut archive = Vec::new();
        for receipt in parts {
            match kept.get(&receipt.number) {
                Some(bytes) => archive.extend_from_slice(bytes),
                None => {
                    return Err(self.problem(format!("part {} never came", receipt.number)));
                }
            }
        }
        let length = archive.len() as u64;
        let mut inner = self.sink.lock();
        inner.open -= 1;
        inner.archives.insert(self.key.clone(), archive.into());
        Ok(Stored {
            location: self.key.clone(),
            length,
        })
    }

    async fn abort(&self) -> Result<(), SinkError> {
        let under_way = self.lock().take().is_some();
        let mut inner = self.sink.lock();
        if under_way {
            inner.open -= 1;
        } else {
            inner.archives.remove(&self.key);
        }
        Ok(())
    }

    async fn read_back(&self, range: Range<u64>) -> Result<Option<Bytes>, SinkError> {
        let archive = self
            .sink
            .archive(&self.key)
            .ok_or_else(|| self.problem("the archive is not there"))?;
        let range = usize::try_from(range.start)
            .ok()
            .zip(usize::try_from(range.end).ok())
            .filter(|(start, end)| start <= end && *end <= archive.len())
            .ok_or_else(|| self.problem("the archive is shorter than that"))?;
        Ok(Some(archive.slice(range.0..range.1)))
    }
}
