//! Failures of requests, in our words, and whether it is likely to pass.
//!
//! The words of libraries stay in the log: they are about sockets and states, and some repeat what
//! the other side sent.

use std::io;

use http::{Response, StatusCode};
use hyper::body::Incoming;
use jiff::SignedDuration;

use super::answer::{self, Answer};
use super::guard::AddressRefused;
use super::proxy::ProxyRefused;
use super::reach::Unreachable;
use crate::connection::{self, Cause, causes};
use crate::plan::MissingReason;
use crate::source::{SourceError, Transient};

/// A request to this host that got no answer.
pub(super) fn no_answer(error: &hyper_util::client::legacy::Error, host: &str) -> SourceError {
    let causes = causes(error);
    tracing::debug!("no answer: {}", crate::chain(error));
    for cause in &causes {
        if let Some(AddressRefused { host }) = cause.downcast_ref() {
            let host = Some(host.clone());
            return SourceError::Missing(MissingReason::AddressRefused { host });
        }
        if let Some(refused) = cause.downcast_ref::<ProxyRefused>() {
            return refused_by_proxy(refused);
        }
        if let Some(unreachable) = cause.downcast_ref::<Unreachable>() {
            return SourceError::Transient(Transient {
                lasting: unreachable.cause == Cause::UnknownHost,
                ..Transient::new(unreachable.to_string())
            });
        }
        if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            let (what, lasting) = connection::tls(error, &format!("`{host}`"));
            return SourceError::Transient(Transient {
                lasting,
                ..Transient::new(what)
            });
        }
        if let Some(error) = cause.downcast_ref::<hyper::Error>()
            && error.is_parse()
        {
            return SourceError::Transient(lasting(malformed(error, host)));
        }
    }
    let ended = causes.iter().any(|cause| {
        let closed = cause.downcast_ref::<hyper::Error>().is_some_and(|error| {
            error.is_incomplete_message() || error.is_closed() || error.is_canceled()
        });
        closed || cause.downcast_ref::<io::Error>().is_some()
    });
    SourceError::transient(if error.is_connect() {
        format!("the connection to `{host}` was lost before it was ready")
    } else if ended {
        format!("`{host}` closed the connection without an answer")
    } else {
        format!("the connection to `{host}` was lost")
    })
}

pub(super) fn refused_by_proxy(refused: &ProxyRefused) -> SourceError {
    if refused.is_settings() {
        return SourceError::Settings(refused.to_string());
    }
    SourceError::Transient(Transient {
        lasting: refused.is_lasting(),
        ..Transient::new(refused.to_string())
    })
}

/// A body that ended before its end.
pub(super) fn broke_off(error: &hyper::Error) -> SourceError {
    tracing::debug!("the download broke off: {}", crate::chain(error));
    let kind = causes(error)
        .iter()
        .find_map(|cause| cause.downcast_ref::<io::Error>().map(io::Error::kind));
    SourceError::transient(match kind {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
            if !error.is_incomplete_message() =>
        {
            "the download broke off: its chunks are malformed"
        }
        Some(io::ErrorKind::ConnectionReset) => "the download broke off: the connection was reset",
        _ => "the download broke off: the connection was closed early",
    })
}

/// A status that is no success.
pub(in crate::source) fn refusal(response: &Response<Incoming>) -> SourceError {
    let status = response.status();
    match status.as_u16() {
        404 | 410 => SourceError::Missing(MissingReason::NotFound),
        401 | 403 => SourceError::Missing(MissingReason::Forbidden),
        402 => SourceError::Missing(MissingReason::PaymentRequired),
        // 202: the photo is still being made, or brought back from an archive.
        code @ (202 | 408 | 425 | 429 | 500..) => SourceError::Transient(Transient {
            retry_after: answer::retry_after(response.headers())
                .and_then(|wait| wait.max(SignedDuration::ZERO).try_into().ok()),
            throttled: matches!(code, 429 | 503),
            ..Transient::new(format!("the server answered {status}"))
        }),
        status => SourceError::Missing(MissingReason::Refused { status }),
    }
}

/// A success that brings no photo (202, 204, part of one).
pub(super) fn no_photo(response: &Response<Incoming>, answer: &Answer) -> SourceError {
    let status = response.status();
    if status == StatusCode::ACCEPTED {
        return refusal(response);
    }
    SourceError::transient(if answer.range.is_some() {
        "the server answered with a part of the photo when asked for all".to_owned()
    } else {
        format!("the server answered {status} to a download")
    })
}

fn lasting(what: String) -> Transient {
    Transient {
        lasting: true,
        ..Transient::new(what)
    }
}

/// hyper tells kinds of malformed heads apart by nothing but words, which are the same in all 1.x.
fn malformed(error: &hyper::Error, host: &str) -> String {
    let said = error.to_string();
    let what = if error.is_parse_too_large() {
        "its head has more than 256 lines or 64 KiB"
    } else if error.is_parse_status() {
        "its status is no number of three digits"
    } else if said.contains("version") {
        "it does not begin with a version of HTTP/1"
    } else if said.contains("content-length") {
        "its Content-Length is no length"
    } else if said.contains("transfer-encoding") {
        "its Transfer-Encoding is not allowed"
    } else if said.contains("header") {
        "it has a line that is no header"
    } else {
        "it is not HTTP"
    };
    format!("the answer of `{host}` is malformed: {what}")
}
