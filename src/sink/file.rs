//! Archives as files in a folder.
//!
//! Parts are written in place at their offsets into `NAME.partial`, which gets its final name
//! when it is whole and is removed on every other way out. The space is taken up front, so that
//! a full disk is an error at the beginning and not at the end.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::io::Errno;

use super::{
    ArchiveSink, ArchiveSpec, ArchiveUpload, PartData, PartReceipt, SinkError, Stored,
    check_receipts,
};
use crate::plan::volume_name;

/// A place for archives on the local disk.
#[derive(Debug, Clone)]
pub enum FileSink {
    /// An existing folder, in which archives go by the names that they were given.
    Folder(PathBuf),
    /// A file; where there are several archives, `NAME-1-of-3.zip` and so on beside it.
    File(PathBuf),
}

impl FileSink {
    fn target(&self, archive: &ArchiveSpec) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.join(&archive.name),
            Self::File(path) if archive.count == 1 => path.clone(),
            Self::File(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                path.with_file_name(volume_name(&name, archive.index, archive.count))
            }
        }
    }
}

/// One archive on its way into a file.
#[derive(Debug)]
pub struct FileUpload {
    spec: ArchiveSpec,
    target: PathBuf,
    partial: PathBuf,
    file: Arc<File>,
    /// The file has its final name.
    complete: AtomicBool,
    aborted: AtomicBool,
}

impl ArchiveSink for FileSink {
    type Upload = FileUpload;

    async fn begin(&self, archive: &ArchiveSpec) -> Result<FileUpload, SinkError> {
        let target = self.target(archive);
        let spec = archive.clone();
        blocking(move || FileUpload::create(spec, target)).await
    }
}

impl FileUpload {
    fn create(spec: ArchiveSpec, target: PathBuf) -> Result<Self, SinkError> {
        let shown = target.display().to_string();
        if target.is_dir() {
            return Err(SinkError::Unusable {
                name: shown,
                source: io::ErrorKind::IsADirectory.into(),
            });
        }
        let mut partial = target.clone().into_os_string();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = claim(&partial).map_err(|source| SinkError::Unusable {
            name: shown.clone(),
            source,
        })?;
        if let Err(error) = take_space(&file, spec.length) {
            drop(file);
            let _ = fs::remove_file(&partial);
            return Err(io_error(&shown, spec.length, error));
        }
        Ok(Self {
            spec,
            target,
            partial,
            file: Arc::new(file),
            complete: AtomicBool::new(false),
            aborted: AtomicBool::new(false),
        })
    }

    fn error(&self, source: io::Error) -> SinkError {
        io_error(&self.target.display().to_string(), self.spec.length, source)
    }
}

/// Opens the file, or makes it, for this process alone: what an earlier run left is used again,
/// what another run is writing is an error.
fn claim(path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                let problem = format!("another run is writing `{}`", path.display());
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, problem));
            }
            locked => locked?,
        }
        // Between opening and locking, another run may have finished with this very file.
        let same = |there: fs::Metadata, here: fs::Metadata| {
            there.ino() == here.ino() && there.dev() == here.dev()
        };
        if fs::metadata(path).is_ok_and(|there| file.metadata().is_ok_and(|here| same(there, here)))
        {
            file.set_len(0)?;
            return Ok(file);
        }
    }
}

/// Makes the file `length` bytes long and, where the file system can, takes the space for it.
fn take_space(file: &File, length: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, length) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => file.set_len(length),
        Err(errno) => Err(errno.into()),
    }
}

fn io_error(name: &str, needed: u64, source: io::Error) -> SinkError {
    let name = name.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            SinkError::Full {
                name,
                needed,
                source,
            }
        }
        _ => SinkError::Io { name, source },
    }
}

impl ArchiveUpload for FileUpload {
    async fn put_part(&self, part: PartData) -> Result<PartReceipt, SinkError> {
        let file = Arc::clone(&self.file);
        let receipt = PartReceipt {
            number: part.number,
            e_tag: None,
            crc32: part.crc32,
        };
        blocking(move || file.write_all_at(&part.bytes, part.offset))
            .await
            .map_err(|error| self.error(error))?;
        Ok(receipt)
    }

    async fn complete(&self, parts: &[PartReceipt]) -> Result<Stored, SinkError> {
        check_receipts(&self.spec, parts)?;
        let (partial, target) = (self.partial.clone(), self.target.clone());
        let file = Arc::clone(&self.file);
        let length = blocking(move || {
            let length = file.metadata()?.len();
            fs::rename(&partial, &target)?;
            io::Result::Ok(length)
        })
        .await
        .map_err(|error| self.error(error))?;
        self.complete.store(true, Ordering::Release);
        Ok(Stored {
            location: self.target.display().to_string(),
            length,
        })
    }

    async fn abort(&self) -> Result<(), SinkError> {
        let path = if self.complete.load(Ordering::Acquire) {
            &self.target
        } else {
            &self.partial
        };
        if self.aborted.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        remove(path).map_err(|error| self.error(error))
    }

    async fn read_back(&self, range: Range<u64>) -> Result<Option<Bytes>, SinkError> {
        let file = Arc::clone(&self.file);
        let bytes = blocking(move || {
            let length = usize::try_from(range.end - range.start)
                .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, range.start)?;
            io::Result::Ok(Bytes::from(bytes))
        })
        .await
        .map_err(|error| self.error(error))?;
        Ok(Some(bytes))
    }
}

impl Drop for FileUpload {
    /// The last resort for a way out that forgot to abort: a file, unlike an upload, can be
    /// removed without waiting.
    fn drop(&mut self) {
        if !self.complete.load(Ordering::Acquire) && !self.aborted.load(Ordering::Acquire) {
            let _ = remove(&self.partial);
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Runs file system calls where they do not hold up the downloads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}
