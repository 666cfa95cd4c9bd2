//! The port through which photos come in.
//!
//! A [`PhotoSource`] makes single attempts: [`probe`](PhotoSource::probe) learns what there is
//! to know before planning, [`open`](PhotoSource::open) starts one download. Retrying, resuming
//! and checking are the engine's, so that every source gets them alike. [`http`] is the web, [`gcs`]
//! and [`s3`] are private buckets, [`routed`] all of them by address; [`memory`] is for tests.
//! [`encoding`] and [`media`] judge what arrives, alike for all.

mod disposition;
pub mod encoding;
pub mod gcs;
mod google;
pub mod http;
pub mod media;
pub mod memory;
pub mod routed;
pub mod s3;

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use self::disposition::file_name as named_by;
pub use self::encoding::{Coding, Encoding};
use crate::manifest::{Described, Hashes, Photo, PhotoUrl, StoredUrl};
use crate::plan::MissingReason;

/// Where photos come from.
pub trait PhotoSource: Send + Sync + 'static {
    /// A started download.
    type Body: PhotoBody;

    /// Learns a photo's length, validators and hashes. With `thorough`, by way of the same kind
    /// of request that fetches it, for servers whose other answers turned out not to hold.
    fn probe(
        &self,
        photo: &Photo,
        thorough: bool,
    ) -> impl Future<Output = Result<Probe, SourceError>> + Send;

    /// Lists photos of a folder ([`PhotoUrl::is_folder`](crate::manifest::PhotoUrl::is_folder)), in
    /// the order of their names: the first ones, or those that follow an earlier page.
    fn list(
        &self,
        folder: &Photo,
        after: Option<&str>,
    ) -> impl Future<Output = Result<Page, SourceError>> + Send;

    /// Starts to download a photo: the given bytes of it, or all. Of this version, where the source
    /// can ask for one; the answer says which version it is.
    fn open(
        &self,
        photo: &Photo,
        want: Want,
        version: &Validators,
    ) -> impl Future<Output = Result<Opened<Self::Body>, SourceError>> + Send;
}

/// The bytes of a started download.
pub trait PhotoBody: Send {
    /// The next bytes, `None` at the end.
    fn chunk(&mut self) -> impl Future<Output = Result<Option<Bytes>, SourceError>> + Send;
}

/// Which bytes to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// All, as they are.
    Whole,
    /// These, as they are.
    Range(Range<u64>),
    /// All; packed, if the server keeps them so. Then the caller undoes it.
    MaybePacked,
}

/// What a probe found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probe {
    /// Length in bytes; `None` where only the download will tell.
    pub length: Option<u64>,
    /// What tells this version of the photo from another.
    pub validators: Validators,
    /// Checksums of its bytes.
    pub hashes: Hashes,
    /// When it was last modified.
    pub modified: Option<Timestamp>,
    /// The server said that it answers whole photos only.
    pub no_ranges: bool,
    /// The description that a name can be made of.
    pub described: Described,
}

/// The address of a photo in a bucket.
fn stored(photo: &Photo) -> Result<&StoredUrl, SourceError> {
    match &photo.url {
        PhotoUrl::Stored(url) => Ok(url),
        PhotoUrl::Web(url) => Err(SourceError::Settings(format!("`{url}` is not in a bucket"))),
    }
}

/// A `Content-Type` in lower case, without its parameters.
fn media_type(text: &str) -> Option<String> {
    let media_type = text.split(';').next()?.trim().to_ascii_lowercase();
    media_type.contains('/').then_some(media_type)
}

/// The text of a header: UTF-8, or else Latin-1, which HTTP once was.
fn text_of(header: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(header) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(header.iter().copied().map(char::from).collect()),
    }
}

/// Some of a folder's photos.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// What the names in the folder stand for, whatever that is, each with what a probe would find.
    pub objects: Vec<(StoredUrl, Probe)>,
    /// What to ask for the next page with; `None` at the end.
    pub next: Option<String>,
}

/// What tells one version of a photo from another, as far as an answer says. Not every answer
/// about the same photo says the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    /// Google's generation of the object (`x-goog-generation`).
    pub generation: Option<String>,
    /// The `ETag` (RFC 9110, 8.8.3).
    pub etag: Option<String>,
    /// `Last-Modified`, as written.
    pub last_modified: Option<String>,
}

impl Validators {
    /// Whether there is anything to tell versions apart by.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether these are of the same version as `other`, by the strongest one that both have;
    /// `None` where nothing can be compared.
    pub fn same_version(&self, other: &Self) -> Option<bool> {
        [
            (&self.generation, &other.generation),
            (&self.etag, &other.etag),
            (&self.last_modified, &other.last_modified),
        ]
        .into_iter()
        .find_map(|(a, b)| a.as_ref().zip(b.as_ref()))
        .map(|(a, b)| a == b)
    }
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub struct Opened<B> {
    /// Where in the photo the body begins.
    pub start: u64,
    /// Length of the whole photo, where the answer tells.
    pub total: Option<u64>,
    /// Version of the photo that this is.
    pub validators: Validators,
    /// Checksums of the whole photo.
    pub hashes: Hashes,
    /// The description that a name can be made of.
    pub described: Described,
    /// The packing of the bytes; other than identity only after [`Want::MaybePacked`].
    pub encoding: Encoding,
    /// The bytes.
    pub body: B,
}

/// Why an attempt failed, by what to do next.
#[derive(Debug)]
pub enum SourceError {
    /// The photo cannot be had, now or later.
    Missing(MissingReason),
    /// Another attempt may work.
    Transient(Transient),
    /// The photo is not what the probe found.
    Changed(String),
    /// The server does not answer ranges as it should; whole photos may work.
    NoRanges(String),
    /// Nothing will change until somebody changes a setting or a permission: the fact and the remedy.
    Settings(String),
}

/// A failure that may pass.
#[derive(Debug)]
pub struct Transient {
    /// What happened, in words.
    pub what: String,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
    /// The server asks for fewer requests (429, 503).
    pub throttled: bool,
    /// Unlikely to pass by itself (a bad certificate, an unknown host, a malformed answer), so worth
    /// three attempts and no more.
    pub lasting: bool,
}

impl SourceError {
    /// An answer that is kept packed, where it was asked for as it is. Not every probe tells.
    fn kept_packed(encoding: &Encoding) -> Self {
        Self::Changed(format!("it is kept packed (`{}`)", encoding.written()))
    }

    /// A failure that may pass and asks for nothing special.
    pub fn transient(what: impl Into<String>) -> Self {
        Self::Transient(Transient::new(what))
    }
}

impl Transient {
    /// A failure that asks for nothing special.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            retry_after: None,
            throttled: false,
            lasting: false,
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(reason) => write!(f, "{reason}"),
            Self::Transient(transient) => f.write_str(&transient.what),
            Self::Changed(what) | Self::NoRanges(what) | Self::Settings(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for SourceError {}
