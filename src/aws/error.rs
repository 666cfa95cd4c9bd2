//! What went wrong with an AWS service, by what to do about it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::{Action, Target};

/// A request that AWS did not carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsError {
    /// What to do next.
    pub kind: AwsErrorKind,
    /// The fact and the remedy, in words.
    message: String,
}

/// What to do about a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwsErrorKind {
    /// Nothing will change until somebody changes a setting, a permission or a resource.
    Settings,
    /// It may pass.
    Temporary,
    /// What the request is about is not there any more, such as a message that was removed.
    Gone,
    /// AWS refuses this request.
    Refused,
}

impl AwsError {
    fn new(kind: AwsErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(crate) fn settings(message: impl Into<String>) -> Self {
        Self::new(AwsErrorKind::Settings, message)
    }

    pub(crate) fn temporary(message: impl Into<String>) -> Self {
        Self::new(AwsErrorKind::Temporary, message)
    }

    /// AWS does something that is not as documented.
    pub(crate) fn odd(message: impl Into<String>) -> Self {
        Self::new(AwsErrorKind::Refused, message)
    }
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for AwsError {}

/// A failure before a service answered: of the network, of TLS, of the credentials.
pub(crate) struct TransportFailure {
    pub(crate) kind: AwsErrorKind,
    pub(crate) message: String,
}

/// Reads what the SDK says of a request that got no answer; `None` if it got one. `no_credentials` is
/// what to say where there are none.
pub(crate) fn transport_failure<E>(
    error: &SdkError<E, HttpResponse>,
    doing: &str,
    place: &str,
    no_credentials: &str,
) -> Option<TransportFailure>
where
    E: Error + 'static,
{
    use AwsErrorKind::{Refused, Settings, Temporary};
    let (kind, message) = match error {
        SdkError::ServiceError(_) => return None,
        // The answer broke off. (One that is whole but makes no sense is a `ServiceError`.)
        SdkError::ResponseError(_) => (
            Temporary,
            format!("the answer to {doing} broke off at {place}"),
        ),
        SdkError::TimeoutError(_) => (Temporary, format!("{doing} took too long at {place}")),
        SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_timeout() => {
            let cause = root_cause(error);
            if cause.contains("certificate") {
                (
                    Settings,
                    format!(
                        "the certificate of {place} is not trusted ({cause}); name its authority \
                         in the file of `SSL_CERT_FILE`"
                    ),
                )
            } else {
                (
                    Temporary,
                    format!(
                        "{doing} failed, because {place} cannot be reached: {cause}; \
                         check the address and the network"
                    ),
                )
            }
        }
        _ => {
            let cause = root_cause(error);
            match credentials_error(error) {
                Some(CredentialsError::CredentialsNotLoaded(_)) => {
                    (Settings, no_credentials.to_owned())
                }
                Some(CredentialsError::InvalidConfiguration(_)) => {
                    (Settings, format!("the credentials cannot be used: {cause}"))
                }
                Some(_) => (
                    Temporary,
                    format!("the credentials could not be had: {cause}"),
                ),
                None => (Refused, format!("{doing} failed: {cause}")),
            }
        }
    };
    Some(TransportFailure { kind, message })
}

/// What an error message needs to know.
pub(super) struct Context<'a> {
    target: &'a Target,
    action: Action,
    access_key: &'static str,
    secret_key: &'static str,
}

impl<'a> Context<'a> {
    pub(super) fn new(target: &'a Target, action: Action, fixed_keys: bool) -> Self {
        let (access_key, secret_key) = if fixed_keys {
            ("`BATCH_AWS_ACCESS_KEY`", "`BATCH_AWS_SECRET_KEY`")
        } else {
            ("the AWS access key id", "the AWS secret access key")
        };
        Self {
            target,
            action,
            access_key,
            secret_key,
        }
    }

