//! A manifest as it was given, in its one normal form: what is stored for the job, and what the
//! job's id is made of.

use serde::{Serialize, Serializer};

use super::{Manifest, OnMissing};

/// What tells one job from another: aliases resolved, defaults filled in, bare URLs as objects,
/// absent fields left out, and nothing else changed. Whom to tell is not part of it.
///
/// Fields are declared in the order of their names, because canonical JSON sorts them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Given {
    archive_name: String,
    event_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_archive_bytes: Option<Number>,
    on_missing: &'static str,
    photos: Vec<GivenPhoto>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
    version: u32,
}

/// A photo as it was given.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct GivenPhoto {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) crc32c: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exclude: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) include: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) md5: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) modified: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "number")]
    pub(super) size: Option<u64>,
    /// With its token: never shown.
    pub(super) url: String,
}

impl std::fmt::Debug for GivenPhoto {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GivenPhoto")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A whole number as JavaScript would write it, for whom every number is a double: exact below
/// 2⁵³ (RFC 8785, 3.2.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Number(u64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 <= 1 << 53 {
            return serializer.serialize_u64(self.0);
        }
        // The shortest digits that stand for the double, then zeros: as ECMAScript does below 10²¹.
        let digits = (self.0 as f64).to_string();
        serializer.serialize_u128(digits.parse().map_err(serde::ser::Error::custom)?)
    }
}

#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
fn number<S: Serializer>(value: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(Number).serialize(serializer)
}

impl Given {
    pub(super) fn new(manifest: &Manifest, photos: Vec<GivenPhoto>) -> Self {
        Self {
            archive_name: (manifest.archive_name.clone())
                .unwrap_or_else(|| manifest.default_archive_name()),
            event_id: manifest.event_id.clone(),
            max_archive_bytes: manifest.max_archive_bytes.map(Number),
            on_missing: match manifest.on_missing {
                OnMissing::Skip => "skip",
                OnMissing::Fail => "fail",
            },
            photos,
            time_zone: manifest
                .time_zone
                .as_ref()
                .map(|zone| zone.name().to_owned()),
            version: 1,
        }
    }

    /// Canonical JSON (RFC 8785): names in order, no white space, numbers as ECMAScript writes
    /// them, and no escapes that are not needed. It holds the photos' tokens. It is a manifest, and
    /// giving it again gives the same.
    pub fn canonical_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text and whole numbers only")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::manifest::{Defaults, SourceRules};

    fn canonical(text: &str) -> String {
        let defaults = Defaults::default();
        let hosts = SourceRules::anything();
        let (_, given) = Manifest::parse_given(text.as_bytes(), &defaults, &hosts).unwrap();
        String::from_utf8(given.canonical_json()).unwrap()
    }

    #[test]
    fn defaults_are_filled_in_and_aliases_resolved() {
        let short = canonical(r#"{"photos": ["https://h.example/a?token=1"], "eventId": "e"}"#);
        assert_eq!(
            short,
            r#"{"archive_name":"e.zip","event_id":"e","on_missing":"skip","photos":[{"url":"https://h.example/a?token=1"}],"version":1}"#
        );
        let long = canonical(
            r#"{"version": 1, "event_id": "e", "archiveName": "e.zip", "onMissing": "skip",
                "title": "T", "notify": {"email": ["a@b.example"]}, "expires_in": "1d",
                "max_archive_bytes": null, "photos": [{"url": "https://h.example/a?token=1"}]}"#,
        );
        assert_eq!(long, short);
    }

    #[test]
    fn what_is_given_stays_as_it_is() {
        let text = r#"{"archive_name":"é \u0007\"\\/.zip","event_id":"e","max_archive_bytes":18446744073709552000,"on_missing":"fail","photos":[{"crc32c":"n03x6A==","modified":"2026-06-20T15:04:05+02:00","name":"../É\n.jpg","size":9007199254740992,"url":"HTTPS://H.example:443/%7Ea b#frag"}],"version":1}"#;
        // 2⁶⁴ is more than a length can be, so it is given as the greatest one.
        let given = text.replace("18446744073709552000", "18446744073709551615");
        assert_eq!(canonical(&given), text);
    }

    proptest! {
        #[test]
        fn giving_the_normal_form_again_gives_the_same(
            name in ".{0,12}",
            size in proptest::option::of(0..=1_u64 << 53),
            lines in proptest::collection::vec("https://h\\.example/[a-z]{1,5}", 1..4),
        ) {
            let mut photos: Vec<serde_json::Value> = lines.into_iter().map(Into::into).collect();
            photos.push(serde_json::json!({"fileName": name, "size": size, "url": "https://h.example/"}));
            let text = serde_json::json!({"event_id": "e", "photos": photos}).to_string();
            let once = canonical(&text);
            prop_assert_eq!(canonical(&once), once);
        }
    }
}
