//! One conformance suite, which every sink passes.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use wedding_photo_processor::sink::discard::DiscardSink;
use wedding_photo_processor::sink::file::FileSink;
use wedding_photo_processor::sink::memory::MemorySink;
use wedding_photo_processor::sink::s3::S3Sink;
use wedding_photo_processor::sink::{
    ArchiveSink, ArchiveSpec, ArchiveUpload, PartData, PartReceipt, SinkError,
};

use crate::support::origin::noise;
use crate::support::stores::{self, Store};

/// The smallest part that stores take, in bytes.
const PART: usize = 5 * 1024 * 1024;

/// What a test can see of a sink from outside.
trait Outside {
    /// The archive of this name, if it is visible.
    async fn archive(&self, name: &str) -> Option<Vec<u8>>;
    /// Whether nothing is left of uploads that are not complete.
    async fn is_clean(&self) -> bool;
}

fn spec(name: &str, bytes: &[u8]) -> ArchiveSpec {
    ArchiveSpec {
        name: name.to_owned(),
        index: 0,
        count: 1,
        length: bytes.len() as u64,
        part_size: PART as u64,
    }
}

fn part(bytes: &[u8], number: u32) -> PartData {
    let offset = (number as usize - 1) * PART;
    let bytes = &bytes[offset..bytes.len().min(offset + PART)];
    PartData {
        number,
        offset: offset as u64,
        crc32: u32::try_from(crc_fast::checksum(
            crc_fast::CrcAlgorithm::Crc32IsoHdlc,
            bytes,
        ))
        .unwrap(),
        bytes: Bytes::copy_from_slice(bytes),
    }
}

/// Runs the whole suite.
async fn conforms<K: ArchiveSink>(sink: &K, outside: &impl Outside, keeps: bool) {
    parts_in_any_order_make_the_archive(sink, outside, keeps).await;
    nothing_is_visible_before_completion(sink, outside).await;
    an_aborted_upload_leaves_nothing(sink, outside).await;
    a_completed_archive_can_be_taken_back(sink, outside).await;
    an_archive_replaces_its_predecessor(sink, outside, keeps).await;
    missing_parts_are_an_error(sink, outside).await;
}

async fn parts_in_any_order_make_the_archive<K: ArchiveSink>(
    sink: &K,
    outside: &impl Outside,
    keeps: bool,
) {
    let bytes = noise(PART as u64 * 3 + 17, 1);
    let upload = sink.begin(&spec("any-order.zip", &bytes)).await.unwrap();
    let mut receipts: Vec<PartReceipt> = Vec::new();
    let (four, two) = tokio::join!(
        upload.put_part(part(&bytes, 4)),
        upload.put_part(part(&bytes, 2))
    );
    receipts.extend([four.unwrap(), two.unwrap()]);
    for number in [3, 1, 3] {
        let receipt = upload.put_part(part(&bytes, number)).await.unwrap();
        receipts.retain(|known| known.number != number);
        receipts.push(receipt);
    }
    receipts.sort_by_key(|receipt| receipt.number);
    let stored = upload.complete(&receipts).await.unwrap();
    assert_eq!(stored.length, bytes.len() as u64);
    let tail = upload
        .read_back(PART as u64 * 3 - 10..bytes.len() as u64)
        .await
        .unwrap();
    if keeps {
        assert!(outside.archive("any-order.zip").await.unwrap() == bytes);
        assert!(tail.unwrap() == bytes[PART * 3 - 10..]);
    }
    assert!(outside.is_clean().await);
}

async fn nothing_is_visible_before_completion<K: ArchiveSink>(sink: &K, outside: &impl Outside) {
    let bytes = noise(PART as u64, 2);
    let upload = sink.begin(&spec("hidden.zip", &bytes)).await.unwrap();
    upload.put_part(part(&bytes, 1)).await.unwrap();
    assert_eq!(outside.archive("hidden.zip").await, None);
    upload.abort().await.unwrap();
}

async fn an_aborted_upload_leaves_nothing<K: ArchiveSink>(sink: &K, outside: &impl Outside) {
    let bytes = noise(PART as u64 * 2, 3);
    let upload = sink.begin(&spec("aborted.zip", &bytes)).await.unwrap();
    upload.put_part(part(&bytes, 2)).await.unwrap();
    upload.abort().await.unwrap();
    upload.abort().await.unwrap();
    assert_eq!(outside.archive("aborted.zip").await, None);
    assert!(outside.is_clean().await);
}

async fn a_completed_archive_can_be_taken_back<K: ArchiveSink>(sink: &K, outside: &impl Outside) {
    let bytes = noise(PART as u64, 4);
    let upload = sink.begin(&spec("unwanted.zip", &bytes)).await.unwrap();
    let receipt = upload.put_part(part(&bytes, 1)).await.unwrap();
    upload.complete(&[receipt]).await.unwrap();
    upload.abort().await.unwrap();
    assert_eq!(outside.archive("unwanted.zip").await, None);
}