    pub(super) fn timeout(&self, limit: Duration) -> AwsError {
        let (doing, service) = (self.action.doing, self.target.service);
        let seconds = limit.as_secs();
        AwsError::new(
            AwsErrorKind::Temporary,
            format!("{doing} took longer than {seconds} s at {service}"),
        )
    }
}

/// Reads the SDK's error.
pub(super) fn classify<E>(context: &Context<'_>, error: &SdkError<E, HttpResponse>) -> AwsError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let no_credentials = "there are no credentials for AWS; set `BATCH_AWS_ACCESS_KEY` and \
                          `BATCH_AWS_SECRET_KEY`, or the standard AWS credentials";
    let (service, doing) = (context.target.service, context.action.doing);
    match (
        transport_failure(error, doing, service, no_credentials),
        error,
    ) {
        (Some(TransportFailure { kind, message }), _) => AwsError { kind, message },
        (None, SdkError::ServiceError(answer)) => {
            let meta = answer.err().meta();
            let status = answer.raw().status().as_u16();
            by_code(context, status, meta.code(), meta.message())
        }
        (None, _) => AwsError::odd(format!("{doing} failed: {}", root_cause(error))),
    }
}

/// Codes of SQS, Batch and Secrets Manager ("Common errors" and the actions' own in their API references). They say
/// them with and without a prefix.
fn by_code(
    context: &Context<'_>,
    status: u16,
    code: Option<&str>,
    message: Option<&str>,
) -> AwsError {
    use AwsErrorKind::{Gone, Refused, Settings, Temporary};
    let Context {
        target,
        action,
        access_key,
        secret_key,
    } = context;
    let Target { service, resource } = target;
    let doing = action.doing;
    let name = code
        .unwrap_or_default()
        .rsplit(['.', '#'])
        .next()
        .unwrap_or_default();
    let said = message.unwrap_or("no message");
    let permission = match said {
        // Secrets Manager, of a secret that is encrypted with a key of the account's own.
        "Access to KMS is not allowed" => "kms:Decrypt",
        _ => action.permission,
    };
    let (kind, text) = match (name.trim_end_matches("Exception"), status) {
        ("NonExistentQueue" | "QueueDoesNotExist" | "InvalidAddress", _) => (
            Settings,
            format!("there is no {resource}; check the address, the account and the region"),
        ),
        ("ResourceNotFound", _) => (
            Settings,
            format!("there is no {resource}; check its name, the account and the region"),
        ),
        (
            "AccessDenied" | "KmsAccessDenied" | "UnauthorizedOperation" | "AuthorizationError",
            _,
        ) => (
            Settings,
            format!(
                "the AWS credentials may not do this to the {resource} ({doing}); allow `{permission}`"
            ),
        ),
        ("InvalidClientTokenId" | "UnrecognizedClient" | "InvalidAccessKeyId", _) => (
            Settings,
            format!("AWS does not know the key in {access_key}; check it"),
        ),
        ("SignatureDoesNotMatch" | "InvalidSignature", _) => (
            Settings,
            format!(
                "{secret_key} is not the secret of {access_key}, or this machine's clock is wrong, or \
                 the {resource} is in another region than `BATCH_AWS_REGION` says; check them"
            ),
        ),
        ("ExpiredToken" | "RequestExpired" | "TokenRefreshRequired", _) => (
            Settings,
            format!("the token that belongs to {access_key} has expired; renew it"),
        ),
        ("ReceiptHandleIsInvalid" | "MessageNotInflight", _) => {
            (Gone, format!("{doing} came too late: the message is gone"))
        }
        // What SQS says of a message that was removed, or hidden for twelve hours in all.
        ("InvalidParameterValue", _) if said.contains("visibility timeout") => {
            (Gone, format!("{doing} came too late: {said}"))
        }
        (name, status)
            if status >= 500
                || matches!(status, 408 | 429)
                || [
                    "Throttl",
                    "TooManyRequests",
                    "ServiceUnavailable",
                    "InternalFailure",
                ]
                .iter()
                .any(|temporary| name.contains(temporary)) =>
        {
            (
                Temporary,
                format!("{doing} failed, because {service} is in trouble: {name} (HTTP {status})"),
            )
        }
        // Batch says nothing more exact of names that it does not know.
        ("Client", _) => (
            Settings,
            format!("{doing} was refused: {said}; check the {resource}"),
        ),
        (_, 403) => (
            Settings,
            format!(
                "{doing} was refused by {service} (HTTP 403); check {access_key}, and that it may do \
                 `{permission}` with the {resource}"
            ),
        ),
        ("", status) => (
            Settings,
            format!(
                "what answers does not speak as {service} does (HTTP {status}); check its address"
            ),
        ),
        (name, _) => (
            Refused,
            format!("{doing} was refused by {service}: {name}, {said} (HTTP {status})"),
        ),
    };
    AwsError::new(kind, text)
}

fn credentials_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

pub(crate) fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_words_that_name_the_setting() {
        let target = Target {
            service: "SQS",
            resource: "queue `https://q.example/1/jobs` (`BATCH_SQS_QUEUE_URL`)".to_owned(),
        };
        let action = Action {
            doing: "sending a message",
            permission: "sqs:SendMessage",
        };
        let mut lines = Vec::new();
        for (fixed_keys, status, code, message) in [
            (
                true,
                400,
                Some("AWS.SimpleQueueService.NonExistentQueue"),
                None,
            ),
            (true, 403, Some("AccessDenied"), None),
            (false, 400, Some("AccessDeniedException"), None),
            (
                false,
                400,
                Some("AccessDeniedException"),
                Some("Access to KMS is not allowed"),
            ),
            (true, 400, Some("ResourceNotFoundException"), None),
            (true, 403, Some("InvalidClientTokenId"), None),
            (
                false,
                403,
                Some("com.amazonaws#UnrecognizedClientException"),
                None,
            ),
            (true, 403, Some("SignatureDoesNotMatch"), None),
            (false, 400, Some("ExpiredTokenException"), None),
            (true, 400, Some("ReceiptHandleIsInvalid"), None),
            (true, 400, Some("ThrottlingException"), None),
            (true, 503, Some("ServiceUnavailable"), None),
            (
                true,
                400,
                Some("ClientException"),
                Some("JobDefinition nope not found"),
            ),
            (true, 404, None, None),
            (true, 403, None, Some("no")),
            (
                true,
                400,
                Some("InvalidMessageContents"),
                Some("odd characters"),
            ),
        ] {
            let context = Context::new(&target, action, fixed_keys);
            let error = by_code(&context, status, code, message);
            lines.push(format!("{code:?} {:?}: {error}", error.kind));
        }
        insta::assert_snapshot!(lines.join("\n"));
    }
}
