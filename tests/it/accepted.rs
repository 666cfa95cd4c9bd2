//! Archives open in the tools that guests have: Info-ZIP, 7-Zip, libarchive from a pipe (which
//! phones and Macs use), Python, and Java's streaming reader.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use wedding_photo_processor::engine::{self, Progress};
use wedding_photo_processor::manifest::Manifest;
use wedding_photo_processor::sink::file::FileSink;
use wedding_photo_processor::source::PhotoSource;
use wedding_photo_processor::source::http::HttpSource;
use wedding_photo_processor::source::memory::MemorySource;

use crate::support::origin::{Origin, Photo, noise};
use crate::support::{MIB, http_options, manifest_of, options};

/// Reads an archive as a stream, as Android and many servers do, and counts entries and bytes.
const JAVA_READER: &str = r#"
import java.io.*;
import java.util.zip.*;

public class Reader {
    public static void main(String[] args) throws Exception {
        long entries = 0, bytes = 0;
        byte[] buffer = new byte[1 << 16];
        try (ZipInputStream zip = new ZipInputStream(new BufferedInputStream(new FileInputStream(args[0]), 1 << 16))) {
            while (zip.getNextEntry() != null) {
                entries++;
                for (int n; (n = zip.read(buffer)) > 0; ) bytes += n;
            }
        }
        System.out.println(entries + " " + bytes);
    }
}
"#;

const PYTHON_READER: &str = "
import sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
bad = z.testzip()
assert bad is None, bad
print(len(z.infolist()), sum(i.file_size for i in z.infolist()))
";

fn output(program: &str, args: &[&str]) -> String {
    let done = Command::new(program)
        .args(args)
        // bsdtar shows names in the locale's characters, and fails where it cannot.
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap_or_else(|error| {
            panic!("`{program}` cannot be run ({error}); `ci/test` installs it")
        });
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    assert!(done.status.success(), "{program} {args:?}: {text}");
    text
}

/// Every reader takes the archive, and those that count find so much in it.
fn all_readers_accept(archive: &Path, entries: usize, bytes: u64) {
    let folder = archive.parent().unwrap();
    let archive = archive.to_str().unwrap();
    let counted = format!("{entries} {bytes}");
    output("unzip", &["-tqq", archive]);
    let seven = output("7z", &["t", "-bd", archive]);
    assert!(seven.contains("Everything is Ok"), "{seven}");
    assert!(!seven.contains("WARNING"), "{seven}");
    let listed = output(
        "sh",
        &["-c", "cat \"$1\" | bsdtar -tf - | wc -l", "-", archive],
    );
    assert_eq!(listed.trim(), entries.to_string());
    assert_eq!(
        output("python3", &["-c", PYTHON_READER, archive]).trim(),
        counted
    );
    let reader = folder.join("Reader.java");
    std::fs::write(&reader, JAVA_READER).unwrap();
    let java = output(
        "java",
        &["-XX:TieredStopAtLevel=1", reader.to_str().unwrap(), archive],
    );
    assert_eq!(java.lines().last().unwrap_or_default(), counted);
}

async fn make<S: PhotoSource>(manifest: Manifest, source: S, folder: &Path) {
    engine::run(
        Arc::new(manifest),
        Arc::new(source),
        &FileSink::Folder(folder.to_owned()),
        &options(),
        Arc::new(Progress::default()),
        &CancellationToken::new(),
    )
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_all_sorts() {
    let source = MemorySource::default();
    let sizes = [0, 1, 300_000, 9 * MIB, 20 * MIB];
    let mut photos = Vec::new();
    for (index, (size, name)) in sizes
        .into_iter()
        .zip([
            "empty.jpg",
            "Ceremony/one.jpg",
            "🎉 פארטי.jpg",
            "Album/é.mov",
            "Album/long.mov",
        ])
        .enumerate()
    {
        source.insert(format!("/{index}"), noise(size, index as u64));
        photos.push(
            json!({"url": format!("https://a.example/{index}"), "name": name,
                           "modified": "2026-06-20T15:04:05Z"}),
        );
    }
    photos.push(json!("https://a.example/missing.jpg"));
    let folder = tempfile::tempdir().unwrap();
    make(manifest_of(&photos), source, folder.path()).await;
    let note = "1 of 6 photos could not be included in this archive:\r\n\r\n\
                - missing.jpg: it no longer exists\r\n";
    let bytes = sizes.iter().sum::<u64>() + note.len() as u64;
    all_readers_accept(&folder.path().join("event.zip"), sizes.len() + 1, bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_entries_than_the_classic_format_counts() {
    for count in [65_535, 65_536] {
        let photos: Vec<_> = (0..count)
            .map(|number| json!(format!("https://a.example/a.jpg?{number}")))
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let source = MemorySource::default();
        source.insert("/a.jpg", Bytes::from_static(b"tiny"));
        make(manifest_of(&photos), source, folder.path()).await;
        all_readers_accept(&folder.path().join("event.zip"), count, 4 * count as u64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_longer_than_the_classic_format_holds() {
    let origin = Origin::start().await;
    let length = (1 << 32) + 12_345;
    origin.add("/long.mp4", Photo::pattern(length));
    origin.add("/after.jpg", Photo::new(noise(1000, 1)));
    let photos = [
        json!({"url": origin.url("/long.mp4"), "size": length}),
        json!(origin.url("/after.jpg")),
    ];
    let folder = tempfile::tempdir().unwrap();
    let source = HttpSource::new(http_options()).unwrap();
    make(manifest_of(&photos), source, folder.path()).await;
    all_readers_accept(&folder.path().join("event.zip"), 2, length + 1000);
}
