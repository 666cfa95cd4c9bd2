//! What went wrong with a store, by what to do about it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::StoreKeys;
use crate::aws::error::{AwsError, AwsErrorKind, about_kms, code_of, transport_failure};

/// A request that a store did not carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError {
    /// What to do next.
    pub kind: StoreErrorKind,
    /// The fact and the remedy, in words.
    message: String,
}

/// What to do about a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// Nothing will change until somebody changes a setting, a permission or the bucket.
    Settings,
    /// It may pass.
    Temporary,
    /// The object is not there.
    NotFound,
    /// HTTP 404 without a word about what is not there.
    BareNotFound,
    /// The condition of a conditional request does not hold.
    Conflict,
    /// The store refuses this request.
    Refused,
}

impl StoreError {
    fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(crate) fn timeout(names: &Names, doing: &str, limit: Duration) -> Self {
        let seconds = limit.as_secs();
        Self::new(
            StoreErrorKind::Temporary,
            format!("{doing} took longer than {seconds} s at {}", names.place()),
        )
    }

    pub(super) fn settings(message: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Settings, message)
    }

    pub(super) fn not_s3(names: &Names, status: u16) -> Self {
        Self::new(
            StoreErrorKind::Settings,
            format!(
                "what answers at {} does not speak S3 (HTTP {status}); check the address",
                names.place()
            ),
        )
    }

    /// The same with another kind.
    pub(super) fn of_kind(self, kind: StoreErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// The store does something that is not as documented.
    pub(crate) fn odd(message: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Refused, message)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for StoreError {}

/// What went wrong with the keys of the store.
impl From<AwsError> for StoreError {
    fn from(error: AwsError) -> Self {
        Self::new(error.kind.into(), error.to_string())
    }
}

impl From<AwsErrorKind> for StoreErrorKind {
    fn from(kind: AwsErrorKind) -> Self {
        match kind {
            AwsErrorKind::Settings => Self::Settings,
            AwsErrorKind::Temporary => Self::Temporary,
            AwsErrorKind::Gone | AwsErrorKind::Refused => Self::Refused,
        }
    }
}

/// What the settings are called that a store was made with, as they stand in a sentence.
#[derive(Debug, Clone)]
pub struct Names {
    endpoint: &'static str,
    pub(super) access_key: &'static str,
    secret_key: &'static str,
    address: Option<String>,
}

impl Names {
    pub(super) fn of(keys: &StoreKeys, address: Option<String>) -> Self {
        let (endpoint, access_key, secret_key) = match keys {
            StoreKeys::Fixed(_) => ("`R2_ENDPOINT`", "`R2_ACCESS_KEY`", "`R2_SECRET_KEY`"),
            StoreKeys::Secret(_) => (
                "`R2_ENDPOINT`",
                "`access_key` of the secret in `R2_SECRET_ARN`",
                "`secret_key` of the secret in `R2_SECRET_ARN`",
            ),
            StoreKeys::Chain => (
                "`AWS_ENDPOINT_URL`",
                "the AWS access key id",
                "the AWS secret access key",
            ),
        };
        Self {
            endpoint,
            access_key,
            secret_key,
            address,
        }
    }

    fn place(&self) -> String {
        match &self.address {
            Some(address) => format!("{address} ({})", self.endpoint),
            None => "AWS".to_owned(),
        }
    }
}

/// Reads the SDK's error.
pub(super) fn classify<E>(
    names: &Names,
    bucket: &str,
    doing: &str,
    error: &SdkError<E, HttpResponse>,
) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let no_credentials = "there are no credentials for the store; set `R2_ENDPOINT`, `R2_ACCESS_KEY` \
                          and `R2_SECRET_KEY`, or the AWS credentials";
    match (
        transport_failure(error, doing, &names.place(), no_credentials),
        error,
    ) {
        (Some(failure), _) => StoreError::new(failure.kind.into(), failure.message),
        (None, SdkError::ServiceError(answer)) => {
            let meta = answer.err().meta();
            let status = answer.raw().status().as_u16();
            // Answers to HEAD have no code, so that a wrong clock looks like a lack of permission.
            let code = match meta.code() {
                None if status == 403 && is_skewed(answer.raw()) => Some("RequestTimeTooSkewed"),
                code => code,
            };
            let error = by_code(names, bucket, doing, status, code, meta.message());
            if let Some(said) = meta.message() {
                tracing::debug!("{error}; the store says: {said}");
            }
            error
        }
        (None, _) => StoreError::odd(format!("{doing} failed in an unknown way")),
    }
}

