//! A misbehaving origin, and every kind of bad input: what is ridden out, what is left out, what
//! is an error; and that nothing is left behind.

use std::io::Write as _;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wedding_photo_processor::engine::{EngineError, Report};
use wedding_photo_processor::manifest::SourceRules;
use wedding_photo_processor::plan::{MIN_PART_BYTES, MissingReason};
use wedding_photo_processor::sink::memory::MemorySink;

use crate::support::origin::{Fault, Origin, Photo, noise};
use crate::support::{
    http_options, manifest, manifest_of, members, names, options, run, run_with, text_of,
};

/// The length of a photo that is fetched in one request.
const SHORT: u64 = 3_000_000;
/// The length of one that is fetched in ranges.
const LONG: u64 = 2 * MIN_PART_BYTES + 3_000_000;

/// Runs a job of one photo, which must end up in the archive with these bytes.
async fn arrives(origin: &Origin, photo: Photo, bytes: &[u8]) -> Report {
    origin.add("/photo.jpg", photo);
    let (report, sink) = run(manifest_of(&[json!(origin.url("/photo.jpg"))])).await;
    let report = report.unwrap();
    holds(&sink, bytes);
    report
}

fn holds(sink: &MemorySink, bytes: &[u8]) {
    let members = members(&sink.archive("event.zip").unwrap());
    assert_eq!(members.len(), 1);
    assert!(members[0].1 == bytes, "the bytes are not the photo's");
    assert_eq!(sink.open_uploads(), 0);
}

/// Runs a job of one good photo and this one, which must be left out for this reason.
async fn is_missing(origin: &Origin, photo: Value) -> MissingReason {
    origin.add("/good.jpg", Photo::new(noise(1000, 99)));
    let good = json!(origin.url("/good.jpg"));
    let (report, sink) = run(manifest_of(&[photo, good])).await;
    let report = report.unwrap();
    assert_eq!(
        names(&sink.archive("event.zip").unwrap()),
        ["good.jpg", "MISSING.txt"]
    );
    assert_eq!(report.missing.len(), 1);
    report.missing[0].reason.clone()
}

/// Runs a job of one photo, which must fail and leave nothing.
async fn fails(photo: Value) -> EngineError {
    let (report, sink) = run(manifest_of(&[photo])).await;
    assert!(sink.names().is_empty());
    assert_eq!(sink.open_uploads(), 0);
    report.unwrap_err()
}

fn crc32c(bytes: &[u8]) -> String {
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes);
    STANDARD.encode(u32::try_from(crc).unwrap().to_be_bytes())
}

fn md5(bytes: &[u8]) -> String {
    use md5::Digest as _;
    STANDARD.encode(md5::Md5::digest(bytes))
}

/// The first byte of a `Range` header.
fn first_byte(range: Option<&str>) -> u64 {
    let range = range.unwrap_or("bytes=0-");
    let digits = range.trim_start_matches("bytes=").split('-').next();
    digits.unwrap().parse().unwrap()
}

/// Where each GET of the photo began.
fn starts(origin: &Origin) -> Vec<u64> {
    let gets = origin.gets("/photo.jpg");
    gets.iter()
        .map(|range| first_byte(range.as_deref()))
        .collect()
}

