//! Photos from the web: Firebase and Google Cloud Storage download links first of all, and any
//! other HTTP server.
//!
//! [`HttpSource`] speaks HTTP/1.1 over many connections (one TCP flow per HTTP/2 connection
//! would be the bottleneck). [`guard`] refuses addresses that are not public, on the address
//! that is connected to; [`answer`] reads what servers say about a photo, and [`failure`] what they
//! don't; redirects are followed here, under the same rules as the first address.

mod answer;
mod connect;
mod date;
mod failure;
pub mod guard;
mod probe;
mod proxy;
mod reach;

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
use self::connect::Used;
pub(super) use self::failure::refusal;
pub use self::guard::AddressRefused;
use self::proxy::Proxies;
pub use self::proxy::ProxyOptions;
use super::{Opened, Page, PhotoBody, PhotoSource, Probe, SourceError, Validators, Want, text_of};
use crate::manifest::{Photo, PhotoUrl, SourceRules, WebUrl};
use crate::plan::MissingReason;
use crate::tls::TlsError;

/// The largest response head that is read, in bytes, and so the largest read: small enough that
/// hundreds of connections stay within the few megabytes that the memory budget leaves aside.
pub(super) const MAX_READ_BUFFER_BYTES: usize = 64 * 1024;
/// How long an idle connection is kept for the next photo. Shorter than the 60 s and more that
/// servers wait, so that we close first.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// The most header lines of an answer that are read.
const MAX_HEADERS: usize = 256;
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
    /// Proxies to go through.
    pub proxies: ProxyOptions,
}

/// Photos by HTTP.
#[derive(Clone)]
pub struct HttpSource {
    client: Client<Connector, Empty<Bytes>>,
    /// Makes a new connection for each request.
    fresh: Client<Connector, Empty<Bytes>>,
    /// A reason why no request can be made: a proxy that is none.
    proxies: Result<Proxies, String>,
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
        let proxies = &options.proxies;
        let usable = proxies.check().map(|()| Proxies::new(proxies));
        let connector =
            Connector::with_proxies(options.allow_private, options.connect_timeout, proxies)?;
        // Everything that browsers and curl take from servers is taken.
        let mut client = Client::builder(TokioExecutor::new());
        client
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .http1_max_buf_size(MAX_READ_BUFFER_BYTES)
            .http1_max_headers(MAX_HEADERS)
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http1_ignore_invalid_headers_in_responses(true);
        Ok(Self {
            fresh: client
                .clone()
                .pool_max_idle_per_host(0)
                .build(connector.clone()),
            client: client.build(connector),
            proxies: usable,
            options,
        })
    }

    /// One request, redirects followed. A token goes to the first address only.
    pub(super) async fn request(
        &self,
        method: Method,
        url: &WebUrl,
        want: &Want,
        mut token: Option<&HeaderValue>,
    ) -> Result<Response<Incoming>, SourceError> {
        let proxies = self.proxies.as_ref();
        let proxies = proxies.map_err(|error| SourceError::Settings(error.clone()))?;
        let mut url = url.clone();
        for _ in 0..=self.options.max_redirects {
            let mut request = build(&method, &url, want, token.take())?;
            let host = request.uri().host().unwrap_or_default().to_owned();
            let proxy = proxies.of(request.uri());
            let authorization = proxy
                .as_ref()
                .and_then(|proxy| proxy.authorization(request.uri()));
            if let Some(authorization) = authorization {
                let headers = request.headers_mut();
                headers.insert(header::PROXY_AUTHORIZATION, authorization);
            }
            let sent = self.send(request);
            let response = tokio::time::timeout(self.options.response_timeout, sent)
                .await
                .map_err(|_| {
                    let seconds = self.options.response_timeout.as_secs_f32();
                    SourceError::transient(format!("`{host}` gave no answer within {seconds} s"))
                })?
                .map_err(|error| failure::no_answer(&error, &host))?;
            if let Some(proxy) = proxy
                && response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED
            {
                return Err(failure::refused_by_proxy(&proxy.wants_credentials()));
            }
            let redirects = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            match response.headers().get(header::LOCATION) {
                Some(location) if redirects => url = self.redirected(&url, location)?,
                _ => return Ok(response),
            }
        }
        Err(SourceError::Missing(MissingReason::TooManyRedirects))
    }

    /// Sends a request; once more on a new connection, where one that had been idle was of no use. Servers
    /// and balancers end idle connections whenever they like, just when the next request is on its way.
    async fn send(
        &self,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
        let again = request.clone();
        let stale = match self.client.request(request).await {
            Ok(response) => {
                let used = response.extensions().get::<Used>().is_some_and(Used::note);
                if !used || response.status() != StatusCode::REQUEST_TIMEOUT {
                    return Ok(response);
                }
                None
            }
            Err(error) => Some(error),
        };
        if let Some(error) = stale {
            let mut extras = http::Extensions::new();
            if let Some(info) = error.connect_info() {
                info.get_extras(&mut extras);
            }
            if !extras.get::<Used>().is_some_and(Used::note) {
                return Err(error);
            }
        }
        self.fresh.request(again).await
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

    /// The address that a `Location` leads to. Servers send it in raw UTF-8, too, which has no place
    /// in a header and which all clients follow.
    fn redirected(&self, url: &WebUrl, to: &HeaderValue) -> Result<WebUrl, SourceError> {
        let location = text_of(to.as_bytes());
        url.join(&location, &self.options.hosts).map_err(|_| {
            let target = url.expose().join(&location).ok();
            let host = target.and_then(|target| target.host_str().map(str::to_owned));
            SourceError::Missing(MissingReason::RedirectRefused { host })
        })
    }
}

