//! The port for small objects with conditional writes: manifests, states, checkpoints.
//!
//! Every object has a [`Version`]; a [`Condition`] makes a write fail with
//! [`BucketError::Conflict`] instead of overwriting what somebody else wrote. [`s3`] is R2 and its
//! like, [`folder`] a folder on this machine, [`memory`] is for tests. All pass one conformance
//! suite (`tests/it/bucket.rs`).

pub mod folder;
pub mod memory;
pub mod s3;

use std::future::Future;

use bytes::Bytes;

use crate::s3::StoreError;

/// The longest object that is read, in bytes: twice the longest manifest.
pub const MAX_OBJECT_BYTES: u64 = 64 * 1024 * 1024;

/// Keeps small objects by key. Keys are relative paths with `/` between their segments.
pub trait Bucket: Send + Sync + 'static {
    /// Reads an object; `None` if there is none.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Object>, BucketError>> + Send;

    /// Writes an object whole, if the condition holds, and tells its new version.
    ///
    /// Where the answer to a conditional write is lost, finding these very bytes there counts as
    /// success. So what several writers compete for must tell them apart: put the owner in it.
    fn put(
        &self,
        key: &str,
        bytes: Bytes,
        condition: Condition,
    ) -> impl Future<Output = Result<Version, BucketError>> + Send;

    /// Removes an object; fine if there is none.
    fn delete(&self, key: &str) -> impl Future<Output = Result<(), BucketError>> + Send;

    /// The keys that begin with `prefix`, sorted.
    fn list(&self, prefix: &str) -> impl Future<Output = Result<Vec<String>, BucketError>> + Send;
}

/// An object, and which version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its bytes.
    pub bytes: Bytes,
    /// Its version.
    pub version: Version,
}

/// Tells one version of an object from another; an `ETag` where the bucket is a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(pub String);

/// When a write may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    None,
    /// If there is no such object (`If-None-Match: *`).
    Absent,
    /// If it still is this version (`If-Match`).
    Unchanged(Version),
}

/// Why an object could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// The condition does not hold: somebody else was there first.
    #[error("`{key}` was written by somebody else")]
    Conflict {
        /// The object.
        key: String,
    },
    /// Nobody writes such keys or objects.
    #[error("`{key}` cannot be an object here: {problem}")]
    Unacceptable {
        /// The object.
        key: String,
        /// Why not.
        problem: &'static str,
    },
    /// The store did not do what it was asked.
    #[error("`{key}` could not be read or written")]
    Store {
        /// The object, or the prefix.
        key: String,
        /// What the store said.
        #[source]
        source: StoreError,
    },
    /// The file system did not do what it was asked.
    #[error("`{key}` could not be read or written")]
    Io {
        /// The object, or the prefix.
        key: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Checks that a key stays inside its bucket, on every implementation alike.
fn check_key(key: &str) -> Result<(), BucketError> {
    let bad = key.is_empty()
        || key.len() > 900
        || key
            .split('/')
            .any(|segment| segment.is_empty() || segment == "." || segment == "..")
        || key.contains(|c: char| c.is_control() || c == '\\');
    if bad {
        return Err(BucketError::Unacceptable {
            key: key.escape_debug().to_string(),
            problem: "keys are relative paths without `.`, `..` and empty segments",
        });
    }
    Ok(())
}
