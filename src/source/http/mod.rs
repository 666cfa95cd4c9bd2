//! Photos from the web: Firebase and Google Cloud Storage download links first of all, and any
//! other HTTP server.
//!
//! [`HttpSource`] speaks HTTP/1.1 over many connections (one TCP flow per HTTP/2 connection
//! would be the bottleneck). [`guard`] refuses addresses that are not public, on the address
//! that is connected to; [`answer`] reads what servers say about a photo; redirects are followed
//! here, under the same rules as the first address.

mod answer;
mod connect;
pub mod guard;
mod probe;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use self::answer::Answer;
pub(crate) use self::connect::Connector;
pub use self::guard::AddressRefused;
use super::{
    Opened, Page, PhotoBody, PhotoSource, Probe, SourceError, Transient, Validators, Want,
};
use crate::manifest::{Photo, PhotoUrl, SourceRules, WebUrl};
use crate::plan::MissingReason;
use crate::tls::TlsError;

/// The largest response head that is read, in bytes, and so the largest read: small enough that
/// hundreds of connections stay within the few megabytes that the memory budget leaves aside.
pub(super) const MAX_READ_BUFFER_BYTES: usize = 64 * 1024;
/// How long an idle connection is kept for the next photo. Shorter than the 60 s and more that
/// servers wait, so that we close first.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// The longest `Retry-After` that is obeyed as it is.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(2);
/// How long the words of a refusal may take.
pub(super) const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// How the web is asked.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Which hosts may be asked.
    pub hosts: SourceRules,
    /// Whether loopback and private addresses may be connected to.
    pub allow_private: bool,
    /// How many redirects are followed for one request.
    pub max_redirects: u32,
    /// How long a connection may take to come about, TLS included.
    pub connect_timeout: Duration,
    /// How long a server may take to begin its answer.
    pub response_timeout: Duration,
}

/// Photos by HTTP.
#[derive(Clone)]
pub struct HttpSource {
    client: Client<Connector, Empty<Bytes>>,
    options: HttpOptions,
}

impl fmt::Debug for HttpSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSource")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl HttpSource {
    /// Makes a client. Certificate authorities are those of Mozilla and of the system, or of the
    /// file that `SSL_CERT_FILE` names.
    ///
    /// # Errors
    /// If that file cannot be read.
    pub fn new(options: HttpOptions) -> Result<Self, TlsError> {
        let connector = Connector::new(options.allow_private, options.connect_timeout)?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .http1_max_buf_size(MAX_READ_BUFFER_BYTES)
            .build(connector);
        Ok(Self { client, options })
    }

    /// One request, redirects followed. A token goes to the first address only.
    pub(super) async fn request(
        &self,
        method: Method,
        url: &WebUrl,
        want: &Want,
        mut token: Option<&HeaderValue>,
    ) -> Result<Response<Incoming>, SourceError> {
        let mut url = url.clone();
        for _ in 0..=self.options.max_redirects {
            let request = build(&method, &url, want, token.take())?;
            let sent = self.client.request(request);
            let response = tokio::time::timeout(self.options.response_timeout, sent)
                .await
                .map_err(|_| {
                    let seconds = self.options.response_timeout.as_secs_f32();
                    SourceError::transient(format!("no answer within {seconds} s"))
                })?
                .map_err(|error| failed(&error))?;
            let redirects = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            match response.headers().get(header::LOCATION) {
                Some(location) if redirects => url = self.redirected(&url, location)?,
                _ => return Ok(response),
            }
        }
        Err(SourceError::Missing(MissingReason::TooManyRedirects))
    }

    /// Reads an answer that is JSON, of at most so many bytes.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        response: Response<Incoming>,
        most: usize,
    ) -> Result<T, SourceError> {
        let reading = Limited::new(response.into_body(), most).collect();
        let Ok(Ok(body)) = timeout(self.options.response_timeout, reading).await else {
            return Err(SourceError::transient("the answer broke off"));
        };
        serde_json::from_slice(&body.to_bytes())
            .map_err(|_| SourceError::transient("the answer is not what it should be"))
    }

    fn redirected(&self, url: &WebUrl, to: &HeaderValue) -> Result<WebUrl, SourceError> {
        to.to_str()
            .ok()
            .and_then(|location| url.join(location, &self.options.hosts).ok())
            .ok_or(SourceError::Missing(MissingReason::RedirectRefused))
    }
}

fn build(
    method: &Method,
    url: &WebUrl,
    want: &Want,
    token: Option<&HeaderValue>,
) -> Result<Request<Empty<Bytes>>, SourceError> {
    let uri: Uri = url
        .expose()
        .as_str()
        .parse()
        .map_err(|_| SourceError::Missing(MissingReason::Refused { status: 400 }))?;
    // Without `identity`, Google decompresses on the way and drops length, range and hash
    // (https://cloud.google.com/storage/docs/transcoding).
    let encoding = match want {
        Want::MaybeGzip => "gzip",
        Want::Whole | Want::Range(_) => "identity",
    };
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .header(header::ACCEPT, "*/*")
        .header(header::ACCEPT_ENCODING, encoding)
        .header(header::USER_AGENT, USER_AGENT);
    if let Want::Range(range) = want {
        let last = range.end.saturating_sub(1);
        request = request.header(header::RANGE, format!("bytes={}-{last}", range.start));
    }
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, token);
    }
    request
        .body(Empty::new())
        .map_err(|_| SourceError::Missing(MissingReason::Refused { status: 400 }))
}

