//! Archives into buckets: the same bytes on every store, what is ridden out, and what wrong
//! settings are told.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::Running;
use crate::support::hour::an_hour_late;
use crate::support::origin::{Fault as OriginFault, Origin, Photo, noise};
use crate::support::r2::Fault;
use crate::support::stores::{self, Kind, Store};

const NAME: &str = "Smith & Jönes.zip";

/// A folder with a manifest of photos that make an archive of four parts.
async fn event() -> (Origin, tempfile::TempDir) {
    let origin = Origin::start().await;
    let mut urls = Vec::new();
    for index in 0..3 {
        let path = format!("/{index}.jpg");
        origin.add(&path, Photo::new(noise(9_000_000 + index, index)));
        urls.push(origin.url(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    let manifest = json!({"event_id": "smith", "archive_name": NAME, "photos": urls});
    fs::write(folder.path().join("manifest.json"), manifest.to_string()).unwrap();
    (origin, folder)
}

fn processor(folder: &Path, store: &Store, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_processor"));
    command
        .args(args)
        .current_dir(folder)
        .env_clear()
        .envs(store.environment())
        .env("WPP_SOURCE__ALLOW_HTTP", "true")
        .env("WPP_SOURCE__ALLOW_PRIVATE", "true")
        .env("WPP_SOURCE__ALLOWED_HOSTS", "127.0.0.1")
        .stdin(Stdio::null());
    command
}

/// The same without our own keys: the AWS chain finds the store by AWS's own names.
fn processor_by_aws_chain(folder: &Path, store: &Store, args: &[&str]) -> Command {
    let mut command = processor(folder, store, args);
    for name in ["R2_ENDPOINT", "R2_ACCESS_KEY", "R2_SECRET_KEY"] {
        command.env_remove(name);
    }
    command
        .env("AWS_ENDPOINT_URL", &store.endpoint)
        .env("AWS_REGION", "us-east-1");
    command
}

fn run(folder: &Path, store: &Store, args: &[&str]) -> Output {
    processor(folder, store, args).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_in_the_bucket_are_those_of_a_file() {
    let (_origin, folder) = event().await;
    for kind in stores::ALL {
        let store = Store::start(kind).await;
        let output = run(
            folder.path(),
            &store,
            &["run", "manifest.json", "-o", "file.zip"],
        );
        assert_eq!(code(&output), 0, "{}", said(&output));
        let file = fs::read(folder.path().join("file.zip")).unwrap();
        let address = format!("s3://{}/archives/smith/", store.bucket);
        let output = run(
            folder.path(),
            &store,
            &["run", "manifest.json", "-o", &address],
        );
        assert_eq!(code(&output), 0, "{kind:?}: {}", said(&output));
        let location = String::from_utf8(output.stdout).unwrap();
        assert_eq!(location.trim(), format!("{address}{NAME}"));
        let object = store
            .object(&format!("archives/smith/{NAME}"))
            .await
            .unwrap();
        assert!(object == file, "{kind:?}");
        assert_eq!(store.open_uploads().await, 0);
        let args = ["verify", location.trim(), "--manifest", "manifest.json"];
        let output = run(folder.path(), &store, &args);
        assert_eq!(code(&output), 0, "{kind:?}: {}", said(&output));
        if matches!(kind, Kind::Minio | Kind::LocalStack | Kind::R2) {
            let head = store.client().head_object().bucket(&store.bucket);
            let head = head
                .key(format!("archives/smith/{NAME}"))
                .send()
                .await
                .unwrap();
            assert_eq!(head.content_type(), Some("application/zip"));
            assert_eq!(
                head.content_disposition(),
                Some(
                    "attachment; filename=\"Smith & J_nes.zip\"; filename*=UTF-8''Smith%20&%20J%C3%B6nes.zip"
                )
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_archive_is_one_request() {
    let origin = Origin::start().await;
    origin.add("/a.jpg", Photo::new(noise(1000, 1)));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("list.txt"), origin.url("/a.jpg")).unwrap();
    let store = Store::start(Kind::R2).await;
    let address = format!("s3://{}/a.zip", store.bucket);
    let output = run(folder.path(), &store, &["run", "list.txt", "-o", &address]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    let r2 = store.r2.as_ref().unwrap();
    assert!(r2.object(&store.bucket, "a.zip").is_some());
    assert_eq!(r2.log(), ["put", "head", "get"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn short_failures_of_the_store_are_ridden_out() {
    let (_origin, folder) = event().await;
    let cases: [(&str, &'static str, &[Fault]); 13] = [
        (
            "part 500",
            "part",
            &[Fault::Answer(500, "InternalError"); 3],
        ),
        (
            "part SlowDown",
            "part",
            &[Fault::Answer(503, "SlowDown"); 3],
        ),
        ("part dropped", "part", &[Fault::Drop; 3]),
        (
            "part stored, answer lost",
            "part",
            &[Fault::DoneButDropped; 3],
        ),
        (
            "part damaged on the way",
            "part",
            &[Fault::Answer(400, "BadDigest")],
        ),
        ("create stored, answer cut", "create", &[Fault::DoneButCut]),
        (
            "complete worked, answer cut",
            "complete",
            &[Fault::DoneButCut],
        ),
        (
            "complete failed within a 200",
            "complete",
            &[Fault::ErrorIn200],
        ),
        (
            "create 500",
            "create",
            &[Fault::Answer(500, "InternalError")],
        ),
        (
            "complete 500",
            "complete",
            &[Fault::Answer(500, "InternalError")],
        ),
        (
            "complete worked, but said 500",
            "complete",
            &[Fault::DoneButFailed],
        ),
        (
            "complete worked, answer lost",
            "complete",
            &[Fault::DoneButDropped],
        ),
        ("reading back 503", "get", &[Fault::Answer(503, "SlowDown")]),
    ];
    for (case, operation, faults) in cases {
        let store = Store::start(Kind::R2).await;
        let r2 = store.r2.as_ref().unwrap();
        r2.fail(operation, faults);
        let address = format!("s3://{}/a.zip", store.bucket);
        let output = run(
            folder.path(),
            &store,
            &["run", "manifest.json", "-o", &address],
        );
        assert_eq!(code(&output), 0, "{case}: {}", said(&output));
        assert!(r2.object(&store.bucket, "a.zip").is_some(), "{case}");
        assert_eq!(r2.open_uploads(), 0, "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_beginning_was_lost_is_not_left_open() {
    let (_origin, folder) = event().await;
    let store = Store::start(Kind::R2).await;
    let r2 = store.r2.as_ref().unwrap();
    r2.fail("create", &[Fault::DoneButDropped]);
    let address = format!("s3://{}/a.zip", store.bucket);
    let output = run(
        folder.path(),
        &store,
        &["run", "manifest.json", "-o", &address],
    );
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert_eq!(r2.open_uploads(), 0, "{:?}", r2.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn long_failures_of_the_store_are_an_error_that_leaves_nothing() {
    let (_origin, folder) = event().await;
    let address = |store: &Store| format!("s3://{}/a.zip", store.bucket);
    // Down in the middle, and up again when it is time to clean up.
    let store = Store::start(Kind::R2).await;
    let r2 = store.r2.as_ref().unwrap();
    r2.fail("part", &[Fault::Answer(503, "ServiceUnavailable"); 40]);
    let output = run(
        folder.path(),
        &store,
        &["run", "manifest.json", "-o", &address(&store)],
    );
    assert_eq!(code(&output), 75, "{}", said(&output));
    assert!(said(&output).contains("R2_ENDPOINT"), "{}", said(&output));
    assert_eq!(r2.open_uploads(), 0);
    assert!(r2.object(&store.bucket, "a.zip").is_none());
    // Down from the beginning, but not for longer than it is tried.
    let store = Store::start(Kind::R2).await;
    let r2 = store.r2.as_ref().unwrap();
    r2.down_for(Duration::from_secs(3));
    let output = processor(
        folder.path(),
        &store,
        &["run", "manifest.json", "-o", &address(&store)],
    )
    .env("WPP_R2__ATTEMPTS", "12")
    .output()
    .unwrap();
    assert_eq!(code(&output), 0, "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_leaves_no_upload_open() {
    let (origin, folder) = event().await;
    let stalls = Photo::new(noise(9_000_000, 1)).always(OriginFault::StallAfter(1_000_000));
    origin.add("/2.jpg", stalls);
    let store = Store::start(Kind::Minio).await;
    let address = format!("s3://{}/a.zip", store.bucket);
    let mut program = Running::start(
        processor(
            folder.path(),
            &store,
            &["run", "manifest.json", "-o", &address],
        )
        .stderr(Stdio::piped()),
    );
    let started = Instant::now();
    while origin.gets("/2.jpg").is_empty() {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "it never began"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    program.signal(Signal::TERM);
    let output = program.output();
    assert_eq!(code(&output), 143, "{}", said(&output));
    assert_eq!(store.open_uploads().await, 0);
    assert!(store.object("a.zip").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_wait_for_a_store_that_does_not_answer() {
    let (_origin, folder) = event().await;
    let store = Store::start(Kind::R2).await;
    let r2 = store.r2.as_ref().unwrap();
    r2.down_for(Duration::from_hours(1));
    let address = format!("s3://{}/a.zip", store.bucket);
    let mut program = Running::start(
        processor(
            folder.path(),
            &store,
            &["run", "manifest.json", "-o", &address],
        )
        .env("WPP_R2__ATTEMPTS", "100")
        .env("WPP_R2__RETRY_DELAY", "1s")
        .stderr(Stdio::piped()),
    );
    let started = Instant::now();
    while r2.log().is_empty() {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "it never began"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    program.signal(Signal::TERM);
    let asked = Instant::now();
    let output = program.output();
    assert_eq!(code(&output), 143, "{}", said(&output));
    assert!(
        asked.elapsed() < Duration::from_secs(15),
        "{:?}",
        asked.elapsed()
    );
}

/// A name, environment that differs (empty for unset), and a destination.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_are_named() {
    let (origin, folder) = event().await;
    let store = Store::start(Kind::Minio).await;
    let address = format!("s3://{}/a.zip", store.bucket);
    // Something that answers, but not as a store does.
    origin.add("/", Photo::new("<html>hello</html>"));
    let not_s3 = origin.url("");
    let cases: [Case<'_>; 7] = [
        ("the bucket is missing", &[], "s3://no-such-bucket/a.zip"),
        ("no bucket is named", &[], "s3:///a.zip"),
        (
            "the key id is wrong",
            &[("R2_ACCESS_KEY", "nobody")],
            &address,
        ),
        (
            "the secret is wrong",
            &[("R2_SECRET_KEY", "wrong-secret")],
            &address,
        ),
        ("a setting is missing", &[("R2_ENDPOINT", "")], &address),
        (
            "nobody is there",
            &[("R2_ENDPOINT", "http://127.0.0.1:1")],
            &address,
        ),
        ("it is not a store", &[("R2_ENDPOINT", &not_s3)], &address),
    ];
    let mut texts = Vec::new();
    for (case, environment, address) in cases {
        let mut command = processor(
            folder.path(),
            &store,
            &["run", "manifest.json", "-o", address],
        );
        for (name, value) in environment {
            if value.is_empty() {
                command.env_remove(name);
            } else {
                command.env(name, value);
            }
        }
        let output = command.output().unwrap();
        let text = said(&output);
        assert!(!text.contains("wrong-secret") && !text.contains(&store.secret_key));
        texts.push(format!("{case}: exit code {}\n{text}", code(&output)));
    }
    let args = ["run", "manifest.json", "-o", &address];
    let output = processor(folder.path(), &store, &args)
        .env("R2_ENDPOINT", an_hour_late(&store.endpoint).await)
        .output()
        .unwrap();
    texts.push(format!(
        "the clock is off: exit code {}\n{}",
        code(&output),
        said(&output)
    ));
    insta::with_settings!({filters => vec![
        (r"127\.0\.0\.1:\d+", "127.0.0.1:[port]"),
        (r"photos-[0-9a-f]{16}", "[bucket]"),
    ]}, { insta::assert_snapshot!(texts.join("\n")) });
    assert_eq!(store.open_uploads().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_named() {
    let (_origin, folder) = event().await;
    let store = Store::start(Kind::Minio).await;
    let address = format!("s3://{}/a.zip", store.bucket);
    let args = ["run", "manifest.json", "-o", &address];
    let output = processor_by_aws_chain(folder.path(), &store, &args)
        .envs(store.keys_that_may(&["s3:ListBucket"]))
        .output()
        .unwrap();
    assert_eq!(code(&output), 2, "{}", said(&output));
    let text = said(&output).replace(&store.bucket, "[bucket]");
    insta::assert_snapshot!(text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_aws_chain_is_used_without_our_own_keys() {
    let (_origin, folder) = event().await;
    let store = Store::start(Kind::LocalStack).await;
    let address = format!("s3://{}/a.zip", store.bucket);
    let args = ["run", "manifest.json", "-o", &address];
    let output = processor_by_aws_chain(folder.path(), &store, &args)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert!(store.object("a.zip").await.is_some());
    // An empty one is not set, as containers have it.
    let output = processor_by_aws_chain(folder.path(), &store, &args)
        .env("AWS_ENDPOINT_URL_S3", "")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{}", said(&output));
}

/// Profiles as people have them: a program that gives keys, in a file with the line ends of another system,
/// and log-ins, which nobody has done here.
#[tokio::test(flavor = "multi_thread")]
async fn profiles_that_log_in_are_understood() {
    let (_origin, folder) = event().await;
    let store = Store::start(Kind::LocalStack).await;
    let address = format!("s3://{}/a.zip", store.bucket);
    let args = ["run", "manifest.json", "-o", &address];
    let home = folder.path().join("home");
    fs::create_dir_all(home.join(".aws")).unwrap();
    let keys = home.join("keys.json");
    let given =
        r#"{"Version": 1, "AccessKeyId": "test", "SecretAccessKey": "hunter2-of-a-program"}"#;
    fs::write(&keys, given).unwrap();
    let config = format!(
        "[profile asks]\ncredential_process = cat {}\n\
         [profile sso]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\n\
         [sso-session s]\nsso_region = us-east-1\nsso_start_url = https://sso.invalid/start\n\
         [profile console]\nlogin_session = arn:aws:iam::123456789012:user/anna\n",
        keys.display()
    );
    fs::write(home.join(".aws/config"), config.replace('\n', "\r\n")).unwrap();
    let run = |profile: &str| {
        processor_by_aws_chain(folder.path(), &store, &args)
            .env("HOME", &home)
            .env("PATH", "/usr/bin:/bin")
            .env("AWS_PROFILE", profile)
            .env("WPP_R2__ATTEMPTS", "1")
            .output()
            .unwrap()
    };
    let output = run("asks");
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert!(store.object("a.zip").await.is_some());
    for profile in ["sso", "console"] {
        let output = run(profile);
        let text = said(&output);
        assert_ne!(code(&output), 0, "{text}");
        assert!(text.contains("log in again"), "{profile}: {text}");
        assert!(!text.contains("feature"), "{profile}: {text}");
    }
}
