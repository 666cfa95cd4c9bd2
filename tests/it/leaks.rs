//! No secret leaves the programs: not in what they print or log (all of it, at `trace`), nor in what they leave
//! in the bucket, in the queue, in e-mails and at webhooks; whether a job is done or fails, and however
//! a secret is spelled.

use std::process::{Command, Output, Stdio};

use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::MessageSystemAttributeName::All;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use wedding_photo_processor::aws::HyperClient;

use crate::support::cloud::Cloud;
use crate::support::google::Google;
use crate::support::mail::Mailbox;
use crate::support::origin::{Fault, Origin, Photo, noise};
use crate::support::stores::{self, Kind, Store};

const BATCH_SECRET: &str = "hunter2/batch+secret=ABCDEFGHIJ";
const SESSION_TOKEN: &str = "hunter2-session-token-0123456789";
const PHOTO_TOKEN: &str = "hunter2-token-of-a-photo";
const PROXY_PASSWORD: &str = "hunter2-of-the-proxy";

/// How a secret may be written: its first and last letters are enough.
fn spellings(secret: &str) -> Vec<String> {
    let lines = secret.lines().filter(|line| !line.starts_with("-----"));
    let mut found = Vec::new();
    for line in lines.filter(|line| line.len() >= 12) {
        let (head, tail) = (&line[..12], &line[line.len() - 12..]);
        for part in [head, tail] {
            let hex: String = part.bytes().map(|byte| format!("{byte:02x}")).collect();
            let bytes = format!("{:?}", part.as_bytes());
            found.extend([part.to_owned(), hex.to_uppercase(), hex]);
            found.push(bytes.trim_matches(['[', ']']).to_owned());
            found.push(url::form_urlencoded::byte_serialize(part.as_bytes()).collect());
            for before in 0..3 {
                let text = [&"\0\0"[..before], part].concat();
                for code in [
                    BASE64_STANDARD_NO_PAD.encode(&text),
                    BASE64_URL_SAFE_NO_PAD.encode(&text),
                ] {
                    // The first and last letters depend on what is beside.
                    found.push(code[4..code.len() - 4].to_owned());
                }
            }
        }
    }
    found
}

/// What is looked at, and what must not be in it.
#[derive(Default)]
struct Searched {
    secrets: Vec<(&'static str, String)>,
    /// Where it was found, and all of it.
    texts: Vec<(String, String)>,
}

impl Searched {
    fn secret(&mut self, name: &'static str, secret: impl Into<String>) {
        self.secrets.push((name, secret.into()));
    }

    fn text(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.texts.push((place.into(), text.into()));
    }

    fn output(&mut self, place: &str, output: &Output) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.text(format!("{place}: stdout"), text(&output.stdout));
        self.text(format!("{place}: stderr"), text(&output.stderr));
    }

    fn check(&self) {
        for (name, secret) in &self.secrets {
            for spelling in spellings(secret) {
                for (place, text) in &self.texts {
                    // A manifest holds the addresses of its photos.
                    if *name == "a photo's token" && place.ends_with("/manifest.json") {
                        continue;
                    }
                    if let Some(at) = text.find(&spelling) {
                        let line = text[..at].rfind('\n').map_or(0, |at| at + 1);
                        let line = text[line..].lines().next().unwrap_or_default();
                        panic!("{name} is in {place}, as `{spelling}`: {line}");
                    }
                }
            }
        }
    }
}

struct Scene {
    store: Store,
    keys: wedding_photo_processor::s3::Keys,
    cloud: Cloud,
    google: Google,
    google_key: String,
    origin: Origin,
    folder: tempfile::TempDir,
    guest: String,
    operator: String,
    hook: String,
}

impl Scene {
    async fn start() -> Self {
        let (store, google, origin) =
            tokio::join!(Store::start(Kind::Minio), Google::start(), Origin::start());
        let cloud = tokio::task::spawn_blocking(|| Cloud::start(10));
        origin.add("/0.jpg", Photo::new(noise(100_000, 0)));
        origin.add(
            "/1.jpg",
            Photo::new(noise(100_000, 1)).faults([Fault::CutAfter(1000)]),
        );
        origin.add(
            "/down.jpg",
            Photo::new(noise(10, 1)).always(Fault::Status(503, Vec::new())),
        );
        google.put("events/smith/0.jpg", noise(1000, 2)).await;
        Self {
            keys: store.add_keys(),
            store,
            cloud: cloud.await.unwrap(),
            google_key: google.account("photos@test.iam.gserviceaccount.com"),
            google,
            origin,
            folder: tempfile::tempdir().unwrap(),
            guest: Mailbox::address("ok"),
            operator: Mailbox::address("ok"),
            hook: Mailbox::path("ok"),
        }
    }

