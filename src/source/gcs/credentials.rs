//! Who asks Cloud Storage, by Google's own library: it signs and renews tokens in the background, so
//! that a job may take longer than one of them lives.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use google_cloud_auth::build_errors::Error as BuildError;
use google_cloud_auth::credentials::{
    AccessTokenCredentials, Builder, external_account, impersonated, mds, service_account,
    user_account,
};
use google_cloud_auth::errors::CredentialsError;
use http::HeaderValue;
use serde_json::Value;
use tokio::time::timeout;

use super::key;
use crate::source::SourceError;
use crate::{chain, connection, redact};

/// All that is asked for: to read objects ("Cloud Storage authentication", scopes).
const SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_only";
/// Where the metadata server is, if not where Google's machines have it; for tests and emulators.
const METADATA_HOST: &str = "GCE_METADATA_HOST";
/// The longest text that is taken for a path, in bytes; keys are longer.
const MAX_PATH_BYTES: usize = 512;
/// How long the library may take over a token.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);
/// Whose credentials are used.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Those of this machine: what `gcloud auth application-default login` left, or the metadata
    /// server's.
    Machine,
    /// A file, such as a service account's key.
    File(PathBuf),
    /// The text of such a file. A secret.
    Json(String),
    /// The metadata server's, without looking further.
    Metadata,
    /// Nobody's: public buckets and emulators.
    Anonymous,
}

impl Credentials {
    /// Reads what `GOOGLE_APPLICATION_CREDENTIALS` says.
    pub fn parse(text: &str) -> Self {
        match text.trim_start_matches('\u{feff}').trim() {
            "" => Self::Machine,
            "anonymous" => Self::Anonymous,
            "metadata" => Self::Metadata,
            // What cannot be a path is a secret, even if it is no key as it is: one in quotes, or in base64.
            text if text.starts_with(['{', '"', '\'', '-'])
                || text.len() > MAX_PATH_BYTES
                || text.contains(char::is_control) =>
            {
                Self::Json(text.to_owned())
            }
            path => Self::File(PathBuf::from(path)),
        }
    }
}

impl Credentials {
    /// Names what is wrong with a key that was given as text, if anything is: for the start of a program, which goes
    /// on, since only photos in `gs://` need it.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Json(text) => key::read(text).err(),
            _ => None,
        }
    }
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine => Ok(()),
            Self::File(path) => path.display().fmt(f),
            Self::Json(_) => f.write_str("[redacted]"),
            Self::Metadata => f.write_str("metadata"),
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({self})")
    }
}

/// Credentials at work.
pub struct Access {
    credentials: Credentials,
    /// `None` for nobody's. The library does not try again what it takes for a permanent failure; then
    /// they are made anew.
    tokens: Mutex<Option<AccessTokenCredentials>>,
    /// Whose they are, for people.
    whose: String,
}

/// The library's credentials, and whose they are.
type Made = (Option<AccessTokenCredentials>, String);

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.whose)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({self})")
    }
}

impl Access {
    /// Reads credentials; their first token is fetched in the background. Within a tokio runtime.
    ///
    /// # Errors
    /// If there are none, or they are not what they should be.
    pub fn new(credentials: &Credentials) -> Result<Self, SourceError> {
        let (tokens, whose) = Self::make(credentials)?;
        Ok(Self {
            credentials: credentials.clone(),
            tokens: Mutex::new(tokens),
            whose,
        })
    }

