//! The bytes of archives: what a sequential writer would have written, whatever the concurrency,
//! the order in which parts arrive, and the memory budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use wedding_photo_processor::engine::{self, EngineError, Progress};
use wedding_photo_processor::plan::MIN_PART_BYTES;
use wedding_photo_processor::sink::memory::{MemorySink, MemoryUpload};
use wedding_photo_processor::sink::{
    ArchiveSink, ArchiveSpec, ArchiveUpload, PartData, PartReceipt, SinkError, Stored,
};
use wedding_photo_processor::source::memory::MemorySource;

use crate::support::origin::{Origin, Photo, noise};
use crate::support::{
    MIB, http_options, manifest, manifest_of, names, options, run, run_with, sequential,
};

/// Photos around every edge: nothing, a byte, less and more than one, two and three parts.
fn edge_sizes() -> Vec<u64> {
    let part = MIN_PART_BYTES;
    vec![
        0,
        1,
        part - 60,
        17,
        2 * part - 1,
        2 * part,
        0,
        300_000,
        3 * part + 12_345,
        part,
        5,
    ]
}

async fn origin_with(sizes: &[u64]) -> (Origin, Vec<serde_json::Value>, Vec<(String, Bytes)>) {
    let origin = Origin::start().await;
    let mut urls = Vec::new();
    let mut members = Vec::new();
    for (index, size) in sizes.iter().enumerate() {
        let bytes = Bytes::from(noise(*size, index as u64));
        let name = format!("IMG_{index}.jpg");
        origin.add(&format!("/{name}"), Photo::new(bytes.clone()));
        urls.push(json!(origin.url(&format!("/{name}"))));
        members.push((name, bytes));
    }
    (origin, urls, members)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_is_what_a_sequential_writer_writes() {
    let (_origin, urls, members) = origin_with(&edge_sizes()).await;
    let expected = sequential(&members);
    for (connections, budget) in [
        (1, 24 * MIB),
        (3, 24 * MIB),
        (16, 32 * MIB),
        (64, 512 * MIB),
    ] {
        let mut options = options();
        options.max_connections = connections;
        options.memory_budget = budget;
        let (report, sink) = run_with(manifest_of(&urls), &options, &http_options()).await;
        let report = report.unwrap();
        assert_eq!(report.photos, urls.len());
        assert_eq!(report.bytes, expected.len() as u64);
        assert!(
            sink.archive("event.zip").unwrap() == expected,
            "with {connections} connections and a budget of {budget} bytes"
        );
        assert_eq!(sink.open_uploads(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_and_dates_in_the_manifest_save_the_probe() {
    let origin = Origin::start().await;
    let bytes = noise(50_000, 1);
    origin.add("/a", Photo::new(bytes.clone()));
    let photo = json!({"url": origin.url("/a"), "name": "Party/a.jpg", "size": 50_000,
                       "modified": "2026-06-20T15:04:05Z"});
    let (report, sink) = run(manifest_of(&[photo])).await;
    report.unwrap();
    assert_eq!(origin.log().len(), 1, "{:?}", origin.log());
    let archive = sink.archive("event.zip").unwrap();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(archive)).unwrap();
    let file = archive.by_index(0).unwrap();
    assert_eq!(file.name().unwrap(), "Party/a.jpg");
    let modified = file.last_modified().unwrap();
    assert_eq!(
        (modified.year(), modified.hour(), modified.second()),
        (2026, 15, 4)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_event_becomes_several_archives() {
    let (_origin, mut urls, _) = origin_with(&[500_000; 7]).await;
    urls.push(json!("http://127.0.0.1:1/unused"));
    urls.pop();
    let manifest = manifest(&json!({
        "event_id": "event", "archive_name": "Smith & Jones.zip", "photos": urls,
        "max_archive_bytes": 1_600_000,
    }));
    let (report, sink) = run(manifest).await;
    let report = report.unwrap();
    assert_eq!(
        sink.names(),
        [
            "Smith & Jones-1-of-3.zip",
            "Smith & Jones-2-of-3.zip",
            "Smith & Jones-3-of-3.zip"
        ]
    );
    assert_eq!(
        names(&sink.archive("Smith & Jones-3-of-3.zip").unwrap()),
        ["IMG_6.jpg"]
    );
    assert_eq!(report.archives.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn firebase_links_are_probed_by_their_metadata() {
    let origin = Origin::start().await;
    let bytes = noise(70_000, 3);
    let crc32c = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes);
    let crc32c = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        u32::try_from(crc32c).unwrap().to_be_bytes(),
    );
    let object = "/v0/b/wedding.appspot.com/o/events%2F1%2FIMG%207.jpg";
    let metadata = json!({
        "name": "events/1/IMG 7.jpg", "size": "70000", "generation": "1718895845000000",
        "crc32c": crc32c, "updated": "2026-06-20T15:04:05.123Z", "contentEncoding": "identity",
    });
    let mut media = Photo::new(bytes.clone())
        .header("x-goog-generation", "1718895845000000")
        .header("x-goog-hash", format!("crc32c={crc32c}"));
    // What Firebase answers to HEAD.
    media.head_status = 400;
    origin.add(&format!("{object}?alt=media&token=t"), media);
    origin.add(
        &format!("{object}?token=t"),
        Photo::new(metadata.to_string()),
    );
    let url = origin.url(&format!("{object}?alt=media&token=t"));
    let (report, sink) = run(manifest_of(&[json!(url)])).await;
    assert_eq!(report.unwrap().photos, 1);
    assert_eq!(names(&sink.archive("event.zip").unwrap()), ["IMG 7.jpg"]);
    let methods: Vec<String> = origin.log().into_iter().map(|r| r.method).collect();
    assert_eq!(methods, ["GET", "GET"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_is_read_from_tls_origins_too() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(Arc::new(
        tokio_rustls::rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(
        vec![key.cert.der().clone()],
        tokio_rustls::rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der())
            .unwrap(),
    )
    .unwrap();
    let origin = Origin::start_tls(Arc::new(config)).await;
    origin.add("/a.jpg", Photo::new(noise(10, 1)));
    // Nobody vouches for this certificate: the connection must not come about.
    let (report, sink) = run(manifest_of(&[json!(origin.url("/a.jpg"))])).await;
    let error = report.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    assert!(sink.names().is_empty());
}

/// A sink that takes its time with some parts, and watches how many bytes are on their way.
#[derive(Clone)]
struct Uneven {
    inner: MemorySink,
    held: Arc<AtomicU64>,
    most: Arc<AtomicU64>,
}

struct UnevenUpload(MemoryUpload, Uneven);

impl ArchiveSink for Uneven {
    type Upload = UnevenUpload;

    async fn begin(&self, archive: &ArchiveSpec) -> Result<UnevenUpload, SinkError> {
        Ok(UnevenUpload(self.inner.begin(archive).await?, self.clone()))
    }
}

impl ArchiveUpload for UnevenUpload {
    async fn put_part(&self, part: PartData) -> Result<PartReceipt, SinkError> {
        let length = part.bytes.len() as u64;
        let held = self.1.held.fetch_add(length, Ordering::SeqCst) + length;
        self.1.most.fetch_max(held, Ordering::SeqCst);
        // Later parts overtake earlier ones.
        let pause = u64::from(97 * part.number % 7) * 15;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let receipt = self.0.put_part(part).await;
        self.1.held.fetch_sub(length, Ordering::SeqCst);
        receipt
    }

    async fn complete(&self, parts: &[PartReceipt]) -> Result<Stored, SinkError> {
        self.0.complete(parts).await
    }

    async fn abort(&self) -> Result<(), SinkError> {
        self.0.abort().await
    }

    async fn read_back(&self, range: std::ops::Range<u64>) -> Result<Option<Bytes>, SinkError> {
        self.0.read_back(range).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_may_arrive_in_any_order_within_the_budget() {
    let source = MemorySource::default();
    let mut members = Vec::new();
    let mut urls = Vec::new();
    for index in 0..12 {
        let bytes = Bytes::from(noise(MIN_PART_BYTES * (index % 4) + 1000 * index, index));
        source.insert(format!("/{index}.jpg"), bytes.clone());
        urls.push(json!(format!("https://photos.example/{index}.jpg")));
        members.push((format!("{index}.jpg"), bytes));
    }
    let sink = Uneven {
        inner: MemorySink::default(),
        held: Arc::default(),
        most: Arc::default(),
    };
    let mut options = options();
    options.memory_budget = 40 * MIB;
    engine::run(
        Arc::new(manifest_of(&urls)),
        Arc::new(source),
        &sink,
        &options,
        Arc::new(Progress::default()),
        &CancellationToken::new(),
    )
    .await
    .unwrap();
    assert!(sink.inner.archive("event.zip").unwrap() == sequential(&members));
    let most = sink.most.load(Ordering::SeqCst);
    assert!(most > MIN_PART_BYTES && most <= 40 * MIB, "{most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_less_than_three_parts_is_a_clear_error() {
    let (_origin, urls, _) = origin_with(&[20_000_000, 20_000_000]).await;
    let mut options = options();
    options.memory_budget = 24 * MIB - 1;
    let (report, sink) = run_with(manifest_of(&urls), &options, &http_options()).await;
    let error = report.unwrap_err();
    assert!(matches!(error, EngineError::BudgetTooSmall { .. }));
    insta::assert_snapshot!(error);
    assert_eq!(sink.open_uploads(), 0);
}

/// Adversarial sequences for the smallest budget: long photos one after the other, headers that
/// straddle parts, tails of several parts.
#[tokio::test(flavor = "multi_thread")]
async fn three_parts_of_memory_are_always_enough() {
    let part = MIN_PART_BYTES;
    let shapes: [&[u64]; 5] = [
        &[2 * part, 2 * part, 2 * part],
        // The second header straddles the first two parts: its body then reaches into the third.
        &[part - 50, 2 * part - 1],
        &[part - 50, 4 * part, part + part / 2, part + part / 2],
        &[3 * part - 30, 2 * part - 1, 2 * part - 1, 3 * part],
        &[1, 5 * part + 1, 1, 2 * part - 100, 1],
    ];
    for sizes in shapes {
        let source = MemorySource::default();
        let mut members = Vec::new();
        let mut urls = Vec::new();
        for (index, size) in sizes.iter().enumerate() {
            let bytes = Bytes::from(noise(*size, index as u64));
            source.insert(format!("/{index}.jpg"), bytes.clone());
            urls.push(json!(format!("https://photos.example/{index}.jpg")));
            members.push((format!("{index}.jpg"), bytes));
        }
        let sink = MemorySink::default();
        let mut options = options();
        options.memory_budget = 3 * part;
        let running = engine::run(
            Arc::new(manifest_of(&urls)),
            Arc::new(source),
            &sink,
            &options,
            Arc::new(Progress::default()),
            &CancellationToken::new(),
        )
        .await;
        running.unwrap();
        assert!(sink.archive("event.zip").unwrap() == sequential(&members));
    }
}
