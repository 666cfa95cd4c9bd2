//! What went wrong with an AWS service, by what to do about it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::{Action, Target};
use crate::connection;

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
            no_connection(error, doing, place)
        }
        _ => match credentials_error(error) {
            Some(CredentialsError::CredentialsNotLoaded(_)) => {
                (Settings, no_credentials.to_owned())
            }
            Some(CredentialsError::InvalidConfiguration(_)) => (
                Settings,
                match our_words(error) {
                    Some(words) => format!("the credentials cannot be used: {words}"),
                    None => "the AWS credentials cannot be used as they are set (the log says more); check \
                             `AWS_PROFILE` and its profile, or set `AWS_ACCESS_KEY_ID` and \
                             `AWS_SECRET_ACCESS_KEY`"
                        .to_owned(),
                },
            ),
            Some(_) => (
                Temporary,
                match our_words(error) {
                    Some(words) => format!("the credentials could not be had: {words}"),
                    None => "the AWS credentials are unavailable (the log says more); where they come from a \
                             log-in, log in again (`aws sso login`, `aws login`)"
                        .to_owned(),
                },
            ),
            None => (
                Refused,
                format!("{doing} failed before it was sent (the log says more)"),
            ),
        },
    };
    // What may pass is tried again, and there is nothing to mend.
    let said = crate::chain(error);
    if kind == Temporary {
        tracing::debug!("{doing} failed: {said}");
    } else {
        tracing::warn!("{doing} failed: {said}");
    }
    Some(TransportFailure { kind, message })
}

/// A request that did not get as far as to a service.
fn no_connection(
    error: &(dyn Error + 'static),
    doing: &str,
    place: &str,
) -> (AwsErrorKind, String) {
    match connection::failure(error, place) {
        Some((connection::Kind::Certificate, what)) => (
            AwsErrorKind::Settings,
            format!(
                "{what}; if that is as it should be, name its authority in the file of `SSL_CERT_FILE`"
            ),
        ),
        Some((connection::Kind::Network, what)) => (
            AwsErrorKind::Temporary,
            format!("{doing} failed, because {what}; check the address and the network"),
        ),
        None => (
            AwsErrorKind::Temporary,
            format!(
                "{doing} failed, because {place} cannot be reached; check the address and the network"
            ),
        ),
    }
}

/// Finds the words of an error of ours that the SDK hands on: about keys in a secret, or keys that no request can
/// carry.
fn our_words(error: &(dyn Error + 'static)) -> Option<String> {
    connection::causes(error)
        .into_iter()
        .find_map(|cause| cause.downcast_ref::<AwsError>())
        .map(AwsError::to_string)
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
            let error = by_code(context, status, meta.code(), meta.message());
            if let Some(said) = meta.message() {
                tracing::debug!("{error}; {service} says: {said}");
            }
            error
        }
        (None, _) => AwsError::odd(format!("{doing} failed in an unknown way")),
    }
}

/// Codes of SQS, Batch and Secrets Manager ("Common errors" and the actions' own in their API references). They say
/// them with and without a prefix. Their messages are the services' and stay in the log.
fn by_code(
    context: &Context<'_>,
    status: u16,
    code: Option<&str>,
    message: Option<&str>,
) -> AwsError {
    use AwsErrorKind::{Gone, Refused, Temporary};
    let (service, doing) = (context.target.service, context.action.doing);
    let code = code_of(code).unwrap_or_default();
    let name = code.rsplit(['.', '#']).next().unwrap_or_default();
    if let Some(told) = wrong_setting(context, code, name, message) {
        return AwsError::settings(told);
    }
    let said = message.unwrap_or_default();
    let (kind, text) = match (name.trim_end_matches("Exception"), status) {
        ("ReceiptHandleIsInvalid" | "MessageNotInflight", _) => {
            (Gone, format!("{doing} came too late: the message is gone"))
        }
        // SQS, of a message that was received twelve hours ago: "Total VisibilityTimeout for the message is
        // beyond the limit [43200 seconds]".
        ("InvalidParameterValue", _) if said.contains("Total VisibilityTimeout") => (
            Gone,
            format!("{doing} came too late: SQS hides a message for 12 hours in all"),
        ),
        // Of one that was removed, or came back: "Message does not exist or is not available for visibility
        // timeout change."
        ("InvalidParameterValue", _) if said.contains("visibility timeout") => {
            (Gone, format!("{doing} came too late: the message is gone"))
        }
        (name, 501) => (
            Refused,
            format!("{service} cannot do this: {doing} ({name}, HTTP 501)"),
        ),
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
        (_, 403) | ("" | "Client", _) => {
            return AwsError::settings(refused(context, name, status, said));
        }
        (name, _) => (
            Refused,
            format!(
                "{doing} was refused by {service}: {name} (HTTP {status}; the log says more at `debug`)"
            ),
        ),
    };
    AwsError::new(kind, text)
}

