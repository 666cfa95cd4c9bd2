//! One conformance suite, which every queue passes.

use std::time::Duration;

use wedding_photo_processor::aws::{Aws, AwsOptions, HyperClient, Keys};
use wedding_photo_processor::queue::memory::MemoryQueue;
use wedding_photo_processor::queue::sqs::SqsQueue;
use wedding_photo_processor::queue::{Delivery, Queue};
use wedding_photo_processor::retry::RetryPolicy;

use crate::support::cloud::Cloud;

const HIDE: Duration = Duration::from_secs(30);

async fn conforms<Q: Queue>(queue: &Q) {
    what_is_sent_is_received_and_hidden_until_it_is_given_back(queue).await;
    what_is_not_hidden_again_comes_back(queue).await;
    what_is_received_too_often_becomes_a_dead_letter(queue).await;
    what_is_buried_becomes_a_dead_letter_with_its_reason(queue).await;
}

async fn receive<Q: Queue>(queue: &Q) -> Option<Delivery> {
    queue.receive(Duration::from_secs(1), HIDE).await.unwrap()
}

async fn what_is_sent_is_received_and_hidden_until_it_is_given_back<Q: Queue>(queue: &Q) {
    assert_eq!(receive(queue).await, None);
    queue.send("one").await.unwrap();
    let first = receive(queue).await.unwrap();
    assert_eq!((first.body.as_str(), first.receive_count), ("one", 1));
    assert_eq!(receive(queue).await, None);
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.waiting, depth.in_flight), (0, 1));
    assert!(queue.hide(&first, Duration::ZERO).await.unwrap());
    let second = receive(queue).await.unwrap();
    assert_eq!((second.body.as_str(), second.receive_count), ("one", 2));
    queue.delete(&second).await.unwrap();
    queue.delete(&second).await.unwrap();
    assert_eq!(receive(queue).await, None);
    assert_eq!(queue.depth().await.unwrap().total(), 0);
}

async fn what_is_not_hidden_again_comes_back<Q: Queue>(queue: &Q) {
    queue.send("two").await.unwrap();
    let short = Duration::from_secs(2);
    let first = queue.receive(short, short).await.unwrap().unwrap();
    // Long polling sees it when it shows itself.
    let wait = Duration::from_secs(10);
    let second = queue.receive(wait, HIDE).await.unwrap().unwrap();
    assert_eq!((second.body.as_str(), second.receive_count), ("two", 2));
    assert!(first.receipt != second.receipt);
    queue.delete(&second).await.unwrap();
}

async fn what_is_received_too_often_becomes_a_dead_letter<Q: Queue>(queue: &Q) {
    queue.send("three").await.unwrap();
    for count in 1..=3 {
        let delivery = receive(queue).await.unwrap();
        assert_eq!(delivery.receive_count, count);
        queue.hide(&delivery, Duration::ZERO).await.unwrap();
    }
    assert_eq!(receive(queue).await, None);
    let dead_letters = queue.dead_letters().await.unwrap();
    let dead = receive(&dead_letters).await.unwrap();
    assert_eq!(
        (dead.body.as_str(), dead.reason.as_deref()),
        ("three", None)
    );
    dead_letters.delete(&dead).await.unwrap();
}

async fn what_is_buried_becomes_a_dead_letter_with_its_reason<Q: Queue>(queue: &Q) {
    queue.send("four").await.unwrap();
    let delivery = receive(queue).await.unwrap();
    queue.bury(&delivery, "it is a four").await.unwrap();
    assert_eq!(queue.depth().await.unwrap().total(), 0);
    let dead_letters = queue.dead_letters().await.unwrap();
    let dead = receive(&dead_letters).await.unwrap();
    assert_eq!(dead.body, "four");
    assert_eq!(dead.reason.as_deref(), Some("it is a four"));
    dead_letters.delete(&dead).await.unwrap();
    let error = dead_letters.dead_letters().await.err().unwrap();
    assert!(
        error.to_string().contains("has no dead-letter queue"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn memory_conforms() {
    conforms(&MemoryQueue::new(3)).await;
}

/// A queue at LocalStack.
pub(crate) async fn at(url: &str) -> SqsQueue {
    let options = AwsOptions {
        region: Some("us-east-1".to_owned()),
        keys: Some(Keys {
            access_key: "test".to_owned(),
            secret_key: "test".to_owned(),
        }),
        retry: RetryPolicy {
            attempts: 3,
            delay: Duration::from_millis(50),
        },
    };
    let http = HyperClient::new().unwrap();
    let aws = Aws::new(&options, &http).await.unwrap();
    SqsQueue::new(&aws, url, "the test")
}

#[tokio::test]
async fn sqs_conforms() {
    let cloud = Cloud::start(3);
    conforms(&at(&cloud.queue_url).await).await;
}
