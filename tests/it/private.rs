//! Photos in private buckets: over fake-gcs-server, MinIO, and the store with R2's rules.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use wedding_photo_processor::engine::{self, EngineError, Progress, Report};
use wedding_photo_processor::exit_code::ExitCode;
use wedding_photo_processor::manifest::{MAX_PHOTOS, Manifest, Photo};
use wedding_photo_processor::plan::MissingReason;
use wedding_photo_processor::sink::memory::MemorySink;
use wedding_photo_processor::source::gcs::{Credentials, GcsOptions};
use wedding_photo_processor::source::memory::MemorySource;
use wedding_photo_processor::source::routed::{RoutedOptions, RoutedSource};
use wedding_photo_processor::source::{
    Opened, Page, PhotoSource, Probe, SourceError, Validators, Want,
};

use crate::support::google::{Google, new_key};
use crate::support::origin::{Origin, noise};
use crate::support::stores::{Kind, Store};
use crate::support::{http_options, manifest_of, members, names, options, text_of};

const EMAIL: &str = "photos@test.iam.gserviceaccount.com";

/// An event: names in the folder, with bytes. In the order of the names, as folders are listed.
fn event() -> Vec<(String, Bytes)> {
    let photos = [
        ("Ceremony/IMG 1 ä#%3f+.jpg", 300_000),
        ("Ceremony/IMG_2.jpg", 1),
        ("a.jpg", 700_000),
        ("empty.txt", 0),
        ("video.mp4", 40_000_000),
        ("z.jpg", 20_000),
    ];
    let photo = |(seed, (name, length)): (usize, (&str, u64))| {
        (name.to_owned(), noise(length, seed as u64).into())
    };
    photos.into_iter().enumerate().map(photo).collect()
}

fn source(gcs: GcsOptions, store: Option<&Store>) -> RoutedSource {
    let s3 = store
        .map(Store::options)
        .ok_or_else(|| "no store".to_owned());
    let options = RoutedOptions {
        http: http_options(),
        gcs,
        s3,
    };
    RoutedSource::new(options).unwrap()
}

fn gcs(google: &Google, credentials: Credentials) -> GcsOptions {
    GcsOptions {
        endpoint: google.url.clone(),
        credentials,
    }
}

fn nobody() -> GcsOptions {
    GcsOptions {
        endpoint: "http://127.0.0.1:1".to_owned(),
        credentials: Credentials::Anonymous,
    }
}

async fn run<S: PhotoSource>(
    manifest: Manifest,
    source: Arc<S>,
) -> (Result<Report, EngineError>, Option<Bytes>) {
    let sink = MemorySink::default();
    let report = engine::run(
        Arc::new(manifest),
        source,
        &sink,
        &options(),
        Arc::new(Progress::default()),
        &CancellationToken::new(),
    )
    .await;
    (report, sink.archive("event.zip"))
}

async fn archive<S: PhotoSource>(photos: &[Value], source: &Arc<S>) -> Bytes {
    let (report, archive) = run(manifest_of(photos), Arc::clone(source)).await;
    assert_eq!(report.unwrap().missing, []);
    archive.unwrap()
}

/// By folder, by object and by URL.
async fn all_ways(source: Arc<RoutedSource>, folder: &str, url: impl AsyncFn(&str) -> String) {
    let event = event();
    let mut by_url = Vec::new();
    let mut by_object = Vec::new();
    for (name, _) in &event {
        by_object.push(json!({"url": format!("{folder}{name}"), "name": name}));
        by_url.push(json!({"url": url(name).await, "name": name}));
    }
    let whole = archive(&[json!(folder)], &source).await;
    assert_eq!(members(&whole), event);
    assert!(archive(&by_object, &source).await == whole, "by object");
    assert!(archive(&by_url, &source).await == whole, "by URL");
}

