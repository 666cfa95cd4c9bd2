//! The port through which archives go out.
//!
//! An [`ArchiveSink`] begins one [`ArchiveUpload`] per volume. Parts come in any order and
//! several at once; nothing is visible under the archive's name until
//! [`complete`](ArchiveUpload::complete), and every other way out goes through
//! [`abort`](ArchiveUpload::abort). [`mod@file`] writes to a folder, [`memory`] is for tests,
//! [`s3`] uploads to R2 and its like,
//! [`discard`] measures without keeping. All pass one conformance suite (`tests/it/sink.rs`).

pub mod discard;
pub mod file;
pub mod memory;
pub mod s3;

use std::future::Future;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

use crate::s3::StoreError;

/// Where archives go.
pub trait ArchiveSink: Send + Sync + 'static {
    /// One archive on its way.
    type Upload: ArchiveUpload;

    /// Makes ready to take an archive. Fails early where it is clear that it won't fit.
    fn begin(
        &self,
        archive: &ArchiveSpec,
    ) -> impl Future<Output = Result<Self::Upload, SinkError>> + Send;
}

/// One archive on its way out.
pub trait ArchiveUpload: Send + Sync + 'static {
    /// Takes one part. Parts may come in any order and at the same time; the same part may come
    /// again, with the same bytes.
    fn put_part(
        &self,
        part: PartData,
    ) -> impl Future<Output = Result<PartReceipt, SinkError>> + Send;

    /// Makes the archive visible under its name, whole. `parts` are the receipts of all parts,
    /// in order.
    fn complete(
        &self,
        parts: &[PartReceipt],
    ) -> impl Future<Output = Result<Stored, SinkError>> + Send;

    /// Leaves nothing behind: of an upload that is under way, or of a completed archive that
    /// nobody wants after all. Harmless when repeated.
    fn abort(&self) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Reads bytes of the completed archive back; `None` where the sink keeps nothing.
    fn read_back(
        &self,
        range: Range<u64>,
    ) -> impl Future<Output = Result<Option<Bytes>, SinkError>> + Send;
}

/// Where the archives of many jobs are, each by a key of its own.
pub trait ArchiveStore: Send + Sync + 'static {
    /// Takes the archives of one job.
    type Sink: ArchiveSink;

    /// A sink whose archives go into `folder`, which ends with a slash, by the names that they have.
    fn folder(&self, folder: &str) -> Self::Sink;

    /// The length of an archive in bytes; `None` if there is none.
    fn length(&self, key: &str) -> impl Future<Output = Result<Option<u64>, SinkError>> + Send;

    /// The keys of all archives in `folder`, which ends with a slash.
    fn keys(&self, folder: &str) -> impl Future<Output = Result<Vec<String>, SinkError>> + Send;

    /// Removes an archive; fine if there is none.
    fn remove(&self, key: &str) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Aborts whatever is still on its way into `folder`, which ends with a slash.
    fn abort_uploads(&self, folder: &str) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// A link with which anyone can download an archive, for so long from now on.
    fn link(
        &self,
        key: &str,
        valid: Duration,
    ) -> impl Future<Output = Result<String, SinkError>> + Send;
}

/// What a sink is told about an archive before its first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveSpec {
    /// File name, such as `Smith-1-of-3.zip`.
    pub name: String,
    /// Which of the event's archives it is, from 0.
    pub index: usize,
    /// How many archives the event has.
    pub count: usize,
    /// Length in bytes.
    pub length: u64,
    /// Length of every part but the last, in bytes.
    pub part_size: u64,
}

/// The bytes of one part.
#[derive(Debug, Clone)]
pub struct PartData {
    /// Its number, from 1.
    pub number: u32,
    /// Where it begins in the archive.
    pub offset: u64,
    /// CRC-32 (ISO-HDLC, as in ZIP and S3) of the bytes.
    pub crc32: u32,
    /// The bytes.
    pub bytes: Bytes,
}

/// That a part was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartReceipt {
    /// Its number, from 1.
    pub number: u32,
    /// What the store calls it, where it calls it something.
    pub e_tag: Option<String>,
    /// CRC-32 of its bytes.
    pub crc32: u32,
}

/// A completed archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where it is, in words that the user can use: a path or an address.
    pub location: String,
    /// Its length in bytes, as the store tells it.
    pub length: u64,
}

/// Why an archive could not be put where it should go.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The disk or the quota is full.
    #[error("there is no room for `{name}`: it needs {needed} bytes")]
    Full {
        /// The file.
        name: String,
        /// The archive's length in bytes.
        needed: u64,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The destination cannot be used at all: the user must change something.
    #[error("cannot write to `{name}`")]
    Unusable {
        /// The file or address.
        name: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Writing or reading failed.
    #[error("writing `{name}` failed")]
    Io {
        /// The file.
        name: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The store did not do what it was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The parts do not make up the archive.
    #[error("the parts of `{name}` do not fit together: {problem}")]
    Parts {
        /// The file.
        name: String,
        /// What is wrong with them.
        problem: String,
    },
}

/// Checks that `receipts` are all parts of `spec`, in order.
pub(crate) fn check_receipts(
    spec: &ArchiveSpec,
    receipts: &[PartReceipt],
) -> Result<(), SinkError> {
    let expected = spec.length.div_ceil(spec.part_size);
    let in_order = receipts
        .iter()
        .zip(1u32..)
        .all(|(receipt, number)| receipt.number == number);
    if receipts.len() as u64 == expected && in_order {
        return Ok(());
    }
    Err(SinkError::Parts {
        name: spec.name.clone(),
        problem: format!("{} of {expected} parts are there", receipts.len()),
    })
}
