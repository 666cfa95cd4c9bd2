//! What the environment and profiles say, as it can be sent: the SDK takes it as it is, and panics where a
//! line break follows a key.

use aws_config::Region;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};

use super::AwsError;
use crate::redact;

/// Returns whether this can be a region: it becomes part of a host's name.
pub fn is_region(region: &str) -> bool {
    !region.is_empty()
        && region.len() <= 63
        && region
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The region, if it is one.
pub(super) fn region(region: &Region) -> Option<Region> {
    let name = region.as_ref().trim();
    if is_region(name) {
        return Some(Region::new(name.to_owned()));
    }
    tracing::warn!("`AWS_REGION`, or the profile's `region`, is no region; looking for another");
    None
}

/// Makes known what is secret in the environment, before the SDK reads it, which logs much of that.
pub(super) fn learn_environment() {
    for (name, value) in std::env::vars_os() {
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        if name.starts_with("AWS_ENDPOINT_URL") {
            redact::learn_password(&value);
        } else if matches!(&*name, "AWS_SECRET_ACCESS_KEY" | "AWS_SESSION_TOKEN") {
            redact::learn(&value);
        }
    }
}

/// The keys of this provider, tidied.
pub(super) fn keys(provider: SharedCredentialsProvider) -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Tidy(provider))
}

#[derive(Debug)]
struct Tidy(SharedCredentialsProvider);

impl ProvideCredentials for Tidy {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async { tidied(&self.0.provide_credentials().await?) })
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.0.fallback_on_interrupt()
    }
}

fn tidied(found: &Credentials) -> Result<Credentials, CredentialsError> {
    let tidy = |name: &str, text: &str| match crate::text::tidy(text) {
        Ok(text) => Ok(text.to_owned()),
        Err(problem) => Err(CredentialsError::invalid_configuration(AwsError::settings(
            format!("{name} is one {problem}; take it out, in the environment or in the profile"),
        ))),
    };
    redact::learn(found.secret_access_key());
    let id = tidy(
        "the AWS access key id (`AWS_ACCESS_KEY_ID`)",
        found.access_key_id(),
    )?;
    let secret = tidy(
        "the AWS secret access key (`AWS_SECRET_ACCESS_KEY`)",
        found.secret_access_key(),
    )?;
    let token = found.session_token().map(|token| {
        redact::learn(token);
        tidy("the AWS session token (`AWS_SESSION_TOKEN`)", token)
    });
    let token = token.transpose()?;
    let as_found = id == found.access_key_id()
        && secret == found.secret_access_key()
        && token.as_deref() == found.session_token();
    if as_found {
        return Ok(found.clone());
    }
    let mut tidy = Credentials::builder()
        .access_key_id(id)
        .secret_access_key(secret)
        .provider_name("the standard AWS credentials");
    tidy.set_session_token(token);
    tidy.set_expiry(found.expiry());
    tidy.set_account_id(found.account_id().cloned());
    Ok(tidy.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(id: &str, secret: &str, token: Option<&str>) -> Result<Credentials, CredentialsError> {
        let token = token.map(str::to_owned);
        tidied(&Credentials::new(id, secret, token, None, "test"))
    }

    #[test]
    fn blanks_go_and_what_cannot_be_sent_is_told() {
        let found = given(" AKIA\n", "hunter2-secret\r\n", Some("token\n")).unwrap();
        assert_eq!(found.access_key_id(), "AKIA");
        assert_eq!(found.secret_access_key(), "hunter2-secret");
        assert_eq!(found.session_token(), Some("token"));
        let told = [
            given("AK\nIA", "hunter2-secret", None),
            given("AKIA", "hunter2\n-secret", None),
            given("AKIA", "hunter2-secret", Some("to\0ken")),
        ]
        .map(|wrong| {
            let error = wrong.unwrap_err();
            std::error::Error::source(&error).unwrap().to_string()
        })
        .join("\n");
        assert!(!told.contains("hunter2"), "{told}");
        insta::assert_snapshot!(told, @r"
        the AWS access key id (`AWS_ACCESS_KEY_ID`) is one with a line break in it; take it out, in the environment or in the profile
        the AWS secret access key (`AWS_SECRET_ACCESS_KEY`) is one with a line break in it; take it out, in the environment or in the profile
        the AWS session token (`AWS_SESSION_TOKEN`) is one with a control character in it; take it out, in the environment or in the profile
        ");
    }

    #[test]
    fn regions_are_parts_of_host_names() {
        assert!(is_region("us-east-1") && is_region("auto"));
        for wrong in ["", "us east", "us-east-1/x", "a.b", "é"] {
            assert!(!is_region(wrong), "{wrong}");
        }
        let read = |text: &'static str| region(&Region::new(text)).map(|region| region.to_string());
        assert_eq!(read(" eu-west-1\n").as_deref(), Some("eu-west-1"));
        assert_eq!(read("eu west"), None);
    }
}