    fn searched(&self) -> Searched {
        let key: Value = serde_json::from_str(&self.google_key).unwrap();
        let mail = stores::service("TEST_SMTP_STARTTLS");
        let mail = url::Url::parse(&mail).unwrap();
        let webhooks = stores::service("TEST_WEBHOOK_SECRET");
        let mut searched = Searched::default();
        searched.secret("the store's secret", &self.keys.secret_key);
        searched.secret("AWS's secret", BATCH_SECRET);
        searched.secret("a session token", SESSION_TOKEN);
        searched.secret("the proxy's password", PROXY_PASSWORD);
        searched.secret("a photo's token", PHOTO_TOKEN);
        searched.secret("Google's private key", key["private_key"].as_str().unwrap());
        searched.secret("the mail server's password", mail.password().unwrap());
        searched.secret(
            "the mail server's password, as it is meant",
            "mailer/test+secret=",
        );
        searched.secret(
            "the secret of webhooks",
            webhooks.trim_start_matches("whsec_"),
        );
        searched
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
            .env("R2_ACCESS_KEY", &self.keys.access_key)
            .env("R2_SECRET_KEY", &self.keys.secret_key)
            .env("BATCH_AWS_SECRET_KEY", BATCH_SECRET)
            .env("GOOGLE_APPLICATION_CREDENTIALS", &self.google_key)
            .env("WPP_GCS__ENDPOINT", &self.google.url)
            .env("SMTP_URL", stores::service("TEST_SMTP_STARTTLS"))
            .env("MAIL_FROM", "Photos <photos@example.com>")
            .env("ALERT_TO", &self.operator)
            .env("WEBHOOK_SECRET", stores::service("TEST_WEBHOOK_SECRET"))
            .env("SSL_CERT_FILE", stores::service("TEST_CA"))
            .env("WPP_SOURCE__ALLOW_HTTP", "true")
            .env("WPP_SOURCE__ALLOW_PRIVATE", "true")
            .env("WPP_SOURCE__ALLOWED_HOSTS", "127.0.0.1")
            .env("WPP_SOURCE__ALLOWED_BUCKETS", "*")
            .env("WPP_SOURCE__ATTEMPTS", "2")
            .env("WPP_R2__ATTEMPTS", "2")
            .env("WPP_JOB__ATTEMPTS", "1")
            .env("WPP_JOB__RETRY_DELAY", "50ms")
            .env("WPP_QUEUE__WAIT", "0s")
            .env("WPP_LOG__LEVEL", "trace")
            .stdin(Stdio::null());
        command
    }

    /// Hands an event of these photos in.
    fn submit(&self, searched: &mut Searched, event: &str, photos: &Value) {
        let hook = format!("{}{}", stores::service("TEST_WEBHOOK"), self.hook);
        let manifest = json!({"event_id": event, "photos": photos, "notify":
            {"email": [self.guest], "webhook": hook, "tell_about_failure": true}});
        let file = self.folder.path().join(format!("{event}.json"));
        std::fs::write(&file, manifest.to_string()).unwrap();
        let file = file.to_str().unwrap();
        let output = self
            .command(env!("CARGO_BIN_EXE_submit"), &[file])
            .output()
            .unwrap();
        searched.output(&format!("submit {event}"), &output);
        assert!(output.status.success(), "{event}: {output:?}");
    }

    /// A container, with what is different about it; its exit code.
    fn container(&self, searched: &mut Searched, event: &str, different: &[(&str, &str)]) -> i32 {
        let mut command = self.command(env!("CARGO_BIN_EXE_processor"), &[]);
        command.env("WPP_LOG__FORMAT", "json");
        command.envs(different.iter().copied());
        let output = command.output().unwrap();
        searched.output(&format!("container of {event}"), &output);
        output.status.code().unwrap_or(-1)
    }

    /// All that is in the bucket.
    async fn bucket(&self, searched: &mut Searched) {
        let list = self
            .store
            .client()
            .list_objects_v2()
            .bucket(&self.store.bucket);
        for object in list.send().await.unwrap().contents() {
            let key = object.key().unwrap();
            let bytes = self.store.object(key).await.unwrap();
            searched.text(key, String::from_utf8_lossy(&bytes));
        }
    }

