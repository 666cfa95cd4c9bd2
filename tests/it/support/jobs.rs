//! Jobs in memory: ports that containers and callers share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wedding_photo_processor::bucket::memory::MemoryBucket;
use wedding_photo_processor::clock;
use wedding_photo_processor::compute::memory::MemoryCompute;
use wedding_photo_processor::job::{JobKey, Owner, State};
use wedding_photo_processor::manifest::{Defaults, Given, HostRules, Manifest, Photo};
use wedding_photo_processor::processor::{self, DrainError, Drained, WorkOptions, Worker};
use wedding_photo_processor::queue::memory::MemoryQueue;
use wedding_photo_processor::queue::{Delivery, Queue as _};
use wedding_photo_processor::sink::memory::MemorySink;
use wedding_photo_processor::source::memory::{MemoryBody, MemorySource};
use wedding_photo_processor::source::{Opened, PhotoSource, Probe, SourceError, Want};
use wedding_photo_processor::submit::{Submitted, Submitter};

use super::options;

/// Bucket, queue, compute, archives and photos.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) bucket: Arc<MemoryBucket>,
    pub(crate) queue: MemoryQueue,
    pub(crate) compute: MemoryCompute,
    pub(crate) archives: MemorySink,
    pub(crate) photos: Arc<Gated>,
}

/// Photos in memory, which can be held back.
pub(crate) struct Gated {
    pub(crate) photos: MemorySource,
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
}

impl PhotoSource for Gated {
    type Body = MemoryBody;

    async fn probe(&self, photo: &Photo, thorough: bool) -> Result<Probe, SourceError> {
        self.photos.probe(photo, thorough).await
    }

    async fn open(&self, photo: &Photo, want: Want) -> Result<Opened<MemoryBody>, SourceError> {
        let mut gate = self.gate.subscribe();
        let now = *gate.wait_for(|gate| *gate != Gate::Closed).await.unwrap();
        if now == Gate::Broken {
            return Err(SourceError::transient("it is out of order"));
        }
        self.photos.open(photo, want).await
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
            photos: Arc::new(Gated {
                photos,
                gate: watch::Sender::new(Gate::Open),
            }),
        }
    }

    pub(crate) fn set_gate(&self, gate: Gate) {
        self.photos.gate.send_replace(gate);
    }

    pub(crate) fn submitter(
        &self,
    ) -> Submitter<MemoryBucket, MemoryQueue, MemoryCompute, MemorySink> {
        Submitter {
            bucket: Arc::clone(&self.bucket),
            bucket_name: "photos".to_owned(),
            queue: self.queue.clone(),
            compute: self.compute.clone(),
            archives: self.archives.clone(),
            max_containers: 3,
            clock: clock::system,
        }
    }

    pub(crate) async fn submit(&self, manifest: &serde_json::Value) -> Submitted {
        let (manifest, given) = parse(manifest);
        let submitter = self.submitter();
        submitter.submit(&manifest, &given, false).await.unwrap()
    }

    pub(crate) fn worker(
        &self,
        name: &str,
    ) -> Arc<Worker<MemoryBucket, MemoryQueue, MemorySink, Gated>> {
        Arc::new(Worker {
            bucket: Arc::clone(&self.bucket),
            queue: self.queue.clone(),
            archives: self.archives.clone(),
            source: Arc::clone(&self.photos),
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
                engine: options(),
                hosts: HostRules::anything(),
            },
            clock: clock::system,
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
    let hosts = HostRules::anything();
    Manifest::parse_given(text.as_bytes(), &Defaults::default(), &hosts).unwrap()
}
