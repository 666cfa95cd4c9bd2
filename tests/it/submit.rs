//! Handing jobs in: what is sent, what is not, and what failures leave behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use wedding_photo_processor::archives::Archives;
use wedding_photo_processor::bucket::Bucket as _;
use wedding_photo_processor::compute::memory::MemoryCompute;
use wedding_photo_processor::compute::{Active, Compute, ComputeError, ContainerJob};
use wedding_photo_processor::job::{JobKey, State, Status};
use wedding_photo_processor::manifest::SourceRules;
use wedding_photo_processor::queue::memory::MemoryQueue;
use wedding_photo_processor::queue::{Delivery, Depth, Queue, QueueError};
use wedding_photo_processor::sink::memory::MemorySink;
use wedding_photo_processor::submit::{SubmitError, Submitter};

use crate::support::jobs::{Gate, Shaky, World, clock, event, parse};

const SECOND: Duration = Duration::from_secs(1);

async fn messages(world: &World) -> usize {
    world.queue.depth().await.unwrap().total()
}

#[tokio::test(start_paused = true)]
async fn the_same_photos_are_the_same_job() {
    let world = World::new();
    let first = world.submit(&event("event", 3)).await;
    assert!(!first.joined && first.batch_job_id.is_some());
    let second = world.submit(&event("event", 3)).await;
    assert_eq!(second.job, first.job);
    assert!(second.joined && second.batch_job_id.is_none());
    assert_eq!(messages(&world).await, 1);
    let other = world.submit(&event("event", 4)).await;
    assert_ne!(other.job, first.job);

    world.drain("c1").await.unwrap();
    world.compute.end_all();
    let third = world.submit(&event("event", 3)).await;
    assert!(third.already_done, "{third:?}");
    assert_eq!(third.archives, world.state(&first.job).await.archives);
    assert_eq!(
        (messages(&world).await, world.compute.names().len()),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_or_forced_is_done_again() {
    let world = World::new();
    let job = world.submit(&event("event", 3)).await.job;
    world.drain("c1").await.unwrap();
    let first = world.state(&job).await.archives[0].clone();
    let bytes = world.archives.archive(&first.key).unwrap();

    wedding_photo_processor::sink::ArchiveStore::remove(&world.archives, &first.key)
        .await
        .unwrap();
    assert!(!world.submit(&event("event", 3)).await.already_done);
    world.drain("c2").await.unwrap();
    let second = world.state(&job).await.archives[0].clone();
    assert_eq!(world.archives.archive(&second.key).unwrap(), bytes);

    let (manifest, given) = parse(&event("event", 3));
    let submitter = world.submitter();
    let forced = submitter.submit(&manifest, &given, true).await.unwrap();
    assert_eq!(
        (forced.already_done, forced.status),
        (false, Status::Queued)
    );
    // Its message may have got lost, so that it is sent again when somebody insists.
    assert!(
        !submitter
            .submit(&manifest, &given, true)
            .await
            .unwrap()
            .joined
    );
    assert_eq!(messages(&world).await, 2);
    world.drain("c3").await.unwrap();
    let state = world.state(&job).await;
    assert_eq!((state.status, state.attempt_count), (Status::Done, 3));
    // Who has a link to the earlier archive can still use it.
    assert!(state.archives[0].key != second.key);
    assert_eq!(world.archives.names().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn every_caller_is_a_subscriber_once() {
    let world = World::new();
    let mut manifest = event("event", 1);
    world.submit(&manifest).await;
    manifest["notify"] = json!({"email": ["one@example.com"]});
    let job = world.submit(&manifest).await.job;
    world.submit(&manifest).await;
    manifest["notify"] = json!({"webhook": "https://caller.example/done?key=s3cret"});
    assert_eq!(world.submit(&manifest).await.job, job);
    let keys = world.bucket.list("jobs/event/").await.unwrap();
    let subscribers = keys.iter().filter(|key| key.contains("/subscriber-"));
    assert_eq!(subscribers.count(), 2, "{keys:?}");
    let asked = world.bucket.get(&job.manifest()).await.unwrap().unwrap();
    let asked = String::from_utf8(asked.bytes.to_vec()).unwrap();
    assert!(!asked.contains("notify"), "{asked}");
}

/// Batch, which takes its time, so that many callers have read the same before one of them writes.
struct Slow(MemoryCompute);

impl Compute for Slow {
    async fn submit(&self, name: &str) -> Result<String, ComputeError> {
        sleep(SECOND).await;
        self.0.submit(name).await
    }

    async fn active(&self, enough: usize) -> Result<Active, ComputeError> {
        sleep(SECOND).await;
        self.0.active(enough).await
    }

    async fn describe(&self, id: &str) -> Result<Option<ContainerJob>, ComputeError> {
        self.0.describe(id).await
    }
}

fn slow(world: &World) -> Submitter<Shaky, MemoryQueue, Slow, MemorySink> {
    let submitter = world.submitter();
    Submitter {
        bucket: submitter.bucket,
        bucket_name: submitter.bucket_name,
        queue: submitter.queue,
        compute: Slow(submitter.compute),
        archives: submitter.archives,
        max_containers: 100,
        clock,
    }
}

/// Guests press a button together when the link reaches their group.
#[tokio::test(start_paused = true)]
async fn of_many_callers_at_once_one_pays_for_a_container() {
    let world = World::new();
    let (manifest, given) = parse(&event("event", 1));
    let submitter = slow(&world);
    for status in [None, Some(Status::Failed)] {
        if let Some(status) = status {
            let job = JobKey::of("event", &given);
            let mut state = world.state(&job).await;
            state.end(status, "failed", clock());
            write(&world, &state).await;
            world.compute.end_all();
            while let Some(message) = world.queue.receive(SECOND, SECOND).await.unwrap() {
                world.queue.delete(&message).await.unwrap();
            }
        }
        let all = (0..500).map(|_| submitter.submit(&manifest, &given, false));
        let all = futures_util::future::try_join_all(all).await.unwrap();
        let paid = all.iter().filter(|one| one.batch_job_id.is_some()).count();
        let joined = all.iter().filter(|one| one.joined).count();
        assert_eq!((paid, joined), (1, 499), "{status:?}");
        assert_eq!(
            (messages(&world).await, world.compute.names().len()),
            (1, 1)
        );
    }
}

/// Another caller may be lost between its claim and its message.
#[tokio::test(start_paused = true)]
async fn a_caller_that_is_lost_is_waited_for_and_then_replaced() {
    let world = World::new();
    let (manifest, given) = parse(&event("event", 1));
    let submitter = slow(&world);
    let lost = timeout(3 * SECOND / 2, submitter.submit(&manifest, &given, false)).await;
    assert!(lost.is_err());
    assert_eq!(messages(&world).await, 0);
    let began = Instant::now();
    let next = submitter.submit(&manifest, &given, false).await.unwrap();
    assert!(!next.joined && next.batch_job_id.is_some());
    let waited = began.elapsed();
    assert!((10 * SECOND..30 * SECOND).contains(&waited), "{waited:?}");
    assert_eq!(messages(&world).await, 1);
}

#[tokio::test(start_paused = true)]
async fn what_failed_again_and_again_is_not_begun_at_once() {
    let world = World::new();
    let job = world.submit(&event("event", 1)).await.job;
    let mut state = world.state(&job).await;
    state.failed_runs = 2;
    state.end(Status::Failed, "failed", clock());
    write(&world, &state).await;
    let before = (messages(&world).await, world.compute.names().len());
    let rests = world.submit(&event("event", 1)).await;
    assert_eq!(rests.status, Status::Failed);
    let left = rests.rests_until.unwrap().duration_since(clock());
    assert_eq!(left.as_secs(), 120);
    assert_eq!(
        (messages(&world).await, world.compute.names().len()),
        before
    );
    sleep(121 * SECOND).await;
    let again = world.submit(&event("event", 1)).await;
    assert_eq!((again.status, again.rests_until), (Status::Queued, None));
    // Whoever runs it may insist.
    let mut state = world.state(&job).await;
    state.end(Status::Failed, "failed", clock());
    write(&world, &state).await;
    let retried = world
        .submitter()
        .retry(&job, &SourceRules::anything())
        .await;
    assert_eq!(retried.unwrap().status, Status::Queued);
}

async fn write(world: &World, state: &State) {
    let always = wedding_photo_processor::bucket::Condition::None;
    let (key, json) = (state.job.state(), state.to_json().into());
    world.bucket.put(&key, json, always).await.unwrap();
}

/// A request to erase covers every attempt, both buckets, and what is still in the queue.
#[tokio::test(start_paused = true)]
async fn what_is_forgotten_leaves_nothing_and_others_alone() {
    let world = World::new();
    let apart = MemorySink::default();
    let mut submitter = world.submitter();
    submitter.archives = submitter
        .archives
        .apart("archived".to_owned(), apart.clone(), None);
    let mut manifest = event("smith", 2);
    manifest["notify"] = json!({"email": ["guest@example.com"]});
    let done = world.submit(&manifest).await.job;
    let other = world.submit(&event("smith-2", 1)).await.job;
    world.drain("c1").await.unwrap();
    let (parsed, given) = parse(&manifest);
    submitter.submit(&parsed, &given, true).await.unwrap();
    world.drain("c2").await.unwrap();
    // One more attempt of before there were secrets in states, and one in the other bucket.
    let state = world.state(&done).await;
    for (store, key) in [
        (&world.archives, format!("archives/{done}-5ec/a.zip")),
        (&apart, format!("archives/{}/a.zip", state.secrets[0])),
    ] {
        store.insert(&key, "zip".into());
    }
    // And one at work.
    world.set_gate(Gate::Closed);
    let running = world.submit(&event("smith", 3)).await.job;
    let (_cancel, container) = world.start("c3");
    sleep(5 * SECOND).await;
    world.submit(&event("smith", 4)).await;
    world.submit(&event("smith-2", 4)).await;

    let all = async || {
        let mut keys = world.bucket.list("").await.unwrap();
        keys.extend(world.archives.names());
        keys.extend(apart.names());
        keys
    };
    let before = all().await;
    let counted = submitter.forget("smith", true).await.unwrap();
    assert_eq!(
        (counted.jobs, counted.archives, counted.messages),
        (3, 4, None)
    );
    assert_eq!(all().await, before);
    assert!(
        submitter
            .state(&running)
            .await
            .unwrap()
            .held_until(clock())
            .is_some()
    );

    // It is interrupted once, and goes on.
    let cut = timeout(
        Duration::from_millis(1500),
        submitter.forget("smith", false),
    )
    .await;
    assert!(cut.is_err());
    let forgotten = submitter.forget("smith", false).await.unwrap();
    assert!(forgotten.messages.unwrap() <= 2, "{forgotten:?}");
    world.set_gate(Gate::Open);
    let _ = container.await.unwrap().unwrap();
    let left = all().await;
    assert!(left.iter().all(|key| !key.contains("smith/")), "{left:?}");
    assert!(left.iter().any(|key| key.starts_with("jobs/smith-2/")));
    assert_eq!(world.archives.names().len(), 2);
    assert!(apart.names().is_empty());
    assert_eq!(world.state(&other).await.status, Status::Done);
    let again = submitter.forget("smith", false).await.unwrap();
    assert_eq!((again.jobs, again.objects, again.archives), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn containers_are_asked_for_while_there_is_more_work_than_containers() {
    let world = World::new();
    for number in 0..6 {
        world.submit(&event(&format!("event-{number}"), 1)).await;
    }
    // Three at most, as the test's world has it.
    assert_eq!(world.compute.names(), ["event-0", "event-1", "event-2"]);
    assert_eq!(messages(&world).await, 6);
}

#[tokio::test(start_paused = true)]
async fn a_warm_container_takes_the_next_job_and_no_other_is_asked_for() {
    let world = World::new();
    let first = world.submit(&event("first", 1)).await;
    assert!(first.batch_job_id.is_some());
    let (_cancel, container) = world.start("c1");
    world.compute.start_all();
    sleep(10 * SECOND).await;
    assert_eq!(world.state(&first.job).await.status, Status::Done);
    // It is idle now, and looks into the queue for the last time.
    let second = world.submit(&event("second", 1)).await;
    assert_eq!(second.batch_job_id, None);
    assert_eq!(container.await.unwrap().unwrap().done, 2);
}

#[tokio::test(start_paused = true)]
async fn an_idle_container_that_does_not_take_the_message_is_not_relied_on() {
    let world = World::new();
    world.submit(&event("first", 1)).await;
    world.drain("c1").await.unwrap();
    // The container has ended, but Batch still says that it runs.
    world.compute.start_all();
    assert_eq!(world.compute.names().len(), 1);
    let started = Instant::now();
    let second = world.submit(&event("second", 1)).await;
    assert!(second.batch_job_id.is_some());
    assert!(started.elapsed() < 3 * SECOND, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_container_and_message_are_lost_is_sent_again() {
    let world = World::new();
    world.set_gate(Gate::Closed);
    let job = world.submit(&event("event", 1)).await.job;
    let (_cancel, container) = world.start("c1");
    sleep(5 * SECOND).await;
    assert!(world.submit(&event("event", 1)).await.joined);
    container.abort();
    let _ = container.await;
    let mut state = world.state(&job).await;
    state.renew(clock(), Duration::ZERO);
    let json = state.to_json().into();
    let always = wedding_photo_processor::bucket::Condition::None;
    world.bucket.put(&job.state(), json, always).await.unwrap();
    let again = world.submit(&event("event", 1)).await;
    assert!(!again.joined, "{again:?}");
    world.set_gate(Gate::Open);
    sleep(60 * SECOND).await;
    world.drain("c2").await.unwrap();
    assert_eq!(world.state(&job).await.status, Status::Done);
    assert_eq!(messages(&world).await, 0);
}

/// A queue that cannot be sent to while it is broken.
struct Flaky {
    queue: MemoryQueue,
    broken: Arc<AtomicBool>,
}

impl Queue for Flaky {
    async fn send(&self, body: &str) -> Result<(), QueueError> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(QueueError::NoDeadLetters("the network".to_owned()));
        }
        self.queue.send(body).await
    }

    async fn receive(
        &self,
        wait: Duration,
        hide: Duration,
    ) -> Result<Option<Delivery>, QueueError> {
        self.queue.receive(wait, hide).await
    }

    async fn hide(&self, delivery: &Delivery, time: Duration) -> Result<bool, QueueError> {
        self.queue.hide(delivery, time).await
    }

    async fn delete(&self, delivery: &Delivery) -> Result<(), QueueError> {
        self.queue.delete(delivery).await
    }

    async fn bury(&self, delivery: &Delivery, reason: &str) -> Result<(), QueueError> {
        self.queue.bury(delivery, reason).await
    }

    async fn dead_letters(&self) -> Result<Self, QueueError> {
        Ok(Self {
            queue: self.queue.dead_letters().await?,
            broken: Arc::clone(&self.broken),
        })
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        self.queue.depth().await
    }
}

/// A caller whose queue is out of order while `broken`.
fn flaky(
    world: &World,
    broken: &Arc<AtomicBool>,
) -> Submitter<Shaky, Flaky, MemoryCompute, MemorySink> {
    Submitter {
        bucket: Arc::clone(&world.bucket),
        bucket_name: "photos".to_owned(),
        queue: Flaky {
            queue: world.queue.clone(),
            broken: Arc::clone(broken),
        },
        compute: MemoryCompute::default(),
        archives: Archives::beside_jobs(world.archives.clone()),
        max_containers: 3,
        clock,
    }
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_sent_is_sent_when_it_is_handed_in_again() {
    let world = World::new();
    let broken = Arc::new(AtomicBool::new(true));
    let submitter = flaky(&world, &broken);
    let (manifest, given) = parse(&event("event", 2));
    for force in [false, true] {
        broken.store(true, Ordering::Relaxed);
        let error = submitter
            .submit(&manifest, &given, force)
            .await
            .unwrap_err();
        assert!(matches!(error, SubmitError::Queue(_)), "{error}");
        assert_eq!(messages(&world).await, 0);
        broken.store(false, Ordering::Relaxed);
        let submitted = submitter.submit(&manifest, &given, false).await.unwrap();
        assert!(
            !submitted.joined && !submitted.already_done,
            "{submitted:?}"
        );
        assert_eq!(messages(&world).await, 1);
        assert!(world.state(&submitted.job).await.sent);
        // The second time, it is one that was done and has to be done again.
        world.drain("c1").await.unwrap();
        assert_eq!(world.state(&submitted.job).await.status, Status::Done);
    }
}

#[tokio::test(start_paused = true)]
async fn who_could_not_be_called_for_is_told_when_they_come_again() {
    let world = World::new();
    let job = world.submit(&event("event", 2)).await.job;
    world.drain("c1").await.unwrap();
    let broken = Arc::new(AtomicBool::new(true));
    let submitter = flaky(&world, &broken);
    let mut late = event("event", 2);
    late["notify"] = json!({"email": ["late@example.com"]});
    let (manifest, given) = parse(&late);
    let error = submitter.submit(&manifest, &given, false).await;
    assert!(matches!(error, Err(SubmitError::Queue(_))), "{error:?}");
    broken.store(false, Ordering::Relaxed);
    let again = submitter.submit(&manifest, &given, false).await.unwrap();
    assert!(again.already_done);
    assert_eq!(messages(&world).await, 1);
    world.drain("c2").await.unwrap();
    assert_eq!(world.courier.delivered().len(), 1);
    assert_eq!(world.state(&job).await.attempt_count, 1);
}
