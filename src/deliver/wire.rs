//! The real courier: e-mail by SMTP (RFC 5321, by `lettre`), webhooks by HTTPS.

use std::fmt;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use percent_encoding::percent_decode_str;
use tokio::time::timeout;
use url::Url;

use super::feedback::NOTICE;
use super::webhook::Signer;
use super::{Call, Courier, Mail, Notice, Undelivered};
use crate::clock::Clock;
use crate::connection::{self, Cause};
use crate::manifest::{SourceRules, WebUrl};
use crate::source::http::{AddressRefused, Connector};
use crate::tls::TlsError;
use crate::{mail_address, redact};

/// How long it may take to connect to a mail server, and to hand over a letter in all.
const SMTP_CONNECT: Duration = Duration::from_secs(10);
const SMTP_ALL: Duration = Duration::from_secs(30);
/// How long a receiver of webhooks may take to begin its answer. That is all that is read of it.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to connect to one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

const USER_AGENT: &str = concat!("wedding-photo-processor/", env!("CARGO_PKG_VERSION"));

/// How notices are handed over.
#[derive(Debug, Clone)]
pub struct WireOptions {
    /// The mail server and who sends; without it, nobody gets an e-mail.
    pub mail: Option<MailOptions>,
    /// The secret that webhooks are signed with; without it, none is called.
    pub webhook_secret: Option<SecretText>,
    /// Rules for the addresses of webhooks.
    pub webhooks: SourceRules,
    /// Whether webhooks may be on loopback and private addresses, and without encryption.
    pub allow_private: bool,
}

impl Default for WireOptions {
    /// No e-mail and no signature; any webhook on the public internet.
    fn default() -> Self {
        Self {
            mail: None,
            webhook_secret: None,
            webhooks: SourceRules::https(),
            allow_private: false,
        }
    }
}

/// How e-mail is sent.
#[derive(Debug, Clone)]
pub struct MailOptions {
    /// `smtps://user:password@host` (TLS), `smtp://user:password@host` (STARTTLS), or
    /// `smtp://host?tls=none`.
    pub smtp_url: SecretText,
    /// The sender, such as `Photos <photos@example.com>`.
    pub from: String,
    /// Where answers go.
    pub reply_to: Option<String>,
    /// True if SES reports bounces: each e-mail then names its job in a header.
    pub has_feedback: bool,
}

/// A text that is not shown.
#[derive(Clone)]
pub struct SecretText(pub String);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Why there is no courier. It shows no secret.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// A setting is not what it should be.
    #[error("setting `{key}` cannot be used; give {wanted}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// SMTP and HTTPS.
pub struct Wire {
    mail: Option<Mailer>,
    signer: Option<Signer>,
    client: Client<Connector, Full<bytes::Bytes>>,
    clock: Clock,
    webhooks: SourceRules,
}

struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    reply_to: Option<Mailbox>,
    has_feedback: bool,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("mail", &self.mail.is_some())
            .field("signer", &self.signer)
            .finish_non_exhaustive()
    }
}

impl Wire {
    /// Makes ready; nothing is sent yet.
    ///
    /// # Errors
    /// If a setting is not what it should be.
    pub fn new(options: &WireOptions, clock: Clock) -> Result<Self, WireError> {
        let signer = options.webhook_secret.as_ref().map(|secret| {
            Signer::new(&secret.0).ok_or(WireError::Setting {
                key: "deliver.webhook_secret",
                wanted: "`whsec_` and 24 to 64 random bytes in base64 (`WEBHOOK_SECRET`)",
            })
        });
        let connector = Connector::new(options.allow_private, CONNECT_TIMEOUT)?;
        Ok(Self {
            mail: options.mail.as_ref().map(Mailer::new).transpose()?,
            signer: signer.transpose()?,
            client: Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                // Minutes pass between two calls.
                .pool_max_idle_per_host(0)
                .build(connector),
            clock,
            webhooks: SourceRules {
                allow_http: options.allow_private,
                ..options.webhooks.clone()
            },
        })
    }

