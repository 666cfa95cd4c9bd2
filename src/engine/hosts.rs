//! Hosts that photos come from: which ones serve them, refuse them, or are down.
//!
//! A refusal (401, 402, 403 and the like) is about the photo, or it means "slower": many servers
//! answer so to whoever asks too often or too much at once. [`Refusals`] tells one from the other
//! by what the same host does with other photos. Where a host has failed again and again, its
//! other photos do not get forty seconds each. What a host asks to wait counts for each photo
//! altogether.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::manifest::{Manifest, PhotoUrl, Scheme};
use crate::retry::{Patience, Retry, RetryPolicy};

/// Photos in a row that were given up, after which a host counts as down.
const DOWN_AFTER: u32 = 8;
/// Refusals in a row, after which a host that served photos before may mean "slower".
const LIMITED_AFTER: u32 = 8;
/// How many times its patience a photo may be refused altogether, while others are served.
const MOST_PATIENCE: u32 = 6;
/// The same where the host has been seen to limit: who is served in between is chance, and with hundreds
/// of photos that wait, one of them has bad luck for minutes.
const MOST_PATIENCE_LIMITED: u32 = 60;
/// The first pause after a refusal, and the longest, as parts of the patience.
const FIRST_PAUSE: u32 = 20;
const LONGEST_PAUSE: u32 = 2;
/// Of a single photo that is refused while others are served, this part of the patience is enough.
pub(super) const ALONE: u32 = 10;

/// The hosts of a manifest's photos.
#[derive(Debug)]
pub(super) struct Hosts {
    /// The host of each photo.
    of_photo: Vec<u32>,
    records: Vec<Host>,
    /// The time that each photo's host has asked to wait for it.
    patience: Vec<Arc<Patience>>,
}

/// The record of a host so far.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// Requests that it answered with a photo.
    served: AtomicU64,
    /// Refusals since then.
    refused_in_a_row: AtomicU32,
    /// Photos that it refused after it had described them.
    refused: AtomicU32,
    /// Photos that were given up as unreachable since it last answered.
    lost_in_a_row: AtomicU32,
    /// True once it has refused photos that are there, or many in a row after it had served some.
    limits: AtomicBool,
}

impl Hosts {
    pub(super) fn of(manifest: &Manifest) -> Self {
        let mut numbers: HashMap<HostName<'_>, u32> = HashMap::new();
        let mut records = Vec::new();
        let of_photo = (manifest.photos.iter())
            .map(|photo| {
                *numbers.entry(host_of(&photo.url)).or_insert_with(|| {
                    records.push(Host::default());
                    u32::try_from(records.len() - 1).unwrap_or(u32::MAX)
                })
            })
            .collect();
        let patience = (manifest.photos.iter()).map(|_| Arc::default()).collect();
        Self {
            of_photo,
            records,
            patience,
        }
    }

    /// The attempts of one request for a photo, which share what its host may ask to wait.
    pub(super) fn retry(&self, photo: usize, policy: RetryPolicy) -> Retry {
        Retry::sharing(policy, Arc::clone(&self.patience[photo]))
    }

    /// The number of a photo's host.
    pub(super) fn number(&self, photo: usize) -> u32 {
        self.of_photo[photo]
    }

    /// A photo's host.
    pub(super) fn host(&self, photo: usize) -> &Host {
        &self.records[self.number(photo) as usize]
    }
}

impl Host {
    /// Takes note of a photo, or a part of one, that was served.
    pub(super) fn serve(&self) {
        self.served.fetch_add(1, Relaxed);
        self.answer();
        if self.refused_in_a_row.load(Relaxed) > 0 {
            self.refused_in_a_row.store(0, Relaxed);
        }
    }

    /// Takes note of an answer: it is not down.
    pub(super) fn answer(&self) {
        if self.lost_in_a_row.load(Relaxed) > 0 {
            self.lost_in_a_row.store(0, Relaxed);
        }
    }

    /// Takes note of a refusal.
    pub(super) fn refuse(&self) {
        self.answer();
        self.refused_in_a_row.fetch_add(1, Relaxed);
        if self.is_limiting() {
            self.limits.store(true, Relaxed);
        }
    }

    /// Takes note that it served photos that it had refused: its refusals are a limit.
    pub(super) fn limit(&self) {
        self.refused.fetch_add(2, Relaxed);
        self.limits.store(true, Relaxed);
    }