    /// All that is in the queue's dead letters; how many there are.
    async fn dead_letters(&self, searched: &mut Searched) -> usize {
        let keys = Credentials::new("test", "test", None, None, "test");
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(HyperClient::new().unwrap())
            .region(Region::new("us-east-1"))
            .credentials_provider(keys)
            .endpoint_url(stores::service("TEST_LOCALSTACK"))
            .build();
        let client = aws_sdk_sqs::Client::from_conf(config);
        let queues = client.list_queues().send().await.unwrap();
        let name = self.cloud.queue_url.rsplit('/').next().unwrap();
        let name = name.trim_end_matches("-jobs");
        let mut found = 0;
        for url in queues.queue_urls().iter().filter(|url| url.contains(name)) {
            let receive = client
                .receive_message()
                .queue_url(url)
                .max_number_of_messages(10)
                .message_attribute_names("All")
                .message_system_attribute_names(All);
            for message in receive.send().await.unwrap().messages() {
                searched.text("a message", format!("{message:?}"));
                found += usize::from(!url.ends_with("-jobs"));
            }
        }
        found
    }

    fn told(&self, searched: &mut Searched) -> (usize, usize) {
        let mut mails = 0;
        for to in [&self.guest, &self.operator] {
            for mail in Mailbox::received(to) {
                let message = mail.message();
                searched.text("an e-mail", String::from_utf8_lossy(&mail.raw));
                searched.text("an e-mail", message.text + &message.html);
                mails += 1;
            }
        }
        let calls = Mailbox::webhooks(&self.hook);
        for call in &calls {
            searched.text("a webhook", call.to_string());
        }
        (mails, calls.len())
    }
}

#[test]
fn what_is_looked_for_is_found() {
    let secret = "hunter2/+of=somebody";
    for said in [
        format!("a {secret}"),
        format!("{:?}", secret.as_bytes()),
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        BASE64_STANDARD_NO_PAD.encode(format!("me:{secret}")),
        secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
    ] {
        let mut searched = Searched::default();
        searched.secret("it", secret);
        searched.text("a text", &said);
        assert!(
            std::panic::catch_unwind(|| searched.check()).is_err(),
            "{said}"
        );
    }
}

/// Google's key as people's tools spoil it: its line breaks become something else.
fn spoiled(key: &str, line_break: &str) -> String {
    let mut key: Value = serde_json::from_str(key).unwrap();
    let pem = key["private_key"]
        .as_str()
        .unwrap()
        .replace('\n', line_break);
    key["private_key"] = pem.into();
    key.to_string()
}

