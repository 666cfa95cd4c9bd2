//! What a server says about a photo in the head of its answer.

use std::ops::Range;

use http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, DATE, ETAG, HeaderName, LAST_MODIFIED, RETRY_AFTER, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderValue};
use jiff::{SignedDuration, Timestamp};

use super::date;
use crate::manifest::{Described, Hashes};
use crate::source::{Encoding, Validators, media_type, named_by, text_of};

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
    /// `Content-Encoding`.
    pub(super) encoding: Encoding,
    /// `Content-Type` and `Content-Disposition`.
    pub(super) described: Described,
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
        let encodings: Vec<&str> = headers
            .get_all(CONTENT_ENCODING)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let dispositions = headers.get_all(CONTENT_DISPOSITION);
        Self {
            // Beside `Transfer-Encoding` it says nothing (RFC 9112, 6.3).
            length: text(&CONTENT_LENGTH)
                .filter(|_| !headers.contains_key(TRANSFER_ENCODING))
                .and_then(|length| length.trim().parse().ok()),
            range: text(&CONTENT_RANGE).and_then(content_range),
            validators: Validators {
                generation: text(&GOOG_GENERATION).map(str::to_owned),
                etag: text(&ETAG).map(str::to_owned),
                last_modified: text(&LAST_MODIFIED).map(str::to_owned),
            },
            hashes,
            modified: text(&LAST_MODIFIED).and_then(date::parse),
            encoding: Encoding::read(&encodings.join(",")),
            described: Described {
                content_type: content_type.and_then(|value| media_type(&text_of(value))),
                file_name: named_by(dispositions.iter().map(HeaderValue::as_bytes)),
            },
            no_ranges: text(&ACCEPT_RANGES).is_some_and(|unit| unit.eq_ignore_ascii_case("none")),
        }
    }
}

impl Answer {
    /// The length of the photo, where the range of this answer is all of it.
    pub(super) fn whole(&self) -> Option<u64> {
        let given = self.range.as_ref()?;
        given.total.filter(|total| given.range == (0..*total))
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

/// `Retry-After`, a date by the answer's own `Date`. Negative where the time has passed.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<SignedDuration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok();
    date::wait(text(RETRY_AFTER)?, text(DATE).and_then(date::parse))
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
    fn encodings_of_several_lines_are_one_list() {
        let mut map = HeaderMap::new();
        map.append(CONTENT_ENCODING, HeaderValue::from_static("aws-chunked"));
        map.append(CONTENT_ENCODING, HeaderValue::from_static("GZIP"));
        let encoding = Answer::read(&map).encoding;
        assert_eq!(encoding, Encoding::read("aws-chunked,GZIP"));
        assert!(!encoding.is_identity());
        assert!(
            read(&[("content-encoding", "identity")])
                .encoding
                .is_identity()
        );
        assert!(read(&[]).encoding.is_identity());
    }

    #[test]
    fn a_photo_is_described_by_type_and_file_name() {
        let answer = read(&[
            ("content-type", "Image/JPEG; charset=binary"),
            ("content-disposition", "attachment; filename=\"IMG_1.jpg\""),
        ]);
        assert_eq!(
            answer.described,
            Described {
                content_type: Some("image/jpeg".to_owned()),
                file_name: Some("IMG_1.jpg".to_owned()),
            }
        );
        assert_eq!(
            read(&[("content-type", "")]).described,
            Described::default()
        );
    }

    #[test]
    fn a_date_to_retry_after_is_by_the_servers_clock() {
        let headers = [
            (DATE, "Sat, 20 Jun 2026 15:04:05 GMT"),
            (RETRY_AFTER, "Sat, 20 Jun 2026 15:04:09 GMT"),
        ];
        let map = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
        let map: HeaderMap = map.into_iter().collect();
        assert_eq!(retry_after(&map), Some(SignedDuration::from_secs(4)));
    }
}