    async fn mail(&self, mail: &Mail) -> Result<(), Undelivered> {
        let Some(mailer) = &self.mail else {
            return Err(Undelivered::for_good(
                "no e-mail can be sent: `SMTP_URL` and `MAIL_FROM` are not set",
            ));
        };
        mailer.send(mail).await
    }

    async fn call(&self, call: &Call) -> Result<(), Undelivered> {
        let Some(signer) = &self.signer else {
            return Err(Undelivered::for_good(
                "it cannot be signed: `WEBHOOK_SECRET` is not set",
            ));
        };
        // A manifest's address is checked, but what lies in the bucket need not be from one.
        let rules = SourceRules {
            allow_http: self.webhooks.allow_http,
            ..SourceRules::https()
        };
        let url = WebUrl::parse(&call.url, &rules).map_err(|_| {
            Undelivered::for_good(
                "its address is not one of `https`, and nothing is sent unencrypted",
            )
        })?;
        if !url.is_allowed(&self.webhooks) {
            return Err(Undelivered::for_good(
                "its host, or its folder there, is not in `deliver.webhook_hosts`",
            ));
        }
        let now = (self.clock)();
        let signature = signer
            .sign(&call.id, now, &call.body)
            .ok_or_else(|| Undelivered::for_good("it cannot be signed"))?;
        let request = Request::post(&call.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, USER_AGENT)
            .header("webhook-id", &call.id)
            .header("webhook-timestamp", now.as_second())
            .header("webhook-signature", signature)
            .body(Full::from(call.body.clone()))
            .map_err(|_| Undelivered::for_good("its address is none"))?;
        let answer = timeout(CALL_TIMEOUT, self.client.request(request)).await;
        let status = match answer {
            Err(_) => {
                let seconds = CALL_TIMEOUT.as_secs();
                return Err(Undelivered::for_now(format!(
                    "no answer within {seconds} s"
                )));
            }
            Ok(Err(error)) => return Err(unreachable(&error)),
            // Whatever else it has to say is dropped with the connection.
            Ok(Ok(answer)) => answer.status(),
        };
        match status {
            status if status.is_success() => Ok(()),
            // "The receiver wants no more" (Standard Webhooks).
            StatusCode::GONE => Err(Undelivered::for_good("it answered 410 Gone")),
            status if status.is_redirection() => Err(Undelivered::for_good(format!(
                "it answered {status}, and webhooks follow no redirects"
            ))),
            status => Err(Undelivered::for_now(format!("it answered {status}"))),
        }
    }
}

/// A receiver that could not be reached.
fn unreachable(error: &hyper_util::client::legacy::Error) -> Undelivered {
    let causes = connection::causes(error);
    if causes.iter().any(|cause| cause.is::<AddressRefused>()) {
        return Undelivered::for_good("its address is not on the public internet");
    }
    // The host itself may be a secret.
    let unreachable = causes
        .iter()
        .find_map(|cause| cause.downcast_ref::<Cause>());
    Undelivered::for_now(match unreachable {
        Some(cause) => format!("it {cause}"),
        None => connection::failure(error, "the receiver")
            .map_or_else(|| "it cannot be reached".to_owned(), |(_, what)| what),
    })
}

impl Courier for Wire {
    fn deliver<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, Result<(), Undelivered>> {
        match notice {
            Notice::Mail(mail) => self.mail(mail).boxed(),
            Notice::Call(call) => self.call(call).boxed(),
        }
    }
}

impl Mailer {
    fn new(options: &MailOptions) -> Result<Self, WireError> {
        let mailbox = |key, text: &str| -> Result<Mailbox, WireError> {
            let wrong = || WireError::Setting {
                key,
                wanted: "an address such as `Photos <photos@example.com>`",
            };
            let mut mailbox: Mailbox = text.parse().map_err(|_| wrong())?;
            let address = mailbox.email.to_string();
            mailbox.email = mail_address::parse(&address).map_err(|_| wrong())?;
            Ok(mailbox)
        };
        let reply_to = options.reply_to.as_ref();
        let from: Mailbox = mailbox("deliver.mail_from", &options.from)?;
        Ok(Self {
            transport: transport(&options.smtp_url.0, from.email.domain())?,
            from,
            reply_to: reply_to
                .map(|address| mailbox("deliver.reply_to", address))
                .transpose()?,
            has_feedback: options.has_feedback,
        })
    }