    fn make(credentials: &Credentials) -> Result<Made, SourceError> {
        // The library's own client uses the default, which only the first to come can set.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        match credentials {
            Credentials::Anonymous => Ok((None, "nobody (anonymous)".to_owned())),
            Credentials::Json(text) => Self::of_json(text, "`GOOGLE_APPLICATION_CREDENTIALS`"),
            Credentials::File(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    SourceError::Settings(format!(
                        "the Google credentials in `{}` (`GOOGLE_APPLICATION_CREDENTIALS`) cannot be \
                         read: {error}; name a key file, or give its text",
                        path.display()
                    ))
                })?;
                Self::of_json(&text, &format!("`{}`", path.display()))
            }
            Credentials::Metadata => {
                let builder = mds::Builder::default().with_scopes([SCOPE]);
                Self::of_machine(builder.build_access_token_credentials())
            }
            Credentials::Machine if !may_have_credentials() => Err(SourceError::Settings(
                "there are no Google credentials; set `GOOGLE_APPLICATION_CREDENTIALS` to a service \
                 account's key, as a file or as its text, or to `anonymous` for public buckets"
                    .to_owned(),
            )),
            Credentials::Machine => {
                let builder = Builder::default().with_scopes([SCOPE]);
                Self::of_machine(builder.build_access_token_credentials())
            }
        }
    }

    fn of_machine(built: Result<AccessTokenCredentials, BuildError>) -> Result<Made, SourceError> {
        let tokens = built.map_err(|error| {
            tracing::warn!("Google's library says: {}", chain(&error));
            SourceError::Settings(
                "this machine's Google credentials cannot be used (the log says more); run `gcloud auth \
                 application-default login`, or set `GOOGLE_APPLICATION_CREDENTIALS`"
                    .to_owned(),
            )
        })?;
        Ok((Some(tokens), "this machine's Google account".to_owned()))
    }

    fn of_json(text: &str, place: &str) -> Result<Made, SourceError> {
        let wrong = |what: &str| {
            SourceError::Settings(format!(
                "what is in {place} is not a key of a Google service account: {what}"
            ))
        };
        let key = key::read(text).map_err(|problem| wrong(&problem))?;
        let field = |name: &str| key.get(name).and_then(Value::as_str);
        let kind = field("type").unwrap_or_default().to_owned();
        let whose = field("client_email")
            .or_else(|| field("service_account_impersonation_url"))
            .map_or_else(
                || format!("the `{kind}` in {place}"),
                |name| format!("`{name}`"),
            );
        let built = match kind.as_str() {
            "service_account" => {
                let scopes = service_account::AccessSpecifier::from_scopes([SCOPE]);
                service_account::Builder::new(key)
                    .with_access_specifier(scopes)
                    .build_access_token_credentials()
            }
            "authorized_user" => user_account::Builder::new(key)
                .with_scopes([SCOPE])
                .build_access_token_credentials(),
            "external_account" => external_account::Builder::new(key)
                .with_scopes([SCOPE])
                .build_access_token_credentials(),
            _ => impersonated::Builder::new(key)
                .with_scopes([SCOPE])
                .build_access_token_credentials(),
        };
        let tokens = built.map_err(|error| {
            tracing::warn!("Google's library says: {}", chain(&error));
            wrong(&format!(
                "its `type` is `{kind}`, but not all of its fields can be used (the log says more)"
            ))
        })?;
        Ok((Some(tokens), whose))
    }

    pub(super) fn is_anonymous(&self) -> bool {
        self.credentials == Credentials::Anonymous
    }

    /// The `Authorization` of a request, if it needs one.
    pub(super) async fn token(&self) -> Result<Option<HeaderValue>, SourceError> {
        let tokens = self.lock().clone();
        let Some(tokens) = tokens else {
            return Ok(None);
        };
        let Ok(token) = timeout(TOKEN_TIMEOUT, tokens.access_token()).await else {
            let seconds = TOKEN_TIMEOUT.as_secs();
            let what = format!("there is no token for {self} within {seconds} s");
            return Err(SourceError::transient(what));
        };
        let token = token.map_err(|error| self.no_token(&error))?;
        redact::learn(&token.token);
        let mut header = HeaderValue::from_str(&format!("Bearer {}", token.token))
            .map_err(|_| SourceError::transient("Google gave a token that cannot be sent"))?;
        header.set_sensitive(true);
        Ok(Some(header))
    }

    fn lock(&self) -> MutexGuard<'_, Option<AccessTokenCredentials>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn no_token(&self, error: &CredentialsError) -> SourceError {
        let said = chain(error);
        tracing::warn!("there is no token for {self}; Google's library says: {said}");
        if error.is_transient() {
            let why = connection::failure(error, "Google").map_or_else(
                || "Google's token service returned a server error".to_owned(),
                |(_, what)| what,
            );
            return SourceError::transient(format!("there is no token for {self}: {why}"));
        }
        // For the next job, when somebody may have mended it.
        if let Ok((tokens, _)) = Self::make(&self.credentials) {
            *self.lock() = tokens;
        }
        SourceError::Settings(format!(
            "there is no token for {self}: {}; check the credentials in `GOOGLE_APPLICATION_CREDENTIALS`",
            why_no_token(&said, error)
        ))
    }
}

