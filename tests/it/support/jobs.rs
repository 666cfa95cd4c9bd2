//! Jobs in memory: ports that containers and callers share.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wedding_photo_processor::archives::Archives;
use wedding_photo_processor::bucket::memory::MemoryBucket;
use wedding_photo_processor::bucket::{Bucket, BucketError, Condition, Object, Version};
use wedding_photo_processor::compute::memory::MemoryCompute;
use wedding_photo_processor::deliver::DeliverOptions;
use wedding_photo_processor::deliver::memory::MemoryCourier;
use wedding_photo_processor::job::{JobKey, Owner, State};
use wedding_photo_processor::manifest::{Defaults, Given, Manifest, Photo, SourceRules};
use wedding_photo_processor::processor::{self, DrainError, Drained, WorkOptions, Worker};
use wedding_photo_processor::queue::memory::MemoryQueue;
use wedding_photo_processor::queue::{Delivery, Queue as _};
use wedding_photo_processor::sink::memory::MemorySink;
use wedding_photo_processor::source::memory::{MemoryBody, MemorySource};
use wedding_photo_processor::source::{
    Opened, Page, PhotoSource, Probe, SourceError, Validators, Want,
};
use wedding_photo_processor::submit::jobs::DeadLetter;
use wedding_photo_processor::submit::{Submitted, Submitter};

use super::options;

/// A clock that goes with tokio's, so that leases run out where time is paused.
pub(crate) fn clock() -> Timestamp {
    static BEGINNING: OnceLock<std::time::Instant> = OnceLock::new();
    let now = Instant::now().into_std();
    let beginning = *BEGINNING.get_or_init(|| now);
    let elapsed = now.saturating_duration_since(beginning);
    Timestamp::from_second(1_780_000_000).unwrap() + elapsed
}

/// A bucket in memory that can be in trouble.
#[derive(Default)]
pub(crate) struct Shaky {
    bucket: MemoryBucket,
    trouble: Mutex<Trouble>,
}

/// What becomes of writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Trouble {
    #[default]
    None,
    /// They never come back.
    Hang,
    /// They fail.
    Fail,
}

impl Shaky {
    pub(crate) fn set(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap() = trouble;
    }
}

impl Bucket for Shaky {
    async fn get(&self, key: &str) -> Result<Option<Object>, BucketError> {
        self.bucket.get(key).await
    }

    async fn put(
        &self,
        key: &str,
        bytes: Bytes,
        condition: Condition,
    ) -> Result<Version, BucketError> {
        let trouble = *self.trouble.lock().unwrap();
        match trouble {
            Trouble::None => self.bucket.put(key, bytes, condition).await,
            Trouble::Hang => std::future::pending().await,
            Trouble::Fail => Err(BucketError::Io {
                key: key.to_owned(),
                source: std::io::Error::other("the bucket is out of order"),
            }),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), BucketError> {
        self.bucket.delete(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, BucketError> {
        self.bucket.list(prefix).await
    }
}

/// Bucket, queue, compute, archives and photos.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) bucket: Arc<Shaky>,
    pub(crate) queue: MemoryQueue,
    pub(crate) compute: MemoryCompute,
    pub(crate) archives: MemorySink,
    pub(crate) max_per_event: usize,
    pub(crate) photos: Arc<Gated>,
    pub(crate) courier: MemoryCourier,
    pub(crate) deliver: DeliverOptions,
}

/// Photos in memory, which can be held back.
pub(crate) struct Gated {
    pub(crate) photos: MemorySource,
    /// The path of a photo that cannot be downloaded.
    broken: Mutex<Option<&'static str>>,
    gate: watch::Sender<Gate>,
}

/// What becomes of downloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// They come through.
    Open,
    /// They wait.
    Closed,
    /// They fail in a way that may pass.
    Broken,
    /// They meet a bug.
    Buggy,
}

impl PhotoSource for Gated {
    type Body = MemoryBody;

    async fn probe(&self, photo: &Photo, thorough: bool) -> Result<Probe, SourceError> {
        self.photos.probe(photo, thorough).await
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
        let broken = *self.broken.lock().unwrap();
        if broken.is_some_and(|path| photo.url.to_string().contains(path)) {
            return Err(SourceError::transient("it is out of order"));
        }
        let mut gate = self.gate.subscribe();
        let now = *gate.wait_for(|gate| *gate != Gate::Closed).await.unwrap();
        match now {
            Gate::Broken => Err(SourceError::transient("it is out of order")),
            Gate::Buggy => panic!("a bug that the test wants"),
            Gate::Open | Gate::Closed => self.photos.open(photo, want, version).await,
        }
    }
}

impl World {
    /// A world with ten photos, `/0.jpg` to `/9.jpg`.
    pub(crate) fn new() -> Self {
        let photos = MemorySource::default();
        for index in 0..10 {
            photos.insert(
                format!("/{index}.jpg"),
                super::origin::noise(100_000, index),
            );
        }
        Self {
            bucket: Arc::default(),
            queue: MemoryQueue::new(10),
            compute: MemoryCompute::default(),
            archives: MemorySink::default(),
            max_per_event: 10,
            photos: Arc::new(Gated {
                photos,
                broken: Mutex::default(),
                gate: watch::Sender::new(Gate::Open),
            }),
            courier: MemoryCourier::default(),
            deliver: DeliverOptions::default(),
        }
    }