    /// Takes note of a photo that was given up as unreachable.
    pub(super) fn lose(&self) {
        self.lost_in_a_row.fetch_add(1, Relaxed);
    }

    /// Returns true if it has ever served a photo.
    pub(super) fn serves(&self) -> bool {
        self.served.load(Relaxed) > 0
    }

    /// Returns true if its refusals look like those of a host that is asked too much.
    pub(super) fn is_limiting(&self) -> bool {
        self.serves() && self.refused_in_a_row.load(Relaxed) >= LIMITED_AFTER
    }

    /// Returns true if too many photos were given up for it to be worth much patience.
    pub(super) fn is_down(&self) -> bool {
        self.lost_in_a_row.load(Relaxed) >= DOWN_AFTER
    }
}

/// Refusals of one photo.
#[derive(Debug)]
pub(super) struct Refusals<'a> {
    host: &'a Host,
    patience: Duration,
    first: Option<First>,
    /// Since when the host has not served others, and how much it had served then.
    quiet: (Instant, u64),
    count: u32,
}

/// The first refusal: when it came, and how much the host had served.
#[derive(Debug, Clone, Copy)]
struct First {
    at: Instant,
    served: u64,
}

impl<'a> Refusals<'a> {
    /// `patience` is how long photos are asked for while the host refuses others, too.
    pub(super) fn new(host: &'a Host, patience: Duration) -> Self {
        Self {
            host,
            patience,
            first: None,
            quiet: (Instant::now(), 0),
            count: 0,
        }
    }

    /// The host that refuses.
    pub(super) fn host(&self) -> &'a Host {
        self.host
    }

    /// Takes note of a refusal, and waits until the photo is worth another look; false when the
    /// refusal is to be believed.
    pub(super) async fn wait(&mut self) -> bool {
        let now = Instant::now();
        let served = self.host.served.load(Relaxed);
        self.host.refuse();
        let first = *self.first.get_or_insert_with(|| {
            self.host.refused.fetch_add(1, Relaxed);
            First { at: now, served }
        });
        if self.count == 0 || served != self.quiet.1 {
            self.quiet = (now, served);
        }
        self.count += 1;
        let alone = self.host.refused.load(Relaxed) == 1;
        let over = if alone && served > first.served {
            now - first.at >= self.patience / ALONE
        } else {
            let most = if self.host.limits.load(Relaxed) {
                MOST_PATIENCE_LIMITED
            } else {
                MOST_PATIENCE
            };
            now - self.quiet.0 >= self.patience || now - first.at >= self.patience * most
        };
        if over && self.count > 1 {
            return false;
        }
        sleep(self.pause()).await;
        true
    }

    /// Doubles with every refusal. It varies by chance, so that photos that were refused together
    /// do not come back together.
    fn pause(&self) -> Duration {
        let doubled = (self.patience / FIRST_PAUSE)
            .saturating_mul(2u32.saturating_pow(self.count.saturating_sub(1)));
        let longest = self.patience / LONGEST_PAUSE;
        doubled
            .min(longest)
            .mul_f64(0.5 + rand::random::<f64>() / 2.0)
    }
}

/// The host of an address, or the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum HostName<'a> {
    Web(&'a str, Option<u16>),
    Bucket(Scheme, &'a str),
}

/// Returns the host of a photo.
pub(super) fn host_of(url: &PhotoUrl) -> HostName<'_> {
    match url {
        PhotoUrl::Web(url) => {
            let url = url.expose();
            HostName::Web(url.host_str().unwrap_or_default(), url.port())
        }
        PhotoUrl::Stored(url) => HostName::Bucket(url.scheme(), url.bucket()),
    }
}

