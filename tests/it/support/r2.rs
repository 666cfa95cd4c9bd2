//! A store that enforces R2's own rules, which MinIO and LocalStack don't check, and fails when it
//! is told to.
//!
//! Rules (R2 documentation, "Multipart objects", "Limits", "Error codes", "Extensions"): all parts
//! but the last of one size and at least 5 MiB, checked when the upload is completed;
//! `Content-Length` always; no chunked signing; no `100-continue`; one write a second to one key.
//! Signatures are not checked: MinIO does that.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use md5::{Digest as _, Md5};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

const MIN_PART: usize = 5 * 1024 * 1024;
/// How often one key may be written.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// A running store; it stops when dropped.
pub(crate) struct R2 {
    address: SocketAddr,
    scheme: &'static str,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
    written: BTreeMap<String, Instant>,
    /// What goes wrong with the next requests of an operation.
    faults: BTreeMap<&'static str, VecDeque<Fault>>,
    /// What goes wrong with every request until then.
    down_until: Option<Instant>,
    log: Vec<String>,
    count: u64,
}

#[derive(Clone)]
struct Object {
    bytes: Bytes,
    e_tag: String,
    headers: Vec<(String, String)>,
}

struct Upload {
    key: String,
    /// RFC 3339.
    began: String,
    parts: BTreeMap<u32, (Bytes, String)>,
    headers: Vec<(String, String)>,
}

/// Something that goes wrong with one request.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    /// This answer instead of carrying it out.
    Answer(u16, &'static str),
    /// The connection is closed instead of carrying it out.
    Drop,
    /// It is carried out, but the answer says 500.
    DoneButFailed,
    /// It is carried out, but the connection is closed instead of an answer.
    DoneButDropped,
    /// It is carried out, but the answer breaks off after its head.
    DoneButCut,
    /// Nothing is done, and the answer says so with HTTP 200, as completing an upload may.
    ErrorIn200,
}

/// What one request comes to: status, headers, body; `None` closes the connection.
type Answer = Option<Response<Full<Bytes>>>;