/// The key within another account's credentials.
fn nested(key: &str) -> String {
    let source: Value = serde_json::from_str(key).unwrap();
    json!({"type": "impersonated_service_account", "source_credentials": source,
        "service_account_impersonation_url": "https://iamcredentials.invalid/x:generateAccessToken"})
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_what_a_job_leaves_however_it_ends() {
    let scene = Scene::start().await;
    let mut searched = scene.searched();
    let photo = |path: &str| json!(scene.origin.url(&format!("{path}?token={PHOTO_TOKEN}")));
    let folder = json!([format!("gs://{}/events/smith/", scene.google.bucket)]);
    let good = json!([
        photo("/0.jpg"),
        photo("/1.jpg"),
        photo("/gone.jpg"),
        folder[0]
    ]);

    scene.submit(&mut searched, "good", &good);
    assert_eq!(scene.container(&mut searched, "good", &[]), 0);
    assert_eq!(scene.told(&mut searched), (1, 1));

    let blanks = spoiled(&scene.google_key, " ");
    let gone = spoiled(&scene.google_key, "");
    let (nested_blanks, cut) = (nested(&blanks), scene.google_key[..900].to_owned());
    let quoted = format!("'{}'", scene.google_key);
    let in_base64 = BASE64_STANDARD_NO_PAD.encode(&scene.google_key);
    let stranger = Google::start()
        .await
        .account("nobody@test.iam.gserviceaccount.com");
    searched.secret(
        "another private key",
        serde_json::from_str::<Value>(&stranger).unwrap()["private_key"]
            .as_str()
            .unwrap(),
    );
    for (event, key) in [
        ("blanks", &blanks),
        ("no-breaks", &gone),
        ("nested", &nested_blanks),
        ("cut", &cut),
        ("quoted", &quoted),
        ("base64", &in_base64),
        ("stranger", &stranger),
    ] {
        scene.submit(&mut searched, event, &folder);
        let different = [("GOOGLE_APPLICATION_CREDENTIALS", key.as_str())];
        scene.container(&mut searched, event, &different);
    }

    scene.submit(&mut searched, "down", &json!([photo("/down.jpg")]));
    scene.container(&mut searched, "down", &[]);
    scene.submit(&mut searched, "proxy", &json!([photo("/0.jpg")]));
    let proxy = format!("http://me:{PROXY_PASSWORD}@127.0.0.1:1");
    scene.container(
        &mut searched,
        "proxy",
        &[("HTTP_PROXY", &proxy), ("NO_PROXY", "none.invalid")],
    );

    for (event, different) in [
        (
            "mail-away",
            [(
                "SMTP_URL",
                "smtp://mailer:mailer%2Ftest%2Bsecret%3D@127.0.0.1:1",
            )],
        ),
        ("no-tls", [("SSL_CERT_FILE", "/dev/null")]),
        ("other-secret", [("R2_ACCESS_KEY", "somebody")]),
        (
            "no-queue",
            [("BATCH_SQS_QUEUE_URL", "http://127.0.0.1:1/1/q")],
        ),
        ("line-break", [("R2_ACCESS_KEY", "so\nme")]),
        ("line-break", [("BATCH_AWS_ACCESS_KEY", "so\rme")]),
    ] {
        let event = format!("{event}-event");
        scene.submit(&mut searched, &event, &json!([photo("/0.jpg")]));
        scene.container(&mut searched, &event, &different);
    }
    scene.bucket(&mut searched).await;
    assert!(scene.dead_letters(&mut searched).await > 3);
    let (mails, calls) = scene.told(&mut searched);
    assert!(mails > 10 && calls > 5, "{mails} e-mails, {calls} calls");
    assert!(
        searched
            .texts
            .iter()
            .any(|(_, text)| text.contains("line breaks are lost"))
    );
    searched.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_what_a_command_says() {
    let scene = Scene::start().await;
    let mut searched = scene.searched();
    let url = scene.origin.url(&format!("/0.jpg?token={PHOTO_TOKEN}"));
    scene.submit(&mut searched, "smith", &json!([url]));
    let manifest = scene.folder.path().join("smith.json");
    let manifest = manifest.to_str().unwrap();
    let chain = [
        ("R2_ENDPOINT", ""),
        ("R2_ACCESS_KEY", ""),
        ("R2_SECRET_KEY", ""),
        ("BATCH_AWS_ACCESS_KEY", ""),
        ("BATCH_AWS_SECRET_KEY", ""),
        ("AWS_ACCESS_KEY_ID", "AKIA"),
        ("AWS_SECRET_ACCESS_KEY", BATCH_SECRET),
        ("AWS_SESSION_TOKEN", SESSION_TOKEN),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", scene.store.endpoint.as_str()),
    ];
    let broken = [
        ("AWS_ACCESS_KEY_ID", "AK\nIA"),
        ("AWS_SESSION_TOKEN", "hunter2-session-token-0123456789\n"),
    ];
    let both: Vec<(&str, &str)> = chain.into_iter().chain(broken).collect();
    let endpoint = [(
        "AWS_ENDPOINT_URL",
        "http://me:hunter2-of-the-proxy@127.0.0.1:1",
    )];
    let address: Vec<(&str, &str)> = chain.into_iter().chain(endpoint).collect();
    let (submit, processor) = (
        env!("CARGO_BIN_EXE_submit"),
        env!("CARGO_BIN_EXE_processor"),
    );
    for different in [&[][..], &chain, &both, &address] {
        for (program, args) in [
            (processor, &["config"][..]),
            (processor, &["config", "--json"]),
            (processor, &["run", manifest, "-o", "photos.zip"]),
            (
                processor,
                &["run", manifest, "-o", "s3://nowhere/photos.zip"],
            ),
            (processor, &["verify", "photos.zip"]),
            (processor, &[]),
            (submit, &["status", "smith"]),
            (submit, &["status", "smith", "--json"]),
            (submit, &["list"]),
            (submit, &["deliver", "smith"]),
            (submit, &["retry", "smith"]),
            (submit, &["retry", "--dead-letters"]),
            (submit, &["cancel", "smith"]),
            (submit, &[manifest, "--dry-run"]),
            (submit, &[manifest, "--force"]),
            // Addresses where none is meant, and with what should not be in them.
            (
                processor,
                &[
                    "run",
                    manifest,
                    "-o",
                    "https://a.example/b.zip?sig=hunter2-token-of-a-photo",
                ],
            ),
            (
                processor,
                &[
                    "plan",
                    "https://a.example/m.json?token=hunter2-token-of-a-photo",
                ],
            ),
            (
                processor,
                &[
                    "run",
                    "--from",
                    "gs://me:hunter2-of-the-proxy@bucket/x/",
                    "-o",
                    "a.zip",
                ],
            ),
        ] {
            let mut command = scene.command(program, args);
            let output = command.envs(different.iter().copied()).output().unwrap();
            assert_ne!(output.status.code(), Some(101), "{args:?}: {output:?}");
            searched.output(&args.join(" "), &output);
        }
    }
    scene.bucket(&mut searched).await;
    searched.check();
}
