//! What Cloud Storage means by an answer that is not a success ("HTTP status and error codes for
//! JSON").

use http::Response;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde::Deserialize;

use super::{Access, Ask};
use crate::manifest::StoredUrl;
use crate::plan::MissingReason;
use crate::source::{SourceError, Transient};

/// The longest error that is read, in bytes.
const MAX_ERROR_BYTES: usize = 64 * 1024;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Envelope {
    error: Reasons,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reasons {
    message: String,
    errors: Vec<Reason>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reason {
    reason: String,
}

impl Ask {
    /// The permission that it takes ("IAM permissions for JSON methods").
    fn permission(self) -> &'static str {
        match self {
            Self::List => "storage.objects.list",
            Self::Describe | Self::Read => "storage.objects.get",
        }
    }
}

/// Reads an answer that is not a success.
pub(super) async fn read(
    url: &StoredUrl,
    ask: Ask,
    access: &Access,
    response: Response<Incoming>,
) -> SourceError {
    let common = crate::source::http::refusal(&response);
    let status = response.status().as_u16();
    if !matches!(status, 400 | 401 | 403 | 404) {
        return match (common, ask) {
            (SourceError::Missing(reason), Ask::List) => SourceError::Settings(format!(
                "`{url}` cannot be listed: Google answered HTTP {status} ({reason})"
            )),
            (error, _) => error,
        };
    }
    let body = Limited::new(response.into_body(), MAX_ERROR_BYTES).collect();
    let said = match tokio::time::timeout(super::super::http::ERROR_BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => serde_json::from_slice::<Envelope>(&body.to_bytes()).unwrap_or_default(),
        _ => Envelope::default(),
    };
    let reason = said.error.errors.first().map(|first| first.reason.as_str());
    meaning(url, ask, access, status, reason, &said.error.message)
}

fn meaning(
    url: &StoredUrl,
    ask: Ask,
    access: &Access,
    status: u16,
    reason: Option<&str>,
    message: &str,
) -> SourceError {
    let bucket = url.bucket();
    let permission = ask.permission();
    if !message.is_empty() {
        tracing::warn!(photo.url = %url, "Google says: {message}");
    }
    match (status, reason, ask) {
        // Older answers to too many requests.
        (403, Some("rateLimitExceeded" | "userRateLimitExceeded" | "quotaExceeded"), _) => {
            SourceError::Transient(Transient {
                throttled: true,
                ..Transient::new("Google asks for fewer requests")
            })
        }
        (401, ..) if access.is_anonymous() => SourceError::Settings(format!(
            "`{url}` is not public, and `GOOGLE_APPLICATION_CREDENTIALS` says `anonymous`; \
             give the key of a service account that may read it"
        )),
        (401, ..) => SourceError::Settings(format!(
            "Google does not accept the credentials of {access}; check that the key was not \
             deleted and the account not disabled, and that this machine's clock is right"
        )),
        // Who pays has to be said, which this program does not do.
        (400, ..) if message.contains("requester pays") => SourceError::Settings(format!(
            "`gs://{bucket}` cannot be read, because whoever reads it has to pay for it; make it a bucket \
             whose owner pays"
        )),
        (400, _, Ask::List) => SourceError::Settings(format!(
            "`{url}` cannot be listed: Google refuses it (the log says more)"
        )),
        (400, ..) => SourceError::Missing(MissingReason::Refused { status }),
        (403, Some("accountDisabled" | "UserProjectAccountProblem" | "userProjectMissing"), _) => {
            SourceError::Settings(format!(
                "`gs://{bucket}` cannot be read: its project, or the account that pays for it, is disabled; \
                 enable it"
            ))
        }
        (403, _, Ask::List) => SourceError::Settings(format!(
            "`{url}` cannot be listed: {access} lacks the permission `{permission}` on the bucket \
             `{bucket}`; grant it, for example by the role Storage Object Viewer"
        )),
        (403, ..) => {
            tracing::warn!(
                photo.url = %url,
                "{access} lacks the permission `{permission}`, or the object is not there"
            );
            SourceError::Missing(MissingReason::AccessDenied {
                permission: permission.to_owned(),
            })
        }
        (_, _, Ask::List) => SourceError::Settings(format!(
            "`{url}` cannot be listed: there is no bucket `{bucket}`; check its name"
        )),
        _ => SourceError::Missing(MissingReason::NotFound),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{PhotoUrl, SourceRules};
    use crate::source::gcs::Credentials;

    #[test]
    fn refusals_say_who_lacks_what() {
        let access = Access::new(&Credentials::Anonymous).unwrap();
        let url = PhotoUrl::parse("gs://photos/e/7/a.jpg", &SourceRules::anything());
        let Ok(PhotoUrl::Stored(url)) = url else {
            panic!()
        };
        let table: Vec<String> = [
            (
                401,
                Some("required"),
                Ask::Read,
                "Anonymous caller does not have access.",
            ),
            (
                403,
                Some("forbidden"),
                Ask::Read,
                "x does not have storage.objects.get access.",
            ),
            (
                403,
                Some("forbidden"),
                Ask::List,
                "x does not have storage.objects.list access.",
            ),
            (403, Some("rateLimitExceeded"), Ask::Read, "slow down"),
            (
                403,
                Some("accountDisabled"),
                Ask::Read,
                "The project's billing is disabled.",
            ),
            (404, Some("notFound"), Ask::Read, "No such object"),
            (
                404,
                Some("notFound"),
                Ask::List,
                "The specified bucket does not exist.",
            ),
        ]
        .into_iter()
        .map(|(status, reason, ask, message)| {
            format!(
                "{status} {ask:?}: {:?}",
                meaning(&url, ask, &access, status, reason, message)
            )
        })
        .collect();
        insta::assert_snapshot!(table.join("\n"));
    }
}