/// Tells what Google's token service means ("OAuth 2.0 error codes", and its words for service accounts).
fn why_no_token(said: &str, error: &(dyn Error + 'static)) -> String {
    if let Some((_, what)) = connection::failure(error, "Google") {
        return what;
    }
    let known = [
        (
            "Invalid JWT: Token must be",
            "this machine's clock is wrong",
        ),
        (
            "Invalid JWT Signature",
            "Google does not know the key, which may have been deleted",
        ),
        (
            "account not found",
            "the account does not exist, or was deleted",
        ),
        ("disabled", "the account or its project is disabled"),
        ("invalid_rapt", "Google wants the person to log in again"),
        (
            "invalid_grant",
            "Google does not accept it: it was withdrawn or has expired, or this machine's clock is wrong",
        ),
        (
            "getAccessToken",
            "it may not act for the other account; grant it the role Service Account Token Creator there",
        ),
        (
            "metadata",
            "this machine's metadata server gives none; give the machine a service account",
        ),
    ];
    let found = known.iter().find(|(words, _)| said.contains(words));
    found
        .map_or("Google refuses it (the log says more)", |(_, why)| why)
        .to_owned()
}

/// Whether there is anything to be found on this machine. Elsewhere, looking for the metadata server
/// takes a minute to fail.
fn may_have_credentials() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let gcloud = std::env::var_os("CLOUDSDK_CONFIG")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config/gcloud")));
    set(METADATA_HOST)
        || gcloud.is_some_and(|folder| {
            folder
                .join("application_default_credentials.json")
                .is_file()
        })
        || std::fs::read_to_string("/sys/class/dmi/id/product_name")
            .is_ok_and(|name| name.trim().starts_with("Google"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_says_which() {
        assert_eq!(Credentials::parse(" "), Credentials::Machine);
        assert_eq!(Credentials::parse("anonymous"), Credentials::Anonymous);
        assert_eq!(Credentials::parse("metadata"), Credentials::Metadata);
        assert_eq!(
            Credentials::parse("key.json"),
            Credentials::File("key.json".into())
        );
        let json = Credentials::parse("\n{\"private_key\": \"hunter2\"}");
        assert!(matches!(json, Credentials::Json(_)));
        let base64 = "aHVudGVyMg".repeat(60);
        for secret in [
            "\"{hunter2}\"",
            "-----BEGIN PRIVATE KEY-----",
            "a\nhunter2",
            &base64,
        ] {
            let parsed = Credentials::parse(secret);
            assert!(matches!(parsed, Credentials::Json(_)), "{secret}");
        }
        assert!(matches!(
            Credentials::parse("\u{feff}{}"),
            Credentials::Json(_)
        ));
        assert!(!format!("{json:?}{json}").contains("hunter2"));
    }

    #[tokio::test]
    async fn what_is_no_key_is_told_with_its_place() {
        let json = Credentials::Json("{\"private_key\": \"hunter2\"}".to_owned());
        let file = Credentials::File("/nowhere/key.json".into());
        let told = [json, file].map(|given| Access::new(&given).unwrap_err().to_string());
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn what_google_says_is_told_in_our_words() {
        let error = CredentialsError::from_msg(false, "x");
        let told = [
            "body=<{\"error\":\"invalid_grant\",\"error_description\":\"Invalid JWT Signature.\"}>",
            "body=<{\"error\":\"invalid_grant\",\"error_description\":\"Invalid JWT: Token must be a \
             short-lived token (60 minutes) and in a reasonable timeframe.\"}>",
            "body=<{\"error\":\"invalid_grant\",\"error_description\":\"Invalid grant: account not found\"}>",
            "body=<{\"error\":\"invalid_grant\",\"error_description\":\"Bad Request\"}>",
            "hunter2",
        ]
        .map(|said| why_no_token(said, &error));
        insta::assert_snapshot!(told.join("\n"));
    }
}