/// The most that clocks may differ (S3, `RequestTimeTooSkewed`).
const MAX_SKEW: Duration = Duration::from_mins(15);

/// Returns whether the store's clock, as it stands in the answer, differs too much from this machine's.
fn is_skewed(answer: &HttpResponse) -> bool {
    let date = answer.headers().get("date");
    let theirs = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    theirs.is_some_and(|theirs| {
        let apart = jiff::Timestamp::now().duration_since(theirs.timestamp());
        apart.unsigned_abs() > MAX_SKEW
    })
}

/// Whether the store refuses the keys themselves, and not what they may do.
pub(super) fn refuses_keys<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: ProvideErrorMetadata,
{
    let SdkError::ServiceError(answer) = error else {
        return false;
    };
    let meta = answer.err().meta();
    match (meta.code(), answer.raw().status().as_u16()) {
        (Some("InvalidAccessKeyId" | "SignatureDoesNotMatch"), _) | (_, 401) => true,
        (Some("InvalidArgument"), _) => about_the_key(meta.message()),
        // Answers to HEAD have no codes.
        (None, 403) => true,
        _ => false,
    }
}

/// What R2 says of a key id of the wrong length.
fn about_the_key(message: Option<&str>) -> bool {
    message.is_some_and(|message| message.to_ascii_lowercase().contains("access key"))
}

/// Codes of S3 ("Error responses" in its API reference) and of R2 (documentation, "Error codes"). Their
/// messages are the services' and stay in the log.
fn by_code(
    names: &Names,
    bucket: &str,
    doing: &str,
    status: u16,
    code: Option<&str>,
    message: Option<&str>,
) -> StoreError {
    use StoreErrorKind::{BareNotFound, Conflict, NotFound, Refused, Temporary};
    let place = names.place();
    let code = code_of(code);
    let about_settings = wrong_keys(names, status, code, message)
        .or_else(|| wrong_bucket(names, bucket, doing, status, code, message));
    if let Some(told) = about_settings {
        return StoreError::settings(told);
    }
    match (code, status) {
        (Some("PreconditionFailed"), _) | (_, 412) => {
            StoreError::new(Conflict, format!("{doing} met another writer"))
        }
        (Some("NoSuchKey" | "NoSuchUpload"), _) => {
            StoreError::new(NotFound, format!("{doing} found nothing"))
        }
        // `NotFound` is what the SDK makes of a 404 without a body.
        (None | Some("NotFound"), 404) => {
            StoreError::new(BareNotFound, format!("{doing} found nothing"))
        }
        // Some of these come with HTTP 200: completing an upload begins its answer before it is
        // done. `BadDigest` and `IncompleteBody` are damage on the way.
        (
            Some(
                "SlowDown"
                | "InternalError"
                | "ServiceUnavailable"
                | "RequestTimeout"
                | "OperationAborted"
                | "ConditionalRequestConflict"
                | "BadDigest"
                | "IncompleteBody"
                | "TooManyRequests"
                | "ClientDisconnect",
            ),
            _,
        )
        | (_, 408 | 429 | 500 | 502..) => {
            let code = code.unwrap_or("no reason given");
            StoreError::new(
                Temporary,
                format!("{doing} failed, because {place} is in trouble: {code} (HTTP {status})"),
            )
        }
        (code, 501) => StoreError::new(
            Refused,
            format!(
                "{place} cannot do this: {doing} ({}, HTTP 501); use a store that can (R2, S3, MinIO)",
                code.unwrap_or("no reason given")
            ),
        ),
        (Some(code), _) => StoreError::new(
            Refused,
            format!(
                "{doing} was refused by {place}: {code} (HTTP {status}; the log says more at `debug`)"
            ),
        ),
        (None, status) => StoreError::not_s3(names, status),
    }
}

