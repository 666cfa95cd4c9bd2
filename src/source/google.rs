//! Objects as Google describes them: Cloud Storage's JSON API ("Objects", resource representations)
//! and Firebase's metadata, which is the same where it matters here.

use jiff::Timestamp;
use serde::Deserialize;

use super::{Probe, Validators};
use crate::manifest::Hashes;
use crate::manifest::hash::{crc32c_from_base64, md5_from_base64};

/// One object.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resource {
    /// Its name; only listings need it.
    #[serde(default)]
    pub(super) name: String,
    size: String,
    generation: Option<String>,
    #[serde(rename = "md5Hash")]
    md5: Option<String>,
    crc32c: Option<String>,
    updated: Option<Timestamp>,
    content_encoding: Option<String>,
}

impl Resource {
    /// What that tells a probe; `None` if it is no description after all.
    pub(super) fn into_probe(self) -> Option<Probe> {
        let length = self.size.parse().ok()?;
        let encoded = self
            .content_encoding
            .is_some_and(|encoding| !encoding.is_empty() && encoding != "identity");
        let hashes = Hashes {
            crc32c: self.crc32c.as_deref().and_then(crc32c_from_base64),
            md5: self.md5.as_deref().and_then(md5_from_base64),
        };
        Some(Probe {
            length: (!encoded).then_some(length),
            validators: Validators {
                generation: self.generation,
                ..Validators::default()
            },
            // Of the stored bytes, which are not the photo's where they are compressed.
            hashes: if encoded { Hashes::default() } else { hashes },
            modified: self.updated,
            no_ranges: false,
        })
    }
}
