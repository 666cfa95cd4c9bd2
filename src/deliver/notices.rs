//! What is to be told of a job that has ended, and to whom.

use std::collections::btree_map::{BTreeMap, Entry};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::mailbox::{Addressee, Unsubscribe, normal};
use super::{Call, DeliverError, Deliverer, MAX_WEBHOOKS, Mail, Notice, webhook};
use crate::bucket::Bucket;
use crate::job::{State, Status, Subscriber};
use crate::letter::{
    Alert, ArchiveLink, Letter, Locale, Ready, Sorry, Trouble, alert, ready, sorry,
};
use crate::manifest::{MAX_EXPIRES_IN, MAX_RECIPIENTS};
use crate::sink::ArchiveStore;

/// Addresses that get an e-mail about one job, over all of its subscribers: four manifests' worth. Each
/// subscriber has at most [`MAX_RECIPIENTS`]. A guess, revisit.
const MAX_ADDRESSES: usize = 200;

/// A notice, and the name of its record.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) id: String,
    /// Names that its record may have from versions before, which made one for each subscriber.
    pub(super) ids_before: Vec<String>,
    /// Who gets it, without an address: for logs and the state.
    pub(super) whom: String,
    pub(super) notice: Notice,
}

/// Notices of a job, and what is never told.
#[derive(Debug, Default)]
pub(super) struct Notices {
    pub(super) due: Vec<Due>,
    /// Sentences about receivers beyond the limits, without addresses.
    pub(super) problems: Vec<String>,
}

/// Everything that there is to be told of a job, whether that was done before or not.
pub(super) async fn due<B: Bucket, A: ArchiveStore>(
    deliverer: &Deliverer<'_, B, A>,
    state: &State,
    subscribers: &[(String, Subscriber)],
) -> Result<Notices, DeliverError> {
    let mut found = Found {
        state,
        unsubscribe: deliverer.options.unsubscribe.as_deref(),
        due: Vec::new(),
        addresses: BTreeMap::new(),
        addresses_over: 0,
        webhooks: 0,
    };
    if state.status == Status::Failed {
        found.failed(subscribers, &deliverer.options.alert_to);
        return Ok(found.notices());
    }
    // Those who want links that live equally long get the same ones.
    let mut made: BTreeMap<u64, (Vec<String>, Timestamp)> = BTreeMap::new();
    for (name, subscriber) in subscribers {
        let valid = subscriber.expires_in().min(MAX_EXPIRES_IN);
        let seconds = valid.as_secs();
        let (urls, expires_at) = match made.entry(seconds) {
            Entry::Occupied(made) => made.into_mut(),
            Entry::Vacant(place) => {
                let urls = deliverer.archives.links(&state.archives, valid).await?;
                let expires_at = (deliverer.clock)().checked_add(valid);
                place.insert((urls, expires_at.unwrap_or(Timestamp::MAX)))
            }
        };
        found.done(name, subscriber, urls, *expires_at);
    }
    Ok(found.notices())
}

struct Found<'a> {
    state: &'a State,
    unsubscribe: Option<&'a Unsubscribe>,
    due: Vec<Due>,
    /// Where the letters to each address are in `due`: nobody gets them from two subscribers.
    addresses: BTreeMap<String, Vec<usize>>,
    /// Recipients beyond the limits.
    addresses_over: usize,
    /// Webhooks so far, those beyond the limit included.
    webhooks: usize,
}

