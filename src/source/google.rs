//! Objects as Google describes them: Cloud Storage's JSON API ("Objects", resource representations)
//! and Firebase's metadata, which is the same where it matters here.

use jiff::Timestamp;
use serde::Deserialize;

use super::{Encoding, Probe, Validators};
use crate::manifest::hash::{crc32c_from_base64, md5_from_base64};
use crate::manifest::{Described, Hashes};

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
    content_type: Option<String>,
}

impl Resource {
    /// What that tells a probe; `None` if it is no description after all.
    pub(super) fn into_probe(self) -> Option<Probe> {
        let length = self.size.parse().ok()?;
        let encoding = self.content_encoding.as_deref().map(Encoding::read);
        let encoded = encoding.is_some_and(|encoding| !encoding.is_identity());
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
            described: Described {
                content_type: self.content_type.as_deref().map(media_type),
                file_name: None,
            },
        })
    }
}

/// A `Content-Type` in lower case and without parameters.
fn media_type(content_type: &str) -> String {
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_an_object_names_it() {
        let kind = |json: &str| {
            let resource: Resource = serde_json::from_str(json).unwrap();
            resource.into_probe().unwrap().described.content_type
        };
        let jpeg = kind(r#"{"size": "5", "contentType": "Image/JPEG; charset=utf-8"}"#);
        assert_eq!(jpeg.as_deref(), Some("image/jpeg"));
        assert_eq!(kind(r#"{"size": "5"}"#), None);
    }
}
