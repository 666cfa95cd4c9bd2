//! Which module may import what. A grep, honest about being one, that quotes the rule it guards.

use std::fs;
use std::path::{Path, PathBuf};

/// Rust files below `src/<module>` (or the file itself), without their test modules.
fn sources(module: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src")
        .join(module);
    let mut pending = vec![root];
    let mut found = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            found.push((path, code.to_owned()));
        }
    }
    assert!(!found.is_empty(), "`src/{module}` is gone: mend this test");
    found
}

fn forbids(rule: &str, modules: &[&str], words: &[&str]) {
    for module in modules {
        for (path, code) in sources(module) {
            for word in words {
                let used = code
                    .lines()
                    .filter(|line| !line.trim_start().starts_with("//"))
                    .any(|line| line.contains(word));
                assert!(!used, "{} uses `{word}`.\nThe rule: {rule}", path.display());
            }
        }
    }
}

#[test]
fn the_core_is_pure() {
    forbids(
        "`manifest`, `plan`, `job` and `letter` do no I/O and know no port: same input, same plan, byte for byte",
        &["manifest", "plan", "job", "letter"],
        &[
            "tokio",
            "hyper",
            "std::fs",
            "std::net",
            "std::time::SystemTime",
            "std::time::Instant",
            "crate::source",
            "crate::sink",
            "crate::engine",
            "crate::settings",
            "rand::",
        ],
    );
}

#[test]
fn ports_know_core_types_only() {
    forbids(
        "ports know core types, and neither each other nor the engine",
        &["source", "sink", "bucket", "queue", "compute", "s3", "aws"],
        &[
            "crate::engine",
            "crate::settings",
            "crate::verify",
            "crate::processor",
            "crate::submit",
            "crate::cli",
        ],
    );
    forbids(
        "the engine knows nothing of queues, states and containers",
        &["engine"],
        &[
            "crate::queue",
            "crate::compute",
            "crate::job",
            "crate::processor",
        ],
    );
    forbids(
        "those who hand jobs in and those who do them meet only in `job`",
        &["submit"],
        &["crate::processor", "crate::engine"],
    );
    forbids(
        "those who hand jobs in and those who do them meet only in `job`",
        &["processor"],
        &["crate::submit", "crate::compute"],
    );
    forbids("a source knows no sink", &["source"], &["crate::sink"]);
    forbids("a sink knows no source", &["sink"], &["crate::source"]);
}

#[test]
fn http_stops_at_its_adapter() {
    forbids(
        "only `source/http` speaks HTTP to origins; the engine is generic over its ports",
        &[
            "engine",
            "sink",
            "source/mod.rs",
            "source/memory.rs",
            "verify.rs",
        ],
        &["hyper", "http::", "rustls"],
    );
    forbids(
        "the engine knows ports, not their implementations",
        &["engine"],
        &[
            "source::http",
            "source::memory",
            "sink::file",
            "sink::memory",
            "sink::discard",
        ],
    );
}

#[test]
fn the_sdk_stops_at_its_adapters() {
    forbids(
        "only `aws`, `s3` and the adapters in `source`, `sink`, `bucket`, `queue` and `compute` know the AWS SDK",
        &[
            "manifest",
            "plan",
            "engine",
            "source/mod.rs",
            "source/http",
            "source/gcs",
            "source/memory.rs",
            "source/routed.rs",
            "settings",
            "sink/mod.rs",
            "sink/file.rs",
            "sink/memory.rs",
            "bucket/mod.rs",
            "bucket/folder.rs",
            "bucket/memory.rs",
            "queue/mod.rs",
            "queue/memory.rs",
            "compute/mod.rs",
            "compute/memory.rs",
            "job",
            "processor",
            "submit",
            "cli",
            "verify.rs",
            "bin",
        ],
        &["aws_sdk", "aws_config", "aws_smithy", "aws_credential"],
    );
}

#[test]
fn only_programs_read_arguments_and_signals() {
    forbids(
        "only `src/bin` (and `cli`, its library) reads arguments and decides exit codes",
        &[
            "manifest",
            "plan",
            "engine",
            "source",
            "sink",
            "settings",
            "queue",
            "compute",
            "job",
            "processor",
            "submit",
            "verify.rs",
            "demo",
        ],
        &[
            "clap",
            "std::env::args",
            "process::exit",
            "std::process::ExitCode",
            "signal",
        ],
    );
}

#[test]
fn memory_is_bounded() {
    forbids(
        "all photo bytes are covered by a reservation; no unbounded channel",
        &["engine", "source", "sink", "processor"],
        &["unbounded"],
    );
}
