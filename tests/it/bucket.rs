//! One conformance suite, which every bucket passes.

use bytes::Bytes;
use wedding_photo_processor::bucket::folder::FolderBucket;
use wedding_photo_processor::bucket::memory::MemoryBucket;
use wedding_photo_processor::bucket::{Bucket, BucketError, Condition, Version};

use crate::support::r2::Fault;
use crate::support::stores::{self, Kind, Store};

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn is_conflict(result: &Result<Version, BucketError>) -> bool {
    matches!(result, Err(BucketError::Conflict { .. }))
}

async fn conforms<B: Bucket>(bucket: &B) {
    what_is_written_is_read(bucket).await;
    an_absent_object_is_written_once(bucket).await;
    an_unchanged_object_is_replaced_and_a_changed_one_is_not(bucket).await;
    of_many_writers_one_wins(bucket).await;
    keys_are_listed_by_prefix(bucket).await;
    odd_keys_are_refused(bucket).await;
}

async fn what_is_written_is_read<B: Bucket>(bucket: &B) {
    assert_eq!(bucket.get("jobs/a/none.json").await.unwrap(), None);
    let version = bucket
        .put("jobs/a/one.json", text("one"), Condition::None)
        .await
        .unwrap();
    let object = bucket.get("jobs/a/one.json").await.unwrap().unwrap();
    assert_eq!((object.bytes, object.version), (text("one"), version));
    bucket.delete("jobs/a/one.json").await.unwrap();
    bucket.delete("jobs/a/one.json").await.unwrap();
    assert_eq!(bucket.get("jobs/a/one.json").await.unwrap(), None);
}

async fn an_absent_object_is_written_once<B: Bucket>(bucket: &B) {
    let put = |bytes| bucket.put("jobs/once.json", bytes, Condition::Absent);
    put(text("first")).await.unwrap();
    assert!(is_conflict(&put(text("second")).await));
    let object = bucket.get("jobs/once.json").await.unwrap().unwrap();
    assert_eq!(object.bytes, text("first"));
}

async fn an_unchanged_object_is_replaced_and_a_changed_one_is_not<B: Bucket>(bucket: &B) {
    let key = "jobs/state.json";
    let first = bucket.put(key, text("1"), Condition::None).await.unwrap();
    let second = bucket
        .put(key, text("2"), Condition::Unchanged(first.clone()))
        .await
        .unwrap();
    let late = bucket.put(key, text("3"), Condition::Unchanged(first));
    assert!(is_conflict(&late.await));
    bucket
        .put(key, text("3"), Condition::Unchanged(second.clone()))
        .await
        .unwrap();
    bucket.delete(key).await.unwrap();
    let gone = bucket.put(key, text("4"), Condition::Unchanged(second));
    assert!(is_conflict(&gone.await));
}

async fn of_many_writers_one_wins<B: Bucket>(bucket: &B) {
    let texts = ["a", "b", "c", "d", "e", "f"];
    let writes = texts.map(|who| bucket.put("jobs/race.json", text(who), Condition::Absent));
    let results = futures_util::future::join_all(writes).await;
    let winners = results.iter().filter(|result| result.is_ok()).count();
    let losers = results.iter().filter(|result| is_conflict(result)).count();
    assert_eq!((winners, losers), (1, 5));
}

async fn keys_are_listed_by_prefix<B: Bucket>(bucket: &B) {
    for key in ["list/b/2", "list/a/1", "list/b/1", "listing", "other"] {
        bucket.put(key, text("x"), Condition::None).await.unwrap();
    }
    assert_eq!(
        bucket.list("list/b").await.unwrap(),
        ["list/b/1", "list/b/2"]
    );
    let all = bucket.list("list").await.unwrap();
    assert_eq!(all, ["list/a/1", "list/b/1", "list/b/2", "listing"]);
    assert_eq!(bucket.list("nothing/").await.unwrap(), [""; 0]);
}

async fn odd_keys_are_refused<B: Bucket>(bucket: &B) {
    for key in ["", "/a", "a/", "a//b", "../a", "a/./b", "a\\b", "a\nb"] {
        let put = bucket.put(key, text("x"), Condition::None).await;
        assert!(
            matches!(put, Err(BucketError::Unacceptable { .. })),
            "{key:?}"
        );
    }
}

#[tokio::test]
async fn the_memory_bucket_conforms() {
    conforms(&MemoryBucket::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_folder_bucket_conforms() {
    let folder = tempfile::tempdir().unwrap();
    conforms(&FolderBucket::new(folder.path())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_s3_bucket_conforms_on_every_store() {
    for kind in stores::ALL {
        let store = Store::start(kind).await;
        conforms(&store.bucket().await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_was_lost_has_happened() {
    let store = Store::start(Kind::R2).await;
    let bucket = store.bucket().await;
    let r2 = store.r2.as_ref().unwrap();
    r2.fail("put", &[Fault::DoneButDropped]);
    bucket
        .put("jobs/a.json", text("mine"), Condition::Absent)
        .await
        .unwrap();
    r2.fail("put", &[Fault::Answer(500, "InternalError")]);
    let second = bucket.put("jobs/a.json", text("other"), Condition::Absent);
    assert!(is_conflict(&second.await));
}