    fn message(&self, mail: &Mail) -> Result<Message, lettre::error::Error> {
        let domain = self.from.email.domain();
        let to = mail_address::parse(&mail.to);
        let to = to.map_err(|_| lettre::error::Error::MissingTo)?;
        let mut message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(&mail.letter.subject)
            .message_id(Some(format!("<{}@{domain}>", mail.id)));
        if let Some(reply_to) = &self.reply_to {
            message = message.reply_to(reply_to.clone());
        }
        // So that holiday notices stay away (RFC 3834).
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        let mut message =
            message.raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()));
        if self.has_feedback {
            let name = HeaderName::new_from_ascii_str(NOTICE);
            let value = format!("{}/{}", mail.job, mail.id);
            message = message.raw_header(HeaderValue::new(name, value));
        }
        if let Some(url) = &mail.unsubscribe {
            // One click suffices (RFC 8058), for which mail programs show a button of their own.
            for (name, value) in [
                ("List-Unsubscribe", format!("<{url}>")),
                (
                    "List-Unsubscribe-Post",
                    "List-Unsubscribe=One-Click".to_owned(),
                ),
            ] {
                let name = HeaderName::new_from_ascii_str(name);
                message = message.raw_header(HeaderValue::new(name, value));
            }
        }
        let Mail { letter, .. } = mail;
        let body = MultiPart::alternative_plain_html(letter.text.clone(), letter.html.clone());
        message.multipart(body)
    }

    async fn send(&self, mail: &Mail) -> Result<(), Undelivered> {
        let message = self.message(mail).map_err(|error| {
            tracing::warn!(
                "no e-mail can be made: {}",
                without(&error.to_string(), &mail.to)
            );
            Undelivered::for_good("no e-mail can be made with this address; check it")
        })?;
        match timeout(SMTP_ALL, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(refused(&error, &mail.to)),
            Err(_) => {
                let seconds = SMTP_ALL.as_secs();
                Err(Undelivered::for_now(format!(
                    "the mail server took longer than {seconds} s"
                )))
            }
        }
    }
}

/// A text without an address, or the name in it, however they are written.
fn without(text: &str, address: &str) -> String {
    let name = address.split('@').next().unwrap_or_default();
    let mut text = text.to_owned();
    for secret in [address, name] {
        // Shorter ones would take letters out of words.
        if secret.len() > 2 {
            text = blank(&text, &secret.to_ascii_lowercase());
        }
    }
    text
}

/// Replaces a text, which is in lower case.
fn blank(text: &str, secret: &str) -> String {
    // Lower-case ASCII has the same bytes in the same places.
    let lower = text.to_ascii_lowercase();
    let (mut blanked, mut rest) = (String::new(), 0);
    for (at, found) in lower.match_indices(secret) {
        blanked.push_str(&text[rest..at]);
        blanked.push('…');
        rest = at + found.len();
    }
    blanked.push_str(&text[rest..]);
    blanked
}

/// Tells what a mail server's answer means (RFC 5321, 4.2.1). Its own words go to the log alone.
fn refused(error: &lettre::transport::smtp::Error, to: &str) -> Undelivered {
    // Servers like to repeat the address, which is to be nowhere.
    let said = without(&crate::chain(error), to);
    tracing::warn!("the mail server says: {said}");
    let Some(code) = error.status().map(u16::from) else {
        return if error.is_client() {
            Undelivered::for_good("the mail server cannot take it: it lacks what the e-mail needs")
        } else {
            let what = connection::failure(error, "the mail server (`SMTP_URL`)");
            Undelivered::for_now(what.map_or_else(
                || {
                    "no connection to the mail server (`SMTP_URL`) came about, or it broke"
                        .to_owned()
                },
                |(_, what)| what,
            ))
        };
    };
    let answer = match enhanced_code(&said) {
        Some(enhanced) => format!("{code} {enhanced}"),
        None => code.to_string(),
    };
    match code {
        // RFC 4954, 6.
        530 | 534 | 535 | 538 => Undelivered::for_now(format!(
            "the mail server does not accept the user and password in `SMTP_URL` ({answer}; the log says more)"
        )),
        500.. => Undelivered::for_good(format!(
            "the mail server refused it{} ({answer}; the log says more)",
            why_refused(&answer)
        )),
        _ => Undelivered::for_now(format!(
            "the mail server refused it for now{} ({answer}; the log says more)",
            why_refused(&answer)
        )),
    }
}

