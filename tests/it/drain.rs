//! What containers do with the job queue, whatever happens to them.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use wedding_photo_processor::bucket::{Bucket as _, Condition};
use wedding_photo_processor::exit_code::ExitCode;
use wedding_photo_processor::job::{JobKey, Message, Owner, State, Status};
use wedding_photo_processor::processor::{self, Drained};
use wedding_photo_processor::queue::{Depth, Queue as _};

use crate::support::jobs::{Gate, Trouble, World, clock, event};
use crate::support::names;

const SECOND: Duration = Duration::from_secs(1);

fn done(done: u32) -> Drained {
    Drained {
        done,
        ..Drained::default()
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_are_done_until_the_queue_is_empty() {
    let world = World::new();
    let mut jobs = Vec::new();
    for number in 1..=12 {
        let submitted = world
            .submit(&event(&format!("event-{number}"), 1 + number % 3))
            .await;
        assert_eq!(submitted.status, Status::Queued);
        jobs.push(submitted.job);
    }
    assert_eq!(world.drain("c1").await.unwrap(), done(12));
    for job in jobs {
        let state = world.state(&job).await;
        assert_eq!(state.status, Status::Done);
        assert_eq!(state.lease, None);
        let [archive] = &state.archives[..] else {
            panic!("{:?}", state.archives);
        };
        let folder = format!("archives/{}/", state.secret);
        assert_eq!(archive.key, format!("{folder}{}.zip", job.event_id()));
        let bytes = world.archives.archive(&archive.key).unwrap();
        assert_eq!(bytes.len() as u64, archive.bytes);
        assert_eq!(names(&bytes).len(), archive.photos);
        assert_eq!(
            state.attempts[0].owner.batch_job_id.as_deref(),
            Some("batch-c1")
        );
        let text = String::from_utf8(state.to_json()).unwrap();
        assert!(!text.contains("s3cret"), "{text}");
    }
    assert_eq!(world.queue.depth().await.unwrap(), Depth::default());
    assert_eq!(world.dead_letters().await, []);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_twice_does_no_harm() {
    let world = World::new();
    let job = world.submit(&event("event", 2)).await.job;
    let again = Message::new(job.clone()).to_body();
    world.queue.send(&again).await.unwrap();
    assert_eq!(world.drain("c1").await.unwrap(), done(1));
    world.queue.send(&again).await.unwrap();
    assert_eq!(world.drain("c2").await.unwrap(), done(0));
    assert_eq!(world.state(&job).await.attempt_count, 1);
    assert_eq!(world.queue.depth().await.unwrap(), Depth::default());
}

#[tokio::test(start_paused = true)]
async fn messages_that_nobody_can_deal_with_become_dead_letters() {
    let world = World::new();
    let job = world.submit(&event("event", 1)).await.job;
    let gone = "gone/0123456789abcdef0123456789abcdef";
    for body in [
        "hello".to_owned(),
        format!(r#"{{"version":9,"job":"{job}"}}"#),
        format!(r#"{{"version":1,"job":"{gone}","volume":null}}"#),
        format!(r#"{{"version":1,"job":"{job}","volume":2}}"#),
    ] {
        world.queue.send(&body).await.unwrap();
    }
    let drained = world.drain("c1").await.unwrap();
    assert_eq!((drained.done, drained.put_aside), (1, 4));
    let reasons: Vec<String> = world
        .dead_letters()
        .await
        .into_iter()
        .map(|letter| format!("{}\n  {}", letter.body, letter.reason.unwrap()))
        .collect();
    insta::assert_snapshot!(reasons.join("\n").replace(&job.to_string(), "event/[id]"));
    assert_eq!(world.queue.depth().await.unwrap(), Depth::default());
}

/// Whoever may write photo lists could otherwise take all containers from all other events.
#[tokio::test(start_paused = true)]
async fn one_event_does_not_get_all_containers() {
    let mut world = World::new();
    world.max_per_event = 1;
    world.set_gate(Gate::Closed);
    let mut jobs = Vec::new();
    for photos in 1..=3 {
        jobs.push(world.submit(&event("greedy", photos)).await.job);
    }
    let other = world.submit(&event("other", 1)).await.job;
    let (_cancel, first) = world.start("c1");
    sleep(SECOND).await;
    let (_cancel, second) = world.start("c2");
    sleep(10 * SECOND).await;
    let held = async |job: &JobKey| world.state(job).await.held_until(clock()).is_some();
    assert!(held(&other).await);
    let mut of_greedy = 0;
    for job in &jobs {
        of_greedy += u32::from(held(job).await);
    }
    assert_eq!(of_greedy, 1);
    // Waiting for long makes no dead letters of the others.
    sleep(3600 * SECOND).await;
    world.set_gate(Gate::Open);
    let done = [first, second].map(|task| async { task.await.unwrap().unwrap().done });
    assert_eq!(
        futures_util::future::join_all(done)
            .await
            .iter()
            .sum::<u32>(),
        4
    );
    for job in jobs.iter().chain([&other]) {
        assert_eq!(world.state(job).await.status, Status::Done);
    }
    assert_eq!(world.dead_letters().await.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_names_people_is_deleted_some_time_after_the_end() {
    const DAY: Duration = Duration::from_hours(24);
    let world = World::new();
    let mut manifest = event("smith", 2);
    manifest["notify"] = json!({"email": ["guest@example.com"]});
    manifest["photos"][0] = json!({"url": manifest["photos"][0], "name": "Kiss.jpg"});
    world.break_photo("/0.jpg");
    let job = world.submit(&manifest).await.job;
    world.drain("c1").await.unwrap();
    world.compute.end_all();
    let text = async || {
        let mut text = String::new();
        for key in world.bucket.list("jobs/smith/").await.unwrap() {
            let object = world.bucket.get(&key).await.unwrap().unwrap();
            text.push_str(&key);
            text.push_str(std::str::from_utf8(&object.bytes).unwrap());
        }
        text
    };
    sleep(29 * DAY).await;
    world.drain("c2").await.unwrap();
    let kept = text().await;
    assert!(
        kept.contains("guest@example.com") && kept.contains("Kiss.jpg"),
        "{kept}"
    );

    sleep(2 * DAY).await;
    world.drain("c3").await.unwrap();
    let left = text().await;
    for name in [
        "guest",
        "Kiss",
        "token",
        "http",
        ".zip",
        "manifest.json",
        "subscriber",
    ] {
        assert!(!left.contains(name), "{name}: {left}");
    }
    let state = world.state(&job).await;
    assert!(state.is_anonymous && state.status.is_final(), "{state:?}");
    assert_eq!(state.photos, 2);
    // It can be made again, and is looked at once a day.
    let again = world.submit(&manifest).await;
    assert!(!again.already_done, "{again:?}");
    world.drain("c4").await.unwrap();
    assert!(!world.state(&job).await.is_anonymous);
}

/// Write access to the bucket must not make containers work on what no user asked for.
#[tokio::test(start_paused = true)]
async fn what_the_bucket_gives_is_held_against_the_job() {
    let world = World::new();
    let job = world.submit(&event("event", 1)).await.job;
    let other = world.submit(&event("other", 1)).await.job;
    let changed = world.submit(&event("changed", 2)).await.job;
    let copy = async |from: String, to: String| {
        let object = world.bucket.get(&from).await.unwrap().unwrap();
        world
            .bucket
            .put(&to, object.bytes, Condition::None)
            .await
            .unwrap();
    };
    copy(job.manifest(), changed.manifest()).await;
    copy(job.state(), other.state()).await;
    let moved: JobKey = format!("moved/{}", job.id()).parse().unwrap();
    copy(job.manifest(), moved.manifest()).await;
    let body = format!(r#"{{"version":1,"job":"{moved}","volume":null}}"#);
    world.queue.send(&body).await.unwrap();

    let drained = world.drain("c1").await.unwrap();
    assert_eq!((drained.done, drained.put_aside), (1, 3));
    let letters = world.dead_letters().await;
    let reasons = letters.into_iter().map(|letter| letter.reason.unwrap());
    let mut reasons: Vec<String> = reasons
        .map(|reason| {
            [&job, &other, &changed]
                .into_iter()
                .fold(reason, |reason, job| reason.replace(job.id(), "[id]"))
        })
        .collect();
    reasons.sort();
    insta::assert_snapshot!(reasons.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn missing_photos_are_in_the_state() {
    let world = World::new();
    let mut some = event("some", 2);
    some["photos"][1] = json!("https://photos.example/gone.jpg?token=s3cret");
    let some = world.submit(&some).await.job;
    let mut none = event("none", 1);
    none["photos"][0] = json!("https://photos.example/gone.jpg");
    let none = world.submit(&none).await.job;
    let drained = world.drain("c1").await.unwrap();
    assert_eq!((drained.done, drained.failed), (1, 1));
    let state = world.state(&some).await;
    assert_eq!((state.status, state.missing_count), (Status::Done, 1));
    assert_eq!(state.missing[0].name.as_str(), "gone.jpg");
    let state = world.state(&none).await;
    assert_eq!((state.status, state.missing_count), (Status::Failed, 1));
    assert_eq!(state.error.unwrap().exit_code, 66);
    // What fails for good is no reason to wake anybody.
    assert_eq!(world.dead_letters().await, []);
    assert_eq!(world.queue.depth().await.unwrap(), Depth::default());
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_and_given_up_at_last() {
    let world = World::new();
    world.set_gate(Gate::Broken);
    let job = world.submit(&event("event", 2)).await.job;
    let started = tokio::time::Instant::now();
    let drained = world.drain("c1").await.unwrap();
    // The container stays to try again, after 15 and 30 seconds.
    assert!(started.elapsed() >= 45 * SECOND, "{:?}", started.elapsed());
    assert_eq!((drained.failed, drained.put_aside), (1, 2));
    let state = world.state(&job).await;
    assert_eq!(
        (state.status, state.failures, state.attempt_count),
        (Status::Failed, 3, 3)
    );
    let error = state.error.unwrap();
    assert_eq!(error.exit_code, 75);
    assert!(
        error.message.contains("it is out of order"),
        "{}",
        error.message
    );
    let [letter] = &world.dead_letters().await[..] else {
        panic!("one dead letter");
    };
    assert_eq!(letter.body, Message::new(job.clone()).to_body());
    assert_eq!(letter.reason.as_deref(), Some(error.message.as_str()));

    // What an operator does about it in the morning.
    world.set_gate(Gate::Open);
    sleep(120 * SECOND).await;
    let [letter] = &world.retry_dead_letters().await[..] else {
        panic!("one dead letter");
    };
    assert!(letter.sent_again, "{letter:?}");
    assert_eq!(letter.reason.as_deref(), Some(error.message.as_str()));
    assert_eq!(world.dead_letters().await, []);
    assert_eq!(world.drain("c2").await.unwrap(), done(1));
    let state = world.state(&job).await;
    assert_eq!(
        (state.status, state.failures, state.attempt_count),
        (Status::Done, 0, 4)
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_attempt_makes_the_archive_without_what_is_unreachable() {
    let world = World::new();
    world.break_photo("/1.jpg");
    let job = world.submit(&event("event", 3)).await.job;
    let started = tokio::time::Instant::now();
    let drained = world.drain("c1").await.unwrap();
    assert!(started.elapsed() >= 45 * SECOND, "{:?}", started.elapsed());
    assert_eq!((drained.done, drained.put_aside), (1, 2));
    let state = world.state(&job).await;
    assert_eq!(
        (state.status, state.failures, state.attempt_count),
        (Status::Done, 2, 3)
    );
    assert_eq!(state.archives[0].photos, 2);
    assert_eq!((state.missing_count, state.error), (1, None));
    assert_eq!(
        state.missing[0].reason.to_string(),
        "it couldn't be downloaded: it is out of order"
    );
    assert_eq!(world.dead_letters().await, []);
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_job_goes_back_at_once_and_another_container_finishes_it() {
    let world = World::new();
    world.set_gate(Gate::Closed);
    let job = world.submit(&event("event", 5)).await.job;
    let (cancel, first) = world.start("c1");
    sleep(10 * SECOND).await;
    assert_eq!(world.state(&job).await.status, Status::Transferring);
    assert_eq!(world.queue.depth().await.unwrap().in_flight, 1);

    let asked = tokio::time::Instant::now();
    cancel.cancel();
    assert!(first.await.unwrap().unwrap().interrupted);
    assert!(asked.elapsed() < 5 * SECOND, "{:?}", asked.elapsed());
    let state = world.state(&job).await;
    assert_eq!(
        (state.status, &state.lease, state.failures),
        (Status::Queued, &None, 0)
    );
    assert_eq!(state.attempts[0].outcome.as_deref(), Some("interrupted"));
    assert_eq!(world.queue.depth().await.unwrap().waiting, 1);
    assert_eq!(world.archives.open_uploads(), 0);

    world.set_gate(Gate::Open);
    assert_eq!(world.drain("c2").await.unwrap(), done(1));
    assert_eq!(world.state(&job).await.status, Status::Done);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_job_stops_and_leaves_nothing() {
    let world = World::new();
    world.set_gate(Gate::Closed);
    let running = world.submit(&event("running", 5)).await.job;
    let waiting = world.submit(&event("waiting", 5)).await.job;
    let (_cancel, container) = world.start("c1");
    sleep(10 * SECOND).await;
    let submitter = world.submitter();
    submitter.cancel(&waiting).await.unwrap();
    submitter.cancel(&running).await.unwrap();
    assert!(submitter.cancel(&running).await.is_err());
    assert_eq!(container.await.unwrap().unwrap(), done(0));
    for job in [running, waiting] {
        let state = world.state(&job).await;
        assert_eq!((state.status, state.lease), (Status::Cancelled, None));
    }
    assert_eq!(world.archives.names(), Vec::<String>::new());
    assert_eq!(world.archives.open_uploads(), 0);
    assert_eq!(world.queue.depth().await.unwrap(), Depth::default());
}

#[tokio::test(start_paused = true)]
async fn progress_is_written_at_least_every_two_seconds() {
    let world = World::new();
    world.set_gate(Gate::Closed);
    let job = world.submit(&event("event", 5)).await.job;
    let (_cancel, container) = world.start("c1");
    sleep(3 * SECOND).await;
    let key = job.state();
    let mut versions = std::collections::HashSet::new();
    for _ in 0..20 {
        sleep(SECOND).await;
        let object = world.bucket.get(&key).await.unwrap().unwrap();
        let state = State::from_json(&object.bytes).unwrap();
        assert_eq!(state.status, Status::Transferring);
        assert_eq!(state.progress.photos_probed, 5);
        assert!(state.progress.bytes_total > 500_000);
        // So that whoever waits can work out the time that is left.
        assert!(
            state
                .timings
                .probing_seconds
                .is_some_and(|probing| probing < 3.0)
        );
        versions.insert(object.version.0);
    }
    // R2 takes one write a second.
    assert!((10..=20).contains(&versions.len()), "{}", versions.len());
    world.set_gate(Gate::Open);
    assert_eq!(container.await.unwrap().unwrap(), done(1));
}

/// Puts a job into the hands of a container that is not there.
async fn claimed_by_somebody(world: &World, event_id: &str, lease: Duration) -> State {
    let job = world.submit(&event(event_id, 2)).await.job;
    let mut state = world.state(&job).await;
    let owner = Owner {
        id: "somebody".to_owned(),
        ..Owner::default()
    };
    state.begin(&owner, "5ec".to_owned(), clock(), lease);
    let json = state.to_json().into();
    world
        .bucket
        .put(&job.state(), json, Condition::None)
        .await
        .unwrap();
    state
}

#[tokio::test(start_paused = true)]
async fn a_job_that_another_container_works_on_is_left_alone() {
    let world = World::new();
    let state = claimed_by_somebody(&world, "event", Duration::from_mins(10)).await;
    let drained = world.drain("c1").await.unwrap();
    assert_eq!((drained.done, drained.failed), (0, 0));
    assert_eq!(world.state(&state.job).await, state);
    // The message stays, in case that container dies.
    assert_eq!(world.queue.depth().await.unwrap().total(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_job_of_a_lost_container_is_taken_over() {
    let world = World::new();
    let state = claimed_by_somebody(&world, "event", Duration::ZERO).await;
    assert_eq!(world.drain("c1").await.unwrap(), done(1));
    let state = world.state(&state.job).await;
    assert_eq!((state.status, state.attempt_count), (Status::Done, 2));
    assert_eq!(state.attempts[0].outcome.as_deref(), Some("lost"));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_kills_its_containers_is_given_up() {
    let world = World::new();
    let mut state = claimed_by_somebody(&world, "event", Duration::ZERO).await;
    state.failures = 2;
    let json = state.to_json().into();
    world
        .bucket
        .put(&state.job.state(), json, Condition::None)
        .await
        .unwrap();
    world.submit(&event("other", 1)).await;
    let drained = world.drain("c1").await.unwrap();
    assert_eq!((drained.done, drained.failed), (1, 1));
    let state = world.state(&state.job).await;
    assert_eq!((state.status, state.attempt_count), (Status::Failed, 2));
    assert_eq!(world.dead_letters().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_bug_is_a_failed_attempt_and_no_end_of_the_container() {
    let world = World::new();
    world.set_gate(Gate::Buggy);
    let job = world.submit(&event("event", 1)).await.job;
    let (_cancel, container) = world.start("c1");
    sleep(5 * SECOND).await;
    world.set_gate(Gate::Open);
    assert_eq!(container.await.unwrap().unwrap().done, 1);
    let state = world.state(&job).await;
    assert_eq!((state.status, state.failures), (Status::Done, 1));
}

#[tokio::test(start_paused = true)]
async fn a_container_stays_for_the_message_of_one_that_was_lost() {
    let world = World::new();
    let job = world.submit(&event("event", 2)).await.job;
    // Somebody received the message and died before it did anything.
    let hidden = world.queue.receive(SECOND, 60 * SECOND).await.unwrap();
    assert!(hidden.is_some());
    assert_eq!(world.drain("c1").await.unwrap(), done(1));
    assert_eq!(world.state(&job).await.status, Status::Done);
}

#[tokio::test(start_paused = true)]
async fn messages_that_cannot_become_dead_letters_keep_nobody_from_working() {
    let mut world = World::new();
    world.queue = wedding_photo_processor::queue::memory::MemoryQueue::without_dead_letters();
    world.queue.send("hello").await.unwrap();
    world.submit(&event("event", 1)).await;
    let drained = world.drain("c1").await.unwrap();
    assert_eq!((drained.done, drained.put_aside), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_hangs_does_not_keep_the_message_when_the_container_is_stopped() {
    let world = World::new();
    world.set_gate(Gate::Closed);
    let job = world.submit(&event("event", 2)).await.job;
    let (cancel, container) = world.start("c1");
    sleep(5 * SECOND).await;
    world.bucket.set(Trouble::Hang);
    let asked = tokio::time::Instant::now();
    cancel.cancel();
    assert!(container.await.unwrap().unwrap().interrupted);
    // Batch kills after 30 seconds.
    assert!(asked.elapsed() < 15 * SECOND, "{:?}", asked.elapsed());
    world.bucket.set(Trouble::None);
    world.set_gate(Gate::Open);
    assert_eq!(world.drain("c2").await.unwrap(), done(1));
    let state = world.state(&job).await;
    assert_eq!((state.status, state.attempt_count), (Status::Done, 2));
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_cannot_be_recorded_ends_the_container_and_not_the_job() {
    let world = World::new();
    world.set_gate(Gate::Closed);
    let job = world.submit(&event("event", 2)).await.job;
    let (_cancel, container) = world.start("c1");
    sleep(5 * SECOND).await;
    world.bucket.set(Trouble::Fail);
    world.set_gate(Gate::Open);
    let error = container.await.unwrap().unwrap_err();
    assert_eq!(ExitCode::from(&error), ExitCode::TryAgain, "{error}");
    assert_eq!(world.queue.depth().await.unwrap().waiting, 1);
    world.bucket.set(Trouble::None);
    sleep(40 * SECOND).await;
    assert_eq!(world.drain("c2").await.unwrap(), done(1));
    assert_eq!(world.state(&job).await.status, Status::Done);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_to_do_a_job_again_does_not_harm_what_there_is() {
    let world = World::new();
    let mut manifest = event("event", 3);
    manifest["photos"][1] = json!("https://photos.example/gone.jpg");
    let job = world.submit(&manifest).await.job;
    world.drain("c1").await.unwrap();
    let archives = world.state(&job).await.archives;
    world.set_gate(Gate::Broken);
    world.submit(&manifest).await;
    world.drain("c2").await.unwrap();
    let state = world.state(&job).await;
    assert_eq!((state.status, &state.archives), (Status::Failed, &archives));
    assert!(world.archives.archive(&archives[0].key).is_some());
    assert_eq!(world.archives.names().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_that_sqs_made_are_sent_again() {
    let world = World::new();
    let waiting = world.submit(&event("waiting", 1)).await.job;
    let cancelled = world.submit(&event("cancelled", 1)).await.job;
    world.submitter().cancel(&cancelled).await.unwrap();
    // Containers that were stopped again and again, until SQS had enough.
    while let Some(delivery) = world.queue.receive(SECOND, 60 * SECOND).await.unwrap() {
        world.queue.hide(&delivery, Duration::ZERO).await.unwrap();
    }
    let letters = world.retry_dead_letters().await;
    let told: Vec<_> = letters.iter().map(|letter| letter.what.as_str()).collect();
    assert_eq!(told, ["sent again", "removed: it was cancelled"]);
    assert_eq!(world.dead_letters().await, []);
    assert_eq!(world.drain("c1").await.unwrap(), done(1));
    assert_eq!(world.state(&waiting).await.status, Status::Done);
    assert_eq!(world.state(&cancelled).await.status, Status::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_lost_its_lease_leaves_the_job_to_the_other() {
    let world = World::new();
    world.set_gate(Gate::Closed);
    let job = world.submit(&event("event", 2)).await.job;
    let (_cancel, container) = world.start("c1");
    sleep(5 * SECOND).await;
    let mut state = world.state(&job).await;
    let owner = Owner {
        id: "somebody".to_owned(),
        ..Owner::default()
    };
    state.begin(&owner, "5ec".to_owned(), clock(), 600 * SECOND);
    let json = state.to_json().into();
    world
        .bucket
        .put(&job.state(), json, Condition::None)
        .await
        .unwrap();
    let drained = container.await.unwrap().unwrap();
    assert_eq!((drained.done, drained.failed), (0, 0));
    assert_eq!(world.state(&job).await, state);
    assert_eq!(world.queue.depth().await.unwrap().total(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_state_nobody_wrote_is_done_all_the_same() {
    let world = World::new();
    let submitted = world.submit(&event("event", 2)).await;
    // The container was faster than the one who handed the job in.
    world.bucket.delete(&submitted.job.state()).await.unwrap();
    assert_eq!(world.drain("c1").await.unwrap(), done(1));
    let state = world.state(&submitted.job).await;
    assert_eq!((state.status, state.photos), (Status::Done, 2));
}

#[tokio::test(start_paused = true)]
async fn two_containers_share_a_queue() {
    let world = World::new();
    let mut jobs = Vec::new();
    for number in 0..20 {
        jobs.push(
            world
                .submit(&event(&format!("event-{number}"), 2))
                .await
                .job,
        );
    }
    let ((_, first), (_, second)) = (world.start("c1"), world.start("c2"));
    let (first, second) = (
        first.await.unwrap().unwrap(),
        second.await.unwrap().unwrap(),
    );
    assert_eq!(first.done + second.done, 20, "{first:?} {second:?}");
    assert!(first.done > 0 && second.done > 0, "{first:?} {second:?}");
    for job in jobs {
        assert_eq!(world.state(&job).await.attempt_count, 1);
    }
}

static METRICS: Mutex<Vec<serde_json::Value>> = Mutex::new(Vec::new());

#[tokio::test(start_paused = true)]
async fn every_attempt_is_measured() {
    let world = World::new();
    world.submit(&event("event", 3)).await;
    let mut worker = world.worker("c1");
    std::sync::Arc::get_mut(&mut worker).unwrap().metrics = |line| {
        METRICS
            .lock()
            .unwrap()
            .push(serde_json::from_str(line).unwrap());
    };
    processor::drain(worker, &CancellationToken::new())
        .await
        .unwrap();
    let metrics = METRICS.lock().unwrap();
    let [line] = &metrics[..] else {
        panic!("{metrics:?}");
    };
    assert_eq!(line["outcome"], "done");
    assert_eq!((&line["JobsDone"], &line["Photos"]), (&json!(1), &json!(3)));
    assert!(line["Bytes"].as_u64().unwrap() > 300_000);
}

#[tokio::test(start_paused = true)]
async fn a_folder_is_what_is_in_it_when_the_job_is_done() {
    let world = World::new();
    for index in 0..250 {
        let path = format!("/photos/events/7/{index:03}.jpg");
        world.photos.photos.insert(path, vec![b'x'; 100]);
    }
    let folder = serde_json::json!({"event_id": "event", "photos": ["gs://photos/events/7/"]});
    let job = world.submit(&folder).await.job;
    assert_eq!(world.state(&job).await.photos, 1);
    world.drain("c1").await.unwrap();
    let state = world.state(&job).await;
    assert_eq!((state.photos, state.archives[0].photos), (250, 250));

    // More have come, so that what is done does not answer the same question.
    let late = "/photos/events/7/late.jpg";
    world.photos.photos.insert(late, vec![b'x'; 100]);
    let again = world.submit(&folder).await;
    assert_eq!(
        (again.job.clone(), again.already_done),
        (job.clone(), false)
    );
    world.drain("c2").await.unwrap();
    assert_eq!(world.state(&job).await.archives[0].photos, 251);
}