    pub(crate) fn set_gate(&self, gate: Gate) {
        self.photos.gate.send_replace(gate);
    }

    /// Makes all downloads of a photo fail.
    pub(crate) fn break_photo(&self, path: &'static str) {
        *self.photos.broken.lock().unwrap() = Some(path);
    }

    pub(crate) fn submitter(&self) -> Submitter<Shaky, MemoryQueue, MemoryCompute, MemorySink> {
        Submitter {
            bucket: Arc::clone(&self.bucket),
            bucket_name: "photos".to_owned(),
            queue: self.queue.clone(),
            compute: self.compute.clone(),
            archives: Archives::beside_jobs(self.archives.clone()),
            max_containers: 3,
            clock,
        }
    }

    pub(crate) async fn submit(&self, manifest: &serde_json::Value) -> Submitted {
        let (manifest, given) = parse(manifest);
        let submitter = self.submitter();
        submitter.submit(&manifest, &given, false).await.unwrap()
    }

    pub(crate) fn worker(&self, name: &str) -> Arc<Worker<Shaky, MemoryQueue, MemorySink, Gated>> {
        Arc::new(Worker {
            bucket: Arc::clone(&self.bucket),
            queue: self.queue.clone(),
            archives: Archives::beside_jobs(self.archives.clone()),
            source: Arc::clone(&self.photos),
            courier: Arc::new(self.courier.clone()),
            owner: Owner {
                id: name.to_owned(),
                batch_job_id: Some(format!("batch-{name}")),
                batch_attempt: Some(1),
                log_stream: Some(format!("job/default/{name}")),
            },
            options: WorkOptions {
                visibility_timeout: Duration::from_mins(1),
                wait: Duration::from_secs(20),
                attempts: 3,
                retry_delay: Duration::from_secs(15),
                max_per_event: self.max_per_event,
                keep_personal: Duration::from_hours(24 * 30),
                engine: options(),
                rules: SourceRules::anything(),
                deliver: self.deliver.clone(),
            },
            clock,
            metrics: |_| {},
        })
    }

    /// One container, to its end.
    pub(crate) async fn drain(&self, name: &str) -> Result<Drained, DrainError> {
        processor::drain(self.worker(name), &CancellationToken::new()).await
    }

    /// One container, in the background.
    pub(crate) fn start(
        &self,
        name: &str,
    ) -> (
        CancellationToken,
        tokio::task::JoinHandle<Result<Drained, DrainError>>,
    ) {
        let cancel = CancellationToken::new();
        let (worker, token) = (self.worker(name), cancel.clone());
        let task = tokio::spawn(async move { processor::drain(worker, &token).await });
        (cancel, task)
    }

    pub(crate) async fn state(&self, job: &JobKey) -> State {
        self.submitter().state(job).await.unwrap()
    }

    /// What `submit retry --dead-letters` does.
    pub(crate) async fn retry_dead_letters(&self) -> Vec<DeadLetter> {
        let mut letters = Vec::new();
        self.submitter()
            .retry_dead_letters(&SourceRules::anything(), |letter| letters.push(letter))
            .await
            .unwrap();
        letters
    }

    /// Everything in the dead-letter queue.
    pub(crate) async fn dead_letters(&self) -> Vec<Delivery> {
        let queue = self.queue.dead_letters().await.unwrap();
        let mut found = Vec::new();
        while let Some(delivery) = queue
            .receive(Duration::ZERO, Duration::from_mins(1))
            .await
            .unwrap()
        {
            found.push(delivery);
        }
        found
    }
}

/// A manifest of the first `count` photos.
pub(crate) fn event(event_id: &str, count: usize) -> serde_json::Value {
    let photos: Vec<String> = (0..count)
        .map(|index| format!("https://photos.example/{index}.jpg?token=s3cret"))
        .collect();
    serde_json::json!({"event_id": event_id, "photos": photos})
}

pub(crate) fn parse(manifest: &serde_json::Value) -> (Manifest, Given) {
    let text = manifest.to_string();
    let hosts = SourceRules::anything();
    Manifest::parse_given(text.as_bytes(), &Defaults::default(), &hosts).unwrap()
}
