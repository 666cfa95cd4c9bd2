//! Letters of every kind, to look at and to test with (`examples/letters.rs`, `ci/letters`).

use jiff::Timestamp;

use super::{Alert, ArchiveLink, Letter, Locale, Ready, Sorry, Trouble, alert, ready, sorry};
use crate::manifest::EntryName;
use crate::plan::{Missing, MissingReason};

/// A title that tries to be markup, a header, a link, and text in another direction.
pub const HOSTILE_TITLE: &str = "<script>alert(\"Smith\")</script>\r\nBcc: all@example.com\u{202e}& Jones's {{ day }} at www.evil.example";

/// Friday, 27 November 2026, 14:30 UTC.
const EXPIRES_AT: Timestamp = Timestamp::constant(1_795_789_800, 0);

const UNSUBSCRIBE: &str = "https://photos.example.com/unsubscribe?a=0123456789abcdef0123456789abcdef&t=0123456789abcdefghijklmnopqrstuvwxyz-_01234";

/// Letters of every kind, each with a name.
pub fn all() -> Vec<(&'static str, Letter)> {
    let volumes = ["Smith-1-of-3.zip", "Smith-2-of-3.zip", "Smith-3-of-3.zip"];
    let three = Ready {
        photos: 1236,
        archives: &volumes.map(archive),
        missing: &every_reason(),
        missing_count: 27,
        ..one_archive()
    };
    let names: Vec<String> = (1..=90).map(|n| format!("Smith-{n}-of-90.zip")).collect();
    let many = Ready {
        photos: 90 * 412,
        archives: &names.iter().map(|name| archive(name)).collect::<Vec<_>>(),
        ..one_archive()
    };
    let long_name = format!("{}-1-of-2.zip", "Smith_and_Jones_".repeat(15));
    let hostile = Ready {
        event: HOSTILE_TITLE,
        archives: &[
            archive(&long_name),
            archive("<b>\"Ours\"&'yours'-2-of-2.zip"),
        ],
        missing: &[
            missing(
                &format!("{}.jpg", "DSC_0001_".repeat(15)),
                MissingReason::NotFound,
            ),
            missing("&lt;img src=x&gt;/&amp;';--.jpg", MissingReason::Forbidden),
        ],
        missing_count: 2,
        ..one_archive()
    };
    let hebrew = Ready {
        event: "החתונה של שרה ויוסי",
        archives: &[archive("החתונה של שרה ויוסי.zip")],
        missing: &[missing("טקס/תמונה 1.jpg", MissingReason::NotFound)],
        missing_count: 1,
        ..one_archive()
    };
    let unbroken = Ready {
        event: &"Maximiliane_and_Bartholomew_".repeat(20),
        ..one_archive()
    };
    let german = Ready {
        event: "Anna & Jörg",
        ..three.clone()
    };
    let ours = Sorry {
        event: "Smith & Jones",
        trouble: Trouble::Ours,
        operator_told: true,
        unsubscribe: None,
    };
    let incomplete = Sorry {
        event: "Anna & Jörg",
        trouble: Trouble::Missing,
        operator_told: false,
        unsubscribe: Some(UNSUBSCRIBE),
    };
    let failed = Alert {
        event: "Smith & Jones",
        job: "smith-jones-2026/0123456789abcdef0123456789abcdef",
        failure: "photo `IMG_0412.jpg` cannot be fetched: connection to `firebasestorage.googleapis.com` was interrupted: connection reset by peer",
        exit_code: 75,
        attempts: 5,
        log_stream: Some("wedding-photo-processor/default/0123456789abcdef0123456789abcdef"),
    };
    vec![
        ("ready", first(ready(&one_archive(), Locale::En))),
        ("ready-three", first(ready(&three, Locale::En))),
        ("ready-many", first(ready(&many, Locale::En))),
        ("ready-hostile", first(ready(&hostile, Locale::En))),
        ("ready-hebrew", first(ready(&hebrew, Locale::En))),
        ("ready-unbroken", first(ready(&unbroken, Locale::En))),
        ("ready-german", first(ready(&german, Locale::De))),
        ("sorry", sorry(&ours, Locale::En)),
        ("sorry-german", sorry(&incomplete, Locale::De)),
        ("alert", alert(&failed)),
    ]
}

fn first(letters: Vec<Letter>) -> Letter {
    letters.into_iter().next().expect("there is always one")
}

/// A photo that is missing.
pub(super) fn missing(name: &str, reason: MissingReason) -> Missing {
    Missing {
        photo: 0,
        name: EntryName::sanitize(name).expect("the samples have names"),
        reason,
    }
}

/// A photo for every reason why one may be missing.
pub(super) fn every_reason() -> Vec<Missing> {
    let reasons = [
        MissingReason::NotFound,
        MissingReason::Forbidden,
        MissingReason::AccessDenied {
            permission: "storage.objects.get".to_owned(),
        },
        MissingReason::EmptyFolder,
        MissingReason::PaymentRequired,
        MissingReason::Refused { status: 418 },
        MissingReason::AddressRefused {
            host: Some("intranet.example".to_owned()),
        },
        MissingReason::TooManyRedirects,
        MissingReason::RedirectRefused { host: None },
        MissingReason::TooLarge {
            bytes: 5_000_000_000_000,
        },
        MissingReason::WrongSize {
            expected: 2,
            found: 1,
        },
        MissingReason::WrongHash,
        MissingReason::Unreachable {
            what: "the server answered 503".to_owned(),
        },
        MissingReason::UnreadableEncoding {
            encoding: "br".to_owned(),
        },
        MissingReason::NotAPhoto {
            content_type: "text/html".to_owned(),
        },
        MissingReason::Other("a newer reason".into()),
    ];
    (1..)
        .zip(reasons)
        .map(|(n, reason)| missing(&format!("Ceremony/IMG_{n:04}.jpg"), reason))
        .collect()
}

/// An archive with a link as long as R2's signed ones.
pub(super) fn archive(name: &str) -> ArchiveLink<'_> {
    const URL: &str = "https://0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com/wedding-photos/archives/smith-jones-2026/0123456789abcdef0123456789abcdef-0123456789abcdef/Smith%20%26%20Jones.zip?x-id=GetObject&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=0123456789abcdef0123456789abcdef%2F20261120%2Fauto%2Fs3%2Faws4_request&X-Amz-Date=20261120T143000Z&X-Amz-Expires=604800&X-Amz-SignedHeaders=host&X-Amz-Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    ArchiveLink {
        name,
        bytes: 1_204_000_000,
        photos: 412,
        url: URL,
    }
}

/// All photos in one archive.
pub(super) fn one_archive() -> Ready<'static> {
    const ARCHIVES: &[ArchiveLink] = &[ArchiveLink {
        name: "Smith & Jones.zip",
        bytes: 1_204_000_000,
        photos: 412,
        url: "https://photos.example.com/d/0123456789abcdef/Smith%20%26%20Jones.zip?a=1&b=2",
    }];
    Ready {
        event: "Smith & Jones",
        photos: 412,
        archives: ARCHIVES,
        missing: &[],
        missing_count: 0,
        expires_at: EXPIRES_AT,
        unsubscribe: Some(UNSUBSCRIBE),
    }
}
