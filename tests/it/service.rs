//! The programs as a service: `submit` and a draining `processor` over MinIO, LocalStack (SQS) and moto
//! (Batch): what they print, what they say when something is wrong, and how they stop.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::Running;
use crate::support::cloud::{Cloud, Guarded};
use crate::support::google::Google;
use crate::support::mail::Mailbox;
use crate::support::metadata::Metadata;
use crate::support::origin::{Fault, Origin, Photo, noise};
use crate::support::stores::{self, Kind, Store};

/// Compares with a snapshot, without what differs from run to run.
macro_rules! assert_said {
    ($($snapshot:expr),+) => {
        insta::with_settings!({filters => vec![
            (r"127\.0\.0\.1:\d+", "127.0.0.1:[port]"),
            (r"photos-[0-9a-f]{16}", "[bucket]"),
            (r"test-[0-9a-f]{16}", "[name]"),
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[uuid]"),
            (r"[0-9a-f]{32}", "[id]"),
            (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "[time]"),
            (r"\?\S*X-Amz[^\s\x22]*", "?[signature]"),
            (r"\b[\d.]+ s\b", "[n] s"),
            (r#"_seconds": [\d.e-]+"#, r#"_seconds": [n]"#),
        ]}, { insta::assert_snapshot!($($snapshot),+) })
    };
}

/// A bucket, a queue, a job queue, an origin, and a folder with a manifest of two good photos and a
/// missing one.
struct Service {
    store: Store,
    cloud: Cloud,
    origin: Origin,
    folder: tempfile::TempDir,
}

impl Service {
    async fn start(kind: Kind) -> Self {
        let origin = Origin::start().await;
        for index in 0..2 {
            origin.add(
                &format!("/{index}.jpg"),
                Photo::new(noise(1_000_000, index)),
            );
        }
        let service = Self {
            store: Store::start(kind).await,
            cloud: tokio::task::spawn_blocking(|| Cloud::start(10))
                .await
                .unwrap(),
            folder: tempfile::tempdir().unwrap(),
            origin,
        };
        let photos = json!([
            service.origin.url("/0.jpg?token=s3cret"),
            service.origin.url("/gone.jpg?token=s3cret"),
            service.origin.url("/1.jpg?token=s3cret"),
        ]);
        service.write(
            "manifest.json",
            &json!({"event_id": "smith", "photos": photos}),
        );
        service
    }

    fn write(&self, name: &str, manifest: &Value) {
        fs::write(self.folder.path().join(name), manifest.to_string()).unwrap();
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .envs(self.store.environment())
            .envs(self.cloud.environment())
            .env("R2_BUCKET", &self.store.bucket)
            // Long enough for R2's one write a second to one key.
            .env("WPP_R2__ATTEMPTS", "9")
            .env("WPP_SOURCE__ALLOW_HTTP", "true")
            .env("WPP_SOURCE__ALLOW_PRIVATE", "true")
            .env("WPP_SOURCE__ALLOWED_HOSTS", "127.0.0.1")
            .env("WPP_QUEUE__WAIT", "1s")
            .stdin(Stdio::null());
        command
    }

    fn submit(&self, args: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_submit"), args)
            .output()
            .unwrap()
    }

    /// A container, as AWS Batch starts it.
    fn container(&self) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_processor"), &[]);
        command
            .env("WPP_LOG__FORMAT", "json")
            .env("AWS_BATCH_JOB_ID", "b0b")
            .env("AWS_BATCH_JOB_ATTEMPT", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The job's state, by the program.
    fn state(&self, job: &str) -> Value {
        let output = self.submit(&["status", job, "--json"]);
        assert_eq!(code(&output), 0, "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn wait_for(&self, job: &str, status: &str) {
        let end = Instant::now() + Duration::from_secs(30);
        while self.state(job)["status"] != status {
            assert!(Instant::now() < end, "{:#}", self.state(job));
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A command and what came of it, as a person would see it.
fn conversation(args: &[&str], output: &Output) -> String {
    let text = format!(
        "$ submit {}\n{}{}(exit code {})\n",
        args.join(" "),
        String::from_utf8_lossy(&output.stdout),
        said(output),
        code(output)
    );
    assert!(!text.contains("s3cret"), "{text}");
    text
}

#[test]
fn help_is_help() {
    let submit = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_submit"));
        command
            .args(args)
            .env_clear()
            .current_dir("/")
            .output()
            .unwrap()
    };
    for command in [
        "",
        "status",
        "wait",
        "cancel",
        "list",
        "retry",
        "deliver",
        "forget",
        "preview-email",
        "completions",
    ] {
        let args: Vec<&str> = [command, "--help"]
            .into_iter()
            .filter(|arg| !arg.is_empty())
            .collect();
        let output = submit(&args);
        assert_eq!(code(&output), 0);
        let name = format!(
            "help_submit{}{command}",
            if command.is_empty() { "" } else { "_" }
        );
        insta::assert_snapshot!(name, String::from_utf8_lossy(&output.stdout));
    }
    assert_eq!(code(&submit(&[])), 2);
    for shell in ["bash", "zsh", "fish"] {
        let output = submit(&["completions", shell]);
        assert!(String::from_utf8_lossy(&output.stdout).contains("dead-letters"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_from_submit_to_done() {
    let service = Service::start(Kind::Minio).await;
    let mut talk = String::new();
    let mut say = |args: &[&str], expected: i32| {
        let output = service.submit(args);
        talk.push_str(&conversation(args, &output));
        assert_eq!(code(&output), expected, "{talk}");
    };
    say(&["manifest.json", "--dry-run"], 0);
    say(&["list"], 0);
    say(&["manifest.json"], 0);
    say(&["manifest.json"], 0);
    say(&["status", "smith"], 0);
    let container = service.container().output().unwrap();
    assert_eq!(code(&container), 0, "{}", said(&container));
    say(&["status", "smith"], 0);
    say(&["wait", "smith", "--json"], 0);
    // The missing photo may be there now.
    service
        .origin
        .add("/gone.jpg", Photo::new(noise(1_000_000, 7)));
    say(&["manifest.json"], 0);
    let container = service.container().output().unwrap();
    assert_eq!(code(&container), 0, "{}", said(&container));
    say(&["manifest.json", "--wait"], 0);
    say(&["retry", "smith"], 2);
    say(&["manifest.json", "--force"], 0);
    say(&["cancel", "smith"], 0);
    say(&["cancel", "smith"], 2);
    say(&["wait", "smith"], 130);
    say(&["retry", "smith"], 0);
    say(&["list", "--status", "queued"], 0);
    say(&["list", "--event", "jones"], 0);
    say(&["retry", "--dead-letters"], 0);
    assert_said!(talk);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_says_what_it_does_in_json() {
    let service = Service::start(Kind::R2).await;
    let cut = Photo::new(noise(1_000_000, 0)).faults([Fault::CutAfter(1000)]);
    service.origin.add("/0.jpg", cut);
    assert_eq!(code(&service.submit(&["manifest.json"])), 0);
    let metadata = Metadata::start().await;
    let mut container = service.container();
    container.env("WPP_LOG__LEVEL", "wedding_photo_processor=debug");
    container.env(
        "ECS_CONTAINER_METADATA_URI_V4",
        format!("{}/v4/task", metadata.url),
    );
    let output = container.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!((code(&output), said(&output).as_str()), (0, ""), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect();
    let state = service.state("smith");
    let metrics: Vec<&Value> = lines
        .iter()
        .filter(|line| line.get("_aws").is_some())
        .collect();
    assert_eq!(metrics.len(), 1, "{text}");
    assert_eq!(metrics[0]["job.id"], state["job"]);
    assert_eq!(metrics[0]["Photos"], 2);
    let finished = lines
        .iter()
        .find(|line| {
            line["message"]
                .as_str()
                .is_some_and(|text| text.starts_with("finished"))
        })
        .unwrap_or_else(|| panic!("{text}"));
    assert_eq!(finished["span"]["job.id"], state["job"]);
    let about_a_photo = lines
        .iter()
        .find(|line| {
            line["message"]
                .as_str()
                .is_some_and(|text| text.starts_with("download failed"))
        })
        .unwrap_or_else(|| panic!("{text}"));
    let spans = &about_a_photo["spans"];
    assert_eq!(
        (&spans[0]["job.id"], &spans[1]["photo.name"]),
        (&state["job"], &json!("0.jpg"))
    );
    let owner = &state["attempts"][0]["owner"];
    assert_eq!(owner["batch_job_id"], "b0b");
    assert_eq!(owner["log_stream"], "job/default/0123");
    assert_eq!(state["log_stream"], "job/default/0123");
}

/// An event whose photo takes more than half an hour.
fn slow_event(service: &Service) {
    let slow = Photo::new(noise(3_000_000, 1)).always(Fault::CrawlAfter(1_000_000));
    service.origin.add("/slow.jpg", slow);
    let photos = json!([service.origin.url("/slow.jpg")]);
    service.write("slow.json", &json!({"event_id": "slow", "photos": photos}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_stopped_gives_the_job_back_and_another_finishes_it() {
    let service = Service::start(Kind::Minio).await;
    slow_event(&service);
    assert_eq!(code(&service.submit(&["slow.json"])), 0);
    let mut container = Running::start(&mut service.container());
    service.wait_for("slow", "transferring");
    let asked = Instant::now();
    container.signal(Signal::TERM);
    let output = container.output();
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(code(&output), 143, "{}", said(&output));
    assert_eq!(service.state("slow")["status"], "queued");
    assert_eq!(service.store.open_uploads().await, 0);

    service
        .origin
        .add("/slow.jpg", Photo::new(noise(3_000_000, 1)));
    let output = service.container().output().unwrap();
    assert_eq!(code(&output), 0, "{}", said(&output));
    let state = service.state("slow");
    assert_eq!(
        (&state["status"], &state["attempt_count"]),
        (&json!("done"), &json!(2))
    );
    assert_eq!(state["attempts"][0]["outcome"], "interrupted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_killed_is_followed_by_one_that_sweeps_up() {
    let service = Service::start(Kind::R2).await;
    // Of several parts, so that there is an upload.
    let slow = Photo::new(noise(20_000_000, 1)).always(Fault::CrawlAfter(1_000_000));
    service.origin.add("/slow.jpg", slow);
    let photos = json!([service.origin.url("/slow.jpg")]);
    service.write("slow.json", &json!({"event_id": "slow", "photos": photos}));
    assert_eq!(code(&service.submit(&["slow.json"])), 0);
    let mut killed = service.container();
    killed.env("WPP_QUEUE__VISIBILITY_TIMEOUT", "10s");
    let mut killed = Running::start(&mut killed);
    service.wait_for("slow", "transferring");
    let end = Instant::now() + Duration::from_secs(10);
    while service.store.open_uploads().await == 0 && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    killed.signal(Signal::KILL);
    killed.output();
    assert_eq!(service.store.open_uploads().await, 1);
    service
        .origin
        .add("/slow.jpg", Photo::new(noise(20_000_000, 1)));

    // It is there before the message is back, and stays for it.
    let mut container = service.container();
    container.env("WPP_QUEUE__VISIBILITY_TIMEOUT", "10s");
    let output = container.output().unwrap();
    assert_eq!(
        code(&output),
        0,
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let state = service.state("slow");
    assert_eq!(
        (&state["status"], &state["attempt_count"]),
        (&json!("done"), &json!(2))
    );
    assert_eq!(state["attempts"][0]["outcome"], "lost");
    assert_eq!(service.store.open_uploads().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spot_instance_that_is_taken_away_gives_the_job_back() {
    let service = Service::start(Kind::Minio).await;
    slow_event(&service);
    assert_eq!(code(&service.submit(&["slow.json"])), 0);
    let metadata = Metadata::start().await;
    let mut container = service.container();
    container.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata.url);
    let container = Running::start(&mut container);
    service.wait_for("slow", "transferring");
    metadata.give_notice();
    let output = container.output();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(code(&output), 143, "{text}");
    assert!(text.contains("about to be taken away"), "{text}");
    assert_eq!(service.state("slow")["status"], "queued");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_are_named_and_nothing_is_enqueued() {
    let service = Service::start(Kind::Minio).await;
    let mut talk = String::new();
    let mut say = |what: &str, args: &[&str], change: &dyn Fn(&mut Command)| {
        let mut command = service.command(env!("CARGO_BIN_EXE_submit"), args);
        change(&mut command);
        let output = command.output().unwrap();
        let text = conversation(args, &output);
        talk.push_str(&format!("# {what}\n{text}"));
        assert_ne!(code(&output), 0, "{talk}");
    };
    say("nothing is set", &["manifest.json"], &|command| {
        for name in [
            "R2_BUCKET",
            "BATCH_SQS_QUEUE_URL",
            "BATCH_JOB_QUEUE_ARN",
            "BATCH_JOB_DEFINITION_ARN",
        ] {
            command.env_remove(name);
        }
    });
    say("no Batch", &["manifest.json"], &|command| {
        command
            .env_remove("BATCH_JOB_QUEUE_ARN")
            .env_remove("BATCH_JOB_DEFINITION_ARN");
    });
    say("half a key", &["manifest.json"], &|command| {
        command.env_remove("BATCH_AWS_SECRET_KEY");
    });
    say("no such queue", &["manifest.json"], &|command| {
        let url = service.cloud.queue_url.replace("-jobs", "-nowhere");
        command.env("BATCH_SQS_QUEUE_URL", url);
    });
    say("not a queue", &["manifest.json"], &|command| {
        command.env("BATCH_SQS_QUEUE_URL", "jobs");
    });
    say("no such job definition", &["manifest.json"], &|command| {
        command.env("BATCH_JOB_DEFINITION_ARN", "nowhere");
    });
    say("no such job queue", &["manifest.json"], &|command| {
        command.env("BATCH_JOB_QUEUE_ARN", "nowhere");
    });
    say("no such bucket", &["manifest.json"], &|command| {
        command.env("R2_BUCKET", "photos-0000000000000000");
    });
    say(
        "a bucket that may only be read",
        &["manifest.json"],
        &|command| {
            for name in [
                "R2_ENDPOINT",
                "R2_ACCESS_KEY",
                "R2_SECRET_KEY",
                "BATCH_AWS_ACCESS_KEY",
                "BATCH_AWS_SECRET_KEY",
            ] {
                command.env_remove(name);
            }
            command
                .env("AWS_ENDPOINT_URL_S3", &service.store.endpoint)
                .envs(
                    service
                        .store
                        .keys_that_may(&["s3:ListBucket", "s3:GetObject"]),
                );
        },
    );
    say(
        "an event with slashes",
        &["manifest.json", "--event-id", "a/b"],
        &|_| {},
    );
    let long = format!(
        "{{\"event_id\": \"long\", \"photos\": [\"{}\"]}}",
        "x".repeat(50_000_000)
    );
    fs::write(service.folder.path().join("long.json"), long).unwrap();
    say("a manifest of 50 MB", &["long.json"], &|_| {});
    say(
        "a host that is not allowed",
        &["manifest.json"],
        &|command| {
            command.env_remove("WPP_SOURCE__ALLOWED_HOSTS");
        },
    );
    say("no such file", &["nowhere.json"], &|_| {});
    for command in ["status", "wait", "cancel", "retry"] {
        say("no such job", &[command, "nowhere"], &|_| {});
    }
    say("not the name of a job", &["status", "a/b/c"], &|_| {});
    assert_said!(talk);

    // Not one of them has left a message.
    let container = service.container().output().unwrap();
    let text = String::from_utf8_lossy(&container.stdout).into_owned();
    assert!(
        text.contains("\"done\":0,\"failed\":0,\"put_aside\":0"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_in_aws_is_named() {
    let service = Service::start(Kind::Minio).await;
    let guarded = tokio::task::spawn_blocking(Guarded::start).await.unwrap();
    let text = |name: &str| guarded.keys[name].as_str().unwrap().to_owned();
    let mut texts = String::new();
    for (program, secret) in [
        (env!("CARGO_BIN_EXE_submit"), text("secret")),
        (env!("CARGO_BIN_EXE_processor"), text("secret")),
        (env!("CARGO_BIN_EXE_submit"), "another".to_owned()),
    ] {
        let args: &[&str] = if program.ends_with("submit") {
            &["manifest.json"]
        } else {
            &[]
        };
        let output = service
            .command(program, args)
            .env("BATCH_SQS_QUEUE_URL", text("queue"))
            .env("AWS_ENDPOINT_URL_SQS", &guarded.url)
            .env("BATCH_AWS_ACCESS_KEY", text("id"))
            .env("BATCH_AWS_SECRET_KEY", secret)
            .output()
            .unwrap();
        assert_eq!(code(&output), 2, "{}", said(&output));
        texts.push_str(&said(&output));
    }
    assert_said!(texts);
}

/// A caller's key may not describe the containers of the account, and `status` is complete without.
#[tokio::test(flavor = "multi_thread")]
async fn a_status_needs_no_look_at_containers() {
    let service = Service::start(Kind::Minio).await;
    assert_eq!(code(&service.submit(&["manifest.json"])), 0);
    let container = service.container().output().unwrap();
    assert_eq!(code(&container), 0, "{}", said(&container));
    let guarded = tokio::task::spawn_blocking(Guarded::start).await.unwrap();
    let text = |name: &str| guarded.keys[name].as_str().unwrap().to_owned();
    let jobs = service.submit(&["list", "--json"]);
    let jobs: Value = serde_json::from_slice(&jobs.stdout).unwrap();
    let job = jobs[0]["job"].as_str().unwrap();
    for args in [&["status", job][..], &["status", job, "--json"]] {
        let output = service
            .command(env!("CARGO_BIN_EXE_submit"), args)
            .env("AWS_ENDPOINT_URL_BATCH", &guarded.url)
            .env("BATCH_AWS_ACCESS_KEY", text("id"))
            .env("BATCH_AWS_SECRET_KEY", text("secret"))
            .output()
            .unwrap();
        assert_eq!((code(&output), said(&output).as_str()), (0, ""));
        assert!(String::from_utf8_lossy(&output.stdout).contains("b0b"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_knows_what_amazon_ses_has_reported() {
    let service = Service::start(Kind::Minio).await;
    let feedback = tokio::task::spawn_blocking(|| Cloud::start(10))
        .await
        .unwrap();
    let to = Mailbox::address("ok");
    let photos = json!([service.origin.url("/0.jpg")]);
    let notify = json!({"email": [to]});
    let manifest = json!({"event_id": "smith", "photos": photos, "notify": notify});
    service.write("mail.json", &manifest);
    assert_eq!(code(&service.submit(&["mail.json"])), 0);
    let container = service
        .container()
        .env(
            "SMTP_URL",
            format!("{}?tls=none", stores::service("TEST_SMTP_PLAIN")),
        )
        .env("MAIL_FROM", "photos@example.com")
        .env("MAIL_FEEDBACK_URL", &feedback.queue_url)
        .output()
        .unwrap();
    assert_eq!(code(&container), 0, "{}", said(&container));
    let received = Mailbox::received(&to).remove(0);
    let raw = String::from_utf8_lossy(&received.raw).into_owned();
    let notice = raw
        .lines()
        .find_map(|line| line.strip_prefix("X-Photo-Notice: "));
    let events = include_str!("../data/ses-events.json");
    let events: Vec<Value> = serde_json::from_str(events).unwrap();
    let before = "smith/0123456789abcdef0123456789abcdef/00112233445566778899aabbccddeeff";
    let event = events[0]["event"].to_string();
    let queue = crate::queue::at(&feedback.queue_url).await;
    let event = event.replace(before, notice.unwrap().trim());
    queue.post(&event).await.unwrap();
    let job = notice.unwrap().rsplit_once('/').unwrap().0;
    let output = service
        .command(env!("CARGO_BIN_EXE_submit"), &["status", job, "--json"])
        .env("MAIL_FEEDBACK_URL", &feedback.queue_url)
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{}", said(&output));
    let state: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(state["delivery"]["failed"], 1, "{state:#}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains(&to));
    // Without the right to look, a status is as it is.
    let output = service
        .command(env!("CARGO_BIN_EXE_submit"), &["status", job])
        .env("MAIL_FEEDBACK_URL", format!("{}-none", feedback.queue_url))
        .output()
        .unwrap();
    assert_eq!(code(&output), 0);
    assert_said!(said(&output));
}

/// With a doorbell, callers need nothing of Batch. The pipe behind it, which submits a job for each ring, is
/// `EventBridge`'s, and the test takes its place.
#[tokio::test(flavor = "multi_thread")]
async fn who_rings_asks_batch_for_nothing() {
    let service = Service::start(Kind::Minio).await;
    let bell = tokio::task::spawn_blocking(|| Cloud::start(10))
        .await
        .unwrap();
    let submit = |args: &[&str], most: &str| {
        let mut command = service.command(env!("CARGO_BIN_EXE_submit"), args);
        command
            .env_remove("BATCH_JOB_QUEUE_ARN")
            .env_remove("BATCH_JOB_DEFINITION_ARN")
            .env("AWS_ENDPOINT_URL_BATCH", "http://127.0.0.1:1")
            .env("WPP_BATCH__MAX_CONTAINERS", most)
            .env("BATCH_DOORBELL_URL", &bell.queue_url);
        let output = command.output().unwrap();
        assert_eq!(code(&output), 0, "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let asked = |event: &str, most: &str| {
        let args = ["manifest.json", "--event-id", event];
        let submitted: Value = serde_json::from_str(&submit(&args, most)).unwrap();
        submitted["batch_job_id"].as_str().map(str::to_owned)
    };
    assert!(asked("a", "2").unwrap().starts_with("doorbell:"));
    assert!(asked("b", "2").unwrap().starts_with("doorbell:"));
    // Two are asked for, and two is the most.
    assert_eq!(asked("c", "2"), None);
    assert_eq!(asked("a", "2"), None);

    let rings = crate::queue::at(&bell.queue_url).await;
    let depth = wedding_photo_processor::queue::Queue::depth(&rings).await;
    assert_eq!(depth.unwrap().total(), 2);
    let container = service.container().output().unwrap();
    assert_eq!(code(&container), 0, "{}", said(&container));
    let jobs: Value = serde_json::from_str(&submit(&["list", "--json"], "2")).unwrap();
    let ended = |job: &Value| job["status"] == "done";
    assert!(jobs.as_array().unwrap().iter().all(ended), "{jobs:#}");
    let status = submit(&["status", jobs[0]["job"].as_str().unwrap()], "2");
    assert!(status.contains("done"), "{status}");

    let output = service
        .command(env!("CARGO_BIN_EXE_submit"), &["manifest.json"])
        .env(
            "BATCH_DOORBELL_URL",
            bell.queue_url.replace("-jobs", "-gone"),
        )
        .env("WPP_BATCH__MAX_CONTAINERS", "9")
        .args(["--event-id", "d"])
        .output()
        .unwrap();
    assert_eq!(code(&output), 2);
    assert_said!(said(&output));
}

/// Batch's rules cannot count, so that what always aborts would be tried as often as anything else.
#[test]
fn an_abort_is_tried_again_once() {
    use std::os::unix::process::ExitStatusExt as _;
    let queue = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/1/jobs", queue.local_addr().unwrap());
    for (attempt, ended) in [("1", (Some(6), None)), ("2", (None, Some(70)))] {
        let mut container = Command::new(env!("CARGO_BIN_EXE_processor"))
            .env_clear()
            .current_dir("/")
            .envs([
                ("AWS_BATCH_JOB_ID", "b0b"),
                ("AWS_BATCH_JOB_ATTEMPT", attempt),
                ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1"),
                ("BATCH_AWS_REGION", "us-east-1"),
                ("BATCH_AWS_ACCESS_KEY", "a"),
                ("BATCH_AWS_SECRET_KEY", "b"),
                ("BATCH_SQS_QUEUE_URL", &url),
                ("R2_ENDPOINT", "http://127.0.0.1:1"),
                ("R2_ACCESS_KEY", "a"),
                ("R2_SECRET_KEY", "b"),
                ("R2_BUCKET", "photos"),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It waits for an answer from now on.
        let _asked = queue.accept().unwrap();
        let pid = rustix::process::Pid::from_child(&container);
        rustix::process::kill_process(pid, Signal::ABORT).unwrap();
        let status = container.wait().unwrap();
        assert_eq!((status.signal(), status.code()), ended);
    }
}

#[test]
fn without_settings_a_container_ends_with_one_line_for_each_that_is_missing() {
    let output = Command::new(env!("CARGO_BIN_EXE_processor"))
        .env_clear()
        .current_dir(Path::new("/"))
        .output()
        .unwrap();
    assert_eq!(code(&output), 2);
    insta::assert_snapshot!(said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_folder_from_submit_to_done() {
    let (service, google) = tokio::join!(Service::start(Kind::Minio), Google::start());
    for index in 0..3 {
        let name = format!("events/smith/{index}.jpg");
        google.put(&name, noise(1000, index)).await;
    }
    let key = google.account("photos@test.iam.gserviceaccount.com");
    let buckets = format!("gs://{}/events", google.bucket);
    let from = format!("gs://{}/events/smith/", google.bucket);
    // Whoever hands it in needs no credentials of Google's.
    let submit = |args: &[&str]| {
        let mut command = service.command(env!("CARGO_BIN_EXE_submit"), args);
        command.env("WPP_SOURCE__ALLOWED_BUCKETS", &buckets);
        command.output().unwrap()
    };
    let container = || {
        let mut container = service.container();
        container
            .env("WPP_SOURCE__ALLOWED_BUCKETS", &buckets)
            .env("WPP_GCS__ENDPOINT", &google.url)
            .env("GOOGLE_APPLICATION_CREDENTIALS", &key)
            .env("WPP_LOG__LEVEL", "debug");
        let output = container.output().unwrap();
        let log = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(code(&output), 0, "{log}");
        let key: Value = serde_json::from_str(&key).unwrap();
        let secret = &key["private_key"].as_str().unwrap()[60..100];
        assert!(!log.contains(secret) && !log.contains("Bearer"), "{log}");
    };

    google.deny(&["storage.objects.list"]);
    let output = submit(&["--from", &from]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    tokio::task::block_in_place(container);
    let state = service.state("smith");
    assert_eq!(state["status"], "failed", "{state:#}");
    assert_eq!(state["error"]["exit_code"], 2, "{state:#}");
    let message = state["error"]["message"].as_str().unwrap();
    assert!(message.contains("`storage.objects.list`"), "{message}");

    google.deny(&[]);
    let output = submit(&["retry", "--dead-letters"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    tokio::task::block_in_place(container);
    let state = service.state("smith");
    assert_eq!(state["status"], "done", "{state:#}");
    assert_eq!(
        (&state["photos"], &state["archives"][0]["photos"]),
        (&json!(3), &json!(3))
    );
}

/// A container that can send e-mail and call webhooks; what it logs, in which nobody and no secret is
/// named.
fn tell(service: &Service, operator: &str, secrets: &[&str]) {
    let mut container = service.container();
    container
        .env("SMTP_URL", stores::service("TEST_SMTP_STARTTLS"))
        .env("MAIL_FROM", "Photos <photos@example.com>")
        .env("ALERT_TO", operator)
        .env("WEBHOOK_SECRET", stores::service("TEST_WEBHOOK_SECRET"))
        .env("WPP_JOB__RETRY_DELAY", "1s")
        .env("WPP_LOG__LEVEL", "debug");
    let output = tokio::task::block_in_place(|| container.output().unwrap());
    let log = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(code(&output), 0, "{log}");
    for secret in secrets
        .iter()
        .chain(&["whsec_", "mailer", "X-Amz-Signature"])
    {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

/// Head and body of an answer.
fn download(link: &str, args: &[&str]) -> (String, Vec<u8>) {
    let curl = Command::new("curl")
        .args(["-fsS", "-i", link])
        .args(args)
        .output();
    let output = curl.unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let end = (output.stdout.windows(4))
        .position(|end| end == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8_lossy(&output.stdout[..end]).into_owned();
    (head, output.stdout[end + 4..].to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_gets_a_letter_whose_link_is_the_archive_and_a_signed_webhook() {
    let service = Service::start(Kind::Minio).await;
    let (anna, ben) = (Mailbox::address("ok"), Mailbox::address("rejected"));
    let (hook, operator) = (Mailbox::path("flaky"), Mailbox::address("ok"));
    let manifest = json!({
        "event_id": "smith",
        "title": "Smith & Jones",
        "archive_name": "Zoë & Jörg.zip",
        "photos": [
            service.origin.url("/0.jpg?token=s3cret"),
            {"url": service.origin.url("/gone.jpg?token=s3cret"), "name": "Kiss.jpg"},
            service.origin.url("/1.jpg?token=s3cret"),
        ],
        "expires_in": "2d",
        "notify": {
            "email": [anna, ben],
            "locale": "de-AT",
            "webhook": format!("{}{hook}", stores::service("TEST_WEBHOOK")),
        },
    });
    service.write("told.json", &manifest);
    assert_eq!(code(&service.submit(&["told.json"])), 0);
    tell(&service, &operator, &[&anna, &ben, &hook]);

    let letters = Mailbox::received(&anna);
    assert_eq!(letters.len(), 1);
    let message = letters[0].message();
    assert_eq!(message.to.join(","), anna);
    let mask = |text: &str| text.replace(&service.store.bucket, "[bucket]");
    insta::with_settings!({filters => vec![
        (r"127\.0\.0\.1:\d+", "127.0.0.1:[port]"),
        (r"archives/[0-9a-f]{32}", "archives/[secret]"),
        (r"\?\S*X-Amz[^\s\x22]*", "?[signature]"),
        (r"\w+tag, \d+\. \w+ \d{4}, \d\d:\d\d Uhr", "[date]"),
        (r"Mittwoch, \d+\. \w+ \d{4}, \d\d:\d\d Uhr", "[date]"),
    ]}, { insta::assert_snapshot!("the_letter", mask(&format!("{}\n\n{}", message.subject, message.text))) });

    // The link is the archive, under its own name, whole and by ranges.
    let mut words = message.text.split_whitespace();
    let link = words.find(|word| word.starts_with("http")).unwrap();
    let state = service.state("smith");
    let key = state["archives"][0]["key"].as_str().unwrap();
    let stored = service.store.object(key).await.unwrap();
    let (head, whole) = download(link, &[]);
    assert!(whole == stored);
    let name = "filename*=UTF-8''Zo%C3%AB%20&%20J%C3%B6rg.zip";
    assert!(head.contains(name), "{head}");
    let (head, part) = download(link, &["-r", "1000000-1000099"]);
    assert!(head.starts_with("HTTP/1.1 206"), "{head}");
    assert!(part == stored[1_000_000..1_000_100]);

    // The receiver took it at the third try.
    let calls = Mailbox::webhooks(&hook);
    assert_eq!(calls.len(), 3);
    let id = &calls[0]["headers"]["webhook-id"];
    for call in &calls {
        assert_eq!(
            (&call["verified"], &call["headers"]["webhook-id"]),
            (&json!(true), id)
        );
    }
    let body: Value = serde_json::from_str(calls[2]["body"].as_str().unwrap()).unwrap();
    let told = serde_json::to_string_pretty(&body).unwrap();
    assert_said!("the_webhook", told.replace(&hook, "/[hook]"));

    // What could not be told is in the state, which names nobody.
    let status = service.submit(&["status", "smith"]);
    let text = conversation(&["status", "smith"], &status);
    assert!(!text.contains(&ben), "{text}");
    let told: Vec<&str> = (text.lines())
        .skip_while(|line| !line.contains("told"))
        .take_while(|line| !line.contains("  state"))
        .collect();
    insta::assert_snapshot!("told", told.join("\n"));

    // A fresh link for everybody, from the same archive.
    assert_eq!(code(&service.submit(&["deliver", "smith"])), 0);
    tell(&service, &operator, &[&anna, &ben, &hook]);
    assert_eq!(Mailbox::received(&anna).len(), 2);
    assert_eq!(service.state("smith")["attempt_count"], 1);
    assert!(Mailbox::received(&operator).is_empty());
}

/// The bucket of archives is the kindest that a store can have: everyone may read all of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_everyone_can_see_is_archives_alone() {
    let service = Service::start(Kind::Minio).await;
    let public = Store::start(Kind::Minio).await;
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": "*",
            "Action": ["s3:GetObject", "s3:ListBucket"],
            "Resource": [
                format!("arn:aws:s3:::{}", public.bucket),
                format!("arn:aws:s3:::{}/*", public.bucket),
            ],
        }],
    });
    let opened = (public.client().put_bucket_policy())
        .bucket(&public.bucket)
        .policy(policy.to_string());
    opened.send().await.unwrap();
    let base = format!("{}/{}", public.endpoint, public.bucket);
    let set = |command: &mut Command| {
        command
            .env("R2_ARCHIVE_BUCKET", &public.bucket)
            .env("PUBLIC_BASE_URL", &base)
            .output()
            .unwrap()
    };
    let submit = |args| set(&mut service.command(env!("CARGO_BIN_EXE_submit"), args));
    assert_eq!(code(&submit(&["manifest.json"])), 0);
    let container = set(&mut service.container());
    assert_eq!(code(&container), 0, "{}", said(&container));
    let status = submit(&["status", "smith", "--json"]);
    let state: Value = serde_json::from_slice(&status.stdout).unwrap();

    let archive = &state["archives"][0];
    let (key, link) = (&archive["key"], state["links"][0].as_str().unwrap());
    assert_eq!(archive["bucket"], json!(public.bucket));
    assert_eq!(link, format!("{base}/{}", key.as_str().unwrap()));
    let (head, whole) = download(link, &[]);
    assert_eq!(whole.len() as u64, archive["bytes"].as_u64().unwrap());
    assert!(
        head.to_lowercase().contains("cache-control: private"),
        "{head}"
    );
    // A guest learns neither event nor job from the link, and finds nothing but archives below its address.
    let job = state["job"].as_str().unwrap();
    let id = job.strip_prefix("smith/").unwrap();
    assert!(!link.contains("/smith/") && !link.contains(id), "{link}");
    let (_, all) = download(&base, &[]);
    let all = String::from_utf8(all).unwrap();
    assert_eq!(all.matches("<Key>").count(), 1, "{all}");
    for name in ["manifest.json", "state.json"] {
        for bucket in [&public.bucket, &service.store.bucket] {
            let there = format!("{}/{bucket}/jobs/{job}/{name}", public.endpoint);
            let curl = Command::new("curl").args(["-fsS", &there]).output();
            assert_eq!(code(&curl.unwrap()), 22, "{there}");
        }
    }

    // Programs that know nothing of that bucket lead nowhere, and not into their own.
    let old = service.submit(&["status", "smith", "--json"]);
    let old: Value = serde_json::from_slice(&old.stdout).unwrap();
    assert_eq!(old["links"], json!([""]));

    // The bucket of the jobs is never shown.
    let mut wrong = service.command(env!("CARGO_BIN_EXE_submit"), &["list"]);
    let submit = wrong.env("PUBLIC_BASE_URL", &base).output().unwrap();
    let container = service.container().env("PUBLIC_BASE_URL", &base).output();
    let container = container.unwrap();
    assert_eq!((code(&submit), code(&container)), (2, 2));
    assert_said!("a_public_bucket_of_jobs", said(&submit));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_erased_from_real_stores() {
    let service = Service::start(Kind::Minio).await;
    assert_eq!(code(&service.submit(&["manifest.json"])), 0);
    assert_eq!(code(&service.container().output().unwrap()), 0);
    assert_eq!(code(&service.submit(&["manifest.json"])), 0);
    let mut talk = String::new();
    for (args, expected) in [
        (&["forget", "smith"][..], 2),
        (&["forget", "smith/../jones", "--yes"], 2),
        (&["forget", "smith", "--dry-run"], 0),
        (&["forget", "smith", "--yes"], 0),
        (&["forget", "smith", "--yes", "--json"], 0),
        (&["status", "smith"], 2),
    ] {
        let output = service.submit(args);
        talk.push_str(&conversation(args, &output));
        assert_eq!(code(&output), expected, "{talk}");
    }
    assert_said!("forgetting", talk);
    let listed = service.store.client().list_objects_v2();
    let listed = listed.bucket(&service.store.bucket).send().await.unwrap();
    let keys = listed.contents().iter().filter_map(|object| object.key());
    assert_eq!(keys.collect::<Vec<_>>(), ["jobs/swept.json"]);
    assert_eq!(service.store.open_uploads().await, 0);
    // Nor is there a message that would call a container.
    let container = service.container().output().unwrap();
    assert!(!said(&container).contains("smith"), "{}", said(&container));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_fails_the_operator_hears() {
    let service = Service::start(Kind::Minio).await;
    let operator = Mailbox::address("ok");
    let none = service.origin.url("/none.jpg");
    service.write("bad.json", &json!({"event_id": "bad", "photos": [none]}));
    assert_eq!(code(&service.submit(&["bad.json"])), 0);
    tell(&service, &operator, &[&operator]);
    let alert = Mailbox::received(&operator).remove(0).message();
    assert_eq!(alert.subject, "Job failed: bad");
    assert!(alert.text.contains("submit retry bad/"), "{}", alert.text);
    assert_eq!(service.state("bad")["delivery"]["mails"], 1);
    // One half of what it takes is a mistake.
    let mut container = service.container();
    let output = container
        .env("SMTP_URL", "smtps://user:hunter2@host")
        .output()
        .unwrap();
    assert_eq!(code(&output), 2);
    let log = String::from_utf8_lossy(&output.stdout);
    assert!(
        log.contains("`MAIL_FROM` is not set") && !log.contains("hunter2"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_can_be_looked_at_beforehand() {
    let service = Service::start(Kind::Minio).await;
    service.write(
        "told.json",
        &json!({
            "event_id": "smith",
            "title": "Smith <b>& Jones",
            "photos": [{"url": service.origin.url("/0.jpg"), "size": 1_500_000}],
            "notify": {"email": ["anna@example.com"]},
        }),
    );
    let output = service.submit(&["preview-email", "told.json", "--text"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    insta::with_settings!({filters => vec![
        (r"\w+day, \d+ \w+ \d{4}, \d\d:\d\d", "[date]"),
    ]}, { insta::assert_snapshot!("preview", String::from_utf8_lossy(&output.stdout)) });
    let args = [
        "preview-email",
        "told.json",
        "-o",
        "letter.html",
        "--locale",
        "de",
    ];
    let output = service.submit(&args);
    assert_eq!(
        (code(&output), output.stdout.len()),
        (0, 0),
        "{}",
        said(&output)
    );
    let html = fs::read_to_string(service.folder.path().join("letter.html")).unwrap();
    assert!(
        html.contains("Smith &#60;b&#62;&#38; Jones") && html.contains("lang=\"de\""),
        "{html}"
    );
    let output = service.submit(&["preview-email", "told.json", "-o", "nowhere/letter.html"]);
    assert_eq!(code(&output), 2, "{}", said(&output));
}
