//! What a server says about a photo in the head of its answer.

use std::ops::Range;
use std::time::Duration;

use http::HeaderMap;
use http::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderName,
    LAST_MODIFIED, RETRY_AFTER,
};
use jiff::Timestamp;

use crate::manifest::Hashes;
use crate::source::Validators;

const GOOG_GENERATION: HeaderName = HeaderName::from_static("x-goog-generation");
const GOOG_HASH: HeaderName = HeaderName::from_static("x-goog-hash");

/// The facts of one answer's head.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Answer {
    /// `Content-Length`.
    pub(super) length: Option<u64>,
    /// `Content-Range`.
    pub(super) range: Option<ContentRange>,
    /// The generation, the `ETag`, the modification date.
    pub(super) validators: Validators,
    /// `x-goog-hash`, repeated or joined by commas.
    pub(super) hashes: Hashes,
    /// `Last-Modified`.
    pub(super) modified: Option<Timestamp>,
    /// `Content-Encoding`, unless it is `identity`.
    pub(super) encoding: Option<String>,
    /// `Accept-Ranges: none`.
    pub(super) no_ranges: bool,
}

/// `Content-Range` (RFC 9110, 14.4).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ContentRange {
    /// The bytes of the answer; empty for an unsatisfied range.
    pub(super) range: Range<u64>,
    /// Length of the whole.
    pub(super) total: Option<u64>,
}

impl Answer {
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let mut hashes = Hashes::default();
        for value in headers.get_all(GOOG_HASH) {
            for pair in value.to_str().unwrap_or_default().split(',') {
                hashes.read_pair(pair);
            }
        }
        let encoding = text(&CONTENT_ENCODING)
            .map(|encoding| encoding.trim().to_ascii_lowercase())
            .filter(|encoding| !encoding.is_empty() && encoding != "identity");
        Self {
            length: text(&CONTENT_LENGTH).and_then(|length| length.trim().parse().ok()),
            range: text(&CONTENT_RANGE).and_then(content_range),
            validators: Validators {
                generation: text(&GOOG_GENERATION).map(str::to_owned),
                etag: text(&ETAG).map(str::to_owned),
                last_modified: text(&LAST_MODIFIED).map(str::to_owned),
            },
            hashes,
            modified: text(&LAST_MODIFIED).and_then(http_date),
            encoding,
            no_ranges: text(&ACCEPT_RANGES).is_some_and(|unit| unit.eq_ignore_ascii_case("none")),
        }
    }
}

fn content_range(text: &str) -> Option<ContentRange> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let total = match total.trim() {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    if range.trim() == "*" {
        return Some(ContentRange { range: 0..0, total });
    }
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last).then_some(ContentRange {
        range: first..last.checked_add(1)?,
        total,
    })
}

/// `Sat, 20 Jun 2026 15:04:05 GMT` (RFC 9110, 5.6.7).
fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .ok()
}

/// `Retry-After` in seconds. Dates are left aside: they need a clock that agrees with ours.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(headers: &[(&'static str, &'static str)]) -> Answer {
        let map = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        Answer::read(&map)
    }

    #[test]
    fn google_hashes_come_in_two_headers_or_in_one() {
        let one = read(&[(
            "x-goog-hash",
            "crc32c=n03x6A==,md5=Ojk9c3dhfxgoKVVHYwFbHQ==",
        )]);
        let mut map = HeaderMap::new();
        map.append(GOOG_HASH, HeaderValue::from_static("crc32c=n03x6A=="));
        map.append(
            GOOG_HASH,
            HeaderValue::from_static("md5=Ojk9c3dhfxgoKVVHYwFbHQ=="),
        );
        let two = Answer::read(&map);
        assert_eq!(two.hashes, one.hashes);
    }

    #[test]
    fn content_ranges_are_exact_or_nothing() {
        let range = |text: &str| content_range(text).map(|range| (range.range, range.total));
        assert_eq!(range("bytes 4-7/16"), Some((4..8, Some(16))));
        assert_eq!(range("bytes 4-7/*"), Some((4..8, None)));
        assert_eq!(range("bytes */0"), Some((0..0, Some(0))));
        for broken in [
            "bytes 7-4/16",
            "bytes 4-/16",
            "items 4-7/16",
            "4-7/16",
            "bytes 4-18446744073709551615/*",
        ] {
            assert_eq!(range(broken), None, "{broken}");
        }
    }

    #[test]
    fn versions_are_compared_by_the_strongest_validator_that_both_have() {
        let validators = |headers: &[(&'static str, &'static str)]| read(headers).validators;
        let date = ("last-modified", "Sat, 20 Jun 2026 15:04:05 GMT");
        let later = ("last-modified", "Sat, 20 Jun 2026 15:04:06 GMT");
        let (one, two) = (("etag", "\"1\""), ("etag", "\"2\""));
        let generation = ("x-goog-generation", "17");
        let same = |a: &Validators, b: &Validators| a.same_version(b);
        assert_eq!(
            same(&validators(&[one, date]), &validators(&[two, date])),
            Some(false)
        );
        assert_eq!(
            same(&validators(&[one, date]), &validators(&[one, later])),
            Some(true)
        );
        let (a, b) = (
            validators(&[generation, one]),
            validators(&[generation, two]),
        );
        assert_eq!(same(&a, &b), Some(true));
        assert_eq!(same(&validators(&[generation]), &validators(&[one])), None);
        let (a, b) = (validators(&[generation, date]), validators(&[later]));
        assert_eq!(same(&a, &b), Some(false));
        assert!(validators(&[]).is_empty() && !validators(&[date]).is_empty());
    }

    #[test]
    fn dates_are_those_of_http() {
        let modified = |text: &'static str| read(&[("last-modified", text)]).modified;
        assert_eq!(
            modified("Sat, 20 Jun 2026 15:04:05 GMT"),
            Some("2026-06-20T15:04:05Z".parse().unwrap())
        );
        assert_eq!(modified("yesterday"), None);
    }

    #[test]
    fn identity_is_no_encoding() {
        assert_eq!(read(&[("content-encoding", "identity")]).encoding, None);
        assert_eq!(
            read(&[("content-encoding", "GZIP")]).encoding,
            Some("gzip".to_owned())
        );
    }
}
