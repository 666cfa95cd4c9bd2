//! The program as a user sees it: what it prints, its exit code, and what it leaves behind.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use wedding_photo_processor::exit_code::ExitCode;

use crate::support::Running;
use crate::support::origin::{Fault, Origin, Photo, noise};

/// Settings with which the program talks to the tests' origin.
const LOCAL: [(&str, &str); 5] = [
    ("WPP_SOURCE__ALLOW_HTTP", "true"),
    ("WPP_SOURCE__ALLOW_PRIVATE", "true"),
    ("WPP_SOURCE__ALLOWED_HOSTS", "127.0.0.1"),
    ("WPP_SOURCE__ATTEMPTS", "3"),
    ("WPP_SOURCE__RETRY_DELAY", "10ms"),
];

/// The program in `folder`, with a clean environment.
fn processor(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_processor"));
    command
        .args(args)
        .current_dir(folder)
        .env_clear()
        .envs(LOCAL)
        .stdin(Stdio::null());
    command
}

/// The conversation as a person would see it.
fn conversation(folder: &Path, output: &Output) -> String {
    let text = format!(
        "exit code: {}\n--- stdout\n{}--- stderr\n{}",
        code(output),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    text.replace(folder.to_str().unwrap(), "[folder]")
}

/// Compares with a snapshot, without what differs from run to run: ports, times, rates, memory,
/// and which photos were slowest.
macro_rules! assert_conversation {
    ($($snapshot:expr),+) => {
        insta::with_settings!({filters => vec![
            (r"127\.0\.0\.1:\d+", "127.0.0.1:[port]"),
            (r" in [\d.]+ s ", " in [n] s "),
            (r"[\d.]+ MB/s", "[n] MB/s"),
            (r"probing [\d.]+ s", "probing [n] s"),
            (r"peak memory [\d.]+ MB", "peak memory [n] MB"),
            (r"(?m)^ +[\d.]+ s  .*\n", ""),
        ]}, { insta::assert_snapshot!($($snapshot),+) })
    };
}

fn run(folder: &Path, args: &[&str]) -> (String, Output) {
    let output = processor(folder, args).output().unwrap();
    (conversation(folder, &output), output)
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

/// A folder with a manifest of two good photos and a missing one.
async fn event() -> (Origin, tempfile::TempDir) {
    let origin = Origin::start().await;
    for index in 0..2 {
        origin.add(
            &format!("/{index}.jpg"),
            Photo::new(noise(1_000_000, index)),
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let manifest = json!({
        "event_id": "smith-jones-2026",
        "archive_name": "Smith & Jones.zip",
        "photos": [origin.url("/0.jpg"), origin.url("/gone.jpg?token=secret"), origin.url("/1.jpg")],
    });
    fs::write(folder.path().join("manifest.json"), manifest.to_string()).unwrap();
    (origin, folder)
}

#[test]
fn a_container_of_batch_takes_no_command() {
    let folder = tempfile::tempdir().unwrap();
    let in_batch = |args: &[&str]| {
        let mut command = processor(folder.path(), args);
        let output = command.env("AWS_BATCH_JOB_ID", "7").output().unwrap();
        assert_eq!(code(&output), ExitCode::Usage as i32, "{args:?}");
        output
    };
    in_batch(&["plan", "--from", "gs://any/"]);
    in_batch(&["verify", "a.zip"]);
    in_batch(&["config"]);
    let run = in_batch(&["run", "--from", "gs://any/", "-o", "s3://elsewhere/a.zip"]);
    assert_conversation!(conversation(folder.path(), &run));
}

#[test]
fn help_is_help() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["", "run", "plan", "verify", "demo", "config"] {
        let args: Vec<&str> = [command, "--help"]
            .into_iter()
            .filter(|arg| !arg.is_empty())
            .collect();
        let (_, output) = run(folder.path(), &args);
        assert_eq!(code(&output), 0);
        let name = if command.is_empty() {
            "help".to_owned()
        } else {
            format!("help_{command}")
        };
        insta::assert_snapshot!(name, String::from_utf8_lossy(&output.stdout));
    }
    let (_, output) = run(folder.path(), &[]);
    assert_eq!(code(&output), 2);
}

#[test]
fn every_exit_code_is_in_the_help_and_in_the_readme() {
    let folder = tempfile::tempdir().unwrap();
    let (_, output) = run(folder.path(), &["--help"]);
    let help = String::from_utf8_lossy(&output.stdout);
    let codes = help.split("Exit codes:").nth(1).unwrap();
    let readme = include_str!("../../README.md");
    let table: Vec<&str> = readme
        .lines()
        .filter(|line| line.starts_with("| "))
        .collect();
    for (code, meaning, retried) in ExitCode::TABLE {
        let code = (code as u8).to_string();
        let is_it = |text: &str| text.split(|c: char| !c.is_ascii_digit()).any(|n| n == code);
        assert!(is_it(codes), "{code} ({meaning}) is not in the help");
        let row = table
            .iter()
            .find(|row| is_it(row.split('|').nth(1).unwrap()));
        let row = row.unwrap_or_else(|| panic!("{code} ({meaning}) is not in the README"));
        assert_eq!(row.ends_with("| yes |"), retried, "{row}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn run_makes_the_archive_and_says_what_is_missing() {
    let (_origin, folder) = event().await;
    let (text, _) = run(folder.path(), &["run", "manifest.json", "-o", "out.zip"]);
    assert_conversation!(text);
    assert!(!text.contains("secret"));
    let (text, _) = run(
        folder.path(),
        &["verify", "out.zip", "--manifest", "manifest.json"],
    );
    assert_conversation!("verify_with_manifest", text);
}

#[tokio::test(flavor = "multi_thread")]
async fn run_names_the_archive_in_a_folder_and_prints_json() {
    let (_origin, folder) = event().await;
    let (_, output) = run(
        folder.path(),
        &["run", "manifest.json", "-o", ".", "--json"],
    );
    assert_eq!(code(&output), 0);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["archives"][0]["location"], "./Smith & Jones.zip");
    assert_eq!(report["photos"], 2);
    assert_eq!(report["missing"][0]["reason"], "not_found");
    assert!(report["peak_memory_bytes"].as_u64().is_some());
    assert!(folder.path().join("Smith & Jones.zip").is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn run_reads_a_list_of_urls_from_stdin() {
    let (origin, folder) = event().await;
    let mut child = processor(folder.path(), &["run", "-", "-o", "out.zip"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let list = format!("# photos\n{}\n", origin.url("/0.jpg"));
    child
        .stdin
        .take()
        .unwrap()
        .write_all(list.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 0);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "out.zip\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_null_measures_only() {
    let (_origin, folder) = event().await;
    let (_, output) = run(folder.path(), &["run", "manifest.json", "-o", "/dev/null"]);
    assert_eq!(code(&output), 0);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_shows_what_run_would_make() {
    let (_origin, folder) = event().await;
    let (text, _) = run(folder.path(), &["plan", "manifest.json"]);
    assert_conversation!(text);
    let (_, output) = run(folder.path(), &["plan", "manifest.json", "--json"]);
    fs::write(folder.path().join("plan.json"), &output.stdout).unwrap();
    run(folder.path(), &["run", "manifest.json", "-o", "out.zip"]);
    let (text, _) = run(folder.path(), &["verify", "out.zip", "--plan", "plan.json"]);
    assert_conversation!("verify_with_plan", text);
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_lists_what_is_wrong() {
    let (_origin, folder) = event().await;
    run(folder.path(), &["run", "manifest.json", "-o", "out.zip"]);
    let path = folder.path().join("out.zip");
    let (text, output) = run(folder.path(), &["verify", "out.zip"]);
    assert_eq!(code(&output), 0, "{text}");
    let mut bytes = fs::read(&path).unwrap();
    bytes[500_000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (text, _) = run(folder.path(), &["verify", "out.zip"]);
    assert_conversation!(text);
    let (_, output) = run(folder.path(), &["verify", "out.zip", "--json"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["ok"], false);
}

#[test]
fn the_demo_makes_a_zip() {
    let folder = tempfile::tempdir().unwrap();
    let (text, output) = run(folder.path(), &["demo"]);
    assert_eq!(code(&output), 0, "{text}");
    let (text, output) = run(folder.path(), &["verify", "wedding-demo.zip"]);
    assert_eq!(code(&output), 0, "{text}");
    assert!(text.contains("ok, 40 entries"), "{text}");
}

#[test]
fn config_shows_where_each_setting_came_from() {
    let folder = tempfile::tempdir().unwrap();
    let file =
        "[engine]\nmax_connections = 8\nspool_dir = \"/var/tmp\"\nmemory_budget = \"256MiB\"\n";
    fs::write(folder.path().join("wedding-photo-processor.toml"), file).unwrap();
    let (text, _) = run(
        folder.path(),
        &["config", "--log-format", "json", "--log-level", "warn"],
    );
    assert_conversation!(text);
    // Whoever is surprised by a setting learns of the file; who named it, knows.
    let (text, _) = run(folder.path(), &["config"]);
    assert!(
        text.contains("settings are also read from `wedding-photo-processor.toml` in this folder"),
        "{text}"
    );
    let (text, _) = run(
        folder.path(),
        &["config", "--config", "wedding-photo-processor.toml"],
    );
    assert!(!text.contains("also read"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_the_place_and_the_remedy() {
    let (origin, folder) = event().await;
    let path = folder.path();
    fs::write(
        path.join("bad.json"),
        r#"{"event_id": "e", "photos": ["https://evil.example/a.jpg"], "photo": 1}"#,
    )
    .unwrap();
    fs::write(
        path.join("all-missing.txt"),
        origin.url("/gone.jpg?token=secret"),
    )
    .unwrap();
    fs::write(
        path.join("unreachable.txt"),
        "http://127.0.0.1:1/a.jpg?token=secret",
    )
    .unwrap();
    fs::write(
        path.join("huge.json"),
        json!({"event_id": "e", "photos": [
        {"url": origin.url("/0.jpg"), "size": 3_000_000_000_000_u64}]})
        .to_string(),
    )
    .unwrap();
    let fail = json!({"event_id": "e", "on_missing": "fail",
                      "photos": [origin.url("/0.jpg"), origin.url("/gone.jpg")]});
    fs::write(path.join("fail.json"), fail.to_string()).unwrap();
    let cases: [&[&str]; 13] = [
        &["run", "nowhere.json", "-o", "out.zip"],
        &["run", "bad.json", "-o", "out.zip"],
        &["run", "all-missing.txt", "-o", "out.zip"],
        &["run", "fail.json", "-o", "out.zip"],
        &["run", "unreachable.txt", "-o", "out.zip"],
        &["run", "huge.json", "-o", "out.zip"],
        &["run", "manifest.json", "-o", "-"],
        &["run", "manifest.json", "-o", "no/such/folder/out.zip"],
        &["run", "manifest.json", "-o", "gs://bucket/out.zip"],
        &[
            "run",
            "manifest.json",
            "-o",
            "out.zip",
            "--memory-budget",
            "some",
        ],
        &[
            "run",
            "manifest.json",
            "-o",
            "out.zip",
            "--config",
            "nowhere.toml",
        ],
        &[
            "run",
            "manifest.json",
            "-o",
            "out.zip",
            "--memory-budget",
            "1MiB",
        ],
        &["verify", "manifest.json"],
    ];
    let mut texts = Vec::new();
    for args in cases {
        let (text, _) = run(path, args);
        assert!(!text.contains("secret"), "{text}");
        texts.push(format!("$ processor {}\n{text}", args.join(" ")));
    }
    assert_conversation!(texts.join("\n"));
    let left: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("out.zip"))
        .collect();
    assert_eq!(left, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_end_it_soon_and_leave_nothing() {
    let origin = Origin::start().await;
    origin.add(
        "/a.jpg",
        Photo::new(noise(3_000_000, 1)).always(Fault::StallAfter(1_000_000)),
    );
    for (which, expected) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list.txt");
        fs::write(&list, origin.url("/a.jpg")).unwrap();
        let mut program = Running::start(
            processor(folder.path(), &["run", "list.txt", "-o", "out.zip"]).stderr(Stdio::piped()),
        );
        let started = Instant::now();
        while !folder.path().join("out.zip.partial").exists() {
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "it never began"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        program.signal(which);
        let asked = Instant::now();
        let output = program.output();
        assert_eq!(code(&output), expected);
        assert!(asked.elapsed() < Duration::from_secs(5));
        fs::remove_file(&list).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("error: interrupted"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_shows_how_far_it_is() {
    let origin = Origin::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut list = String::new();
    for index in 0..4 {
        let mut photo = Photo::new(noise(2_000_000, index));
        photo.rate = Some(1_000_000);
        origin.add(&format!("/{index}.jpg"), photo);
        list.push_str(&format!("{}\n", origin.url(&format!("/{index}.jpg"))));
    }
    fs::write(folder.path().join("list.txt"), list).unwrap();
    // util-linux's `script` gives it a terminal.
    let command = format!(
        "stty cols 100; {} run list.txt -o out.zip",
        env!("CARGO_BIN_EXE_processor")
    );
    let output = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .current_dir(folder.path())
        .envs(LOCAL)
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    let frames: Vec<&str> = shown
        .split('\r')
        .filter(|line| line.contains(" left"))
        .collect();
    let underway = |frame: &&str| frame.contains("0/4 photos") && !frame.contains(" 0 B/");
    assert!(frames.iter().any(underway), "{shown}");
    assert!(shown.contains("4 photos in 1 archive"), "{shown}");
}

#[test]
fn signals_end_it_while_it_waits_for_a_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Running::start(
        processor(folder.path(), &["run", "-", "-o", "out.zip"])
            .stdin(Stdio::piped())
            .stderr(Stdio::null()),
    );
    let started = Instant::now();
    while !program.catches_sigterm() {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "it never began"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    program.signal(Signal::TERM);
    // Kept open: waiting would close it, and then there would be an (empty) manifest.
    let stdin = program.child().stdin.take();
    assert_eq!(code(&program.output()), 143);
    drop(stdin);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_logs_are_json_and_keep_secrets() {
    let (_origin, folder) = event().await;
    let args = [
        "run",
        "manifest.json",
        "-o",
        "out.zip",
        "--json",
        "--log-format",
        "json",
        "--log-level",
        "trace",
    ];
    let (_, output) = run(folder.path(), &args);
    assert_eq!(code(&output), 0);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.is_empty());
    for line in stderr.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|_| panic!("{line}"));
    }
    assert!(!stderr.contains("secret"), "{stderr}");
}
