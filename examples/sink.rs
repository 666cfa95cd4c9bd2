//! The store of `ci/bench`: takes archives by S3's requests and throws them away, at as little CPU
//! as it can, so that those who upload are measured and not their store.
//!
//! `sink --cert server.crt --key server.key` listens on two free loopback ports, prints
//! `http://…` and `https://…`, and ends when its stdin is closed. Like R2 it wants all parts but
//! the last to be of one size. Of what it throws away it keeps the end, because uploaders read the
//! directory back. With `--keep FOLDER` it keeps all, as files there.
//!
//! A thread per connection and blocking reads are the cheapest way to wait for a few dozen
//! uploads. Where there is no TLS, Linux discards the bytes without even copying them here
//! (`MSG_TRUNC`, tcp(7)).

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clap::Parser;
use rustix::net::{RecvFlags, recv};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Bytes kept of the end of a part: enough for the directory of tens of thousands of photos.
const END_BYTES: u64 = 2 * 1024 * 1024;
/// The longest request head, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The longest body that is read to be understood, in bytes: a list of 10,000 parts.
const MAX_XML_BYTES: u64 = 4 * 1024 * 1024;

#[derive(Parser)]
struct Args {
    /// Certificate chain for HTTPS, in PEM
    #[arg(long)]
    cert: PathBuf,
    /// Its private key, in PEM
    #[arg(long)]
    key: PathBuf,
    /// Keep the objects, as files in this folder
    #[arg(long)]
    keep: Option<PathBuf>,
}

#[expect(clippy::print_stdout, reason = "says where it listens")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let chain = CertificateDer::pem_file_iter(&args.cert)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&args.key)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    let store = Arc::new(Store {
        keep: args.keep,
        objects: Mutex::default(),
    });
    let plain = listen(Arc::clone(&store), None)?;
    let secure = listen(store, Some(Arc::new(tls)))?;
    println!("http://127.0.0.1:{plain} https://127.0.0.1:{secure}");
    // Until whoever started us goes away.
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn listen(store: Arc<Store>, tls: Option<Arc<ServerConfig>>) -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (store, tls) = (Arc::clone(&store), tls.clone());
            // A client that goes away, or breaks off a request, is its own concern.
            std::thread::spawn(move || Connection::new(stream, tls)?.serve(&store));
        }
    });
    Ok(port)
}

/// What was uploaded.
struct Store {
    keep: Option<PathBuf>,
    objects: Mutex<Objects>,
}

#[derive(Default)]
struct Objects {
    uploads: HashMap<String, Upload>,
    stored: HashMap<String, Object>,
    counter: u64,
}

/// A multipart upload that is under way.
struct Upload {
    headers: Headers,
    /// Length of each part.
    parts: BTreeMap<u32, u64>,
    /// The ends of the two last parts that there are so far.
    ends: BTreeMap<u32, Vec<u8>>,
}

struct Object {
    headers: Headers,
    length: u64,
    e_tag: String,
    /// Its last bytes.
    end: Vec<u8>,
}

/// Headers that come back with the object.
type Headers = Vec<(String, String)>;

impl Store {
    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where an object, or a part of an upload, is kept.
    fn file(&self, name: &str) -> Option<PathBuf> {
        Some(self.keep.as_ref()?.join(name.replace('/', "_")))
    }
}

struct Request {
    method: String,
    /// `/bucket/key`.
    path: String,
    query: HashMap<String, String>,
    headers: HashMap<String, String>,
    length: u64,
}

struct Response {
    status: &'static str,
    headers: Headers,
    body: Vec<u8>,
    /// What `Content-Length` says in answer to HEAD.
    length: u64,
}