impl fmt::Display for HostName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Web(host, None) => f.write_str(host),
            Self::Web(host, Some(port)) => write!(f, "{host}:{port}"),
            Self::Bucket(Scheme::Gs, bucket) => write!(f, "gs://{bucket}"),
            Self::Bucket(Scheme::S3, bucket) => write!(f, "s3://{bucket}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Defaults, SourceRules};

    const PATIENCE: Duration = Duration::from_secs(10);

    /// How often a photo is looked at while it is refused, and how long that takes. After each look,
    /// `meanwhile` happens.
    async fn refused(host: &Host, meanwhile: impl Fn(u32)) -> (u32, Duration) {
        let started = Instant::now();
        let mut refusals = Refusals::new(host, PATIENCE);
        let mut looks = 1;
        while refusals.wait().await {
            looks += 1;
            meanwhile(looks);
        }
        (looks, started.elapsed())
    }

    /// Makes another photo be refused.
    async fn refuse_another(host: &Host) {
        let mut other = Refusals::new(host, PATIENCE);
        assert!(other.wait().await);
    }

    #[tokio::test(start_paused = true)]
    async fn one_photo_among_others_that_are_served_is_soon_believed_to_be_refused() {
        let host = Host::default();
        let (looks, took) = refused(&host, |_| host.serve()).await;
        assert!(took >= PATIENCE / 10 && took < PATIENCE / 2, "{took:?}");
        assert!((2..5).contains(&looks), "{looks}");
    }

    #[tokio::test(start_paused = true)]
    async fn where_nothing_is_served_meanwhile_it_takes_ten_seconds() {
        let host = Host::default();
        for _ in 0..2 {
            let (looks, took) = refused(&host, |_| {}).await;
            assert!(took >= PATIENCE && took <= 2 * PATIENCE, "{took:?}");
            assert!((4..10).contains(&looks), "{looks}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn while_others_are_served_and_refused_it_takes_longer_but_not_for_ever() {
        let host = Host::default();
        refuse_another(&host).await;
        let (_, took) = refused(&host, |looks| {
            if looks < 10 {
                host.serve();
            }
        })
        .await;
        assert!(took > 2 * PATIENCE, "{took:?}");
        let (_, took) = refused(&host, |_| host.serve()).await;
        assert!(took <= 7 * PATIENCE, "{took:?}");
    }

    #[test]
    fn a_host_is_down_until_it_answers() {
        let host = Host::default();
        for _ in 0..DOWN_AFTER {
            assert!(!host.is_down());
            host.lose();
        }
        assert!(host.is_down());
        host.answer();
        assert!(!host.is_down());
    }

    #[test]
    fn a_host_that_never_served_is_not_limiting() {
        let host = Host::default();
        (0..100).for_each(|_| host.refuse());
        assert!(!host.is_limiting());
        host.serve();
        assert!(!host.is_limiting());
        (0..LIMITED_AFTER).for_each(|_| host.refuse());
        assert!(host.is_limiting());
    }

    #[tokio::test(start_paused = true)]
    async fn each_photo_has_a_patience_of_its_own() {
        let json =
            br#"{"event_id": "e", "photos": ["https://a.example/1", "https://a.example/2"]}"#;
        let rules = SourceRules::anything();
        let manifest = Manifest::parse(json, &Defaults::default(), &rules).unwrap();
        let hosts = Hosts::of(&manifest);
        let policy = RetryPolicy {
            attempts: 1,
            delay: Duration::ZERO,
        };
        let asked = Some(Duration::from_mins(5));
        // Such as a probe, a download and one of its ranges.
        for _ in 0..3 {
            assert!(hosts.retry(0, policy).wait(asked).await);
        }
        assert!(!hosts.retry(0, policy).wait(asked).await);
        assert!(hosts.retry(1, policy).wait(asked).await);
    }

    #[test]
    fn hosts_are_told_apart_by_name_and_port() {
        let json = br#"{"event_id": "e", "photos": [
            "https://a.example/1.jpg", "https://b.example/1.jpg", "https://a.example/2.jpg",
            "https://a.example:8443/1.jpg", "gs://a/1.jpg", "s3://a/1.jpg", "gs://a/2.jpg"]}"#;
        let rules = SourceRules::anything();
        let manifest = Manifest::parse(json, &Defaults::default(), &rules).unwrap();
        let hosts = Hosts::of(&manifest);
        let numbers: Vec<u32> = (0..7).map(|photo| hosts.number(photo)).collect();
        assert_eq!(numbers, [0, 1, 0, 2, 3, 4, 3]);
        let names: Vec<String> = (manifest.photos.iter())
            .map(|photo| host_of(&photo.url).to_string())
            .collect();
        insta::assert_snapshot!(names.join("\n"), @r"
        a.example
        b.example
        a.example
        a.example:8443
        gs://a
        s3://a
        gs://a
        ");
    }
}
