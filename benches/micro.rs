//! Micro-benchmarks of what this project does itself: names, plans, and assembly.
//!
//! `cargo bench` compares with the last time it ran on this machine and says what became slower.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use wedding_photo_processor::engine::{self, EngineOptions, Progress};
use wedding_photo_processor::manifest::{Defaults, Described, Manifest, OnMissing, SourceRules};
use wedding_photo_processor::plan::{Fate, Plan};
use wedding_photo_processor::retry::RetryPolicy;
use wedding_photo_processor::sink::discard::DiscardSink;
use wedding_photo_processor::source::memory::MemorySource;

/// Bytes of the photos in memory at once.
const MEMORY_BUDGET: u64 = 64 * 1024 * 1024;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .measurement_time(Duration::from_secs(5))
        .configure_from_args();
    manifests(&mut criterion);
    plans(&mut criterion);
    assembly(&mut criterion);
    criterion.final_summary();
}

/// One URL a line. `name` gives the last segment of each.
fn manifest_text(photos: usize, name: impl Fn(usize) -> String) -> String {
    (0..photos)
        .map(|index| format!("https://photos.example/{index}/{}\n", name(index)))
        .collect()
}

fn parse(text: &str) -> Manifest {
    let defaults = Defaults {
        event_id: Some("bench".to_owned()),
        ..Defaults::default()
    };
    Manifest::parse(text.as_bytes(), &defaults, &SourceRules::anything()).expect("a good manifest")
}

/// Makes the name of the photo with this index.
type Name = fn(usize) -> String;

fn manifests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("names of 20,000 photos");
    // Phones that all count from one, and names that need care.
    let kinds: [(&str, Name); 3] = [
        ("distinct", |index| format!("IMG_{index:05}.jpg")),
        ("all the same", |_| "image.jpg".to_owned()),
        ("not ASCII", |index| {
            format!("Ho%CC%88chzeit%20{}%3F.jpg", index / 3)
        }),
    ];
    for (kind, name) in kinds {
        let manifest = parse(&manifest_text(20_000, name));
        group.bench_function(kind, |bencher| {
            bencher.iter(|| black_box(&manifest).entry_names(|_| None));
        });
    }
    group.finish();
    let text = manifest_text(20_000, |index| format!("IMG_{index:05}.jpg"));
    criterion.bench_function("parse a manifest of 20,000 photos", |bencher| {
        bencher.iter(|| parse(black_box(&text)));
    });
}

fn plans(criterion: &mut Criterion) {
    let manifest = parse(&manifest_text(20_000, |index| {
        format!("IMG_{index:05}.jpg")
    }));
    let fates = vec![
        Fate::Present {
            size: 4_000_000,
            modified: None,
            described: Described::default(),
        };
        manifest.photos.len()
    ];
    criterion.bench_function("plan 20,000 photos", |bencher| {
        bencher.iter(|| Plan::new(black_box(&manifest), black_box(&fates)).expect("a plan"));
    });
    let plan = Plan::new(&manifest, &fates).expect("a plan");
    criterion.bench_function("cut 20,000 photos into parts", |bencher| {
        bencher.iter(|| {
            let volumes = plan.volumes.iter();
            volumes.map(|volume| volume.parts().count()).sum::<usize>()
        });
    });
}

/// A whole run from memory to nowhere: probing, planning, copying, checksums, headers, directory.
fn assembly(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let options = EngineOptions {
        memory_budget: MEMORY_BUDGET,
        max_connections: 64,
        spool_dir: std::env::temp_dir(),
        spool_limit: 0,
        retry: RetryPolicy {
            attempts: 1,
            delay: Duration::ZERO,
        },
        stall_timeout: Duration::from_secs(10),
        max_unreachable: 0.5,
        on_unreachable: OnMissing::Skip,
        max_photo_bytes: u64::MAX,
        max_bytes: u64::MAX,
        refusal_patience: Duration::from_millis(500),
    };
    let mut group = criterion.benchmark_group("assemble");
    for (kind, photos, bytes) in [
        ("50 photos of 8 MB", 50, 8_000_000),
        ("20,000 photos of 20 KB", 20_000, 20_000),
        ("1 video of 400 MB", 1, 400_000_000),
    ] {
        let manifest = Arc::new(parse(&manifest_text(photos, |_| "photo.jpg".to_owned())));
        let source = Arc::new(MemorySource::default());
        let content = bytes::Bytes::from(vec![0x5a; bytes]);
        for index in 0..photos {
            source.insert(format!("/{index}/photo.jpg"), content.clone());
        }
        group.throughput(Throughput::Bytes((photos * bytes) as u64));
        group.bench_function(kind, |bencher| {
            bencher.iter(|| {
                let progress = Arc::new(Progress::default());
                let cancel = CancellationToken::new();
                let (manifest, source) = (Arc::clone(&manifest), Arc::clone(&source));
                let run = engine::run(manifest, source, &DiscardSink, &options, progress, &cancel);
                runtime.block_on(run).expect("archives")
            });
        });
    }
    group.finish();
}
