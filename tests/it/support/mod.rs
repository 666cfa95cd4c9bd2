//! What the tests share.

pub(crate) mod cloud;
pub(crate) mod google;
pub(crate) mod hour;
pub(crate) mod jobs;
pub(crate) mod mail;
pub(crate) mod metadata;
pub(crate) mod origin;
pub(crate) mod r2;
pub(crate) mod raw;
pub(crate) mod secrets;
pub(crate) mod stores;

use std::io::{Cursor, Write as _};
use std::process::{Child, Command, Output};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use tokio_util::sync::CancellationToken;
use wedding_photo_processor::engine::{self, EngineError, EngineOptions, Progress, Report};
use wedding_photo_processor::manifest::{Defaults, Manifest, OnMissing, SourceRules};
use wedding_photo_processor::retry::RetryPolicy;
use wedding_photo_processor::sink::memory::MemorySink;
use wedding_photo_processor::source::http::{HttpOptions, HttpSource, ProxyOptions};
use zip::write::FullFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// One binary megabyte.
pub(crate) const MIB: u64 = 1024 * 1024;

/// Options that fail fast.
pub(crate) fn options() -> EngineOptions {
    EngineOptions {
        memory_budget: 64 * MIB,
        max_connections: 16,
        spool_dir: std::env::temp_dir(),
        spool_limit: 64 * MIB,
        retry: RetryPolicy {
            attempts: 4,
            delay: Duration::from_millis(10),
        },
        // Long enough that a busy machine is not taken for a stall.
        stall_timeout: Duration::from_secs(2),
        max_unreachable: 0.5,
        on_unreachable: OnMissing::Skip,
        max_photo_bytes: u64::MAX,
        max_bytes: u64::MAX,
        refusal_patience: Duration::from_millis(500),
    }
}

/// A client that may talk to loopback.
pub(crate) fn http_options() -> HttpOptions {
    HttpOptions {
        hosts: SourceRules::anything(),
        allow_private: true,
        max_redirects: 3,
        connect_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(5),
        proxies: ProxyOptions::default(),
    }
}

/// A manifest from JSON.
pub(crate) fn manifest(json: &serde_json::Value) -> Manifest {
    Manifest::parse(
        json.to_string().as_bytes(),
        &Defaults::default(),
        &SourceRules::anything(),
    )
    .unwrap()
}

/// A manifest of these photos, each a URL or an object.
pub(crate) fn manifest_of(photos: &[serde_json::Value]) -> Manifest {
    manifest(&serde_json::json!({"event_id": "event", "photos": photos}))
}

/// Runs a manifest into memory.
pub(crate) async fn run(manifest: Manifest) -> (Result<Report, EngineError>, MemorySink) {
    run_with(manifest, &options(), &http_options()).await
}

/// Runs a manifest into memory, in a certain way.
pub(crate) async fn run_with(
    manifest: Manifest,
    options: &EngineOptions,
    http: &HttpOptions,
) -> (Result<Report, EngineError>, MemorySink) {
    let sink = MemorySink::default();
    let source = Arc::new(HttpSource::new(http.clone()).unwrap());
    let report = engine::run(
        Arc::new(manifest),
        source,
        &sink,
        options,
        Arc::new(Progress::default()),
        &CancellationToken::new(),
    )
    .await;
    (report, sink)
}

/// The archive that the `zip` crate writes when it is simply given one photo after the other.
pub(crate) fn sequential(members: &[(String, Bytes)]) -> Bytes {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        let options = FullFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .unix_permissions(0o644)
            .last_modified_time(DateTime::DEFAULT);
        writer.start_file(name.as_str(), options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner().into()
}

/// The members of an archive.
pub(crate) fn members(archive: &Bytes) -> Vec<(String, Bytes)> {
    let mut archive = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
    (0..archive.len())
        .map(|index| {
            let mut file = archive.by_index(index).unwrap();
            let mut bytes = Vec::new();
            std::io::copy(&mut file, &mut bytes).unwrap();
            (file.name().unwrap().into_owned(), bytes.into())
        })
        .collect()
}

/// The names of an archive's members.
pub(crate) fn names(archive: &Bytes) -> Vec<String> {
    members(archive).into_iter().map(|(name, _)| name).collect()
}

/// The text of the member of this name.
pub(crate) fn text_of(archive: &Bytes, name: &str) -> String {
    members(archive)
        .into_iter()
        .find(|(member, _)| member == name)
        .map(|(_, bytes)| String::from_utf8(bytes.to_vec()).unwrap())
        .unwrap()
}

/// A program that a test started, and that ends with the test whatever happens: one that were left
/// behind would hold up whoever reads the tests' output.
pub(crate) struct Running(Option<Child>);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(Some(command.spawn().unwrap()))
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        self.0.as_mut().unwrap()
    }

    /// Whether it has its handler in place: `SigCgt` of proc(5).
    pub(crate) fn catches_sigterm(&mut self) -> bool {
        let path = format!("/proc/{}/status", self.child().id());
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .is_some_and(|mask| mask & (1 << (Signal::TERM.as_raw() - 1)) != 0)
    }

    /// Sends a signal.
    pub(crate) fn signal(&mut self, signal: Signal) {
        let pid = i32::try_from(self.child().id())
            .ok()
            .and_then(Pid::from_raw);
        kill_process(pid.unwrap(), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn output(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