impl Response {
    fn new(status: &'static str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self {
            status,
            headers: Vec::new(),
            length: body.len() as u64,
            body,
        }
    }

    fn error(status: &'static str, code: &str) -> Self {
        Self::new(status, format!("<Error><Code>{code}</Code></Error>"))
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

struct Connection {
    stream: BufReader<Stream>,
    scratch: Vec<u8>,
}

impl Connection {
    fn new(stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let stream = match tls {
            None => Stream::Plain(stream),
            Some(tls) => {
                let connection = ServerConnection::new(tls).map_err(io::Error::other)?;
                Stream::Tls(Box::new(StreamOwned::new(connection, stream)))
            }
        };
        Ok(Self {
            stream: BufReader::with_capacity(MAX_HEAD_BYTES, stream),
            scratch: vec![0; 256 * 1024],
        })
    }

    fn serve(mut self, store: &Store) -> io::Result<()> {
        while let Some(request) = self.head()? {
            if request.headers.contains_key("expect") {
                self.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let response = self.answer(store, &request)?;
            let mut head = format!("HTTP/1.1 {}\r\n", response.status);
            for (name, value) in &response.headers {
                let _ = write!(head, "{name}: {value}\r\n");
            }
            let _ = write!(head, "content-length: {}\r\n\r\n", response.length);
            let mut bytes = head.into_bytes();
            if request.method != "HEAD" {
                bytes.extend(response.body);
            }
            self.write(&bytes)?;
        }
        Ok(())
    }

    /// The next request's head; `None` when there is no more.
    fn head(&mut self) -> io::Result<Option<Request>> {
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n\r\n") {
            let before = text.len();
            let mut line = (&mut self.stream).take(MAX_HEAD_BYTES as u64);
            if line.read_until(b'\n', &mut text)? == 0 {
                return Ok(None);
            }
            if before > MAX_HEAD_BYTES {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Request::new(&mut headers);
        parsed.parse(&text).map_err(io::Error::other)?;
        let target = parsed.path.unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = url::form_urlencoded::parse(query.as_bytes());
        let headers: HashMap<String, String> = parsed
            .headers
            .iter()
            .map(|header| {
                let value = String::from_utf8_lossy(header.value).into_owned();
                (header.name.to_ascii_lowercase(), value)
            })
            .collect();
        let length = headers.get("content-length");
        Ok(Some(Request {
            method: parsed.method.unwrap_or_default().to_owned(),
            path: path.to_owned(),
            query: query.into_owned().collect(),
            length: length
                .map_or(Ok(0), |n| n.parse())
                .map_err(io::Error::other)?,
            headers,
        }))
    }

    fn answer(&mut self, store: &Store, request: &Request) -> io::Result<Response> {
        let upload = request.query.get("uploadId");
        let part = request.query.get("partNumber").map(|n| n.parse::<u32>());
        let header = |name: &str| request.headers.get(name).map(String::as_str);
        if header("transfer-encoding").is_some()
            || header("content-encoding").is_some_and(|value| value.contains("aws-chunked"))
        {
            // Not what R2 recommends, and it would be kept with its chunk headers.
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(match (request.method.as_str(), upload, part) {
            ("PUT", Some(upload), Some(Ok(number))) => {
                let end = self.take(store, &format!("{upload}.{number:05}"), request.length)?;
                put_part(store, upload, number, request.length, end)
            }
            ("PUT", None, None) => {
                let end = self.take(store, &request.path, request.length)?;
                put(store, request, end)
            }
            ("POST", None, None) if request.query.contains_key("uploads") => create(store, request),
            ("POST", Some(upload), None) => {
                self.read_small(request.length)?;
                complete(store, &request.path, upload)?
            }
            ("DELETE", Some(upload), None) => {
                store.lock().uploads.remove(upload);
                Response::new("204 No Content", "")
            }
            ("DELETE", None, None) => {
                store.lock().stored.remove(&request.path);
                Response::new("204 No Content", "")
            }
            ("GET", None, None) if is_list(request) => {
                Response::new("200 OK", "<ListBucketResult/>")
            }
            ("GET" | "HEAD", None, None) => get(store, request),
            _ => {
                self.read_small(request.length)?;
                Response::error("501 Not Implemented", "NotImplemented")
            }
        })
    }

    fn read_small(&mut self, length: u64) -> io::Result<Vec<u8>> {
        if length > MAX_XML_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = Vec::new();
        (&mut self.stream).take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Takes in a body, and returns its end.
    fn take(&mut self, store: &Store, name: &str, length: u64) -> io::Result<Vec<u8>> {
        let end = length.min(END_BYTES);
        let Some(file) = store.file(name) else {
            self.discard(length - end)?;
            return self.read_small(end);
        };
        let mut file = File::create(file)?;
        io::copy(&mut (&mut self.stream).take(length - end), &mut file)?;
        let end = self.read_small(end)?;
        file.write_all(&end)?;
        Ok(end)
    }

    fn discard(&mut self, length: u64) -> io::Result<()> {
        let buffered = length.min(self.stream.buffer().len() as u64);
        self.stream.consume(usize::try_from(buffered).unwrap_or(0));
        let mut rest = length - buffered;
        while rest > 0 {
            let most = rest.min(self.scratch.len() as u64);
            let scratch = &mut self.scratch[..usize::try_from(most).unwrap_or(0)];
            let count = match self.stream.get_mut() {
                Stream::Plain(stream) => {
                    recv(stream, scratch, RecvFlags::TRUNC | RecvFlags::WAITALL)?.1
                }
                Stream::Tls(stream) => stream.read(scratch)?,
            };
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            rest -= count as u64;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.stream.get_mut() {
            Stream::Plain(stream) => stream.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }
}

/// Whether this asks what objects or uploads there are.
fn is_list(request: &Request) -> bool {
    ["list-type", "prefix", "uploads"]
        .iter()
        .any(|name| request.query.contains_key(*name))
}

/// What is given back with the object.
fn own_headers(request: &Request) -> Headers {
    request
        .headers
        .iter()
        .filter(|(name, _)| name.starts_with("x-amz-meta-") || *name == "content-type")
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn create(store: &Store, request: &Request) -> Response {
    let mut objects = store.lock();
    objects.counter += 1;
    let id = format!("upload-{}", objects.counter);
    let (bucket, key) = request.path[1..].split_once('/').unwrap_or_default();
    let body = format!(
        "<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{key}</Key>\
         <UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
    );
    let upload = Upload {
        headers: own_headers(request),
        parts: BTreeMap::new(),
        ends: BTreeMap::new(),
    };
    objects.uploads.insert(id, upload);
    Response::new("200 OK", body)
}

fn put_part(store: &Store, upload: &str, number: u32, length: u64, end: Vec<u8>) -> Response {
    let mut objects = store.lock();
    let Some(upload) = objects.uploads.get_mut(upload) else {
        return Response::error("404 Not Found", "NoSuchUpload");
    };
    upload.parts.insert(number, length);
    upload.ends.insert(number, end);
    while upload.ends.len() > 2 {
        upload.ends.pop_first();
    }
    Response::new("200 OK", "").with("etag", format!("\"{number:032x}\""))
}

fn put(store: &Store, request: &Request, end: Vec<u8>) -> Response {
    let object = Object {
        headers: own_headers(request),
        length: request.length,
        e_tag: "\"00000000000000000000000000000000\"".to_owned(),
        end,
    };
    let response = Response::new("200 OK", "").with("etag", &object.e_tag);
    store.lock().stored.insert(request.path.clone(), object);
    response
}

fn complete(store: &Store, path: &str, id: &str) -> io::Result<Response> {
    let Some(upload) = store.lock().uploads.remove(id) else {
        return Ok(Response::error("404 Not Found", "NoSuchUpload"));
    };
    let last = upload.parts.values().last().copied().unwrap_or_default();
    let size = upload.parts.values().next().copied().unwrap_or_default();
    let all_but_last = upload.parts.values().rev().skip(1);
    // Cloudflare, "Multipart objects": all parts but the last are of one size.
    if last > size || all_but_last.into_iter().any(|length| *length != size) {
        return Ok(Response::error("400 Bad Request", "InvalidPart"));
    }
    if let Some(file) = store.file(path) {
        let mut object = File::create(file)?;
        for number in upload.parts.keys() {
            if let Some(part) = store.file(&format!("{id}.{number:05}")) {
                io::copy(&mut File::open(&part)?, &mut object)?;
                std::fs::remove_file(part)?;
            }
        }
    }
    let mut ends = upload.ends.into_values().rev();
    let mut end = ends.next().unwrap_or_default();
    if end.len() as u64 == last {
        end = [ends.next().unwrap_or_default(), end].concat();
    }
    let object = Object {
        headers: upload.headers,
        length: upload.parts.values().sum(),
        e_tag: format!("\"{:032x}-{}\"", 0, upload.parts.len()),
        end,
    };
    let body = format!(
        "<CompleteMultipartUploadResult><ETag>{}</ETag></CompleteMultipartUploadResult>",
        object.e_tag
    );
    store.lock().stored.insert(path.to_owned(), object);
    Ok(Response::new("200 OK", body))
}

fn get(store: &Store, request: &Request) -> Response {
    let objects = store.lock();
    let Some(object) = objects.stored.get(&request.path) else {
        return Response::error("404 Not Found", "NoSuchKey");
    };
    let mut response = Response::new("200 OK", "");
    response.headers.clone_from(&object.headers);
    response = response
        .with("etag", &object.e_tag)
        .with("last-modified", "Sat, 20 Jun 2026 15:04:05 GMT")
        .with("accept-ranges", "bytes");
    if request.method == "HEAD" {
        response.length = object.length;
        return response;
    }
    let range = request.headers.get("range").and_then(|range| {
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?))
    });
    let kept_from = object.length - object.end.len() as u64;
    match range {
        Some((first, last)) if kept_from <= first && first <= last && last < object.length => {
            let at = |position: u64| usize::try_from(position - kept_from).unwrap_or(usize::MAX);
            response.body = object.end[at(first)..=at(last)].to_vec();
            response.length = response.body.len() as u64;
            response.status = "206 Partial Content";
            let range = format!("bytes {first}-{last}/{}", object.length);
            response.with("content-range", range)
        }
        _ => Response::error("410 Gone", "Discarded"),
    }
}