impl R2 {
    pub(crate) async fn start(tls: Option<Arc<tokio_rustls::rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let served = Arc::clone(&state);
        let scheme = if tls.is_some() { "https" } else { "http" };
        let acceptor = tls.map(TlsAcceptor::from);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, acceptor) = (Arc::clone(&served), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, state).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, state).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            scheme,
            state,
            server,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Lets the next requests of an operation go wrong, one each.
    pub(crate) fn fail(&self, operation: &'static str, faults: &[Fault]) {
        self.lock()
            .faults
            .entry(operation)
            .or_default()
            .extend(faults);
    }

    /// Answers everything with 503 for so long.
    pub(crate) fn down_for(&self, time: Duration) {
        self.lock().down_until = Some(Instant::now() + time);
    }

    /// Operations so far, in order.
    pub(crate) fn log(&self) -> Vec<String> {
        self.lock().log.clone()
    }

    pub(crate) fn open_uploads(&self) -> usize {
        self.lock().uploads.len()
    }

    pub(crate) fn object(&self, bucket: &str, key: &str) -> Option<Bytes> {
        let objects = &self.lock().objects;
        objects
            .get(&format!("{bucket}/{key}"))
            .map(|object| object.bytes.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for R2 {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve<S>(stream: S, state: Arc<Mutex<State>>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let state = Arc::clone(&state);
        async move {
            let (head, body) = request.into_parts();
            let body = body
                .collect()
                .await
                .map(http_body_util::Collected::to_bytes);
            let answer = match body {
                Ok(body) => {
                    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    state.handle(&head.method, &head.uri, &head.headers, &body)
                }
                Err(_) => None,
            };
            // An error here closes the connection without an answer.
            answer.ok_or_else(|| std::io::Error::other("dropped"))
        }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

#[expect(clippy::unnecessary_wraps, reason = "no answer at all is one too")]
fn answer(status: u16, headers: &[(String, String)], body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    Some(response)
}

fn error(status: u16, code: &str) -> Answer {
    let xml =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>");
    answer(status, &[], xml)
}

fn e_tag(bytes: &[u8]) -> String {
    let hex: String = Md5::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{hex}\"")
}

/// What is kept of a request's headers and given back with the object.
fn kept(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter(|(name, _)| {
            let name = name.as_str();
            name.starts_with("x-amz-meta-")
                || matches!(name, "content-type" | "content-disposition")
        })
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect()
}

impl State {
    fn handle(
        &mut self,
        method: &Method,
        uri: &http::Uri,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Answer {
        let query: BTreeMap<String, String> =
            url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let path = percent_encoding::percent_decode_str(uri.path().trim_matches('/'))
            .decode_utf8()
            .unwrap()
            .into_owned();
        let has = |name: &str| query.contains_key(name);
        let operation = match (method.as_str(), path.contains('/')) {
            ("POST", _) if has("uploads") => "create",
            ("POST", _) if has("uploadId") => "complete",
            ("PUT", true) if has("partNumber") => "part",
            ("PUT", true) => "put",
            ("GET", true) if has("uploadId") => "list-parts",
            ("GET", true) => "get",
            ("GET", false) if has("uploads") => "list-uploads",
            ("GET", false) => "list",
            ("HEAD", _) => "head",
            ("DELETE", _) if has("uploadId") => "abort",
            ("DELETE", _) => "delete",
            _ => return error(501, "NotImplemented"),
        };
        self.log.push(operation.to_owned());
        if let Some(answer) = broken_rule(method, headers, body) {
            return Some(answer);
        }
        if self.down_until.is_some_and(|until| Instant::now() < until) {
            return error(503, "ServiceUnavailable");
        }
        let fault = self.faults.get_mut(operation).and_then(VecDeque::pop_front);
        match fault {
            Some(Fault::Answer(status, code)) => return error(status, code),
            Some(Fault::Drop) => return None,
            Some(Fault::ErrorIn200) => return error(200, "InternalError"),
            _ => {}
        }
        let done = self.carry_out(operation, &path, &query, headers, body);
        match fault {
            Some(Fault::DoneButFailed) => error(500, "InternalError"),
            Some(Fault::DoneButCut) => {
                // More is announced than comes; hyper closes the connection then.
                answer(
                    200,
                    &[("content-length".to_owned(), "1000".to_owned())],
                    "<Initiate",
                )
            }
            Some(Fault::DoneButDropped) => None,
            _ => done,
        }
    }

    fn carry_out(
        &mut self,
        operation: &str,
        path: &str,
        query: &BTreeMap<String, String>,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Answer {
        match operation {
            "create" => {
                self.count += 1;
                let id = format!("upload-{}", self.count);
                let upload = Upload {
                    key: path.to_owned(),
                    began: jiff::Timestamp::now().to_string(),
                    parts: BTreeMap::new(),
                    headers: kept(headers),
                };
                self.uploads.insert(id.clone(), upload);
                let xml = format!(
                    "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                );
                answer(200, &[], xml)
            }
            "part" => {
                let number = query["partNumber"].parse().unwrap();
                match self.uploads.get_mut(&query["uploadId"]) {
                    Some(upload) => {
                        let tag = e_tag(body);
                        upload.parts.insert(number, (body.clone(), tag.clone()));
                        answer(200, &[("etag".to_owned(), tag)], "")
                    }
                    None => error(404, "NoSuchUpload"),
                }
            }
            "complete" => self.complete(path, &query["uploadId"], body),
            "abort" => match self.uploads.remove(&query["uploadId"]) {
                Some(_) => answer(204, &[], ""),
                None => error(404, "NoSuchUpload"),
            },
            "put" => {
                let present = self.objects.get(path).map(|object| object.e_tag.clone());
                let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
                let refused = header("if-none-match").is_some_and(|_| present.is_some())
                    || header("if-match").is_some_and(|tag| present.as_deref() != Some(tag));
                if refused {
                    return error(412, "PreconditionFailed");
                }
                let object = Object {
                    bytes: body.clone(),
                    e_tag: e_tag(body),
                    headers: kept(headers),
                };
                self.write(path, object)
            }
            "get" | "head" => self.read(operation, path, headers),
            "delete" => {
                self.objects.remove(path);
                answer(204, &[], "")
            }
            "list-uploads" => {
                let uploads: String = self
                    .uploads
                    .iter()
                    .filter_map(|(id, upload)| Some((id, upload.key.strip_prefix(path)?, upload)))
                    .map(|(id, key, upload)| {
                        let key = key.trim_start_matches('/');
                        let began = upload.began.as_str();
                        format!(
                            "<Upload><Key>{key}</Key><UploadId>{id}</UploadId>\
                             <Initiated>{began}</Initiated></Upload>"
                        )
                    })
                    .collect();
                let xml =
                    format!("<ListMultipartUploadsResult>{uploads}</ListMultipartUploadsResult>");
                answer(200, &[], xml)
            }
            "list" => {
                let bucket = format!("{path}/");
                let prefix = query.get("prefix").cloned().unwrap_or_default();
                let contents: String = self
                    .objects
                    .keys()
                    .filter_map(|key| key.strip_prefix(&bucket))
                    .filter(|key| key.starts_with(&prefix))
                    .map(|key| format!("<Contents><Key>{key}</Key></Contents>"))
                    .collect();
                answer(
                    200,
                    &[],
                    format!("<ListBucketResult>{contents}</ListBucketResult>"),
                )
            }
            _ => error(501, "NotImplemented"),
        }
    }

    /// Takes an object in, unless its key was written a moment ago.
    fn write(&mut self, path: &str, object: Object) -> Answer {
        let now = Instant::now();
        if self
            .written
            .get(path)
            .is_some_and(|at| now - *at < WRITE_INTERVAL)
        {
            return error(429, "TooManyRequests");
        }
        self.written.insert(path.to_owned(), now);
        let tag = object.e_tag.clone();
        self.objects.insert(path.to_owned(), object);
        answer(200, &[("etag".to_owned(), tag)], "")
    }

    fn complete(&mut self, path: &str, id: &str, body: &Bytes) -> Answer {
        let Some(upload) = self.uploads.get(id) else {
            return error(404, "NoSuchUpload");
        };
        assert_eq!(upload.key, path);
        let xml = std::str::from_utf8(body).unwrap();
        let numbers: Vec<u32> = xml
            .split("<PartNumber>")
            .skip(1)
            .map(|rest| rest.split('<').next().unwrap().parse().unwrap())
            .collect();
        let tags: Vec<String> = xml
            .split("<ETag>")
            .skip(1)
            .map(|rest| rest.split('<').next().unwrap().replace("&quot;", "\""))
            .collect();
        let mut parts = Vec::new();
        for (number, tag) in numbers.iter().zip(&tags) {
            match upload.parts.get(number) {
                Some((bytes, known)) if known == tag => parts.push(bytes.clone()),
                _ => return error(400, "InvalidPart"),
            }
        }
        if parts.len() != numbers.len() {
            return error(400, "InvalidPart");
        }
        let Some((last, others)) = parts.split_last() else {
            return error(400, "MalformedXML");
        };
        let size = others.first().map_or(last.len(), Bytes::len);
        if others.iter().any(|part| part.len() != size) || last.len() > size {
            // "All non-trailing parts must have the same size"
            return error(400, "InvalidPart");
        }
        if others.iter().any(|part| part.len() < MIN_PART) {
            return error(400, "EntityTooSmall");
        }
        let object = Object {
            bytes: parts.concat().into(),
            e_tag: format!("\"{:032x}-{}\"", self.count, parts.len()),
            headers: upload.headers.clone(),
        };
        let written = self.write(path, object);
        if written
            .as_ref()
            .is_some_and(|answer| answer.status() == 200)
        {
            self.uploads.remove(id);
            return answer(
                200,
                &[],
                "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>",
            );
        }
        written
    }

    fn read(&self, operation: &str, path: &str, headers: &HeaderMap) -> Answer {
        let Some(object) = self.objects.get(path) else {
            return if operation == "head" {
                answer(404, &[], "")
            } else {
                error(404, "NoSuchKey")
            };
        };
        let mut given = object.headers.clone();
        given.push(("etag".to_owned(), object.e_tag.clone()));
        let total = object.bytes.len();
        if operation == "head" {
            given.push(("content-length".to_owned(), total.to_string()));
            return answer(200, &given, "");
        }
        let Some(range) = headers.get("range") else {
            return answer(200, &given, object.bytes.clone());
        };
        let (first, last) = range
            .to_str()
            .unwrap()
            .trim_start_matches("bytes=")
            .split_once('-')
            .unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        if first >= total {
            return error(416, "InvalidRange");
        }
        let last = last.min(total - 1);
        given.push((
            "content-range".to_owned(),
            format!("bytes {first}-{last}/{total}"),
        ));
        answer(206, &given, object.bytes.slice(first..=last))
    }
}

/// R2's answer to a request that it would not take.
fn broken_rule(
    method: &Method,
    headers: &HeaderMap,
    body: &Bytes,
) -> Option<Response<Full<Bytes>>> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if method == Method::PUT && header("content-length").is_none() {
        return error(411, "MissingContentLength");
    }
    if header("expect").is_some() {
        return error(417, "ExpectationFailed");
    }
    let chunked = header("content-encoding").is_some_and(|value| value.contains("aws-chunked"))
        || header("x-amz-content-sha256").is_some_and(|value| value.starts_with("STREAMING"));
    if chunked {
        return error(501, "NotImplemented");
    }
    if let Some(given) = header("x-amz-checksum-crc32") {
        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, body);
        let crc = u32::try_from(crc).unwrap();
        if given != STANDARD.encode(crc.to_be_bytes()) {
            return error(400, "BadDigest");
        }
    }
    None
}
