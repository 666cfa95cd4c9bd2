//! Names, addresses, folders and times as people and servers have them.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use wedding_photo_processor::engine::{self, Progress, Report};
use wedding_photo_processor::manifest::{Described, Photo};
use wedding_photo_processor::sink::memory::MemorySink;
use wedding_photo_processor::source::memory::{MemoryBody, MemorySource};
use wedding_photo_processor::source::{
    Opened, Page, PhotoSource, Probe, SourceError, Validators, Want,
};

use crate::support::origin::{Origin, Photo as Served, noise};
use crate::support::{manifest, manifest_of, names, options, run};

/// Photos in memory, of which their server says more.
#[derive(Default)]
struct Describing {
    photos: MemorySource,
    /// What it says in answer to probes.
    probed: Described,
    /// What it says in answer to downloads; with `no_length`, that is the first that one hears.
    opened: Described,
    no_length: bool,
}

impl PhotoSource for Describing {
    type Body = MemoryBody;

    async fn probe(&self, photo: &Photo, thorough: bool) -> Result<Probe, SourceError> {
        let probe = self.photos.probe(photo, thorough).await?;
        Ok(Probe {
            length: probe.length.filter(|_| !self.no_length),
            described: self.probed.clone(),
            ..probe
        })
    }

    async fn list(&self, folder: &Photo, after: Option<&str>) -> Result<Page, SourceError> {
        self.photos.list(folder, after).await
    }

    async fn open(
        &self,
        photo: &Photo,
        want: Want,
        version: &Validators,
    ) -> Result<Opened<MemoryBody>, SourceError> {
        let mut opened = self.photos.open(photo, want, version).await?;
        opened.described = self.opened.clone();
        Ok(opened)
    }
}

async fn run_from(source: Describing, asked: &Value) -> (Report, Bytes) {
    let sink = MemorySink::default();
    let report = engine::run(
        Arc::new(manifest(asked)),
        Arc::new(source),
        &sink,
        &options(),
        Arc::new(Progress::default()),
        &CancellationToken::new(),
    )
    .await
    .unwrap();
    (report, sink.archive("event.zip").unwrap())
}

fn said(content_type: &str, file_name: Option<&str>) -> Described {
    Described {
        content_type: Some(content_type.to_owned()),
        file_name: file_name.map(str::to_owned),
    }
}

#[tokio::test]
async fn photos_are_called_as_their_servers_describe_them() {
    for no_length in [false, true] {
        let source = Describing {
            probed: said("image/jpeg", None),
            opened: said("image/jpeg", Some("IMG_0042.JPG")),
            no_length,
            ..Describing::default()
        };
        for path in ["/3f2a9c1e", "/first dance", "/a.png", "/gone/download"] {
            source.photos.insert(path, noise(1000, 1));
        }
        let urls = ["3f2a9c1e", "first%20dance", "a.png", "gone/download"];
        let urls = urls.map(|path| format!("https://h.example/{path}"));
        // Memory has paths as they are encoded.
        source.photos.insert("/first%20dance", noise(1000, 1));
        let (_, archive) = run_from(source, &json!({"event_id": "event", "photos": urls})).await;
        let expected = if no_length {
            [
                "IMG_0042.JPG",
                "first dance.jpg",
                "a.png",
                "IMG_0042 (2).JPG",
            ]
        } else {
            ["3f2a9c1e.jpg", "first dance.jpg", "a.png", "download.jpg"]
        };
        assert_eq!(names(&archive), expected, "without a length: {no_length}");
    }
}

#[tokio::test]
async fn what_systems_leave_in_folders_is_ignored_and_counted() {
    let folder = || {
        let source = Describing::default();
        for key in [
            ".DS_Store",
            "._IMG_1.jpg",
            "IMG_1.jpg",
            "Thumbs.db",
            "__MACOSX/IMG_1.jpg",
            "a/IMG_2.jpg",
            "a/thumb_IMG_2.jpg",
            "desktop.ini",
            "notes.txt",
        ] {
            source
                .photos
                .insert(format!("/photos/e/{key}"), noise(10, 1));
        }
        source
    };
    let all = json!({"event_id": "event", "photos": ["gs://photos/e/"]});
    let (report, archive) = run_from(folder(), &all).await;
    let kept = ["IMG_1.jpg", "a/IMG_2.jpg", "a/thumb_IMG_2.jpg", "notes.txt"];
    assert_eq!(names(&archive), kept);
    assert_eq!(report.ignored, 5);
    let some = json!({"event_id": "event", "photos": [{
        "url": "gs://photos/e/", "name": "Day 1",
        "include": ["**/*.JPG"], "exclude": ["**/thumb_*"],
    }]});
    let (report, archive) = run_from(folder(), &some).await;
    assert_eq!(names(&archive), ["Day 1/IMG_1.jpg", "Day 1/a/IMG_2.jpg"]);
    assert_eq!(report.ignored, 7);
    let none = json!({"event_id": "event", "photos": [
        {"url": "gs://photos/e/", "include": ["*.png"]},
        "gs://photos/e/IMG_1.jpg",
    ]});
    let (report, archive) = run_from(folder(), &none).await;
    assert_eq!(names(&archive), ["IMG_1.jpg", "MISSING.txt"]);
    assert_eq!((report.missing.len(), report.ignored), (1, 9));
}

#[tokio::test]
async fn times_are_shown_in_the_zone_of_the_manifest() {
    let source = Describing::default();
    source.photos.insert("/a.jpg", noise(10, 1));
    let asked = json!({"event_id": "event", "time_zone": "America/New_York", "photos": [
        {"url": "https://h.example/a.jpg", "modified": "2026-06-20T02:04:06Z"},
    ]});
    let (_, archive) = run_from(source, &asked).await;
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(&archive)).unwrap();
    let photo = archive.by_index(0).unwrap();
    let shown = photo.last_modified().unwrap().to_string();
    assert_eq!(shown, "2026-06-19 22:04:06");
    let exact = photo.extra_data_fields().find_map(|field| match field {
        zip::ExtraField::ExtendedTimestamp(times) => times.mod_time(),
        _ => None,
    });
    assert_eq!(exact, Some(1_781_921_046));
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_are_asked_for_as_they_are_given() {
    let origin = Origin::start().await;
    let paths = [
        "/a/./b.jpg",
        "/a/../c.jpg",
        "/it's//d.jpg",
        "/%2e%2e/e%7E.jpg",
    ];
    let photos = paths.map(|path| {
        origin.add(path, Served::new(noise(100, 1)));
        json!(origin.url(path))
    });
    let (report, sink) = run(manifest_of(&photos)).await;
    assert_eq!(report.unwrap().missing, []);
    assert_eq!(
        names(&sink.archive("event.zip").unwrap()),
        ["b.jpg", "c.jpg", "d.jpg", "e~.jpg"]
    );
}