// What is ridden out.

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_body_is_resumed_where_it_stopped() {
    let origin = Origin::start().await;
    let bytes = noise(SHORT, 1);
    let photo =
        Photo::new(bytes.clone()).faults([Fault::CutAfter(1_000_000), Fault::CutAfter(500_000)]);
    let report = arrives(&origin, photo, &bytes).await;
    let starts = starts(&origin);
    assert_eq!(starts, [0, 1_000_000, 1_500_000]);
    assert_eq!((report.retries, report.resumed), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_range_of_a_long_photo_is_resumed_where_it_stopped() {
    let origin = Origin::start().await;
    let bytes = noise(LONG, 1);
    let cut = Photo::new(bytes.clone()).faults([Fault::CutAfter(1_000_000)]);
    let report = arrives(&origin, cut, &bytes).await;
    assert_eq!((report.retries, report.resumed), (1, 1));
    let starts = starts(&origin);
    let repeated = starts
        .iter()
        .filter(|start| **start % 1_000_000 == 0 && **start > 0);
    assert!(repeated.count() <= 1, "{starts:?}");
    assert_eq!(
        starts.len(),
        4,
        "three ranges and one more request: {starts:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_body_without_validators_is_fetched_from_the_start() {
    let origin = Origin::start().await;
    let bytes = noise(SHORT, 1);
    let photo = Photo::new(bytes.clone())
        .without_validators()
        .faults([Fault::CutAfter(1_000_000)]);
    arrives(&origin, photo, &bytes).await;
    assert_eq!(origin.gets("/photo.jpg"), [None, None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resume_that_is_answered_with_everything_starts_over() {
    let origin = Origin::start().await;
    let bytes = noise(SHORT, 1);
    let photo = Photo::new(bytes.clone()).faults([Fault::CutAfter(1_000_000), Fault::WholeAnswer]);
    arrives(&origin, photo, &bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resume_that_is_answered_with_other_bytes_starts_over() {
    let origin = Origin::start().await;
    let bytes = noise(SHORT, 1);
    let photo = Photo::new(bytes.clone()).faults([Fault::CutAfter(1_000_000), Fault::WrongRange]);
    arrives(&origin, photo, &bytes).await;
    let starts = starts(&origin);
    assert_eq!(starts, [0, 1_000_000, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resume_never_mixes_two_versions() {
    let origin = Origin::start().await;
    let (old, new) = (noise(SHORT, 1), noise(SHORT, 2));
    let photo = Photo::new(old).faults([
        Fault::CutAfter(1_000_000),
        Fault::Becomes(Box::new(Photo::new(new.clone()))),
    ]);
    arrives(&origin, photo, &new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_photo_that_changes_between_ranges_is_fetched_anew() {
    let origin = Origin::start().await;
    let (old, new) = (noise(LONG, 1), noise(LONG, 2));
    let photo = Photo::new(old).faults([
        Fault::CutAfter(LONG),
        Fault::Becomes(Box::new(Photo::new(new.clone()))),
    ]);
    let report = arrives(&origin, photo, &new).await;
    assert_eq!(report.restarts, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_download_is_replaced() {
    let origin = Origin::start().await;
    let bytes = noise(SHORT, 1);
    let photo = Photo::new(bytes.clone()).faults([Fault::StallAfter(1_000_000)]);
    let report = arrives(&origin, photo, &bytes).await;
    assert_eq!(report.resumed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_far_slower_than_the_others_is_replaced() {
    let origin = Origin::start().await;
    let mut urls = Vec::new();
    for index in 0..12 {
        let path = format!("/{index}.jpg");
        origin.add(&path, Photo::new(noise(SHORT, index)));
        urls.push(json!(origin.url(&path)));
    }
    let crawling = Photo::new(noise(SHORT, 0)).faults([Fault::CrawlAfter(1_000_000)]);
    origin.add("/0.jpg", crawling);
    let started = Instant::now();
    let (report, sink) = run(manifest_of(&urls)).await;
    assert_eq!(report.unwrap().resumed, 1);
    assert!(members(&sink.archive("event.zip").unwrap())[0].1 == noise(SHORT, 0));
    // At two kilobytes a second it would have taken a quarter of an hour.
    assert!(started.elapsed() < Duration::from_mins(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_that_pass_are_ridden_out() {
    let origin = Origin::start().await;
    let bytes = noise(SHORT, 1);
    for fault in [
        Fault::Status(500, vec![]),
        Fault::Status(502, vec![]),
        Fault::Status(503, vec![]),
        Fault::Status(429, vec![]),
        Fault::Status(408, vec![]),
        Fault::NoAnswer,
        Fault::CutAfter(0),
    ] {
        let photo = Photo::new(bytes.clone()).faults([fault.clone(), fault]);
        let report = arrives(&origin, photo, &bytes).await;
        assert!(report.retries >= 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_obeyed() {
    let origin = Origin::start().await;
    let bytes = noise(1000, 1);
    let wait = Fault::Status(429, vec![("retry-after", "1".to_owned())]);
    let started = Instant::now();
    arrives(&origin, Photo::new(bytes.clone()).faults([wait]), &bytes).await;
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn origins_that_do_not_know_head_still_work() {
    let origin = Origin::start().await;
    let bytes = noise(SHORT, 1);
    for status in [400, 403, 404, 405, 500, 501, 503] {
        let mut photo = Photo::new(bytes.clone());
        photo.head_status = status;
        arrives(&origin, photo, &bytes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed() {
    let origin = Origin::start().await;
    let bytes = noise(SHORT, 1);
    origin.add("/real.jpg", Photo::new(bytes.clone()));
    let to = vec![("location", "/real.jpg".to_owned())];
    let mut moved = Photo::new("").always(Fault::Status(302, to));
    moved.head_status = 405;
    arrives(&origin, moved, &bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_bytes_are_fetched_again() {
    let origin = Origin::start().await;
    for length in [SHORT, LONG] {
        let bytes = noise(length, 1);
        let photo = Photo::new(bytes.clone())
            .header("x-goog-hash", format!("crc32c={}", crc32c(&bytes)))
            .faults([Fault::Flip(12_345)]);
        arrives(&origin, photo, &bytes).await;
        if length == SHORT {
            let photo = Photo::new(bytes.clone())
                .header("x-goog-hash", format!("md5={}", md5(&bytes)))
                .faults([Fault::Flip(12_345)]);
            arrives(&origin, photo, &bytes).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_photo_is_kept() {
    let origin = Origin::start().await;
    let report = arrives(&origin, Photo::new(""), b"").await;
    assert_eq!(report.photos, 1);
    // Without HEAD, the first byte of nothing is asked for.
    let mut photo = Photo::new("");
    photo.head_status = 400;
    arrives(&origin, photo, b"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_of_zero_is_only_believed_after_a_look() {
    let origin = Origin::start().await;
    let bytes = noise(50_000, 1);
    let mut photo = Photo::new(bytes.clone());
    photo.head_length = Some(0);
    arrives(&origin, photo, &bytes).await;
    let url = origin.url("/photo.jpg");
    let reason = is_missing(&origin, json!({"url": url, "size": 0})).await;
    let (expected, found) = (0, 50_000);
    assert_eq!(reason, MissingReason::WrongSize { expected, found });
    let gone = json!({"url": origin.url("/gone.jpg"), "size": 0});
    assert_eq!(is_missing(&origin, gone).await, MissingReason::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resume_needs_something_to_compare_versions_by() {
    let origin = Origin::start().await;
    let (old, new) = (noise(SHORT, 1), noise(SHORT, 2));
    let photo = Photo::new(old).faults([
        Fault::CutAfter(1_000_000),
        Fault::Becomes(Box::new(Photo::new(new.clone()).without_validators())),
    ]);
    let report = arrives(&origin, photo, &new).await;
    assert_eq!(report.resumed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_photo_without_validators_is_fetched_in_one() {
    let origin = Origin::start().await;
    let bytes = noise(LONG, 1);
    let photo = Photo::new(bytes.clone()).without_validators();
    arrives(&origin, photo, &bytes).await;
    // The last answer is of the whole photo.
    assert_eq!(origin.gets("/photo.jpg").last(), Some(&None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_photo_is_checked_though_its_size_is_given() {
    let origin = Origin::start().await;
    let bytes = noise(LONG, 1);
    let photo = Photo::new(bytes.clone())
        .header("x-goog-hash", format!("crc32c={}", crc32c(&noise(LONG, 2))));
    origin.add("/photo.jpg", photo);
    let error = fails(json!({"url": origin.url("/photo.jpg"), "size": LONG})).await;
    assert!(
        matches!(error, EngineError::Unreachable { .. }),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_whose_body_never_comes_does_not_hang() {
    let origin = Origin::start().await;
    let bytes = noise(SHORT, 1);
    let mut photo = Photo::new(bytes.clone()).faults([Fault::StallAfter(0)]);
    photo.head_status = 405;
    arrives(&origin, photo, &bytes).await;
}

// Origins that don't tell the length, or don't know ranges.

#[tokio::test(flavor = "multi_thread")]
async fn photos_of_unknown_length_are_spooled() {
    let origin = Origin::start().await;
    for length in [0, 1, SHORT, LONG] {
        let bytes = noise(length, 1);
        let mut photo = Photo::new(bytes.clone()).faults([Fault::CutAfter(length / 2)]);
        (photo.chunked, photo.ranges) = (true, false);
        arrives(&origin, photo, &bytes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_photos_without_ranges_are_spooled() {
    let origin = Origin::start().await;
    let bytes = noise(LONG, 1);
    let mut photo = Photo::new(bytes.clone());
    photo.ranges = false;
    arrives(&origin, photo.clone(), &bytes).await;
    arrives(&origin, photo.header("accept-ranges", "none"), &bytes).await;
    let photo = Photo::new(bytes.clone()).faults([Fault::WrongRange]);
    arrives(&origin, photo, &bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_compressed_is_unpacked() {
    let origin = Origin::start().await;
    let bytes = noise(SHORT, 1);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&bytes).unwrap();
    let packed = encoder.finish().unwrap();
    let photo = Photo::new(packed.clone())
        .header("content-encoding", "gzip")
        .header("x-goog-hash", format!("crc32c={}", crc32c(&packed)));
    arrives(
        &origin,
        photo.clone().faults([Fault::CutAfter(100_000)]),
        &bytes,
    )
    .await;
    // Firebase says so in the metadata, and its size is that of the stored bytes.
    let object = "/v0/b/bucket/o/photo.jpg";
    let metadata = json!({"size": packed.len().to_string(), "contentEncoding": "gzip",
                          "crc32c": crc32c(&packed), "generation": "1"});
    origin.add(&format!("{object}?alt=media"), photo);
    origin.add(object, Photo::new(metadata.to_string()));
    let url = origin.url(&format!("{object}?alt=media"));
    let (report, sink) = run(manifest_of(&[json!(url)])).await;
    report.unwrap();
    holds(&sink, &bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_is_too_small_is_a_clear_error() {
    let origin = Origin::start().await;
    let mut photo = Photo::new(noise(SHORT, 1));
    (photo.chunked, photo.ranges) = (true, false);
    origin.add("/photo.jpg", photo);
    let mut options = options();
    // Room for each of them, but not for both.
    options.spool_limit = 2 * SHORT - 1;
    let photo = json!({"url": origin.url("/photo.jpg"), "name": "photo.jpg"});
    let manifest = manifest_of(&[photo.clone(), photo]);
    let (report, _) = run_with(manifest.clone(), &options, &http_options()).await;
    insta::assert_snapshot!(report.unwrap_err());
    options.spool_dir = "/nowhere".into();
    let (report, _) = run_with(manifest, &options, &http_options()).await;
    insta::assert_snapshot!(report.unwrap_err());
}

// What changes after the probe.

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_that_vanishes_after_the_probe_is_left_out() {
    let origin = Origin::start().await;
    origin.add(
        "/gone.jpg",
        Photo::new(noise(SHORT, 1)).always(Fault::Status(404, vec![])),
    );
    let reason = is_missing(&origin, json!(origin.url("/gone.jpg"))).await;
    assert_eq!(reason, MissingReason::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_that_changes_after_the_probe_is_planned_anew() {
    let origin = Origin::start().await;
    let new = noise(SHORT + 77, 2);
    let photo =
        Photo::new(noise(SHORT, 1)).faults([Fault::Becomes(Box::new(Photo::new(new.clone())))]);
    let report = arrives(&origin, photo, &new).await;
    assert_eq!(report.restarts, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_photos_that_vanish_are_found_in_few_restarts() {
    let origin = Origin::start().await;
    let mut photos = Vec::new();
    for index in 0..60 {
        let path = format!("/{index}.jpg");
        let photo = Photo::new(noise(10_000, index));
        let gone = index % 3 == 0;
        origin.add(
            &path,
            if gone {
                photo.always(Fault::Status(410, vec![]))
            } else {
                photo
            },
        );
        // With the size given they are not probed.
        photos.push(json!({"url": origin.url(&path), "size": 10_000}));
    }
    let (report, _) = run(manifest_of(&photos)).await;
    let report = report.unwrap();
    assert_eq!((report.photos, report.missing.len()), (40, 20));
    assert!(report.restarts <= 2, "{}", report.restarts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_longer_or_shorter_than_announced_is_not_taken() {
    let origin = Origin::start().await;
    let bytes = noise(SHORT, 1);
    for fault in [Fault::LengthOff(10), Fault::LengthOff(-10)] {
        let photo = Photo::new(bytes.clone()).faults([fault]);
        let report = arrives(&origin, photo, &bytes).await;
        assert_eq!(report.restarts, 1);
    }
    let mut photo =
        Photo::new(bytes.clone()).faults([Fault::Status(500, vec![]), Fault::Longer(10)]);
    // HEAD works and the GET has no length of its own.
    photo.chunked = true;
    arrives(&origin, photo, &bytes).await;
}

// What is left out.

#[tokio::test(flavor = "multi_thread")]
async fn photos_that_cannot_be_had_are_left_out_and_named() {
    let origin = Origin::start().await;
    for (status, reason) in [
        (404, MissingReason::NotFound),
        (410, MissingReason::NotFound),
        (401, MissingReason::Forbidden),
        (403, MissingReason::Forbidden),
        (402, MissingReason::PaymentRequired),
        (451, MissingReason::Refused { status: 451 }),
    ] {
        let mut photo = Photo::new("x").always(Fault::Status(status, vec![]));
        photo.head_status = status;
        origin.add("/bad.jpg", photo);
        let before = origin.gets("/bad.jpg").len();
        let found = is_missing(&origin, json!(origin.url("/bad.jpg?token=secret"))).await;
        assert_eq!(found, reason);
        // Refusals may mean "slower", and get a second look.
        let looks = if reason.may_be_a_limit() { 2 } else { 1 };
        assert_eq!(origin.gets("/bad.jpg").len() - before, looks, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_note_in_the_archive_reads_well() {
    let origin = Origin::start().await;
    origin.add("/a.jpg", Photo::new("a"));
    let expired = Photo::new("x").always(Fault::Status(403, vec![]));
    origin.add("/expired.jpg", expired);
    let (_, sink) = run(manifest_of(&[
        json!(origin.url("/a.jpg")),
        json!({"url": origin.url("/expired.jpg?token=secret"), "name": "Ceremony/kiss.jpg", "size": 7}),
        json!(origin.url("/never.jpg?token=secret")),
    ]))
    .await;
    let note = text_of(&sink.archive("event.zip").unwrap(), "MISSING.txt");
    assert!(note.lines().count() == 4 && note.ends_with("\r\n"));
    insta::assert_snapshot!(note.replace('\r', ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_photos_end_the_job_where_the_manifest_says_so() {
    let origin = Origin::start().await;
    origin.add("/a.jpg", Photo::new("a"));
    let (report, sink) = run(manifest(&json!({
        "event_id": "event", "on_missing": "fail",
        "photos": [origin.url("/a.jpg"), origin.url("/b.jpg"), origin.url("/c.jpg")],
    })))
    .await;
    insta::assert_snapshot!(report.unwrap_err());
    assert!(sink.names().is_empty());
    let error = fails(json!(origin.url("/b.jpg"))).await;
    assert!(
        matches!(error, EngineError::Missing { .. }),
        "all are missing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_manifest_says_must_hold() {
    let origin = Origin::start().await;
    let bytes = noise(SHORT, 1);
    origin.add("/a.jpg", Photo::new(bytes.clone()));
    let url = origin.url("/a.jpg");
    let other = noise(SHORT, 2);
    for (extra, reason) in [
        (
            json!({"size": SHORT + 1}),
            MissingReason::WrongSize {
                expected: SHORT + 1,
                found: SHORT,
            },
        ),
        (json!({"crc32c": crc32c(&other)}), MissingReason::WrongHash),
        (json!({"md5": md5(&other)}), MissingReason::WrongHash),
        (
            json!({"size": SHORT, "crc32c": crc32c(&other)}),
            MissingReason::WrongHash,
        ),
    ] {
        let mut photo = extra;
        photo["url"] = json!(url);
        assert_eq!(is_missing(&origin, photo).await, reason);
    }
    let right = json!({"url": url, "size": SHORT, "crc32c": crc32c(&bytes), "md5": md5(&bytes)});
    let (report, sink) = run(manifest_of(&[right])).await;
    report.unwrap();
    holds(&sink, &bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_in_a_circle_end() {
    let origin = Origin::start().await;
    let to = vec![("location", "/round.jpg".to_owned())];
    let mut round = Photo::new("").always(Fault::Status(301, to));
    round.head_status = 405;
    origin.add("/round.jpg", round);
    let reason = is_missing(&origin, json!(origin.url("/round.jpg"))).await;
    assert_eq!(reason, MissingReason::TooManyRedirects);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_are_not_public_are_never_connected_to() {
    let origin = Origin::start().await;
    origin.add("/a.jpg", Photo::new("a"));
    let port = origin.address().port();
    let mut http = http_options();
    http.allow_private = false;
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "169.254.169.254",
        "2130706433",
        "0x7f.1",
    ] {
        let url = format!("http://{host}:{port}/a.jpg");
        let (report, _) = run_with(manifest_of(&[json!(url)]), &options(), &http).await;
        match report.unwrap_err() {
            EngineError::Missing { missing, .. } => {
                // Numbers are written as addresses by whoever reads the URL.
                let shown = match host {
                    "2130706433" | "0x7f.1" => "127.0.0.1",
                    host => host,
                };
                let host = Some(shown.to_owned());
                assert_eq!(missing[0].reason, MissingReason::AddressRefused { host });
            }
            other => panic!("{host}: {other}"),
        }
    }
    assert_eq!(origin.log(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_obey_the_same_rules() {
    let origin = Origin::start().await;
    let refused = |host: &str| MissingReason::RedirectRefused {
        host: Some(host.to_owned()),
    };
    for (to, reason) in [
        // Metadata stays refused even where private addresses are allowed.
        (
            "http://169.254.169.254/latest/",
            MissingReason::AddressRefused {
                host: Some("169.254.169.254".to_owned()),
            },
        ),
        (
            "http://localhost:1/private?token=secret",
            refused("localhost"),
        ),
        ("ftp://127.0.0.1/", refused("127.0.0.1")),
        ("http://u:p@127.0.0.1/", refused("127.0.0.1")),
    ] {
        let to = vec![("location", to.to_owned())];
        let mut photo = Photo::new("").always(Fault::Status(302, to));
        photo.head_status = 405;
        origin.add("/away.jpg", photo);
        let mut http = http_options();
        http.hosts = SourceRules {
            allowed_hosts: vec!["127.0.0.1".to_owned(), "169.254.169.254".to_owned()],
            allow_http: true,
            ..SourceRules::default()
        };
        let manifest = manifest_of(&[json!(origin.url("/away.jpg"))]);
        let (report, _) = run_with(manifest, &options(), &http).await;
        match report.unwrap_err() {
            EngineError::Missing { missing, .. } => assert_eq!(missing[0].reason, reason),
            other => panic!("{other}"),
        }
    }
}

// What is an error, worth another try.

#[tokio::test(flavor = "multi_thread")]
async fn origins_that_cannot_be_reached_are_an_error() {
    let error = fails(json!("http://127.0.0.1:1/a.jpg?token=secret")).await;
    insta::assert_snapshot!(error);
    let error = fails(json!("https://no-such-host.invalid/a.jpg"))
        .await
        .to_string();
    assert!(error.contains("no-such-host.invalid"), "{error}");
    // With the size given, the first request is the download.
    let error = fails(json!({"url": "http://127.0.0.1:1/a.jpg", "size": 5})).await;
    assert!(matches!(error, EngineError::Unreachable { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_that_never_end_well_are_an_error() {
    let origin = Origin::start().await;
    let bytes = noise(SHORT, 1);
    for (case, photo) in [
        (
            "always cut later, and never resumed",
            Photo::new(bytes.clone())
                .without_validators()
                .always(Fault::CutAfter(1_000_000)),
        ),
        (
            "always cut",
            Photo::new(bytes.clone()).always(Fault::CutAfter(1000)),
        ),
        (
            "always 500",
            Photo::new(bytes.clone()).always(Fault::Status(500, vec![])),
        ),
        (
            "always stalled",
            Photo::new(bytes.clone()).always(Fault::StallAfter(1000)),
        ),
        (
            "never an answer",
            Photo::new(bytes.clone()).always(Fault::NoAnswer),
        ),
    ] {
        origin.add("/photo.jpg", photo);
        let error = fails(json!(origin.url("/photo.jpg"))).await;
        assert!(
            matches!(error, EngineError::Unreachable { .. }),
            "{case}: {error:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_that_always_arrives_damaged_is_an_error() {
    let origin = Origin::start().await;
    let bytes = noise(SHORT, 1);
    let photo = Photo::new(bytes.clone())
        .header("x-goog-hash", format!("crc32c={}", crc32c(&bytes)))
        .always(Fault::Flip(5));
    origin.add("/photo.jpg", photo);
    let error = fails(json!(origin.url("/photo.jpg"))).await.to_string();
    assert!(
        error.contains("checksum") || error.contains("CRC32C"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_in_a_later_archive_removes_the_earlier_ones() {
    let origin = Origin::start().await;
    origin.add("/a.jpg", Photo::new(noise(1_000_000, 1)));
    let cut = Photo::new(noise(1_000_000, 2)).always(Fault::CutAfter(1000));
    origin.add("/b.jpg", cut);
    let (report, sink) = run(manifest(&json!({
        "event_id": "event", "max_archive_bytes": 1_100_000, "on_missing": "fail",
        "photos": [origin.url("/a.jpg"), origin.url("/b.jpg")],
    })))
    .await;
    assert!(matches!(report, Err(EngineError::Fetch { .. })));
    assert!(sink.names().is_empty() && sink.open_uploads() == 0);
}

// Names.

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_are_made_safe() {
    let origin = Origin::start().await;
    origin.add("/a", Photo::new("a"));
    let long = format!("{}.jpg", "x".repeat(300));
    let photos: Vec<Value> = [
        "../../etc/passwd",
        "CON.jpg",
        "a\\b",
        "line\nbreak.jpg",
        &long,
        "🎉.jpg",
        "חתונה.jpg",
        "cafe\u{301}.jpg",
        "CAFÉ.JPG",
        "MISSING.txt",
        "same.jpg",
        "same.jpg",
    ]
    .iter()
    .map(|name| json!({"url": origin.url("/a"), "name": name}))
    .chain([json!(origin.url("/gone.jpg"))])
    .collect();
    let (report, sink) = run(manifest_of(&photos)).await;
    report.unwrap();
    let names = names(&sink.archive("event.zip").unwrap());
    insta::assert_snapshot!(names.join("\n"));
}
