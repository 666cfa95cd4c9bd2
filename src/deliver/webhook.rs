//! What webhooks are told, and the headers that prove who tells it ("Standard Webhooks",
//! <https://github.com/standard-webhooks/standard-webhooks>, version 1).

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::engine::{Phase, Progress};
use crate::job::{JobKey, State, Status};

/// Missing photos that are named; the note in the archive has all.
const MISSING_NAMED: usize = 100;

/// A receiver's address without its query, which may hold a secret. It is in what is signed, so that a receiver can
/// refuse what another one was told and has sent on: all have the same secret.
fn receiver(url: &str) -> Option<String> {
    let mut url = url::Url::parse(url).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    Some(url.to_string())
}

/// A job has ended: `job.completed` or `job.failed`, for the receiver at `url`.
pub fn ended(state: &State, links: &[String], expires_at: Timestamp, url: &str) -> Value {
    let missing: Vec<Value> = (state.missing.iter().take(MISSING_NAMED))
        .map(|photo| json!({"name": photo.name, "reason": photo.reason.to_string()}))
        .collect();
    let mut data = json!({
        "job": state.job,
        "event_id": state.job.event_id(),
        "photos_asked": state.photos,
        "missing_count": state.missing_count,
        "missing": missing,
    });
    let kind = if state.status == Status::Failed {
        data["status"] = json!("failed");
        data["error"] = json!(state.error);
        "job.failed"
    } else {
        let archives: Vec<Value> = (state.archives.iter().zip(links))
            .map(|(archive, url)| {
                json!({
                    "name": archive.name,
                    "bytes": archive.bytes,
                    "photos": archive.photos,
                    "url": url,
                })
            })
            .collect();
        data["status"] = json!("done");
        data["archives"] = json!(archives);
        data["links_expire_at"] = json!(expires_at);
        "job.completed"
    };
    let attempt = state.attempts.last();
    let at = attempt
        .and_then(|attempt| attempt.ended_at)
        .unwrap_or(state.updated_at);
    json!({"type": kind, "timestamp": at, "receiver": receiver(url), "data": data})
}

/// How far a job is: `job.progress`, for the receiver at `url`.
pub fn progress(job: &JobKey, progress: &Progress, now: Timestamp, url: &str) -> Value {
    let status = match progress.phase() {
        Phase::Probing => Status::Probing,
        Phase::Transferring | Phase::Verifying => Status::Transferring,
    };
    json!({
        "type": "job.progress",
        "timestamp": now,
        "receiver": receiver(url),
        "data": {
            "job": job,
            "event_id": job.event_id(),
            "status": status,
            "photos_probed": progress.probed.get(),
            "photos_done": progress.photos_done.get(),
            "photos_total": progress.photos_total.get(),
            "bytes_done": progress.bytes_fetched.get(),
            "bytes_total": progress.bytes_total.get(),
        },
    })
}

/// Signs what webhooks are told.
pub struct Signer(standardwebhooks::Webhook);

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// Reads a secret: `whsec_` and 24 to 64 bytes in base64. `None` if it is none.
    pub fn new(secret: &str) -> Option<Self> {
        use base64::Engine as _;
        let encoded = secret.strip_prefix("whsec_")?;
        let key = base64::prelude::BASE64_STANDARD.decode(encoded).ok()?;
        if !(24..=64).contains(&key.len()) {
            return None;
        }
        standardwebhooks::Webhook::from_bytes(key).ok().map(Self)
    }

    /// The value of `webhook-signature`.
    pub(super) fn sign(&self, id: &str, now: Timestamp, body: &str) -> Option<String> {
        self.0.sign(id, now.as_second(), body.as_bytes()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn signatures_are_those_of_the_specification() {
        let signer = Signer::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let now = Timestamp::from_second(1_614_265_330).unwrap();
        assert_eq!(
            signer
                .sign(
                    "msg_p5jXN8AQM9LWM0D4loKWxJek",
                    now,
                    r#"{"test": 2432232314}"#
                )
                .unwrap(),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    /// The Worker verifies the same.
    #[test]
    fn signatures_are_as_in_the_shared_vectors() {
        let vectors: Vec<Value> =
            serde_json::from_str(include_str!("../../tests/data/webhooks.json")).unwrap();
        for vector in vectors {
            let text = |name: &str| vector[name].as_str().unwrap();
            let signer = Signer::new(text("secret")).unwrap();
            let at = Timestamp::from_second(vector["timestamp"].as_i64().unwrap()).unwrap();
            let signature = signer.sign(text("id"), at, text("body")).unwrap();
            assert_eq!(vector["signature"], signature, "{}", vector["about"]);
        }
    }

    /// All receivers have one secret, so only this tells one's events from another's.
    #[test]
    fn the_receiver_is_signed_without_its_secrets() {
        let state = State::queued(
            "e/0123456789abcdef0123456789abcdef".parse().unwrap(),
            1,
            Timestamp::UNIX_EPOCH,
        );
        let url = "https://shop.example/hooks/photos?key=s3cret#part";
        let event = ended(&state, &[], Timestamp::MAX, url);
        assert_eq!(event["receiver"], "https://shop.example/hooks/photos");
        let event = progress(&state.job, &Progress::default(), Timestamp::UNIX_EPOCH, url);
        assert_eq!(event["receiver"], "https://shop.example/hooks/photos");
    }

    #[test]
    fn secrets_have_a_shape() {
        for wrong in [
            "",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_",
            "whsec_c2hvcnQ=",
            "whsec_?",
        ] {
            assert!(Signer::new(wrong).is_none(), "{wrong}");
        }
    }
}
