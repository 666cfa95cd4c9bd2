//! Photos that cannot be had, and the note about them that goes into the archive.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Fate;
use crate::manifest::{EntryName, Manifest};

/// The name of the note inside the archive.
pub const MISSING_NOTE_NAME: &str = "MISSING.txt";

/// One photo that is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Its index in the manifest.
    pub photo: usize,
    /// The name it would have had.
    pub name: EntryName,
    /// Why.
    pub reason: MissingReason,
}

impl Missing {
    /// The photos that are missing, in manifest order.
    pub fn among(manifest: &Manifest, fates: &[Fate]) -> Vec<Self> {
        if !fates.iter().any(|fate| matches!(fate, Fate::Missing(_))) {
            return Vec::new();
        }
        manifest
            .entry_names()
            .into_iter()
            .zip(fates)
            .enumerate()
            .filter_map(|(photo, (name, fate))| match fate {
                Fate::Present { .. } => None,
                Fate::Missing(reason) => Some(Self {
                    photo,
                    name,
                    reason: reason.clone(),
                }),
            })
            .collect()
    }
}

/// Why a photo cannot be had: reasons that another try would not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingReason {
    /// HTTP 404 or 410.
    NotFound,
    /// HTTP 401 or 403: not public, or the link's token has expired.
    Forbidden,
    /// The service itself lacks the permission to read it.
    AccessDenied {
        /// The permission, in the store's own words.
        permission: String,
    },
    /// There is nothing in this folder.
    EmptyFolder,
    /// HTTP 402: the storage account does not pay any more.
    PaymentRequired,
    /// Another 4xx answer.
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// The name resolves to an address that must not be connected to.
    AddressRefused,
    /// Redirected too often, or in a circle.
    TooManyRedirects,
    /// Redirected to a host or scheme that is not allowed.
    RedirectRefused,
    /// It is longer than any archive may be.
    TooLong {
        /// Bytes that it is said to have.
        bytes: u64,
    },
    /// Its length is not the one in the manifest.
    WrongSize {
        /// Bytes that the manifest says.
        expected: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// Its checksum is not the one in the manifest.
    WrongHash,
}

impl fmt::Display for MissingReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("it no longer exists"),
            Self::Forbidden => f.write_str("its link has expired or is not public"),
            Self::AccessDenied { permission } => {
                write!(
                    f,
                    "we may not read it (the permission `{permission}` is missing)"
                )
            }
            Self::EmptyFolder => f.write_str("there is nothing in this folder"),
            Self::PaymentRequired => f.write_str("its storage account is suspended"),
            Self::Refused { status } => write!(f, "its server refused it (HTTP {status})"),
            Self::AddressRefused => f.write_str("its address is not on the public internet"),
            Self::TooManyRedirects => f.write_str("its link leads in a circle"),
            Self::RedirectRefused => f.write_str("its link leads to a place that is not allowed"),
            Self::TooLong { bytes } => write!(f, "it is too long ({bytes} bytes)"),
            Self::WrongSize { expected, found } => {
                write!(f, "it has {found} bytes where {expected} were announced")
            }
            Self::WrongHash => f.write_str("it is not the file that was announced"),
        }
    }
}

/// The note's text, with the line ends that every editor knows.
pub(super) fn note(missing: &[Missing], photos: usize) -> String {
    let mut text = format!(
        "{} of {photos} photos could not be included in this archive:\r\n\r\n",
        missing.len()
    );
    for photo in missing {
        text.push_str(&format!("- {}: {}\r\n", photo.name, photo.reason));
    }
    text
}