/// The subject of a code (RFC 3463, 3).
fn why_refused(answer: &str) -> &'static str {
    let subject = answer.split(['.', ' ']).nth(2);
    match subject {
        Some("1") => ", for the address is not known there or is no good",
        Some("2") => ", for the mailbox is full or closed",
        Some("7") => ", for its rules are against it (who may send, SPF, DKIM, spam)",
        _ => "",
    }
}

/// A code such as `5.7.1`, which says more than the three digits do (RFC 3463), and nothing of anybody.
fn enhanced_code(said: &str) -> Option<&str> {
    said.split(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .find(|word| {
            let mut parts = word.split('.');
            let mut number = || parts.next().filter(|part| (1..=3).contains(&part.len()));
            matches!(number(), Some("4" | "5"))
                && number().is_some()
                && number().is_some()
                && parts.next().is_none()
        })
}

/// A connection to the mail server, to which this program says that it is of the sender's domain: relays refuse
/// whoever says a name that is none, and a container's own is none (RFC 5321, 4.1.4).
fn transport(
    smtp_url: &str,
    domain: &str,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, WireError> {
    let wrong = || WireError::Setting {
        key: "deliver.smtp_url",
        wanted: "`smtps://user:password@host` (TLS), `smtp://user:password@host` (STARTTLS), or, for a \
                 relay on a private network, `smtp://host?tls=none` (`SMTP_URL`); in the password, write `/` as \
                 `%2F`, `@` as `%40`, `:` as `%3A`, `#` as `%23`, `%` as `%25`",
    };
    redact::learn_password(smtp_url);
    let url = Url::parse(smtp_url).map_err(|_| wrong())?;
    let host = url.host_str().ok_or_else(wrong)?.to_owned();
    // A password with a `/` in it, as SES makes them, looks like a path, and the user like a host.
    if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
        return Err(wrong());
    }
    let mode = url.query_pairs().find(|(key, _)| key == "tls");
    let mode = mode.as_ref().map(|(_, mode)| mode.as_ref());
    let (port, tls) = match (url.scheme(), mode) {
        ("smtps", None) => (465, Tls::Wrapper(parameters(&host)?)),
        ("smtp", None | Some("required")) => (587, Tls::Required(parameters(&host)?)),
        ("smtp", Some("none")) => (25, Tls::None),
        _ => return Err(wrong()),
    };
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        .port(url.port().unwrap_or(port))
        .tls(tls)
        .hello_name(ClientId::Domain(domain.to_owned()))
        .timeout(Some(SMTP_CONNECT));
    if let Some(password) = url.password() {
        let credentials = Credentials::new(decode(url.username()), decode(password));
        transport = transport.credentials(credentials);
    } else if !url.username().is_empty() {
        return Err(wrong());
    }
    Ok(transport.build())
}

/// Trusts the same authorities as everything else ([`crate::tls`]).
fn parameters(host: &str) -> Result<TlsParameters, WireError> {
    let failed = |_| WireError::Setting {
        key: "deliver.smtp_url",
        wanted: "the name of a mail server",
    };
    let mut builder =
        TlsParameters::builder(host.to_owned()).certificate_store(CertificateStore::WebpkiRoots);
    for certificate in crate::tls::native_certificates()? {
        if let Ok(certificate) = Certificate::from_der(certificate) {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build_rustls().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(smtp_url: &str, from: &str) -> WireOptions {
        WireOptions {
            mail: Some(MailOptions {
                smtp_url: SecretText(smtp_url.to_owned()),
                from: from.to_owned(),
                reply_to: None,
                has_feedback: false,
            }),
            ..WireOptions::default()
        }
    }

    #[test]
    fn addresses_are_taken_out_however_they_are_written() {
        assert_eq!(
            without(
                "<Anna.B@Example.com>: user anna.b unknown",
                "anna.b@example.com"
            ),
            "<…>: user … unknown"
        );
        assert_eq!(without("no é such", "a@b.example"), "no é such");
        // What stands for an address may be one itself.
        assert_eq!(
            without("5.1.1 … is unknown", "…@b.example"),
            "5.1.1 … is unknown"
        );
    }

    #[tokio::test]
    async fn webhooks_without_encryption_are_not_called_wherever_their_address_is_from() {
        let options = WireOptions {
            webhook_secret: Some(SecretText(
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
            )),
            ..WireOptions::default()
        };
        let wire = Wire::new(&options, crate::clock::system).unwrap();
        for url in ["http://hooks.example/x", "ftp://hooks.example", "hooks"] {
            let call = Call {
                id: "msg_1".to_owned(),
                url: url.to_owned(),
                body: "{}".to_owned(),
            };
            let refused = wire.call(&call).await.unwrap_err();
            assert!(
                !refused.may_pass && refused.why.contains("https"),
                "{refused}"
            );
        }
    }

    #[tokio::test]
    async fn webhooks_of_other_hosts_are_not_called_wherever_their_address_is_from() {
        let options = WireOptions {
            webhook_secret: Some(SecretText(
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
            )),
            webhooks: SourceRules {
                allowed_hosts: vec!["hooks.example/ours/".to_owned()],
                ..SourceRules::default()
            },
            ..WireOptions::default()
        };
        let wire = Wire::new(&options, crate::clock::system).unwrap();
        for (url, is_allowed) in [
            ("https://elsewhere.example/ours/x", false),
            ("https://hooks.example.evil.example/ours/x", false),
            ("https://hooks.example@evil.example/ours/x", false),
            ("https://hooks.example/theirs?key=s3cret", false),
            ("https://hooks.example/ours/%2e%2e/theirs", false),
            // Its host does not exist, which is found out later.
            ("https://hooks.example/ours/x?key=s3cret", true),
        ] {
            let call = Call {
                id: "msg_1".to_owned(),
                url: url.to_owned(),
                body: "{}".to_owned(),
            };
            let refused = wire.call(&call).await.unwrap_err();
            assert_eq!(refused.may_pass, is_allowed, "{url}: {refused}");
            assert!(!refused.why.contains("s3cret"), "{refused}");
        }
    }

    #[tokio::test]
    async fn settings_that_cannot_be_used_are_named_without_the_password() {
        let clock = crate::clock::system;
        let mut told = Vec::new();
        for (url, from) in [
            ("hunter2", "a@b.example"),
            ("http://user:hunter2@host", "a@b.example"),
            ("smtp://user:hunter2@host?tls=maybe", "a@b.example"),
            ("smtps://user:hunter2@host", "nobody"),
            ("smtps://user@host", "a@b.example"),
        ] {
            told.push(
                Wire::new(&options(url, from), clock)
                    .unwrap_err()
                    .to_string(),
            );
        }
        let secret = WireOptions {
            webhook_secret: Some(SecretText("hunter2".to_owned())),
            ..WireOptions::default()
        };
        told.push(Wire::new(&secret, clock).unwrap_err().to_string());
        let told = told.join("\n");
        assert!(!told.contains("hunter2") && !format!("{secret:?}").contains("hunter2"));
        insta::assert_snapshot!(told);
        for url in [
            "smtp://host",
            "smtps://u%40x:p@host:1465",
            "smtp://127.0.0.1:25?tls=none",
        ] {
            assert!(Wire::new(&options(url, "Photos <a@b.example>"), clock).is_ok());
        }
    }
}