async fn an_archive_replaces_its_predecessor<K: ArchiveSink>(
    sink: &K,
    outside: &impl Outside,
    keeps: bool,
) {
    for seed in [5, 6] {
        let bytes = noise(PART as u64 / seed, seed);
        let upload = sink.begin(&spec("again.zip", &bytes)).await.unwrap();
        let receipt = upload.put_part(part(&bytes, 1)).await.unwrap();
        upload.complete(&[receipt]).await.unwrap();
        if keeps {
            assert!(outside.archive("again.zip").await.unwrap() == bytes);
        }
    }
}

async fn missing_parts_are_an_error<K: ArchiveSink>(sink: &K, outside: &impl Outside) {
    let bytes = noise(PART as u64 * 2, 7);
    let upload = sink.begin(&spec("gap.zip", &bytes)).await.unwrap();
    let receipt = upload.put_part(part(&bytes, 2)).await.unwrap();
    let error = upload.complete(&[receipt]).await.unwrap_err();
    assert!(matches!(error, SinkError::Parts { .. }), "{error:?}");
    upload.abort().await.unwrap();
    assert_eq!(outside.archive("gap.zip").await, None);
    assert!(outside.is_clean().await);
}

impl Outside for MemorySink {
    async fn archive(&self, name: &str) -> Option<Vec<u8>> {
        Self::archive(self, name).map(Vec::from)
    }

    async fn is_clean(&self) -> bool {
        self.open_uploads() == 0
    }
}

impl Outside for &Path {
    async fn archive(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.join(name)).ok()
    }

    async fn is_clean(&self) -> bool {
        fs::read_dir(self)
            .unwrap()
            .all(|entry| !entry.unwrap().path().to_string_lossy().contains("partial"))
    }
}

impl Outside for Store {
    async fn archive(&self, name: &str) -> Option<Vec<u8>> {
        self.object(&format!("archives/{name}")).await
    }

    async fn is_clean(&self) -> bool {
        self.open_uploads().await == 0
    }
}

struct Nowhere;

impl Outside for Nowhere {
    async fn archive(&self, _name: &str) -> Option<Vec<u8>> {
        None
    }

    async fn is_clean(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn the_memory_sink_conforms() {
    let sink = MemorySink::default();
    conforms(&sink, &sink, true).await;
}

#[tokio::test]
async fn the_discarding_sink_conforms() {
    conforms(&DiscardSink, &Nowhere, false).await;
}

#[tokio::test]
async fn the_file_sink_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let sink = FileSink::Folder(folder.path().to_owned());
    conforms(&sink, &folder.path(), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_s3_sink_conforms_on_every_store() {
    for kind in stores::ALL {
        let store = Store::start(kind).await;
        let sink = S3Sink::new(store.bucket().await, "archives/");
        conforms(&sink, &store, true).await;
    }
}

#[tokio::test]
async fn a_dropped_file_upload_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let sink = FileSink::Folder(folder.path().to_owned());
    let bytes = noise(10, 1);
    drop(sink.begin(&spec("dropped.zip", &bytes)).await.unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn two_runs_do_not_write_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let sink = FileSink::File(folder.path().join("out.zip"));
    let bytes = noise(10, 1);
    let first = sink.begin(&spec("out.zip", &bytes)).await.unwrap();
    let error = sink.begin(&spec("out.zip", &bytes)).await.unwrap_err();
    assert!(matches!(error, SinkError::Unusable { .. }), "{error:?}");
    drop(first);
    // What a killed run left is no obstacle.
    fs::write(folder.path().join("out.zip.partial"), "left").unwrap();
    let upload = sink.begin(&spec("out.zip", &bytes)).await.unwrap();
    let receipt = upload.put_part(part(&bytes, 1)).await.unwrap();
    upload.complete(&[receipt]).await.unwrap();
    assert!(fs::read(folder.path().join("out.zip")).unwrap() == bytes);
}

#[tokio::test]
async fn volumes_of_a_named_file_are_numbered() {
    let folder = tempfile::tempdir().unwrap();
    let sink = FileSink::File(folder.path().join("out.zip"));
    let bytes = noise(10, 1);
    let mut spec = spec("ignored-2-of-3.zip", &bytes);
    (spec.index, spec.count) = (1, 3);
    let upload = sink.begin(&spec).await.unwrap();
    let receipt = upload.put_part(part(&bytes, 1)).await.unwrap();
    upload.complete(&[receipt]).await.unwrap();
    assert!(folder.path().join("out-2-of-3.zip").is_file());
}