const USER_AGENT: &str = concat!("wedding-photo-processor/", env!("CARGO_PKG_VERSION"));

/// A request that got no answer. A refused address is the photo's own fault; the rest may pass.
fn failed(error: &hyper_util::client::legacy::Error) -> SourceError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut last = String::new();
    while let Some(error) = cause {
        if error.is::<guard::AddressRefused>() {
            return SourceError::Missing(MissingReason::AddressRefused);
        }
        last = error.to_string();
        cause = error.source();
    }
    let what = if error.is_connect() {
        "could not connect"
    } else {
        "the connection was lost"
    };
    SourceError::transient(format!("{what}: {last}"))
}

/// What a status that is not a success means.
pub(super) fn refusal(response: &Response<Incoming>) -> SourceError {
    let status = response.status();
    match status.as_u16() {
        404 | 410 => SourceError::Missing(MissingReason::NotFound),
        401 | 403 => SourceError::Missing(MissingReason::Forbidden),
        402 => SourceError::Missing(MissingReason::PaymentRequired),
        408 | 425 | 429 | 500.. => SourceError::Transient(Transient {
            what: format!("the server answered {status}"),
            retry_after: answer::retry_after(response.headers())
                .map(|wait| wait.min(MAX_RETRY_AFTER)),
            throttled: matches!(status.as_u16(), 429 | 503),
        }),
        status => SourceError::Missing(MissingReason::Refused { status }),
    }
}

impl PhotoSource for HttpSource {
    type Body = HttpBody;

    async fn probe(&self, photo: &Photo, thorough: bool) -> Result<Probe, SourceError> {
        probe::probe(self, web(photo)?, thorough).await
    }

    /// The web has no folders.
    async fn list(&self, _folder: &Photo, _after: Option<&str>) -> Result<Page, SourceError> {
        Ok(Page::default())
    }

    /// Which version it is, only the answer tells: conditions are not for certain to be understood.
    async fn open(
        &self,
        photo: &Photo,
        want: Want,
        _version: &Validators,
    ) -> Result<Opened<HttpBody>, SourceError> {
        let response = self.request(Method::GET, web(photo)?, &want, None).await?;
        opened(response, &want)
    }
}

/// The address of a photo on the web.
fn web(photo: &Photo) -> Result<&WebUrl, SourceError> {
    match &photo.url {
        PhotoUrl::Web(url) => Ok(url),
        PhotoUrl::Stored(_) => Err(SourceError::Settings(format!(
            "`{}` is not on the web",
            photo.url
        ))),
    }
}

/// Reads the head of the answer to a download.
pub(super) fn opened(
    response: Response<Incoming>,
    want: &Want,
) -> Result<Opened<HttpBody>, SourceError> {
    let answer = Answer::read(response.headers());
    let gzip = match (&answer.encoding, want) {
        (None, _) => false,
        (Some(encoding), Want::MaybeGzip) if encoding == "gzip" => true,
        (Some(encoding), _) => {
            return Err(SourceError::Changed(format!(
                "the server compressed the answer ({encoding})"
            )));
        }
    };
    let (start, total) = match (response.status(), want) {
        (StatusCode::OK, _) => (0, answer.length),
        (StatusCode::PARTIAL_CONTENT, Want::Range(range)) => match answer.range {
            Some(given) if given.range == *range => (range.start, given.total),
            _ => {
                return Err(SourceError::NoRanges(
                    "the server answered with other bytes than it was asked for".to_owned(),
                ));
            }
        },
        (StatusCode::RANGE_NOT_SATISFIABLE, Want::Range(_)) => {
            return Err(SourceError::Changed(
                "the photo has become shorter".to_owned(),
            ));
        }
        (status, _) if status.is_success() => {
            return Err(SourceError::transient(format!(
                "the server answered {status} to a download"
            )));
        }
        _ => return Err(refusal(&response)),
    };
    Ok(Opened {
        start,
        total: total.filter(|_| !gzip),
        validators: answer.validators,
        hashes: answer.hashes,
        gzip,
        body: HttpBody(response.into_body()),
    })
}

/// The body of an answer.
#[derive(Debug)]
pub struct HttpBody(Incoming);

impl PhotoBody for HttpBody {
    async fn chunk(&mut self) -> Result<Option<Bytes>, SourceError> {
        while let Some(frame) = self.0.frame().await {
            match frame {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Err(error) => {
                    return Err(SourceError::transient(format!(
                        "the download broke off: {error}"
                    )));
                }
            }
        }
        Ok(None)
    }
}
