//! Telling those who want to know: once each, whatever happens to containers and receivers.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use wedding_photo_processor::bucket::Bucket as _;
use wedding_photo_processor::deliver::memory::Mood;
use wedding_photo_processor::deliver::{ATTEMPTS, Notice, Undelivered};
use wedding_photo_processor::job::{JobKey, Message, Status};
use wedding_photo_processor::queue::Queue as _;
use wedding_photo_processor::sink::ArchiveStore as _;
use wedding_photo_processor::submit::SubmitError;

use crate::support::jobs::{Gate, World, event};

/// The event of three photos, with somebody to be told.
fn awaited(notify: &Value) -> Value {
    let mut manifest = event("event", 3);
    manifest["title"] = json!("Smith & Jones");
    manifest["notify"] = notify.clone();
    manifest
}

fn couple() -> Value {
    awaited(&json!({"email": ["anna@example.com", "ben@example.com"]}))
}

fn hooked() -> Value {
    awaited(&json!({"webhook": "https://hooks.example/x?key=s3cret"}))
}

/// What was handed over: who got what.
fn told(world: &World) -> Vec<String> {
    let mut told: Vec<String> = (world.courier.delivered().into_iter())
        .map(|notice| match notice {
            Notice::Mail(mail) => format!("{}: {}", mail.to, mail.letter.subject),
            Notice::Call(call) => {
                let body: Value = serde_json::from_str(&call.body).unwrap();
                format!("{}: {}", call.url, body["type"].as_str().unwrap())
            }
        })
        .collect();
    told.sort();
    told
}

/// The ids of what was handed over, each once.
fn ids(world: &World) -> Vec<String> {
    let mut ids: Vec<String> = (world.courier.delivered().into_iter())
        .map(|notice| match notice {
            Notice::Mail(mail) => mail.id,
            Notice::Call(call) => call.id,
        })
        .collect();
    ids.sort();
    ids.dedup();
    ids
}

async fn is_empty(world: &World, job: &JobKey) -> bool {
    let state = world.state(job).await;
    let depth = world.queue.depth().await;
    state.status.is_final() && depth.unwrap().total() == 0
}

const READY: &str = "Your photos are ready: Smith & Jones";

#[tokio::test(start_paused = true)]
async fn everyone_is_told_once() {
    let world = World::new();
    let job = world.submit(&couple()).await.job;
    assert_eq!(world.submit(&hooked()).await.job, job);
    world.drain("c1").await.unwrap();
    let expected = [
        format!("anna@example.com: {READY}"),
        format!("ben@example.com: {READY}"),
        "https://hooks.example/x?key=s3cret: job.completed".to_owned(),
    ];
    assert_eq!(told(&world), expected);
    assert_eq!(ids(&world).len(), 3);
    let state = world.state(&job).await;
    assert_eq!(state.status, Status::Done);
    let delivery = state.delivery.unwrap();
    assert_eq!(
        (
            delivery.mails,
            delivery.calls,
            delivery.waiting,
            delivery.failed
        ),
        (2, 1, 0, 0)
    );
    assert!(is_empty(&world, &job).await);

    // Messages come twice, and so do callers.
    let body = Message::new(job.clone()).to_body();
    world.queue.send(&body).await.unwrap();
    world.submit(&couple()).await;
    world.drain("c2").await.unwrap();
    assert_eq!(told(&world), expected);
    assert!(is_empty(&world, &job).await);
    let kept = world.bucket.get(&job.state()).await.unwrap().unwrap();
    let kept = String::from_utf8(kept.bytes.to_vec()).unwrap();
    assert!(!kept.contains("anna") && !kept.contains("s3cret"), "{kept}");
}