impl Found<'_> {
    fn notices(self) -> Notices {
        let mut problems = Vec::new();
        if self.addresses_over > 0 {
            problems.push(format!(
                "recipients that get no e-mail: {}; the limits are {MAX_RECIPIENTS} a manifest and \
                 {MAX_ADDRESSES} a job",
                self.addresses_over
            ));
        }
        if self.webhooks > MAX_WEBHOOKS {
            problems.push(format!(
                "webhooks that are not called: {}; the limit is {MAX_WEBHOOKS} a job",
                self.webhooks - MAX_WEBHOOKS
            ));
        }
        Notices {
            due: self.due,
            problems,
        }
    }

    fn done(&mut self, name: &str, subscriber: &Subscriber, urls: &[String], expires: Timestamp) {
        let state = self.state;
        let archives: Vec<ArchiveLink<'_>> = (state.archives.iter().zip(urls))
            .map(|(archive, url)| ArchiveLink {
                name: &archive.name,
                bytes: archive.bytes,
                photos: archive.photos,
                url,
            })
            .collect();
        let facts = Ready {
            event: subscriber.title.as_deref().unwrap_or(state.job.event_id()),
            photos: (archives.iter()).fold(0_usize, |sum, one| sum.saturating_add(one.photos)),
            archives: &archives,
            missing: &state.missing,
            missing_count: state.missing_count,
            expires_at: expires,
            unsubscribe: None,
        };
        let locale = Locale::from_tag(subscriber.locale.as_deref());
        self.mails(name, subscriber, |unsubscribe| {
            let facts = Ready {
                unsubscribe,
                ..facts.clone()
            };
            ready(&facts, locale)
        });
        self.call(name, subscriber, urls, expires);
    }

    fn failed(&mut self, subscribers: &[(String, Subscriber)], operators: &[String]) {
        let state = self.state;
        let code = state.error.as_ref().map_or(75, |error| error.exit_code);
        for (name, subscriber) in subscribers {
            if subscriber.tell_about_failure {
                let event = subscriber.title.as_deref().unwrap_or(state.job.event_id());
                let locale = Locale::from_tag(subscriber.locale.as_deref());
                self.mails(name, subscriber, |unsubscribe| {
                    let facts = Sorry {
                        event,
                        trouble: Trouble::from_exit_code(code),
                        operator_told: !operators.is_empty(),
                        unsubscribe,
                    };
                    vec![sorry(&facts, locale)]
                });
            }
            self.call(name, subscriber, &[], Timestamp::MAX);
        }
        let title = subscribers.iter().find_map(|(_, one)| one.title.as_deref());
        let owner = state.attempts.last().map(|attempt| &attempt.owner);
        let letter = alert(&Alert {
            event: title.unwrap_or(state.job.event_id()),
            job: &state.job.to_string(),
            failure: state.error.as_ref().map_or("", |error| &error.message),
            exit_code: code,
            attempts: state.attempt_count,
            log_stream: owner.and_then(|owner| owner.log_stream.as_deref()),
        });
        for (index, to) in operators.iter().enumerate() {
            let id = self.id("alert", to);
            self.due.push(Due {
                whom: format!("operator {}", index + 1),
                ids_before: Vec::new(),
                notice: Notice::Mail(Mail {
                    id: id.clone(),
                    to: to.clone(),
                    job: state.job.clone(),
                    letter: letter.clone(),
                    addressee: None,
                    unsubscribe: None,
                }),
                id,
            });
        }
    }

    /// Letters to a subscriber's recipients. An address that another subscriber, or the same, has named before gets
    /// none again.
    fn mails(
        &mut self,
        name: &str,
        subscriber: &Subscriber,
        letters: impl Fn(Option<&str>) -> Vec<Letter>,
    ) {
        let recipients = subscriber.email.len();
        self.addresses_over += recipients.saturating_sub(MAX_RECIPIENTS);
        for (index, to) in subscriber.email.iter().take(MAX_RECIPIENTS).enumerate() {
            let address = normal(to);
            let addressee = Addressee::of(to);
            let unsubscribe = self.unsubscribe.and_then(|page| page.link(&addressee));
            let letters = letters(unsubscribe.as_deref());
            let before = |number| self.id(name, &format!("mail-{index}-{number}"));
            let ids_before: Vec<String> = (0..letters.len()).map(before).collect();
            if let Some(earlier) = self.addresses.get(&address) {
                for (at, id) in earlier.iter().zip(ids_before) {
                    self.due[*at].ids_before.push(id);
                }
                continue;
            }
            if self.addresses.len() >= MAX_ADDRESSES {
                self.addresses_over += 1;
                continue;
            }
            let begin = self.due.len();
            for (number, (letter, id_before)) in letters.into_iter().zip(ids_before).enumerate() {
                let id = self.id(&address, &format!("mail-{number}"));
                self.due.push(Due {
                    id: id.clone(),
                    ids_before: vec![id_before],
                    whom: format!("recipient {} of {recipients}", index + 1),
                    notice: Notice::Mail(Mail {
                        id,
                        to: to.to_owned(),
                        job: self.state.job.clone(),
                        letter,
                        addressee: Some(addressee.clone()),
                        unsubscribe: unsubscribe.clone(),
                    }),
                });
            }
            self.addresses
                .insert(address, (begin..self.due.len()).collect());
        }
    }

    fn call(&mut self, name: &str, subscriber: &Subscriber, urls: &[String], expires: Timestamp) {
        let Some(url) = &subscriber.webhook else {
            return;
        };
        self.webhooks += 1;
        if self.webhooks > MAX_WEBHOOKS {
            return;
        }
        let id = self.id(name, "webhook");
        let notice = Notice::Call(Call {
            id: format!("msg_{id}"),
            url: url.clone(),
            body: webhook::ended(self.state, urls, expires, url).to_string(),
        });
        let whom = "webhook".to_owned();
        self.due.push(Due {
            id,
            ids_before: Vec::new(),
            whom,
            notice,
        });
    }

    /// The same for the same archives, round, receiver and kind; others can't guess it.
    fn id(&self, subscriber: &str, what: &str) -> String {
        let State { secret, round, .. } = self.state;
        let status = if self.state.status == Status::Failed {
            "failed"
        } else {
            "done"
        };
        let text = format!(
            "{}|{secret}|{round}|{status}|{subscriber}|{what}",
            self.state.job
        );
        Sha256::digest(text)[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}
