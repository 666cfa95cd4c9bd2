//! Keys of the store in AWS Secrets Manager: over moto and MinIO, whose keys are really changed while the
//! programs run.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wedding_photo_processor::s3::Keys;

use crate::support::Running;
use crate::support::cloud::{Cloud, Guarded};
use crate::support::origin::{Fault, Origin, Photo, noise};
use crate::support::r2::Fault as R2Fault;
use crate::support::secrets::Secret;
use crate::support::stores::{Kind, Store, service};

/// A store, a secret with keys to it, and a folder with a manifest of one photo, which stalls.
struct Scene {
    store: Store,
    keys: Keys,
    secret: Secret,
    origin: Origin,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn start() -> Self {
        let store = Store::start(Kind::Minio).await;
        let keys = store.add_keys();
        Self::with(store, keys).await
    }

    async fn with(store: Store, keys: Keys) -> Self {
        let scene = Self {
            secret: Secret::of(&keys).await,
            store,
            keys,
            origin: Origin::start().await,
            folder: tempfile::tempdir().unwrap(),
        };
        let stalls = photo().always(Fault::StallAfter(1_000_000));
        scene.origin.add("/a.jpg", stalls);
        let photos = json!([scene.origin.url("/a.jpg")]);
        let manifest = json!({"event_id": "smith", "photos": photos}).to_string();
        fs::write(scene.folder.path().join("manifest.json"), manifest).unwrap();
        scene
    }

    /// Waits until the photo is being downloaded.
    async fn wait_for_download(&self) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.origin.gets("/a.jpg").is_empty() {
            assert!(Instant::now() < end, "it never began");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn end_of_stall(&self) {
        self.origin.add("/a.jpg", photo());
    }

    fn address(&self) -> String {
        format!("s3://{}/a.zip", self.store.bucket)
    }

    /// A program, whose only keys of the store are those in the secret.
    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .envs(self.store.environment())
            .env_remove("R2_ACCESS_KEY")
            .env_remove("R2_SECRET_KEY")
            .envs(self.secret.environment())
            .env("BATCH_AWS_REGION", "us-east-1")
            .env("BATCH_AWS_ACCESS_KEY", "test")
            .env("BATCH_AWS_SECRET_KEY", "test")
            .env("WPP_LOG__LEVEL", "wedding_photo_processor=debug")
            .env("WPP_SOURCE__ALLOW_HTTP", "true")
            .env("WPP_SOURCE__ALLOW_PRIVATE", "true")
            .env("WPP_SOURCE__ALLOWED_HOSTS", "127.0.0.1")
            .env("WPP_SOURCE__ALLOWED_BUCKETS", "s3://*")
            .env("WPP_SOURCE__STALL_TIMEOUT", "1s")
            .env("WPP_SOURCE__ATTEMPTS", "100")
            .env("WPP_SOURCE__RETRY_DELAY", "100ms")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self) -> Command {
        let args = ["run", "manifest.json", "-o", &self.address()];
        self.command(env!("CARGO_BIN_EXE_processor"), &args)
    }
}

/// Of several parts, so that there is an upload.
fn photo() -> Photo {
    Photo::new(noise(20_000_000, 1))
}

