//! Who wants to be told how a job ended. Several callers may share one job.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::manifest::Manifest;

/// One caller's wishes, kept beside the job. It may hold the secrets of a webhook's address, so its
/// `Debug` tells nothing of them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscriber {
    /// What people call the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Recipients of the e-mail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub email: Vec<String>,
    /// Language of the e-mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Whether the recipients hear of a failure too.
    #[serde(default)]
    pub tell_about_failure: bool,
    /// An address that receives signed events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// How long links are valid, in seconds.
    pub expires_in_seconds: u64,
    /// For which of the state's [`redone`](super::State::redone) they asked last; no part of what tells
    /// one subscriber from another.
    #[serde(default, skip_serializing_if = "is_first")]
    pub asked_in: u32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
fn is_first(asked_in: &u32) -> bool {
    *asked_in == 0
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriber")
            .field("recipients", &self.email.len())
            .field("webhook", &self.webhook.is_some())
            .finish_non_exhaustive()
    }
}

impl Subscriber {
    /// Whom a manifest asks to tell; `None` where it names nobody.
    pub fn of(manifest: &Manifest) -> Option<Self> {
        let notify = &manifest.notify;
        if notify.email.is_empty() && notify.webhook.is_none() {
            return None;
        }
        Some(Self {
            title: manifest.title.clone(),
            email: notify.email.clone(),
            locale: notify.locale.clone(),
            tell_about_failure: notify.tell_about_failure,
            webhook: notify.webhook.as_ref().map(|url| url.expose().to_string()),
            expires_in_seconds: manifest.expires_in.as_secs(),
            asked_in: 0,
        })
    }

    /// How long links are valid.
    pub fn expires_in(&self) -> Duration {
        Duration::from_secs(self.expires_in_seconds)
    }

    /// Its JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers only")
    }

    /// What tells it from others: the same wishes twice are one subscriber.
    pub fn fingerprint(&self) -> String {
        let wishes = Self {
            asked_in: 0,
            ..self.clone()
        };
        let hash = Sha256::digest(wishes.to_json());
        hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Defaults, SourceRules};

    fn subscriber(notify: &str) -> Option<Subscriber> {
        let text = format!(
            r#"{{"event_id": "e", "photos": ["https://h.example/a"], "notify": {notify}}}"#
        );
        let manifest = Manifest::parse(
            text.as_bytes(),
            &Defaults::default(),
            &SourceRules::anything(),
        );
        Subscriber::of(&manifest.unwrap())
    }

    /// The Worker writes them too, under the same names.
    #[test]
    fn subscribers_are_as_in_the_shared_vectors() {
        let vectors: Vec<serde_json::Value> =
            serde_json::from_str(include_str!("../../tests/data/subscribers.json")).unwrap();
        for vector in vectors {
            let text = vector["manifest"].to_string();
            let (defaults, hosts) = (Defaults::default(), SourceRules::anything());
            let manifest = Manifest::parse(text.as_bytes(), &defaults, &hosts).unwrap();
            let subscriber = Subscriber::of(&manifest).unwrap();
            let json = String::from_utf8(subscriber.to_json()).unwrap();
            assert_eq!(vector["json"], json, "{}", vector["about"]);
            let fingerprint = subscriber.fingerprint();
            assert_eq!(vector["fingerprint"], fingerprint, "{}", vector["about"]);
        }
    }

    #[test]
    fn the_same_wishes_are_one_subscriber() {
        assert_eq!(subscriber("{}"), None);
        let one = subscriber(r#"{"email": ["a@b.example"]}"#).unwrap();
        let same = subscriber(r#"{"locale": null, "email": ["a@b.example"]}"#).unwrap();
        let other = subscriber(r#"{"webhook": "https://x.example/?key=s3cret"}"#).unwrap();
        assert_eq!(one.fingerprint(), same.fingerprint());
        assert_ne!(one.fingerprint(), other.fingerprint());
        let again = Subscriber {
            asked_in: 3,
            ..one.clone()
        };
        assert_eq!(one.fingerprint(), again.fingerprint());
        assert!(!format!("{one:?} {other:?}").contains("s3cret"));
        let read: Subscriber = serde_json::from_slice(&other.to_json()).unwrap();
        assert_eq!(read, other);
    }
}