fn build(
    method: &Method,
    url: &WebUrl,
    want: &Want,
    token: Option<&HeaderValue>,
) -> Result<Request<Empty<Bytes>>, SourceError> {
    let uri: Uri = url
        .request_uri()
        .parse()
        .map_err(|_| SourceError::Missing(MissingReason::Refused { status: 400 }))?;
    // Without `identity`, Google decompresses on the way and drops length, range and hash
    // (https://cloud.google.com/storage/docs/transcoding).
    let encoding = match want {
        Want::MaybePacked => "gzip",
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

impl PhotoSource for HttpSource {
    type Body = HttpBody;

    async fn probe(&self, photo: &Photo, thorough: bool) -> Result<Probe, SourceError> {
        probe::probe(self, photo, web(photo)?, thorough).await
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
    if response.status().is_success()
        && !answer.encoding.is_identity()
        && *want != Want::MaybePacked
    {
        return Err(SourceError::kept_packed(&answer.encoding));
    }
    let (start, total) = match (response.status(), want) {
        // A proxy that changed the headers says 203.
        (StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION, _) => (0, answer.length),
        (StatusCode::PARTIAL_CONTENT, Want::Range(range)) => match answer.range {
            Some(given) if given.range == *range => (range.start, given.total),
            _ => {
                return Err(SourceError::NoRanges(
                    "the server answered with other bytes than it was asked for".to_owned(),
                ));
            }
        },
        (StatusCode::PARTIAL_CONTENT, _) => match answer.whole() {
            Some(total) => (0, Some(total)),
            None => return Err(failure::no_photo(&response, &answer)),
        },
        (StatusCode::RANGE_NOT_SATISFIABLE, Want::Range(_)) => {
            return Err(SourceError::Changed(
                "the photo has become shorter".to_owned(),
            ));
        }
        (status, _) if status.is_success() => {
            return Err(failure::no_photo(&response, &answer));
        }
        _ => return Err(refusal(&response)),
    };
    Ok(Opened {
        start,
        total: total.filter(|_| answer.encoding.is_identity()),
        validators: answer.validators,
        hashes: answer.hashes,
        described: answer.described,
        encoding: answer.encoding,
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
                Err(error) => return Err(failure::broke_off(&error)),
            }
        }
        Ok(None)
    }
}

/// Reads the head of an answer, for whoever tries hostile ones.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz_answer(headers: &http::HeaderMap) {
    let answer = Answer::read(headers);
    let _ = (answer.whole(), answer::retry_after(headers));
    if let Some(range) = &answer.range {
        assert!(range.range.start <= range.range.end);
    }
}
