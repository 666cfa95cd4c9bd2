//! Limits for one address, across all jobs: a count of e-mails for each day, and an opt-out.
//!
//! A caller may name any address in a manifest, so the owner of the address needs a way out and a daily limit.
//! Addresses are stored as hashes.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::webhook::Signer;
use crate::bucket::{Bucket, BucketError, Condition};
use crate::job::Layout;
use crate::mail_address;

/// Attempts at a conditional write.
const MAX_CONFLICTS: u32 = 10;
/// Days before a count is deleted.
const COUNTS_KEPT: i64 = 2;

/// An address as a hash: 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Addressee(String);

impl Addressee {
    /// Hashes an address. The domain is compared in lower case and ASCII, the part in front of it exactly
    /// (RFC 5321, 2.4).
    pub fn of(address: &str) -> Self {
        let hash = Sha256::digest(format!("addressee|{}", normal(address)));
        let digits = hash[..16].iter().map(|byte| format!("{byte:02x}"));
        Self(digits.collect())
    }
}

/// An address in the form in which it is compared.
pub(super) fn normal(address: &str) -> String {
    let address = mail_address::parse(address)
        .map_or_else(|_| address.trim().to_owned(), |address| address.to_string());
    match address.rsplit_once('@') {
        Some((user, domain)) => format!("{user}@{}", domain.to_ascii_lowercase()),
        None => address,
    }
}

/// The unsubscribe page (RFC 8058, "one-click unsubscription").
#[derive(Debug)]
pub struct Unsubscribe {
    url: String,
    signer: Signer,
}

impl Unsubscribe {
    /// Creates links to the page at `url`, signed with `secret` (`whsec_…`); `None` if the secret is malformed.
    pub fn new(url: String, secret: &str) -> Option<Self> {
        let signer = Signer::new(secret)?;
        Some(Self { url, signer })
    }

    /// Returns the link that unsubscribes this addressee and no other.
    pub(super) fn link(&self, Addressee(hash): &Addressee) -> Option<String> {
        // As webhooks are signed, whose ids all begin with `msg_`.
        let signature = self
            .signer
            .sign("unsubscribe", Timestamp::UNIX_EPOCH, hash)?;
        let token = signature
            .strip_prefix("v1,")?
            .replace('+', "-")
            .replace('/', "_");
        let token = token.trim_end_matches('=');
        Some(format!("{}?a={hash}&t={token}", self.url))
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Letters {
    letters: u32,
}

/// Returns whether an addressee has unsubscribed.
///
/// # Errors
/// If the bucket cannot be read.
pub(super) async fn wants_no_more<B: Bucket>(
    bucket: &B,
    Addressee(hash): &Addressee,
) -> Result<bool, BucketError> {
    Ok(bucket.get(&Layout::unsubscribed(hash)).await?.is_some())
}

/// Unsubscribes an addressee.
///
/// # Errors
/// If the bucket cannot be written.
pub(super) async fn end_letters<B: Bucket>(
    bucket: &B,
    Addressee(hash): &Addressee,
    now: Timestamp,
) -> Result<(), BucketError> {
    let json = format!(r#"{{"at":"{now}"}}"#);
    let key = Layout::unsubscribed(hash);
    bucket.put(&key, json.into(), Condition::None).await?;
    Ok(())
}

/// Counts one e-mail for today; returns false if the limit is reached.
///
/// # Errors
/// If the bucket cannot be used.
pub(super) async fn count<B: Bucket>(
    bucket: &B,
    Addressee(hash): &Addressee,
    limit: u32,
    now: Timestamp,
) -> Result<bool, BucketError> {
    let key = Layout::letters(&day(now), hash);
    for conflict in 1.. {
        let known = bucket.get(&key).await?;
        let (letters, condition) = match known {
            None => (0, Condition::Absent),
            Some(object) => {
                let known: Letters = serde_json::from_slice(&object.bytes).unwrap_or_default();
                (known.letters, Condition::Unchanged(object.version))
            }
        };
        if letters >= limit {
            return Ok(false);
        }
        let next = Letters {
            letters: letters + 1,
        };
        let json = serde_json::to_vec(&next).expect("a number only");
        match bucket.put(&key, json.into(), condition).await {
            Ok(_) => return Ok(true),
            Err(BucketError::Conflict { .. }) if conflict < MAX_CONFLICTS => {}
            Err(error) => return Err(error),
        }
    }
    unreachable!("the last conflict is an error")
}

/// Deletes the counts of past days.
///
/// # Errors
/// If the bucket cannot be used.
pub(crate) async fn forget_counts<B: Bucket>(
    bucket: &B,
    now: Timestamp,
) -> Result<(), BucketError> {
    let kept_from = now.checked_sub(Span::new().hours(24 * COUNTS_KEPT));
    let first_kept = Layout::letters(&day(kept_from.unwrap_or(Timestamp::MIN)), "");
    for key in bucket.list(Layout::LETTERS).await? {
        if key < first_kept {
            bucket.delete(&key).await?;
        }
    }
    Ok(())
}

/// The day, in UTC: `2026-11-27`.
fn day(at: Timestamp) -> String {
    TimeZone::UTC.to_datetime(at).date().to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn an_address_is_known_again_however_it_is_written() {
        let hash = |address: &str| Addressee::of(address).0;
        assert_eq!(hash("anna@example.com"), hash(" anna@EXAMPLE.com "));
        assert_eq!(
            hash("a@b\u{fc}cher.example"),
            hash("a@xn--bcher-kva.example")
        );
        assert_ne!(hash("anna@example.com"), hash("Anna@example.com"));
        assert_eq!(hash("anna@example.com").len(), 32);
    }

    /// The Worker's page takes the same links.
    #[test]
    fn links_are_as_in_the_shared_vectors() {
        let vectors: Vec<Value> =
            serde_json::from_str(include_str!("../../tests/data/unsubscribe.json")).unwrap();
        for vector in vectors {
            let text = |name: &str| vector[name].as_str().unwrap();
            let page = Unsubscribe::new(text("page").to_owned(), text("secret")).unwrap();
            let link = page.link(&Addressee::of(text("address"))).unwrap();
            assert_eq!(link, text("link"));
        }
        assert!(Unsubscribe::new("https://x.example/".to_owned(), "hunter2").is_none());
    }
}