/// Names what is wrong with the keys, or with whoever uses them.
fn wrong_keys(
    names: &Names,
    status: u16,
    code: Option<&str>,
    message: Option<&str>,
) -> Option<String> {
    let Names {
        access_key,
        secret_key,
        ..
    } = names;
    let place = names.place();
    Some(match (code, status) {
        (Some("ExpiredToken" | "InvalidToken" | "TokenRefreshRequired"), _) => {
            format!("the token that belongs to {access_key} has expired; renew it")
        }
        (Some("InvalidArgument"), _) if about_the_key(message) => {
            format!("what is in {access_key} is not the id of a key; check it")
        }
        (Some("InvalidAccessKeyId"), _) | (_, 401) => {
            format!("{place} does not know the key in {access_key}; check it")
        }
        (Some("SignatureDoesNotMatch"), _) => {
            format!("{secret_key} is not the secret of {access_key}; check both")
        }
        // R2 says the second one of a signature that is too old, though it was made just now.
        (Some("RequestTimeTooSkewed" | "ExpiredRequest" | "RequestExpired"), _) => {
            "this machine's clock differs too much from the store's; set it (NTP)".to_owned()
        }
        (Some("NotEntitled" | "NotSignedUp"), _) => format!(
            "the account at {place} may not use the store; subscribe to it (R2: in Cloudflare's \
             dashboard), or pay its bill"
        ),
        _ => return None,
    })
}

/// Names what is wrong with the bucket, or with what the keys may do to it.
fn wrong_bucket(
    names: &Names,
    bucket: &str,
    doing: &str,
    status: u16,
    code: Option<&str>,
    message: Option<&str>,
) -> Option<String> {
    let (access_key, place) = (names.access_key, names.place());
    Some(match (code, status) {
        (Some("NoSuchBucket"), _) => format!(
            "there is no bucket `{bucket}` at {place}; create it, or check its name (`R2_BUCKET`, or in the \
             address)"
        ),
        (Some("InvalidBucketName"), _) => format!(
            "`{bucket}` cannot be the name of a bucket; check it (`R2_BUCKET`, or in the address)"
        ),
        (
            Some(
                "AuthorizationHeaderMalformed"
                | "PermanentRedirect"
                | "InvalidRegionName"
                | "IllegalLocationConstraintException",
            ),
            _,
        ) => format!("the bucket `{bucket}` is in another region; set `r2.region` or `AWS_REGION`"),
        (Some("ObjectLockedByBucketPolicy"), _) => format!(
            "a lock of the bucket `{bucket}` keeps its objects as they are ({doing}); take the lock \
             (R2: bucket lock rules) away from what this program writes"
        ),
        (Some(code), _) if about_kms(code, code, message) => format!(
            "the bucket `{bucket}` is encrypted with a key of AWS KMS that {access_key} may not use, or that \
             is gone or disabled ({doing}); allow `kms:Decrypt` and `kms:GenerateDataKey` with that key"
        ),
        (Some("AccessDenied" | "AllAccessDisabled" | "AccountProblem"), _) | (None, 403) => {
            format!(
                "{access_key} may not do this to the bucket `{bucket}` ({doing}); allow it to read and write \
             objects there"
            )
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Keys;

    #[test]
    fn codes_become_words_that_name_the_setting() {
        let keys = StoreKeys::Fixed(Keys {
            access_key: "a".to_owned(),
            secret_key: "s".to_owned(),
        });
        let names = Names::of(&keys, Some("https://store.example".to_owned()));
        let table: Vec<String> = [
            (404, Some("NoSuchBucket")),
            (401, Some("Unauthorized")),
            (400, Some("ExpiredRequest")),
            (403, Some("RequestTimeTooSkewed")),
            (400, Some("ClientDisconnect")),
            (400, Some("IncompleteBody")),
            (403, Some("NotEntitled")),
            (403, Some("ObjectLockedByBucketPolicy")),
            (400, Some("InvalidBucketName")),
            (501, Some("NotImplemented")),
            (501, None),
            (500, Some("InternalError")),
            (503, None),
            (400, Some("EntityTooLarge")),
            (400, Some("<b>hunter2</b>")),
            (418, None),
            (403, Some("AccessDenied")),
            (400, Some("KMS.DisabledException")),
        ]
        .into_iter()
        .map(|(status, code)| {
            let error = by_code(
                &names,
                "photos",
                "storing a part",
                status,
                code,
                Some("hunter2"),
            );
            format!("{status} {code:?}: {:?}: {error}", error.kind)
        })
        .collect();
        let table = table.join("\n");
        assert!(
            !table.replace("<b>hunter2</b>", "").contains("hunter2"),
            "{table}"
        );
        insta::assert_snapshot!(table);
    }
}