#[tokio::test(start_paused = true)]
async fn a_mail_has_links_to_the_archives_and_names_what_is_missing() {
    let world = World::new();
    // Nobody gets two letters for being named twice.
    let twice = ["anna@example.com", "anna@Example.COM"];
    let mut manifest = awaited(&json!({"email": twice}));
    let gone = json!({"url": "https://photos.example/gone.jpg", "name": "Ceremony/kiss.jpg"});
    manifest["photos"].as_array_mut().unwrap().push(gone);
    let job = world.submit(&manifest).await.job;
    world.drain("c1").await.unwrap();
    let state = world.state(&job).await;
    let link = world
        .archives
        .link(&state.archives[0].key, Duration::from_hours(168))
        .await;
    let Notice::Mail(mail) = world.courier.delivered().remove(0) else {
        panic!()
    };
    assert!(
        mail.letter.text.contains(&link.unwrap()),
        "{}",
        mail.letter.text
    );
    assert!(
        mail.letter.text.contains("kiss.jpg"),
        "{}",
        mail.letter.text
    );
    assert_eq!(told(&world).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_handed_over_now_is_later_without_another_transfer() {
    let world = World::new();
    for _ in 0..3 {
        world
            .courier
            .fail_next(Undelivered::for_now("the mail server is out of order"));
    }
    let job = world.submit(&couple()).await.job;
    let (_, container) = world.start("c1");
    sleep(Duration::from_secs(10)).await;
    let state = world.state(&job).await;
    // The archives are there all the while.
    assert_eq!((state.status, state.archives.len()), (Status::Done, 1));
    let delivery = state.delivery.unwrap();
    assert_eq!((delivery.mails, delivery.waiting), (0, 2));
    assert_eq!(
        delivery.problems,
        [
            "recipient 1 of 2: the mail server is out of order",
            "recipient 2 of 2: the mail server is out of order"
        ]
    );
    container.await.unwrap().unwrap();
    let state = world.state(&job).await;
    assert_eq!((state.attempt_count, world.archives.names().len()), (1, 1));
    assert_eq!(state.delivery.unwrap().mails, 2);
    assert_eq!(told(&world).len(), 2);
    assert!(is_empty(&world, &job).await);
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_good_or_too_often_is_given_up() {
    let world = World::new();
    world
        .courier
        .fail_next(Undelivered::for_good("there is no such recipient"));
    for _ in 0..ATTEMPTS {
        world.courier.fail_next(Undelivered::for_now("try later"));
    }
    let job = world.submit(&couple()).await.job;
    world.drain("c1").await.unwrap();
    let state = world.state(&job).await;
    assert_eq!(state.status, Status::Done);
    let delivery = state.delivery.unwrap();
    assert_eq!(
        (delivery.mails, delivery.waiting, delivery.failed),
        (0, 0, 2)
    );
    assert!(is_empty(&world, &job).await);
    assert!(
        world
            .archives
            .length(&state.archives[0].key)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test(start_paused = true)]
async fn a_container_that_dies_while_telling_is_followed_by_one_that_goes_on() {
    let world = World::new();
    world.courier.set(Mood::HangsBefore);
    let job = world.submit(&couple()).await.job;
    let (_, container) = world.start("c1");
    while world.state(&job).await.status != Status::Delivering {
        sleep(Duration::from_millis(10)).await;
    }
    container.abort();
    let _ = container.await;
    world.courier.set(Mood::Good);
    let archives = world.archives.names();
    world.drain("c2").await.unwrap();
    let state = world.state(&job).await;
    assert_eq!((state.status, state.attempt_count), (Status::Done, 1));
    assert_eq!(world.archives.names(), archives);
    assert_eq!((told(&world).len(), ids(&world).len()), (2, 2));
    assert!(is_empty(&world, &job).await);
}

#[tokio::test(start_paused = true)]
async fn only_what_was_accepted_but_not_recorded_is_told_again_and_under_the_same_id() {
    let world = World::new();
    world.courier.set(Mood::HangsAfter);
    let manifest = awaited(&json!({"email": ["anna@example.com"]}));
    let job = world.submit(&manifest).await.job;
    let (_, container) = world.start("c1");
    while told(&world).is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    container.abort();
    let _ = container.await;
    world.courier.set(Mood::Good);
    world.drain("c2").await.unwrap();
    assert_eq!((told(&world).len(), ids(&world).len()), (2, 1));
    assert!(is_empty(&world, &job).await);
}

#[tokio::test(start_paused = true)]
async fn two_containers_tell_nobody_twice() {
    let world = World::new();
    let many: Vec<String> = (0..30).map(|n| format!("guest{n}@example.com")).collect();
    let job = world.submit(&awaited(&json!({"email": many}))).await.job;
    let body = Message::new(job.clone()).to_body();
    for _ in 0..3 {
        world.queue.send(&body).await.unwrap();
    }
    let containers = ["c1", "c2", "c3"].map(|name| world.start(name).1);
    for container in containers {
        container.await.unwrap().unwrap();
    }
    assert_eq!((told(&world).len(), ids(&world).len()), (30, 30));
    assert_eq!(world.state(&job).await.delivery.unwrap().mails, 30);
}

#[tokio::test(start_paused = true)]
async fn who_comes_late_is_told_and_links_can_be_renewed() {
    let world = World::new();
    let job = world.submit(&event("event", 3)).await.job;
    world.drain("c1").await.unwrap();
    world.compute.end_all();
    assert_eq!(told(&world).len(), 0);
    let submitter = world.submitter();
    assert!(matches!(
        submitter.deliver(&job).await,
        Err(SubmitError::Nobody(_))
    ));

    let late = world.submit(&couple()).await;
    assert!(late.already_done && late.batch_job_id.is_some());
    world.drain("c2").await.unwrap();
    assert_eq!(told(&world).len(), 2);
    world.submit(&couple()).await;
    world.drain("c3").await.unwrap();
    assert_eq!(told(&world).len(), 2);

    submitter.deliver(&job).await.unwrap();
    world.drain("c4").await.unwrap();
    assert_eq!((told(&world).len(), ids(&world).len()), (4, 4));
    let state = world.state(&job).await;
    assert_eq!((state.round, state.attempt_count), (1, 1));
    assert_eq!(state.delivery.unwrap().mails, 2);

    world.archives.remove(&state.archives[0].key).await.unwrap();
    assert!(matches!(
        submitter.deliver(&job).await,
        Err(SubmitError::ArchivesGone(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_others_are_told_is_told_too() {
    let world = World::new();
    world.set_gate(Gate::Closed);
    let job = world.submit(&event("event", 3)).await.job;
    let (_, container) = world.start("c1");
    sleep(Duration::from_secs(5)).await;
    assert!(world.submit(&couple()).await.joined);
    world.set_gate(Gate::Open);
    container.await.unwrap().unwrap();
    assert_eq!(told(&world).len(), 2);
    assert!(is_empty(&world, &job).await);
}

#[tokio::test(start_paused = true)]
async fn of_a_failure_the_operator_is_told_and_whoever_asked_for_it() {
    let mut world = World::new();
    world.deliver.alert_to = vec!["ops@example.com".to_owned()];
    world.set_gate(Gate::Broken);
    let job = world.submit(&couple()).await.job;
    world.submit(&hooked()).await;
    let kind = json!({"email": ["carl@example.com"], "tell_about_failure": true, "locale": "de"});
    world.submit(&awaited(&kind)).await;
    world.drain("c1").await.unwrap();
    assert_eq!(world.state(&job).await.status, Status::Failed);
    let told = told(&world);
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[0].starts_with("carl@example.com: "), "{told:#?}");
    assert_eq!(told[1], "https://hooks.example/x?key=s3cret: job.failed");
    assert_eq!(told[2], "ops@example.com: Job failed: Smith & Jones");
    // Somebody will look at it there.
    assert_eq!(world.dead_letters().await.len(), 1);

    // Done after all, and everyone hears of that.
    world.set_gate(Gate::Open);
    let (manifest, given) = crate::support::jobs::parse(&couple());
    world
        .submitter()
        .submit(&manifest, &given, true)
        .await
        .unwrap();
    world.drain("c2").await.unwrap();
    assert_eq!(world.state(&job).await.delivery.unwrap().mails, 3);
}

#[tokio::test(start_paused = true)]
async fn webhooks_hear_how_far_a_long_job_is() {
    let world = World::new();
    world.set_gate(Gate::Closed);
    world.submit(&hooked()).await;
    let (_, container) = world.start("c1");
    sleep(Duration::from_secs(35)).await;
    let progress = "https://hooks.example/x?key=s3cret: job.progress";
    assert_eq!(told(&world), [progress; 3]);
    world.set_gate(Gate::Open);
    container.await.unwrap().unwrap();
    assert_eq!(told(&world).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_holds_up_no_other_job() {
    let world = World::new();
    world.courier.set(Mood::HangsBefore);
    world.submit(&hooked()).await;
    let other = world.submit(&event("other", 2)).await.job;
    let (_, container) = world.start("c1");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.state(&other).await.status, Status::Done);
    world.courier.set(Mood::Good);
    container.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_still_waits_when_the_message_is_a_dead_letter_is_told_by_its_revival() {
    let world = World::new();
    let failure = Undelivered::for_now("the mail server is out of order");
    world.courier.fail_next(failure);
    let manifest = awaited(&json!({"email": ["anna@example.com"]}));
    let job = world.submit(&manifest).await.job;
    let (_, container) = world.start("c1");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.state(&job).await.delivery.unwrap().waiting, 1);
    container.abort();
    let _ = container.await;
    let minute = Duration::from_mins(1);
    let message = world.queue.receive(minute, minute).await.unwrap().unwrap();
    world
        .queue
        .bury(&message, "received too often")
        .await
        .unwrap();

    let letters = world.retry_dead_letters().await;
    assert!(letters[0].sent_again, "{letters:?}");
    world.drain("c2").await.unwrap();
    assert_eq!(told(&world).len(), 1);
    assert_eq!(world.state(&job).await.attempt_count, 1);
}

#[tokio::test(start_paused = true)]
async fn a_container_stays_for_those_who_could_not_be_told_even_after_a_long_transfer() {
    let world = World::new();
    world.set_gate(Gate::Closed);
    let job = world.submit(&couple()).await.job;
    let (_, container) = world.start("c1");
    sleep(Duration::from_mins(2)).await;
    world.courier.set(Mood::HangsBefore);
    world.set_gate(Gate::Open);
    sleep(Duration::from_secs(40)).await;
    world.courier.set(Mood::Good);
    container.await.unwrap().unwrap();
    assert_eq!(told(&world).len(), 2);
    assert!(is_empty(&world, &job).await);
}

#[tokio::test(start_paused = true)]
async fn a_mail_server_that_hangs_keeps_no_job_from_being_done() {
    let world = World::new();
    world.courier.set(Mood::HangsBefore);
    let many: Vec<String> = (0..30).map(|n| format!("guest{n}@example.com")).collect();
    let job = world.submit(&awaited(&json!({"email": many}))).await.job;
    let (_, container) = world.start("c1");
    // The first eight are waited for, the others are left for later.
    sleep(Duration::from_secs(45)).await;
    let state = world.state(&job).await;
    assert_eq!(state.status, Status::Done);
    assert_eq!(state.delivery.unwrap().waiting, 30);
    world.courier.set(Mood::Good);
    container.await.unwrap().unwrap();
    assert_eq!((told(&world).len(), ids(&world).len()), (30, 30));
    assert!(is_empty(&world, &job).await);
}

#[tokio::test(start_paused = true)]
async fn who_has_got_a_letter_gets_no_other_when_somebody_else_asks() {
    let world = World::new();
    let path = "/photos/events/7/a.jpg";
    world.photos.photos.insert(path, vec![b'x'; 100]);
    let asked_by = |who: &str| json!({"event_id": "event", "photos": ["gs://photos/events/7/"], "notify": {"email": [who]}});
    let job = world.submit(&asked_by("anna@example.com")).await.job;
    world.drain("c1").await.unwrap();
    for (round, who) in [
        (2, "ben@example.com"),
        (3, "carl@example.com"),
        (4, "anna@example.com"),
    ] {
        world.submit(&asked_by(who)).await;
        world.drain("c2").await.unwrap();
        let told = told(&world);
        assert_eq!((told.len(), ids(&world).len()), (round, round), "{told:#?}");
    }
    let anna = told(&world)
        .iter()
        .filter(|to| to.starts_with("anna"))
        .count();
    assert_eq!(anna, 2);
    // But when somebody insists, everybody hears of it.
    let (manifest, given) = crate::support::jobs::parse(&asked_by("ben@example.com"));
    let submitter = world.submitter();
    submitter.submit(&manifest, &given, true).await.unwrap();
    world.drain("c3").await.unwrap();
    assert_eq!(told(&world).len(), 7);
    assert!(is_empty(&world, &job).await);
}

/// Containers of before made a record for each subscriber's recipient, which still counts.
#[tokio::test(start_paused = true)]
async fn who_was_told_by_a_container_of_before_is_not_told_again() {
    use sha2::{Digest as _, Sha256};
    let world = World::new();
    world.set_gate(Gate::Closed);
    let job = world.submit(&couple()).await.job;
    let (_, container) = world.start("c1");
    sleep(Duration::from_secs(5)).await;
    let state = world.state(&job).await;
    let keys = world.bucket.list(&job.subscribers()).await.unwrap();
    let name = &keys[0][job.subscribers().len()..];
    let text = format!(
        "{job}|{}|{}|done|{name}|mail-0-0",
        state.secret, state.round
    );
    let id: String = Sha256::digest(text)[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let record = r#"{"outcome": "told", "attempts": 1, "owner": "c0"}"#;
    let condition = wedding_photo_processor::bucket::Condition::Absent;
    let key = job.delivery(&id);
    world
        .bucket
        .put(&key, record.into(), condition)
        .await
        .unwrap();
    world.set_gate(Gate::Open);
    container.await.unwrap().unwrap();
    assert_eq!(told(&world), [format!("ben@example.com: {READY}")]);
    assert_eq!(world.state(&job).await.delivery.unwrap().mails, 2);
}

/// An event of Amazon SES, from its documentation, about the e-mail of a delivery record.
fn reported(index: usize, record: &str, to: &str) -> String {
    let events = include_str!("../data/ses-events.json");
    let events: Vec<Value> = serde_json::from_str(events).unwrap();
    let notice = record.strip_prefix("jobs/").unwrap();
    let notice = notice.replace("/delivery-", "/").replace(".json", "");
    let before = "smith/0123456789abcdef0123456789abcdef/00112233445566778899aabbccddeeff";
    let event = events[index]["event"].to_string();
    event
        .replace(before, &notice)
        .replace("jane@example.com", to)
}

#[tokio::test(start_paused = true)]
async fn letters_that_come_back_are_in_the_state_and_spam_ends_them() {
    let world = World::new();
    let job = world.submit(&couple()).await.job;
    world.drain("c1").await.unwrap();
    assert_eq!(world.state(&job).await.delivery.unwrap().mails, 2);
    let all = world.bucket.list(&job.folder()).await.unwrap();
    let records: Vec<&String> = all
        .iter()
        .filter(|key| key.contains("/delivery-"))
        .collect();
    let queue = wedding_photo_processor::queue::memory::MemoryQueue::new(3);
    let take_in = async || {
        let bucket = &*world.bucket;
        let clock = crate::support::jobs::clock;
        wedding_photo_processor::deliver::feedback::take_in(&queue, bucket, clock)
            .await
            .unwrap()
    };
    // Twice, as SNS and SQS may deliver it; and what is none.
    for _ in 0..2 {
        queue
            .send(&reported(0, records[0], "anna@example.com"))
            .await
            .unwrap();
    }
    queue
        .send(&reported(2, records[1], "ben@example.com"))
        .await
        .unwrap();
    queue.send("hello").await.unwrap();
    assert_eq!(take_in().await, 4);
    assert_eq!(take_in().await, 0);
    let delivery = world.state(&job).await.delivery.unwrap();
    assert_eq!((delivery.mails, delivery.failed), (1, 1));
    insta::assert_snapshot!(delivery.problems.join("\n"), @"
    a recipient has marked an e-mail as spam, and gets no more
    an e-mail came back: there is no such mailbox, or it takes nothing from us (General)
    ");

    // Ben gets no more, whichever job it is about.
    let other = awaited(&json!({"email": ["ben@example.com"]}));
    let mut other = other;
    other["event_id"] = json!("another");
    world.submit(&other).await;
    world.drain("c2").await.unwrap();
    assert_eq!(told(&world).len(), 2);
    // A job that was forgotten is no trouble.
    world.bucket.delete(records[0]).await.unwrap();
    world.bucket.delete(&job.state()).await.unwrap();
    queue
        .send(&reported(3, records[0], "anna@example.com"))
        .await
        .unwrap();
    assert_eq!(take_in().await, 1);
}

/// A manifest may name any address, so an address has a daily limit and an opt-out.
#[tokio::test(start_paused = true)]
async fn one_address_gets_so_many_letters_a_day_and_none_if_it_wants_none() {
    let mut world = World::new();
    world.deliver.max_per_address = 2;
    world.deliver.alert_to = vec!["anna@example.com".to_owned()];
    let to = |name: &str, email: &[&str]| {
        let mut manifest = event(name, 3);
        manifest["notify"] = json!({"email": email});
        manifest
    };
    let mut last = None;
    for name in ["a", "b", "c"] {
        last = Some(
            world
                .submit(&to(name, &["anna@example.com", "ben@example.com"]))
                .await
                .job,
        );
        // However it is written.
        world
            .submit(&to(&format!("{name}2"), &["anna@EXAMPLE.com"]))
            .await;
        world.drain("c1").await.unwrap();
    }
    let got = |name: &str| {
        told(&world)
            .iter()
            .filter(|told| told.starts_with(name))
            .count()
    };
    assert_eq!((got("anna"), got("ben")), (2, 2));
    let delivery = world.state(&last.unwrap()).await.delivery.unwrap();
    assert_eq!((delivery.mails, delivery.failed), (0, 2));
    insta::assert_snapshot!(delivery.problems.join("\n"), @"
    recipient 1 of 2: has had 2 e-mails today, the most that `deliver.max_per_address` allows; tell it tomorrow by `submit deliver`
    recipient 2 of 2: has had 2 e-mails today, the most that `deliver.max_per_address` allows; tell it tomorrow by `submit deliver`
    ");

    // Operators are always told.
    world.set_gate(Gate::Broken);
    world.submit(&to("d", &["carl@example.com"])).await;
    world.drain("c2").await.unwrap();
    assert_eq!(got("anna"), 3);

    // The hash of carl's address, as the page behind the link writes it.
    world.set_gate(Gate::Open);
    let hash = "46426af0ec01b39830c56110395e0e0f";
    let key = format!("mail/unsubscribed/{hash}.json");
    let condition = wedding_photo_processor::bucket::Condition::None;
    world
        .bucket
        .put(&key, "{}".into(), condition)
        .await
        .unwrap();
    let job = world.submit(&to("e", &["carl@example.com"])).await.job;
    world.drain("c3").await.unwrap();
    assert_eq!(got("carl"), 0);
    let delivery = world.state(&job).await.delivery.unwrap();
    insta::assert_snapshot!(delivery.problems.join("\n"), @"recipient 1 of 1: wants no more e-mails, and has said so by the link in one");
    // Counts of days that are over go with the rest of what names people.
    sleep(Duration::from_hours(24 * 40)).await;
    world.drain("c4").await.unwrap();
    let kept = world.bucket.list("mail/").await.unwrap();
    assert_eq!(kept, [key]);
}

/// Two callers with one address made two letters, each with its own title.
#[tokio::test(start_paused = true)]
async fn one_address_gets_one_letter_whatever_else_its_subscribers_want() {
    let world = World::new();
    let job = world.submit(&couple()).await.job;
    let mut other =
        awaited(&json!({"email": ["anna@EXAMPLE.com", "Anna@example.com"], "locale": "de"}));
    other["title"] = json!("Pay now");
    assert_eq!(world.submit(&other).await.job, job);
    world.drain("c1").await.unwrap();
    let to: Vec<String> = (told(&world).iter())
        .map(|told| told.split_once(':').unwrap().0.to_lowercase())
        .collect();
    // What stands in front of the `@` may tell people apart.
    let anna = "anna@example.com".to_owned();
    assert_eq!(to, [anna.clone(), anna, "ben@example.com".to_owned()]);
    // Who comes later with another title gets nothing new either.
    other["title"] = json!("Pay at once");
    world.submit(&other).await;
    world.drain("c2").await.unwrap();
    assert_eq!(told(&world).len(), 3);
}

/// Everyone who adds a subscriber adds recipients, and what lies in the bucket need not be from `submit`.
#[tokio::test(start_paused = true)]
async fn progress_is_told_to_the_first_webhooks_a_few_at_once() {
    let world = World::new();
    world.set_gate(Gate::Closed);
    let job = world.submit(&event("event", 3)).await.job;
    for caller in 0..60 {
        let webhook = format!("https://hooks.example/{caller}");
        let subscriber = json!({"email": [], "webhook": webhook, "expires_in_seconds": 60});
        let json = bytes::Bytes::from(subscriber.to_string());
        let condition = wedding_photo_processor::bucket::Condition::None;
        let key = job.subscriber(&format!("{caller:02}"));
        world.bucket.put(&key, json, condition).await.unwrap();
    }
    let (_, container) = world.start("c1");
    sleep(Duration::from_secs(15)).await;
    assert_eq!(told(&world).len(), 50);
    // Receivers that hang are left when the next round begins.
    world.courier.set(Mood::HangsAfter);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(told(&world).len(), 58);
    world.courier.set(Mood::Good);
    world.set_gate(Gate::Open);
    container.await.unwrap().unwrap();
    assert_eq!(world.state(&job).await.delivery.unwrap().calls, 50);
}

#[tokio::test(start_paused = true)]
async fn a_job_tells_at_most_so_many_and_the_state_says_so() {
    let world = World::new();
    let job = world.submit(&event("event", 3)).await.job;
    for caller in 0..60 {
        let email: Vec<String> = (0..if caller == 0 { 70 } else { 4 })
            .map(|n| format!("guest{n}@{caller}.example"))
            .collect();
        let webhook = format!("https://hooks.example/{caller}");
        let subscriber = json!({"email": email, "webhook": webhook, "expires_in_seconds": 60});
        let key = job.subscriber(&format!("{caller:02}"));
        let json = bytes::Bytes::from(subscriber.to_string());
        let condition = wedding_photo_processor::bucket::Condition::None;
        world.bucket.put(&key, json, condition).await.unwrap();
    }
    world.drain("c1").await.unwrap();
    let delivery = world.state(&job).await.delivery.unwrap();
    assert_eq!((delivery.mails, delivery.calls), (200, 50));
    assert_eq!(
        delivery.problems,
        [
            "recipients that get no e-mail: 106; the limits are 50 a manifest and 200 a job",
            "webhooks that are not called: 10; the limit is 50 a job",
        ]
    );
}
