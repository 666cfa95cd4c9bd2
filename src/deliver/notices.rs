//! What is to be told of a job that has ended, and to whom.

use std::collections::btree_map::{BTreeMap, Entry};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::{Call, DeliverError, Deliverer, Mail, Notice, webhook};
use crate::bucket::Bucket;
use crate::job::{State, Status, Subscriber};
use crate::letter::{
    Alert, ArchiveLink, Letter, Locale, Ready, Sorry, Trouble, alert, ready, sorry,
};
use crate::manifest::MAX_EXPIRES_IN;
use crate::sink::ArchiveStore;

/// A notice, and the name of its record.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) id: String,
    /// Who gets it, without an address: for logs and the state.
    pub(super) whom: String,
    pub(super) notice: Notice,
}

/// Everything that there is to be told of a job, whether that was done before or not.
pub(super) async fn due<B: Bucket, A: ArchiveStore>(
    deliverer: &Deliverer<'_, B, A>,
    state: &State,
    subscribers: &[(String, Subscriber)],
) -> Result<Vec<Due>, DeliverError> {
    let mut found = Found {
        state,
        due: Vec::new(),
    };
    if state.status == Status::Failed {
        found.failed(subscribers, &deliverer.options.alert_to);
        return Ok(found.due);
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
    Ok(found.due)
}

struct Found<'a> {
    state: &'a State,
    due: Vec<Due>,
}

impl Found<'_> {
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
        let letters = ready(
            &Ready {
                event: self.title(subscriber),
                photos: archives.iter().map(|archive| archive.photos).sum(),
                archives: &archives,
                missing: &state.missing,
                missing_count: state.missing_count,
                expires_at: expires,
            },
            Locale::from_tag(subscriber.locale.as_deref()),
        );
        self.mails(name, subscriber, &letters);
        self.call(name, subscriber, urls, expires);
    }

    fn failed(&mut self, subscribers: &[(String, Subscriber)], operators: &[String]) {
        let state = self.state;
        let code = state.error.as_ref().map_or(75, |error| error.exit_code);
        for (name, subscriber) in subscribers {
            if subscriber.tell_about_failure {
                let letter = sorry(
                    &Sorry {
                        event: self.title(subscriber),
                        trouble: Trouble::from_exit_code(code),
                        operator_told: !operators.is_empty(),
                    },
                    Locale::from_tag(subscriber.locale.as_deref()),
                );
                self.mails(name, subscriber, &[letter]);
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
            self.mail(id, format!("operator {}", index + 1), to, letter.clone());
        }
    }

    fn title<'s>(&'s self, subscriber: &'s Subscriber) -> &'s str {
        let title = subscriber.title.as_deref();
        title.unwrap_or(self.state.job.event_id())
    }

    fn mails(&mut self, name: &str, subscriber: &Subscriber, letters: &[Letter]) {
        for (index, to) in subscriber.email.iter().enumerate() {
            let same = |other: &String| other.eq_ignore_ascii_case(to);
            if subscriber.email[..index].iter().any(same) {
                continue;
            }
            for (number, letter) in letters.iter().enumerate() {
                let id = self.id(name, &format!("mail-{index}-{number}"));
                let whom = format!("recipient {} of {}", index + 1, subscriber.email.len());
                self.mail(id, whom, to, letter.clone());
            }
        }
    }

    fn mail(&mut self, id: String, whom: String, to: &str, letter: Letter) {
        let notice = Notice::Mail(Mail {
            id: id.clone(),
            to: to.to_owned(),
            letter,
        });
        self.due.push(Due { id, whom, notice });
    }

    fn call(&mut self, name: &str, subscriber: &Subscriber, urls: &[String], expires: Timestamp) {
        let Some(url) = &subscriber.webhook else {
            return;
        };
        let id = self.id(name, "webhook");
        let notice = Notice::Call(Call {
            id: format!("msg_{id}"),
            url: url.clone(),
            body: webhook::ended(self.state, urls, expires).to_string(),
        });
        let whom = "webhook".to_owned();
        self.due.push(Due { id, whom, notice });
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
