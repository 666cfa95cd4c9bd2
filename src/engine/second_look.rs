//! A second look at photos that were refused: 401, 402, 403 and the like, all but 404 and 410.
//!
//! Servers that are asked too often, or too much at once, refuse photos that are there. So when all
//! others are probed, the refused ones are asked for again, a few of each host at once and ever more
//! rarely while it goes on refusing. Whoever refuses for ten seconds without a break is believed.
//! A host that has never served anything is then believed about all its photos, so that the expired
//! links of a whole event cost ten seconds; of any other host, each photo has been looked at twice.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, sleep_until};

use super::EngineError;
use super::concurrency::Concurrency;
use super::hosts::{ALONE, Host};
use super::prepare::{Preparation, Probed};
use crate::source::PhotoSource;

/// Hosts that are asked at once.
const HOSTS: usize = 64;
/// Photos of one host that are asked for at once.
const AT_ONCE: usize = 2;
/// The same where nothing has come of it for so long that a limit is unlikely.
const HURRIED: usize = 32;
/// The pause between two requests at first, at least, and at most, as parts of the patience.
const FIRST_GAP: u32 = 100;
const LEAST_GAP: u32 = 400;
const MOST_GAP: u32 = 10;
/// Every photo that is served shortens the pause by this factor.
const FASTER: f64 = 0.9;
/// Where more than one in so many photos turned out to be there after all, the transfer begins
/// slowly.
const TELLING_SHARE: usize = 10;

/// One photo that is refused.
struct Refused {
    photo: usize,
    /// Second looks so far.
    looks: u32,
}

impl<S: PhotoSource> Preparation<'_, S> {
    /// Asks again for what was refused.
    pub(super) async fn look_again(
        &self,
        probes: &mut [Probed],
        concurrency: &mut Concurrency,
    ) -> Result<(), EngineError> {
        let mut by_host: BTreeMap<u32, VecDeque<Refused>> = BTreeMap::new();
        for (photo, probe) in probes.iter().enumerate() {
            if let Err(reason) = probe
                && reason.may_be_a_limit()
                && self.lessons.missing(photo).is_none()
            {
                let host = self.hosts.number(photo);
                let refused = Refused { photo, looks: 0 };
                by_host.entry(host).or_default().push_back(refused);
            }
        }
        if by_host.is_empty() {
            return Ok(());
        }
        tracing::debug!(
            photos = by_host.values().map(VecDeque::len).sum::<usize>(),
            hosts = by_host.len(),
            "some photos were refused; asking for them again, slowly"
        );
        let mut waiting = by_host.into_values();
        let mut looking = FuturesUnordered::new();
        let mut served = 0;
        loop {
            while looking.len() < HOSTS
                && let Some(refused) = waiting.next()
            {
                looking.push(self.look_again_at_host(refused));
            }
            let Some(found) = looking.next().await else {
                break;
            };
            for (photo, probed) in found? {
                served += usize::from(probed.is_ok());
                probes[photo] = probed;
            }
        }
        if served * TELLING_SHARE > probes.len() {
            concurrency.calm(AT_ONCE);
        }
        Ok(())
    }

    async fn look(&self, photo: Refused) -> (Refused, Result<Probed, EngineError>) {
        let probed = self.probe(photo.photo, true).await;
        (photo, probed)
    }

    /// Asks one host again, and returns what has changed.
    async fn look_again_at_host(
        &self,
        mut refused: VecDeque<Refused>,
    ) -> Result<Vec<(usize, Probed)>, EngineError> {
        let patience = self.options.refusal_patience;
        let Some(first) = refused.front() else {
            return Ok(Vec::new());
        };
        let host = self.hosts.host(first.photo);
        if refused.len() == 1 {
            let photo = first.photo;
            sleep(patience / ALONE).await;
            return Ok(vec![(photo, self.probe(photo, true).await?)]);
        }
        let mut found = Vec::new();
        let mut pace = Pace::new(patience);
        let mut looking = FuturesUnordered::new();
        loop {
            let hurried = pace.quiet_since.elapsed() >= patience;
            let believed = hurried && !is_worth_a_look(&refused, host);
            if looking.is_empty() && (believed || refused.is_empty()) {
                return Ok(found);
            }
            let most = if hurried { HURRIED } else { AT_ONCE };
            let may_ask = !believed && !refused.is_empty() && looking.len() < most;
            let next = if hurried { Instant::now() } else { pace.next };
            tokio::select! {
                Some((photo, probed)) = looking.next(), if !looking.is_empty() => {
                    let (mut photo, probed): (Refused, Probed) = (photo, probed?);
                    match probed {
                        Err(reason) if reason.may_be_a_limit() => {
                            pace.slow_down();
                            photo.looks += 1;
                            refused.push_back(photo);
                        }
                        probed => {
                            if probed.is_ok() {
                                host.limit();
                                pace.speed_up();
                            }
                            found.push((photo.photo, probed));
                        }
                    }
                }
                () = sleep_until(next), if may_ask => {
                    if let Some(photo) = refused.pop_front() {
                        pace.asked();
                        looking.push(self.look(photo));
                    }
                }
            }
        }
    }
}

/// Returns true if there is reason to ask on after ten seconds of nothing but refusals.
fn is_worth_a_look(refused: &VecDeque<Refused>, host: &Host) -> bool {
    host.serves() && refused.front().is_some_and(|photo| photo.looks == 0)
}

/// The pace at which one host is asked.
struct Pace {
    patience: Duration,
    gap: Duration,
    next: Instant,
    /// Since when it has refused everything.
    quiet_since: Instant,
}

impl Pace {
    fn new(patience: Duration) -> Self {
        let now = Instant::now();
        let gap = patience / FIRST_GAP;
        Self {
            patience,
            gap,
            next: now + gap,
            quiet_since: now,
        }
    }

    fn asked(&mut self) {
        self.next = Instant::now() + self.gap;
    }

    fn slow_down(&mut self) {
        self.gap = (self.gap * 2).min(self.patience / MOST_GAP);
        self.next = Instant::now() + self.gap;
    }

    fn speed_up(&mut self) {
        self.quiet_since = Instant::now();
        self.gap = self.gap.mul_f64(FASTER).max(self.patience / LEAST_GAP);
        self.next = self.next.min(self.quiet_since + self.gap);
    }
}