/// A refusal that says little: somebody has to look.
fn refused(context: &Context<'_>, name: &str, status: u16, said: &str) -> String {
    let Context { target, action, .. } = context;
    let Target { service, resource } = target;
    let doing = action.doing;
    match (name, status) {
        // Batch says nothing more exact of names that it does not know.
        ("ClientException", _) => {
            format!(
                "{doing} was refused ({}); check the {resource}",
                plain(said)
            )
        }
        (_, 403) => format!(
            "{doing} was refused by {service} (HTTP 403); check {}, and that it may do `{}` with the \
             {resource}",
            context.access_key, action.permission
        ),
        _ => format!(
            "what answers does not speak as {service} does (HTTP {status}); check its address"
        ),
    }
}

/// Names what is wrong with a name, a key or a permission.
fn wrong_setting(
    context: &Context<'_>,
    code: &str,
    name: &str,
    message: Option<&str>,
) -> Option<String> {
    let Context {
        target,
        action,
        access_key,
        secret_key,
    } = context;
    let resource = &target.resource;
    let doing = action.doing;
    Some(match name.trim_end_matches("Exception") {
        "NonExistentQueue" | "QueueDoesNotExist" | "InvalidAddress" => {
            format!("there is no {resource}; check the address, the account and the region")
        }
        "ResourceNotFound" => {
            format!("there is no {resource}; check its name, the account and the region")
        }
        name if about_kms(code, name, message) => format!(
            "the {resource} is encrypted with a key of AWS KMS that the AWS credentials may not use, or \
             that is gone or disabled ({doing}); allow `kms:Decrypt` and `kms:GenerateDataKey` with that \
             key, also in the key's own policy"
        ),
        "AccessDenied" | "UnauthorizedOperation" | "AuthorizationError" => format!(
            "the AWS credentials may not do this to the {resource} ({doing}); allow `{}`",
            action.permission
        ),
        "InvalidClientTokenId" | "UnrecognizedClient" | "InvalidAccessKeyId" => {
            format!("AWS does not know the key in {access_key}; check it")
        }
        "SignatureDoesNotMatch" | "InvalidSignature" => format!(
            "{secret_key} is not the secret of {access_key}, or this machine's clock is wrong, or \
             the {resource} is in another region than `BATCH_AWS_REGION` says; check them"
        ),
        // Of the signature, that is.
        "RequestExpired" | "RequestTimeTooSkewed" => {
            "this machine's clock differs too much from AWS's; set it (NTP)".to_owned()
        }
        "ExpiredToken" | "TokenRefreshRequired" => {
            format!("the token that belongs to {access_key} has expired; renew it")
        }
        _ => return None,
    })
}

fn credentials_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    connection::causes(error)
        .into_iter()
        .find_map(|cause| cause.downcast_ref())
}

/// Returns whether a refusal is about the key that something is encrypted with: SQS and S3 have codes for it
/// (`KMS.AccessDeniedException`, `KmsDisabled`), and all say it in a message as well.
pub(crate) fn about_kms(code: &str, name: &str, message: Option<&str>) -> bool {
    let said = message.unwrap_or_default().to_ascii_lowercase();
    let words = said.contains("kms") || said.contains("ciphertext refers to a customer master key");
    code.to_ascii_lowercase().contains("kms") || (name == "AccessDenied" && words)
}

/// A service's message, short and without control characters: for people at a terminal.
fn plain(said: &str) -> String {
    let said = crate::redact::text(said);
    let said: String = said.chars().filter(|letter| !letter.is_control()).collect();
    said.trim_end_matches('.').chars().take(200).collect()
}

/// A code of a service, in which nothing but letters, digits and full stops can stand.
pub(crate) fn code_of(code: Option<&str>) -> Option<&str> {
    code.filter(|code| {
        !code.is_empty()
            && code.len() <= 64
            && code
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || ".#_:-".contains(letter))
    })
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
            (
                true,
                400,
                Some("KMS.AccessDeniedException"),
                Some(
                    "User: arn:aws:iam::1:user/a is not authorized to perform: kms:GenerateDataKey",
                ),
            ),
            (
                true,
                400,
                Some("AccessDeniedException"),
                Some(
                    "The ciphertext refers to a customer master key that does not exist, does not exist in \
                     this region, or you are not allowed to access.",
                ),
            ),
            (true, 400, Some("KmsDisabled"), None),
            (true, 403, Some("RequestExpired"), None),
            (
                true,
                400,
                Some("InvalidParameterValue"),
                Some(
                    "Value 60 for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout \
                     for the message is beyond the limit [43200 seconds]",
                ),
            ),
            (
                true,
                400,
                Some("InvalidParameterValue"),
                Some(
                    "Value AQEB for parameter ReceiptHandle is invalid. Reason: Message does not exist or \
                     is not available for visibility timeout change.",
                ),
            ),
            (true, 501, Some("NotImplemented"), None),
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