/// What a program wrote, in which no secret is.
fn log(output: &Output, keys: &[&Keys]) -> String {
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    for keys in keys {
        assert!(!text.contains(&keys.secret_key), "{text}");
    }
    text
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

const REFUSED: &str = "the store refuses its keys";
const READ: &str = "asked Secrets Manager (secretsmanager:GetSecretValue)";

#[tokio::test(flavor = "multi_thread")]
async fn a_container_goes_on_when_its_keys_are_changed_under_its_hands() {
    let scene = Scene::start().await;
    let cloud = tokio::task::spawn_blocking(|| Cloud::start(10))
        .await
        .unwrap();
    let command = |program: &str, args: &[&str]| {
        let mut command = scene.command(program, args);
        command
            .envs(cloud.environment())
            .env("R2_BUCKET", &scene.store.bucket)
            .env("WPP_QUEUE__WAIT", "1s");
        command
    };
    let submit = |args: &[&str]| {
        let output = command(env!("CARGO_BIN_EXE_submit"), args)
            .output()
            .unwrap();
        assert_eq!(code(&output), 0, "{}", log(&output, &[&scene.keys]));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    submit(&["manifest.json"]);
    let mut container = command(env!("CARGO_BIN_EXE_processor"), &[]);
    let container = Running::start(container.env("WPP_LOG__FORMAT", "json"));
    scene.wait_for_download().await;
    let keys = scene.store.add_keys();
    scene.secret.put(&keys).await;
    scene.store.remove_keys(&scene.keys);
    // Long enough for its progress to be refused.
    tokio::time::sleep(Duration::from_secs(2)).await;
    scene.end_of_stall();
    let output = container.output();
    let text = log(&output, &[&scene.keys, &keys]);
    assert_eq!(code(&output), 0, "{text}");
    assert_eq!(text.matches(REFUSED).count(), 1, "{text}");
    assert_eq!(text.matches(READ).count(), 2, "{text}");

    let state = submit(&["status", "smith", "--json"]);
    assert_eq!(
        (&state["status"], &state["attempt_count"]),
        (&json!("done"), &json!(1)),
        "{state:#}"
    );
    let link = state["links"][0].as_str().unwrap();
    assert!(link.contains(&keys.access_key), "{link}");
    let archive = Command::new("curl")
        .args(["-sS", "--fail", link])
        .output()
        .unwrap();
    assert!(archive.status.success(), "{archive:?}");
    assert!(archive.stdout.len() > 20_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn photos_and_archives_share_the_keys() {
    let scene = Scene::start().await;
    for index in 0..20 {
        let put = scene.store.client().put_object();
        let put = put.bucket(&scene.store.bucket);
        let put = put.key(format!("e/{index:02}.jpg"));
        let bytes = noise(1_000_000, index).into();
        put.body(bytes).send().await.unwrap();
    }
    let args = ["run", "-", "-o", &scene.address()];
    let errors = scene.folder.path().join("errors");
    let mut program = Running::start(
        scene
            .command(env!("CARGO_BIN_EXE_processor"), &args)
            .stdin(Stdio::piped())
            .stderr(fs::File::create(&errors).unwrap()),
    );
    // It reads the secret first, and then waits for its manifest.
    let mut stdin = program.child().stdin.take().unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while !fs::read_to_string(&errors).unwrap().contains(READ) {
        assert!(Instant::now() < end, "it never began");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let keys = scene.store.add_keys();
    scene.secret.put(&keys).await;
    scene.store.remove_keys(&scene.keys);
    let bucket = &scene.store.bucket;
    let photos = json!([
        format!("s3://{bucket}/e/"),
        format!("s3://{bucket}/e/07.jpg")
    ]);
    stdin.write_all(photos.to_string().as_bytes()).unwrap();
    drop(stdin);
    let mut output = program.output();
    output.stderr = fs::read(&errors).unwrap();
    let text = log(&output, &[&scene.keys, &keys]);
    assert_eq!(code(&output), 0, "{text}");
    assert_eq!(text.matches(REFUSED).count(), 1, "{text}");
    assert_eq!(text.matches(READ).count(), 2, "{text}");
    let archive = scene.store.object("a.zip").await.unwrap();
    assert_eq!(crate::support::names(&archive.into()).len(), 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_refuse_keys_is_understood_and_a_missing_permission_is_none() {
    let keys = Keys {
        access_key: "id".to_owned(),
        secret_key: "hunter2".to_owned(),
    };
    let scene = Scene::with(Store::start(Kind::R2).await, keys).await;
    scene.end_of_stall();
    let r2 = scene.store.r2.as_ref().unwrap();
    let refusals = [
        ("create", 401, "Unauthorized"),
        ("part", 403, "SignatureDoesNotMatch"),
        ("complete", 403, "InvalidAccessKeyId"),
        ("head", 403, ""),
    ];
    for (operation, status, code) in refusals {
        r2.fail(operation, &[R2Fault::Answer(status, code)]);
    }
    let output = scene.run().output().unwrap();
    let text = log(&output, &[&scene.keys]);
    assert_eq!(code(&output), 0, "{text}");
    assert_eq!(text.matches(REFUSED).count(), refusals.len(), "{text}");
    assert_eq!(text.matches(READ).count(), 1 + refusals.len(), "{text}");

    // Once more only.
    let unknown = R2Fault::Answer(403, "InvalidAccessKeyId");
    r2.fail("create", &[unknown, unknown]);
    let output = scene.run().output().unwrap();
    let text = log(&output, &[&scene.keys]);
    assert_eq!(code(&output), 2, "{text}");
    assert_eq!(text.matches(READ).count(), 2, "{text}");
    assert!(text.contains("`access_key` of the secret in `R2_SECRET_ARN`"));

    r2.fail("create", &[R2Fault::Answer(403, "AccessDenied")]);
    let output = scene.run().output().unwrap();
    let text = log(&output, &[&scene.keys]);
    assert_eq!(code(&output), 2, "{text}");
    assert!(!text.contains(REFUSED), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_changed_in_time_are_never_refused() {
    let scene = Scene::start().await;
    let program = Running::start(scene.run().env("WPP_R2__SECRET_MAX_AGE", "1s"));
    scene.wait_for_download().await;
    let keys = scene.store.add_keys();
    scene.secret.put(&keys).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    scene.store.remove_keys(&scene.keys);
    scene.end_of_stall();
    let output = program.output();
    let text = log(&output, &[&scene.keys, &keys]);
    assert_eq!(code(&output), 0, "{text}");
    assert!(!text.contains(REFUSED), "{text}");
    assert!(text.contains("read new keys of the store"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_known_serve_while_secrets_manager_is_away() {
    let scene = Scene::start().await;
    let program = Running::start(scene.run().env("WPP_R2__SECRET_MAX_AGE", "1s"));
    scene.wait_for_download().await;
    scene.secret.shut(true);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    scene.end_of_stall();
    let output = program.output();
    let text = log(&output, &[&scene.keys]);
    assert_eq!(code(&output), 0, "{text}");
    assert!(
        text.contains("going on with the keys of the store that are known"),
        "{text}"
    );

    // When they are refused, too, it waits for Secrets Manager, as for the store.
    scene
        .origin
        .add("/a.jpg", photo().always(Fault::StallAfter(1_000_000)));
    scene.secret.shut(false);
    let mut command = scene.run();
    command
        .env("WPP_R2__ATTEMPTS", "13")
        .env("WPP_R2__RETRY_DELAY", "250ms");
    let asked = scene.origin.gets("/a.jpg").len();
    let program = Running::start(&mut command);
    let end = Instant::now() + Duration::from_secs(20);
    while scene.origin.gets("/a.jpg").len() == asked {
        assert!(Instant::now() < end, "it never began");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    scene.secret.shut(true);
    let keys = scene.store.add_keys();
    scene.secret.put(&keys).await;
    scene.store.remove_keys(&scene.keys);
    scene.end_of_stall();
    tokio::time::sleep(Duration::from_secs(7)).await;
    scene.secret.shut(false);
    let output = program.output();
    let text = log(&output, &[&scene.keys, &keys]);
    assert_eq!(code(&output), 0, "{text}");
    assert!(text.contains("the credentials could not be had"), "{text}");
}

/// A name, the environment that differs (empty for unset), and the exit code.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], i32);

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_of_no_use_ends_the_program_at_the_start() {
    let scene = Scene::start().await;
    let guarded = tokio::task::spawn_blocking(Guarded::start).await.unwrap();
    let guest = |name: &str| guarded.keys[name].as_str().unwrap().to_owned();
    let (guest_id, guest_secret) = (guest("id"), guest("secret"));
    let not_json = Secret::new("AKIA:hunter2").await;
    let half = Secret::new(r#"{"access_key": "AKIA", "secret": "hunter2"}"#).await;
    let bytes = Secret::new("hunter2").await;
    bytes.put_bytes().await;
    let deleted = Secret::new("hunter2").await;
    deleted.delete().await;
    let wrong = Secret::new(r#"{"access_key": "AKIA", "secret_key": "hunter2"}"#).await;
    let elsewhere = scene.secret.arn.replace("us-east-1", "eu-west-3");
    let cases: [Case<'_>; 12] = [
        ("no such secret", &[("R2_SECRET_ARN", "r2/nowhere")], 2),
        (
            "a secret of another region",
            &[("R2_SECRET_ARN", &elsewhere)],
            2,
        ),
        ("not JSON", &[("R2_SECRET_ARN", &not_json.arn)], 2),
        ("a field is missing", &[("R2_SECRET_ARN", &half.arn)], 2),
        ("not text", &[("R2_SECRET_ARN", &bytes.arn)], 2),
        ("about to be deleted", &[("R2_SECRET_ARN", &deleted.arn)], 2),
        ("keys of nobody", &[("R2_SECRET_ARN", &wrong.arn)], 2),
        (
            "no permission",
            &[
                ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &guarded.url),
                ("BATCH_AWS_ACCESS_KEY", &guest_id),
                ("BATCH_AWS_SECRET_KEY", &guest_secret),
            ],
            2,
        ),
        ("keys, too", &[("R2_ACCESS_KEY", "AKIA")], 2),
        ("no endpoint", &[("R2_ENDPOINT", "")], 2),
        ("half a key of AWS's", &[("BATCH_AWS_ACCESS_KEY", "")], 2),
        (
            "Secrets Manager is away",
            &[("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:1")],
            75,
        ),
    ];
    let mut told = String::new();
    for (name, environment, expected) in cases {
        let mut command = scene.run();
        command.env_remove("WPP_LOG__LEVEL");
        for (name, value) in environment {
            if value.is_empty() {
                command.env_remove(name);
            } else {
                command.env(name, value);
            }
        }
        let output = command.output().unwrap();
        let text = log(&output, &[&scene.keys]);
        assert!(!text.contains("hunter2"), "{text}");
        assert_eq!(code(&output), expected, "{name}: {text}");
        told.push_str(&format!("# {name}: exit code {expected}\n{text}"));
    }
    insta::with_settings!({filters => vec![
        (r"127\.0\.0\.1:\d+", "127.0.0.1:[port]"),
        (r"photos-[0-9a-f]{16}", "[bucket]"),
        (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "[time]"),
        (r"r2-[0-9a-f]{16}-\w{6}", "r2-AbCdEf"),
    ]}, { insta::assert_snapshot!(told) });
    assert_eq!(scene.store.open_uploads().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_ends_at_the_start_too() {
    let scene = Scene::start().await;
    let output = scene
        .command(env!("CARGO_BIN_EXE_processor"), &[])
        // AWS's name for all of its services does, too.
        .env_remove("AWS_ENDPOINT_URL_SECRETS_MANAGER")
        .env("AWS_ENDPOINT_URL", &scene.secret.url)
        .env("R2_BUCKET", &scene.store.bucket)
        .env(
            "BATCH_SQS_QUEUE_URL",
            format!("{}/000000000000/jobs", service("TEST_LOCALSTACK")),
        )
        .env("R2_SECRET_ARN", "r2/nowhere")
        .output()
        .unwrap();
    let text = log(&output, &[&scene.keys]);
    assert_eq!(code(&output), 2, "{text}");
    assert!(text.contains("there is no secret `r2/nowhere`"), "{text}");
}