#[tokio::test(flavor = "multi_thread")]
async fn cloud_storage_by_folder_by_object_and_by_url_is_the_same() {
    let google = Google::start().await;
    google.put("events/7/", "").await;
    google.put("events/71/not-this.jpg", "x").await;
    for (name, bytes) in event() {
        google.put(&format!("events/7/{name}"), bytes).await;
    }
    let key = google.account(EMAIL);
    let source = Arc::new(source(gcs(&google, Credentials::Json(key)), None));
    let folder = format!("gs://{}/events/7/", google.bucket);
    archive(&[json!(folder)], &source).await;
    // The listing tells all, and every download is of the version that it told of.
    let log = google.log();
    let media = |line: &&String| line.contains("alt=media");
    assert_eq!(
        log.iter().filter(|line| !media(line)).count(),
        1,
        "{log:#?}"
    );
    let pinned = log
        .iter()
        .filter(media)
        .filter(|line| line.contains("&generation="));
    // But for the empty one, which is looked at as it is.
    assert!(pinned.count() >= event().len(), "{log:#?}");
    all_ways(source, &folder, async |name| {
        google.public_url(&format!("events/7/{name}"))
    })
    .await;
}

async fn s3_all_ways(kind: Kind) {
    let store = Store::start(kind).await;
    let client = store.client();
    for (name, bytes) in event() {
        let put = client.put_object().bucket(&store.bucket);
        let put = put.key(format!("events/7/{name}")).body(bytes.into());
        put.send().await.unwrap();
    }
    let source = Arc::new(source(nobody(), Some(&store)));
    let folder = format!("s3://{}/events/7/", store.bucket);
    all_ways(source, &folder, async |name| {
        let get = client.get_object().bucket(&store.bucket);
        let week = PresigningConfig::expires_in(Duration::from_hours(1)).unwrap();
        let link = get.key(format!("events/7/{name}")).presigned(week).await;
        link.unwrap().uri().to_owned()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_by_folder_by_object_and_by_url_is_the_same() {
    s3_all_ways(Kind::Minio).await;
    s3_all_ways(Kind::MinioTls).await;
    s3_all_ways(Kind::LocalStack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_manifest_may_name_all_kinds_of_places() {
    let (google, store, origin) =
        tokio::join!(Google::start(), Store::start(Kind::Minio), Origin::start());
    google.put("one/a.jpg", noise(1000, 1)).await;
    google.put("two/b.jpg", noise(1000, 2)).await;
    let put = store.client().put_object().bucket(&store.bucket);
    put.key("three/c.jpg")
        .body(noise(1000, 3).into())
        .send()
        .await
        .unwrap();
    origin.add("/d.jpg", crate::support::origin::Photo::new(noise(1000, 4)));
    let key = google.account(EMAIL);
    let source = Arc::new(source(gcs(&google, Credentials::Json(key)), Some(&store)));
    let archive = archive(
        &[
            json!(origin.url("/d.jpg")),
            json!({"url": format!("gs://{}/", google.bucket), "name": "From the couple"}),
            json!(format!("s3://{}/three/", store.bucket)),
            json!(format!("gs://{}/two/b.jpg", google.bucket)),
        ],
        &source,
    )
    .await;
    let expected = [
        "d.jpg",
        "From the couple/one/a.jpg",
        "From the couple/two/b.jpg",
        "c.jpg",
        "b.jpg",
    ];
    assert_eq!(names(&archive), expected);
}

/// A source in which something happens before the first download.
struct Meddled<S> {
    source: S,
    happened: OnceCell<()>,
    happens: Box<dyn Fn() -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>,
}

impl<S: PhotoSource> PhotoSource for Meddled<S> {
    type Body = S::Body;

    async fn probe(&self, photo: &Photo, thorough: bool) -> Result<Probe, SourceError> {
        self.source.probe(photo, thorough).await
    }

    async fn list(&self, folder: &Photo, after: Option<&str>) -> Result<Page, SourceError> {
        self.source.list(folder, after).await
    }

    async fn open(
        &self,
        photo: &Photo,
        want: Want,
        version: &Validators,
    ) -> Result<Opened<S::Body>, SourceError> {
        self.happened.get_or_init(|| (self.happens)()).await;
        self.source.open(photo, want, version).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_or_replaced_after_the_listing_is_noticed() {
    let google = Google::start().await;
    for index in 0..4 {
        google
            .put(&format!("e/{index}.jpg"), noise(1_000_000, index))
            .await;
    }
    let key = google.account(EMAIL);
    let meddler = google.clone();
    let source = Arc::new(Meddled {
        source: source(gcs(&google, Credentials::Json(key)), None),
        happened: OnceCell::new(),
        happens: Box::new(move || {
            let google = meddler.clone();
            Box::pin(async move {
                google.remove("e/1.jpg").await;
                google.put("e/2.jpg", noise(1_000_000, 99)).await;
            })
        }),
    });
    let folder = json!(format!("gs://{}/e/", google.bucket));
    let (report, archive) = run(manifest_of(&[folder]), source).await;
    let report = report.unwrap();
    assert_eq!(report.missing.len(), 1);
    assert_eq!(report.missing[0].name.as_str(), "1.jpg");
    assert_eq!(report.missing[0].reason, MissingReason::NotFound);
    let archive = archive.unwrap();
    assert_eq!(names(&archive), ["0.jpg", "2.jpg", "3.jpg", "MISSING.txt"]);
    assert!(members(&archive)[1].1 == noise(1_000_000, 99));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_in_a_store_that_speaks_s3() {
    let store = Arc::new(Store::start(Kind::Minio).await);
    let put = async |store: &Store, index: u64, seed: u64| {
        let put = store.client().put_object().bucket(&store.bucket);
        let put = put
            .key(format!("e/{index}.jpg"))
            .body(noise(1_000_000, seed).into());
        put.send().await.unwrap();
    };
    for index in 0..4 {
        put(&store, index, index).await;
    }
    let meddler = Arc::clone(&store);
    let source = Arc::new(Meddled {
        source: source(nobody(), Some(&store)),
        happened: OnceCell::new(),
        happens: Box::new(move || {
            let store = Arc::clone(&meddler);
            Box::pin(async move {
                let delete = store.client().delete_object().bucket(&store.bucket);
                delete.key("e/1.jpg").send().await.unwrap();
                let put = store.client().put_object().bucket(&store.bucket);
                let put = put.key("e/2.jpg").body(noise(1_000_000, 99).into());
                put.send().await.unwrap();
            })
        }),
    });
    let folder = json!(format!("s3://{}/e/", store.bucket));
    let (report, archive) = run(manifest_of(&[folder]), source).await;
    assert_eq!(report.unwrap().missing[0].reason, MissingReason::NotFound);
    let archive = archive.unwrap();
    assert_eq!(names(&archive), ["0.jpg", "2.jpg", "3.jpg", "MISSING.txt"]);
    assert!(members(&archive)[1].1 == noise(1_000_000, 99));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_store_keeps_compressed_is_unpacked() {
    use std::io::Write as _;
    let store = Store::start(Kind::Minio).await;
    let photo = noise(300_000, 1);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&photo).unwrap();
    let put = store
        .client()
        .put_object()
        .bucket(&store.bucket)
        .key("e/a.jpg");
    let put = put
        .content_encoding("gzip")
        .body(packed.finish().unwrap().into());
    put.send().await.unwrap();
    let source = Arc::new(source(nobody(), Some(&store)));
    for url in [
        format!("s3://{}/e/", store.bucket),
        format!("s3://{}/e/a.jpg", store.bucket),
    ] {
        let archive = archive(&[json!(url)], &source).await;
        assert!(members(&archive)[0].1 == photo, "{url}");
    }
}

#[tokio::test]
async fn an_empty_folder_is_a_missing_photo() {
    let source = Arc::new(MemorySource::default());
    let (report, _) = run(
        manifest_of(&[json!("gs://photos/e/7/")]),
        Arc::clone(&source),
    )
    .await;
    let Err(EngineError::Missing { missing, .. }) = report else {
        panic!("{report:?}")
    };
    assert_eq!(missing[0].reason, MissingReason::EmptyFolder);
    source.insert("/photos/e/8/a.jpg", noise(1000, 1));
    let photos = [json!("gs://photos/e/7/"), json!("gs://photos/e/8/")];
    let (report, archive) = run(manifest_of(&photos), source).await;
    assert_eq!(report.unwrap().photos, 1);
    insta::assert_snapshot!(text_of(&archive.unwrap(), "MISSING.txt"), @r"
    1 of 2 photos could not be included in this archive:

    - 7: there is nothing in this folder
    ");
}

#[tokio::test]
async fn a_folder_of_too_many_photos_is_bad_data() {
    let source = MemorySource::default();
    for index in 0..2 * MAX_PHOTOS {
        source.insert(format!("/photos/big/{index:06}.jpg"), Bytes::new());
    }
    source.insert("/photos/small/a.jpg", Bytes::new());
    let photos = [json!("gs://photos/small/"), json!("gs://photos/big/")];
    let (report, _) = run(manifest_of(&photos), Arc::new(source)).await;
    let error = report.unwrap_err();
    assert_eq!(ExitCode::from(&error), ExitCode::BadData);
    insta::assert_snapshot!(error);
}

/// The program, with nothing of Google's but what is given.
fn processor(folder: &Path, google: &Google, credentials: &str, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_processor"))
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("GOOGLE_APPLICATION_CREDENTIALS", credentials)
        .env(
            "GCE_METADATA_HOST",
            google.url.trim_start_matches("http://"),
        )
        .env("WPP_GCS__ENDPOINT", &google.url)
        .env("WPP_SOURCE__ALLOW_PRIVATE", "true")
        .env(
            "WPP_SOURCE__ALLOWED_BUCKETS",
            format!("gs://{}", google.bucket),
        )
        .env("WPP_SOURCE__ATTEMPTS", "3")
        .env("WPP_SOURCE__RETRY_DELAY", "10ms")
        .env("WPP_ENGINE__MAX_CONNECTIONS", "4")
        .env("WPP_LOG__LEVEL", "debug")
        .output()
        .unwrap()
}

async fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_renewed_in_the_middle_of_a_job() {
    let google = Google::start().await;
    for index in 0..40 {
        google
            .put(&format!("e/{index:02}.jpg"), noise(50_000, index))
            .await;
    }
    // Ten rounds of four downloads, longer than a token lives.
    google.set_pace(Duration::from_secs(11), Duration::from_millis(1400));
    let folder = tempfile::tempdir().unwrap();
    let (path, gate) = (folder.path().to_owned(), google.clone());
    let output = in_background(move || {
        let from = format!("gs://{}/e/", gate.bucket);
        processor(
            &path,
            &gate,
            "metadata",
            &["run", "--from", &from, "-o", "e.zip", "--json"],
        )
    })
    .await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["photos"], &report["missing"]),
        (&json!(40), &json!([])),
        "{report}"
    );
    assert!(
        google.tokens_used() >= 2,
        "the job was done before the token ran out"
    );
    assert!(!error.contains("metadata-token"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_and_permissions_are_named_and_no_key_is_shown() {
    let google = Google::start().await;
    google.put("e/a.jpg", noise(1000, 1)).await;
    let folder = tempfile::tempdir().unwrap();
    let key = google.account(EMAIL);
    let (other, _) = new_key();
    let mut wrong: Value = serde_json::from_str(&key).unwrap();
    wrong["private_key"] = json!(other);
    fs::write(folder.path().join("key.json"), &key).unwrap();
    let from = format!("gs://{}/e/", google.bucket);
    let object = format!("gs://{}/e/a.jpg", google.bucket);
    let nothing = format!("gs://{}/nothing/", google.bucket);
    let (get, list) = ("storage.objects.get", "storage.objects.list");
    let cases: [(&str, String, &str, &[&'static str]); 11] = [
        ("a key in a file", "key.json".into(), &from, &[]),
        ("a key as text", key.clone(), &object, &[]),
        ("another bucket", key.clone(), "gs://another/e/", &[]),
        ("an empty folder", key.clone(), &nothing, &[]),
        ("a key that was deleted", wrong.to_string(), &from, &[]),
        ("no permission to list", key.clone(), &from, &[list]),
        ("no permission to read", key.clone(), &from, &[get]),
        (
            "no permission to read an object",
            key.clone(),
            &object,
            &[get],
        ),
        ("nobody", "anonymous".into(), &from, &[]),
        ("no file", "nowhere.json".into(), &from, &[]),
        ("half a key", key[..200].to_owned(), &from, &[]),
    ];
    let mut told = Vec::new();
    for (name, credentials, from, denied) in cases {
        google.deny(denied);
        let (path, gate, from) = (folder.path().to_owned(), google.clone(), from.to_owned());
        let output = in_background(move || {
            processor(
                &path,
                &gate,
                &credentials,
                &["plan", "--from", &from, "--json"],
            )
        })
        .await;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let shown = format!("{error}{}", String::from_utf8_lossy(&output.stdout));
        let secrets: Vec<String> = [&key, &wrong.to_string()]
            .iter()
            .filter_map(|key| serde_json::from_str::<Value>(key).ok())
            .map(|key| {
                key["private_key"].as_str().unwrap().lines().nth(1).unwrap()[..40].to_owned()
            })
            .collect();
        for secret in &secrets {
            assert!(!shown.contains(secret.as_str()), "{shown}");
        }
        assert!(
            !shown.contains("0123456789abcdef\"") && !shown.contains("Bearer "),
            "{shown}"
        );
        let error: Vec<&str> = error
            .lines()
            .skip_while(|line| !line.starts_with("error"))
            .collect();
        let code = output.status.code().unwrap_or(-1);
        told.push(format!("{name}: exit code {code}\n{}", error.join("\n")));
    }
    let told = told.join("\n").replace(&google.bucket, "[bucket]");
    insta::assert_snapshot!(told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stores_permissions_are_named_too() {
    let store = Store::start(Kind::Minio).await;
    let put = store
        .client()
        .put_object()
        .bucket(&store.bucket)
        .key("e/a.jpg");
    put.body(noise(1000, 1).into()).send().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = async |actions: &[&str], from: String| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_processor"));
        command
            .args(["plan", "--from", &from, "--json"])
            .current_dir(folder.path())
            .env_clear()
            .envs(store.keys_that_may(actions))
            .env("AWS_ENDPOINT_URL", &store.endpoint)
            .env("AWS_REGION", "us-east-1")
            .env("WPP_SOURCE__ALLOWED_BUCKETS", "s3://*");
        let output = in_background(move || command.output().unwrap()).await;
        let code = output.status.code().unwrap_or(-1);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        format!("exit code {code}\n{error}")
    };
    let bucket = &store.bucket;
    let told = [
        run(&["s3:GetObject"], format!("s3://{bucket}/e/")).await,
        run(&["s3:ListBucket"], format!("s3://{bucket}/e/a.jpg")).await,
        run(
            &["s3:GetObject", "s3:ListBucket"],
            format!("s3://{bucket}/e/b.jpg"),
        )
        .await,
        run(
            &["s3:GetObject", "s3:ListBucket"],
            "s3://there-is-no-such-bucket/e/".to_owned(),
        )
        .await,
        run(
            &["s3:GetObject", "s3:ListBucket"],
            format!("s3://{bucket}/e/"),
        )
        .await,
    ];
    let told = told
        .join("\n")
        .replace(bucket, "[bucket]")
        .replace(&store.endpoint, "[store]");
    insta::assert_snapshot!(told);
}
