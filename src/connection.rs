//! Failures of connections, in our words.
//!
//! The words of libraries stay in the log: they are about sockets and states, and some repeat what the other
//! side sent.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};

/// The system's words for a name that certainly does not exist, by glibc, musl and macOS. The
/// standard library hands on nothing but the words.
const UNKNOWN_NAME: [&str; 5] = [
    "Name or service not known",
    "No address associated with hostname",
    "Name does not resolve",
    "Name has no usable address",
    "nodename nor servname provided",
];
/// The standard library's words before the system's words for a name.
const LOOKUP: &str = "failed to lookup address information";

/// The cause why a host cannot be connected to, in our words. The host itself may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The resolver is certain that there is no such name.
    UnknownHost,
    /// The resolver does not know now.
    NoResolver,
    Refused,
    /// No way leads there.
    NoRoute,
    /// No answer within the time that the system gives.
    Silent,
    /// No connection within the time that the settings give, TLS included.
    TooSlow(Duration),
    /// The connection was closed before it was of any use.
    Dropped,
    /// Something else, most likely on this machine.
    Failed,
}

impl Cause {
    /// Reads an error of either.
    fn of(error: &io::Error) -> Self {
        if error.to_string().contains(LOOKUP) {
            Self::of_resolving(error)
        } else {
            Self::of_connecting(error)
        }
    }

    pub(crate) fn of_connecting(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::PermissionDenied => Self::NoRoute,
            ErrorKind::TimedOut => Self::Silent,
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Self::Dropped,
            _ => Self::Failed,
        }
    }

    pub(crate) fn of_resolving(error: &io::Error) -> Self {
        let said = error.to_string();
        if UNKNOWN_NAME.iter().any(|words| said.contains(words)) {
            Self::UnknownHost
        } else {
            Self::NoResolver
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownHost => "is not known (DNS)",
            Self::NoResolver => "could not be looked up (DNS)",
            Self::Refused => "refused the connection",
            Self::NoRoute => "cannot be reached from here",
            Self::Silent => "did not answer",
            Self::TooSlow(limit) => {
                return write!(f, "took no connection within {} s", limit.as_secs_f32());
            }
            Self::Dropped => "dropped the connection",
            Self::Failed => "could not be connected to",
        })
    }
}

impl Error for Cause {}

/// The kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The other side cannot prove who it is.
    Certificate,
    /// No connection came about, or it broke.
    Network,
}

/// Tells what happened to a connection to `place`, as a sentence without a full stop; `None` if the error says
/// nothing of a connection.
pub(crate) fn failure(error: &(dyn Error + 'static), place: &str) -> Option<(Kind, String)> {
    let causes = causes(error);
    if let Some(error) = causes.iter().find_map(|cause| cause.downcast_ref()) {
        let kind = match error {
            rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
                Kind::Certificate
            }
            _ => Kind::Network,
        };
        return Some((kind, tls(error, place).0));
    }
    if let Some(error) = causes.iter().rev().find_map(|cause| cause.downcast_ref()) {
        return Some((Kind::Network, format!("{place} {}", Cause::of(error))));
    }
    let closed = causes.iter().any(|cause| {
        cause.downcast_ref::<hyper::Error>().is_some_and(|error| {
            error.is_incomplete_message() || error.is_closed() || error.is_canceled()
        })
    });
    closed.then(|| {
        (
            Kind::Network,
            format!("{place} closed the connection without an answer"),
        )
    })
}

/// All causes of an error, those that I/O errors wrap included: `source` passes over them.
pub(crate) fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut found = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        found.push(error);
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .map(|error| error as &(dyn Error + 'static));
        next = wrapped.or_else(|| error.source());
    }
    found
}

/// A handshake that failed, with `place` for what was connected to, and whether it would fail every time.
pub(crate) fn tls(error: &rustls::Error, place: &str) -> (String, bool) {
    let what = match error {
        rustls::Error::InvalidCertificate(error) => {
            format!("the certificate of {place} {}", certificate(error))
        }
        rustls::Error::NoCertificatesPresented => format!("{place} has no certificate"),
        // Most likely something else listens at this port.
        rustls::Error::InvalidMessage(_) => format!("{place} does not speak TLS"),
        rustls::Error::PeerIncompatible(_)
        | rustls::Error::AlertReceived(
            AlertDescription::ProtocolVersion
            | AlertDescription::HandshakeFailure
            | AlertDescription::InsufficientSecurity,
        ) => format!("{place} speaks no version of TLS that is secure"),
        rustls::Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            format!("{place} does not know itself by that name (TLS)")
        }
        rustls::Error::AlertReceived(AlertDescription::InternalError) => {
            return (format!("{place} broke off the TLS handshake"), false);
        }
        rustls::Error::AlertReceived(_) => format!("{place} refused the TLS handshake"),
        _ => return (format!("no TLS connection to {place} came about"), false),
    };
    (what, true)
}

fn certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "is for another name"
        }
        CertificateError::UnknownIssuer => "is not signed by an authority that is trusted",
        CertificateError::Revoked => "has been revoked",
        _ => "is not valid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_told_in_words() {
        let words = |error| tls(&rustls::Error::InvalidCertificate(error), "`h.example`");
        let expired = words(CertificateError::Expired);
        let said = "the certificate of `h.example` has expired".to_owned();
        assert_eq!(expired, (said, true));
        let issuer = words(CertificateError::UnknownIssuer).0;
        assert!(issuer.contains("authority"), "{issuer}");
    }

    #[test]
    fn causes_within_io_errors_are_found() {
        let inner = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let error = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, inner));
        assert!(
            causes(&error)
                .iter()
                .any(|cause| cause.is::<rustls::Error>())
        );
    }

    #[tokio::test]
    async fn what_the_system_says_is_told_in_words() {
        let told = |error: io::Error| failure(&error, "`h.example`").unwrap();
        let refused = tokio::net::TcpStream::connect("127.0.0.1:1").await;
        let expected = (
            Kind::Network,
            "`h.example` refused the connection".to_owned(),
        );
        assert_eq!(told(refused.unwrap_err()), expected);
        let unknown = tokio::net::TcpStream::connect("h.invalid:1").await;
        let (_, said) = told(unknown.unwrap_err());
        assert!(said.ends_with("(DNS)"), "{said}");
    }
}
