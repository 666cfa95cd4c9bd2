//! Objects as files in a folder, for one machine.
//!
//! A write goes to a file of its own and is renamed into place, so that readers see old or new,
//! never half. Writers of one folder take turns by a lock on a file, which makes conditions hold
//! across processes. A version is the checksum of the content and its time of writing.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};

use super::{Bucket, BucketError, Condition, MAX_OBJECT_BYTES, Object, Version, check_key};

/// The file that writers lock. No key is called so: keys don't begin with a dot here.
const LOCK: &str = ".lock";

/// A folder that keeps objects.
#[derive(Debug, Clone)]
pub struct FolderBucket {
    folder: PathBuf,
}

impl FolderBucket {
    /// Uses an existing folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Runs file system calls for a key where they hold up nobody else.
    async fn with<T: Send + 'static>(
        &self,
        key: &str,
        work: impl FnOnce(&Path, &str) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BucketError> {
        let (folder, owned) = (self.folder.clone(), key.to_owned());
        let done = tokio::task::spawn_blocking(move || work(&folder, &owned)).await;
        done.map_err(io::Error::other)
            .and_then(|result| result)
            .map_err(|source| BucketError::Io {
                key: key.to_owned(),
                source,
            })
    }
}

fn checked(key: &str) -> Result<(), BucketError> {
    check_key(key)?;
    if key.split('/').any(|segment| segment.starts_with('.')) {
        return Err(BucketError::Unacceptable {
            key: key.to_owned(),
            problem: "segments don't begin with a dot in a folder",
        });
    }
    Ok(())
}

/// Waits for its turn to write; the turn ends when the file is dropped.
fn lock(folder: &Path) -> io::Result<File> {
    let file = File::create(folder.join(LOCK))?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

fn read(path: &Path) -> io::Result<Option<Object>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    // Of the open file: the name may be another one's by now.
    let metadata = file.metadata()?;
    if metadata.len() > MAX_OBJECT_BYTES {
        return Err(io::Error::other("it is too long to be one of ours"));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let bytes = Bytes::from(bytes);
    let written = metadata
        .modified()?
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, &bytes);
    let version = Version(format!("{crc:016x}-{}", written.as_nanos()));
    Ok(Some(Object { bytes, version }))
}

impl Bucket for FolderBucket {
    async fn get(&self, key: &str) -> Result<Option<Object>, BucketError> {
        checked(key)?;
        self.with(key, |folder, key| read(&folder.join(key))).await
    }

    async fn put(
        &self,
        key: &str,
        bytes: Bytes,
        condition: Condition,
    ) -> Result<Version, BucketError> {
        checked(key)?;
        let written = self
            .with(key, move |folder, key| {
                let _lock = lock(folder)?;
                let path = folder.join(key);
                let holds = match &condition {
                    Condition::None => true,
                    Condition::Absent => !path.exists(),
                    Condition::Unchanged(version) => {
                        read(&path)?.is_some_and(|object| object.version == *version)
                    }
                };
                if !holds {
                    return Ok(None);
                }
                let parent = path.parent().unwrap_or(folder);
                fs::create_dir_all(parent)?;
                let mut file = tempfile::Builder::new()
                    .prefix(".writing-")
                    .tempfile_in(parent)?;
                file.write_all(&bytes)?;
                file.persist(&path).map_err(|error| error.error)?;
                read(&path)
            })
            .await?;
        match written {
            Some(object) => Ok(object.version),
            None => Err(BucketError::Conflict {
                key: key.to_owned(),
            }),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), BucketError> {
        checked(key)?;
        self.with(key, |folder, key| {
            let _lock = lock(folder)?;
            match fs::remove_file(folder.join(key)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, BucketError> {
        self.with(prefix, |folder, prefix| {
            let mut keys = Vec::new();
            let mut pending = vec![String::new()];
            while let Some(below) = pending.pop() {
                for entry in fs::read_dir(folder.join(&below))? {
                    let entry = entry?;
                    let name = entry.file_name().to_string_lossy().into_owned();
                    if name.starts_with('.') {
                        continue;
                    }
                    let key = format!("{below}{name}");
                    if entry.file_type()?.is_dir() {
                        pending.push(format!("{key}/"));
                    } else if key.starts_with(prefix) {
                        keys.push(key);
                    }
                }
            }
            keys.sort();
            Ok(keys)
        })
        .await
    }
}
