//! Photos that cannot be had, and the note about them that goes into the archive.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{Fate, bytes_for_people, entry_names, part_of};
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
    #[serde(deserialize_with = "reason_of_any_version")]
    pub reason: MissingReason,
}

impl Missing {
    /// The photos that are missing, in manifest order.
    pub fn among(manifest: &Manifest, fates: &[Fate]) -> Vec<Self> {
        if !fates.iter().any(|fate| matches!(fate, Fate::Missing(_))) {
            return Vec::new();
        }
        entry_names(manifest, fates)
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
    AddressRefused {
        /// The host, after redirects; never path or query. Unknown in states of older versions.
        host: Option<String>,
    },
    /// Redirected too often, or in a circle.
    TooManyRedirects,
    /// Redirected to a host or scheme that is not allowed.
    RedirectRefused {
        /// The host; never path or query. Unknown in states of older versions.
        host: Option<String>,
    },
    /// Every attempt failed for reasons that may pass.
    Unreachable {
        /// The last failure, in our words.
        what: String,
    },
    /// A `Content-Encoding` that cannot be undone, or a body that is not encoded as it says.
    UnreadableEncoding {
        /// The encoding, as the server writes it.
        encoding: String,
    },
    /// A web page or another document where a photo should be.
    NotAPhoto {
        /// The `Content-Type`, without parameters.
        content_type: String,
    },
    /// More bytes than an archive, or the spool, may have.
    #[serde(alias = "too_long")]
    TooLarge {
        /// Bytes that it has, or that had arrived when it was given up.
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
    /// A reason that a newer version gave, kept as it is written.
    #[serde(untagged)]
    Other(Value),
}

impl MissingReason {
    /// Returns true for refusals that may mean "slower": servers that are asked too often answer so
    /// as well as with 429.
    pub fn may_be_a_limit(&self) -> bool {
        matches!(
            self,
            Self::Forbidden | Self::PaymentRequired | Self::Refused { .. }
        )
    }

    /// Returns true for reasons that say more about the server than about the photo, if many photos
    /// have them.
    pub fn may_be_the_origin(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Forbidden)
    }
}

/// Reads a reason as any version wrote it: two of them were plain names once, and newer ones are
/// not known here.
fn reason_of_any_version<'de, D: Deserializer<'de>>(from: D) -> Result<MissingReason, D::Error> {
    let value = Value::deserialize(from)?;
    match value.as_str() {
        Some("address_refused") => Ok(MissingReason::AddressRefused { host: None }),
        Some("redirect_refused") => Ok(MissingReason::RedirectRefused { host: None }),
        _ => serde_json::from_value(value).map_err(D::Error::custom),
    }
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
            Self::AddressRefused { host: None } => {
                f.write_str("its address is not on the public internet")
            }
            Self::AddressRefused { host: Some(host) } => {
                write!(f, "`{host}` is not on the public internet")
            }
            Self::TooManyRedirects => f.write_str("its link redirects too often"),
            Self::RedirectRefused { host: None } => {
                f.write_str("its link redirects to a place that is not allowed")
            }
            Self::RedirectRefused { host: Some(host) } => {
                write!(f, "its link redirects to `{host}`, which is not allowed")
            }
            Self::Unreachable { what } => write!(f, "it couldn't be downloaded: {what}"),
            Self::UnreadableEncoding { encoding } => {
                write!(f, "its encoding `{encoding}` can't be unpacked")
            }
            Self::NotAPhoto { content_type } => {
                write!(
                    f,
                    "its link leads to a page (`{content_type}`), not to a photo"
                )
            }
            Self::TooLarge { bytes } => {
                write!(f, "it is too large ({})", bytes_for_people(*bytes))
            }
            Self::WrongSize { expected, found } => {
                write!(f, "size mismatch: expected {expected} bytes, found {found}")
            }
            Self::WrongHash => f.write_str("its checksum doesn't match"),
            Self::Other(_) => f.write_str("it couldn't be included"),
        }
    }
}

/// The note's text, with the line ends that every editor knows.
pub(super) fn note(missing: &[Missing], photos: usize) -> String {
    let mut text = format!(
        "{} could not be included in this archive:\r\n\r\n",
        part_of(missing.len(), photos, "photo")
    );
    for photo in missing {
        text.push_str(&format!("- {}: {}\r\n", photo.name, photo.reason));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(reason: &Value) -> MissingReason {
        let missing = json!({"photo": 3, "name": "a.jpg", "reason": reason});
        let missing: Missing = serde_json::from_value(missing).unwrap();
        missing.reason
    }

    #[test]
    fn reasons_of_older_versions_are_read() {
        for (reason, read_as) in [
            (json!("not_found"), MissingReason::NotFound),
            (json!("forbidden"), MissingReason::Forbidden),
            (
                json!("address_refused"),
                MissingReason::AddressRefused { host: None },
            ),
            (
                json!("redirect_refused"),
                MissingReason::RedirectRefused { host: None },
            ),
            (
                json!({"too_long": {"bytes": 7}}),
                MissingReason::TooLarge { bytes: 7 },
            ),
            (
                json!({"refused": {"status": 451}}),
                MissingReason::Refused { status: 451 },
            ),
        ] {
            assert_eq!(read(&reason), read_as, "{reason}");
        }
    }

    #[test]
    fn reasons_of_newer_versions_are_kept() {
        for reason in [
            json!("eaten_by_a_dog"),
            json!({"lost_in_space": {"planet": "Mars"}}),
            json!({"refused": {"why": "a new field instead of the old one"}}),
        ] {
            let found = read(&reason);
            assert_eq!(found, MissingReason::Other(reason.clone()));
            assert_eq!(found.to_string(), "it couldn't be included");
            assert_eq!(json!(found), reason, "written again as it was read");
        }
    }

    #[test]
    fn every_reason_survives_its_json() {
        let host = || Some("photos.example".to_owned());
        for reason in [
            MissingReason::NotFound,
            MissingReason::AddressRefused { host: host() },
            MissingReason::RedirectRefused { host: host() },
            MissingReason::Unreachable {
                what: "HTTP 500".to_owned(),
            },
            MissingReason::TooLarge { bytes: 1 },
        ] {
            assert_eq!(read(&json!(reason)), reason);
        }
    }

    #[test]
    fn numbers_agree_in_the_note() {
        let missing = Missing {
            photo: 0,
            name: EntryName::sanitize("a.jpg").unwrap(),
            reason: MissingReason::NotFound,
        };
        let heading = |missing: &[Missing], photos| {
            let text = note(missing, photos);
            text.lines().next().unwrap().to_owned()
        };
        assert_eq!(
            heading(std::slice::from_ref(&missing), 1),
            "1 of 1 photo could not be included in this archive:"
        );
        assert_eq!(
            heading(&[missing.clone(), missing], 3),
            "2 of 3 photos could not be included in this archive:"
        );
    }
}
