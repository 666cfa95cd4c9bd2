//! A photo server that does what it is told, right or wrong.
//!
//! It speaks HTTP/1.1 by hand, because a proper server would not let itself be made to lie. Each
//! [`Photo`] has its normal behaviour and a queue of [`Fault`]s, one for each of the next GETs.
//! Every request is logged, so that tests can tell a resumed download from a repeated one.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Bytes that are written at once.
const WRITE_BYTES: u64 = 64 * 1024;

/// A running server; it stops when dropped.
pub(crate) struct Origin {
    address: SocketAddr,
    scheme: &'static str,
    state: Arc<State>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    photos: Mutex<HashMap<String, Photo>>,
    log: Mutex<Vec<Request>>,
}

/// One photo, and how it is served.
#[derive(Clone)]
pub(crate) struct Photo {
    /// Its bytes.
    pub body: Body,
    /// Headers of every answer, such as `etag`.
    pub headers: Vec<(String, String)>,
    /// Whether ranges are answered as such.
    pub ranges: bool,
    /// Status of the answer to HEAD; 200 for a proper one.
    pub head_status: u16,
    /// `Content-Length` of the answer to HEAD, where it is not the photo's.
    pub head_length: Option<u64>,
    /// No `Content-Length`: chunked.
    pub chunked: bool,
    /// Bytes per second of each connection.
    pub rate: Option<u64>,
    /// Time before the first byte of each answer to GET.
    pub delay: Duration,
    /// What goes wrong with the next GETs, one each.
    pub faults: VecDeque<Fault>,
    /// What goes wrong with every GET after those.
    pub always: Option<Fault>,
}

/// A photo's bytes.
#[derive(Clone)]
pub(crate) enum Body {
    /// These.
    Bytes(Bytes),
    /// So many bytes of a pattern, which take no memory.
    Pattern(u64),
}

/// Something that goes wrong with one answer.
#[derive(Clone)]
pub(crate) enum Fault {
    /// This status, with these headers, and no body worth reading.
    Status(u16, Vec<(&'static str, String)>),
    /// The connection is closed after so many bytes of the body.
    CutAfter(u64),
    /// Nothing more comes after so many bytes of the body, but the connection stays.
    StallAfter(u64),
    /// The connection crawls after so many bytes of the body: two kilobytes a second.
    CrawlAfter(u64),
    /// The connection is closed without an answer.
    NoAnswer,
    /// A 206 with other bytes than were asked for.
    WrongRange,
    /// A whole answer (200) though a range was asked for.
    WholeAnswer,
    /// This byte of the body is flipped.
    Flip(u64),
    /// `Content-Length` (and the body) is longer or shorter by so many bytes.
    LengthOff(i64),
    /// More bytes than announced, on a chunked answer.
    Longer(u64),
    /// The photo becomes another one, with other headers, from this request on.
    Becomes(Box<Photo>),
}

/// One request, as logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// `GET` or `HEAD`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The `Range` header.
    pub range: Option<String>,
}

impl Photo {
    /// A well-behaved photo.
    pub(crate) fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let tag = format!(
            "\"{:08x}\"",
            crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes)
        );
        Self::with_body(Body::Bytes(bytes), &tag)
    }

    /// A well-behaved photo of `length` bytes that takes no memory.
    pub(crate) fn pattern(length: u64) -> Self {
        Self::with_body(Body::Pattern(length), "\"pattern\"")
    }

    fn with_body(body: Body, tag: &str) -> Self {
        Self {
            body,
            headers: vec![("etag".to_owned(), tag.to_owned())],
            ranges: true,
            head_status: 200,
            head_length: None,
            chunked: false,
            rate: None,
            delay: Duration::ZERO,
            faults: VecDeque::new(),
            always: None,
        }
    }

    /// With these faults for the next GETs.
    pub(crate) fn faults(mut self, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.faults = faults.into_iter().collect();
        self
    }

    /// With this fault for every GET.
    pub(crate) fn always(mut self, fault: Fault) -> Self {
        self.always = Some(fault);
        self
    }

    /// With one more header.
    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Without anything that tells versions apart.
    pub(crate) fn without_validators(mut self) -> Self {
        self.headers.retain(|(name, _)| name != "etag");
        self
    }
}

impl Body {
    /// Its length in bytes.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Pattern(length) => *length,
        }
    }

    fn read(&self, range: Range<u64>) -> Bytes {
        let slice = |bytes: &Bytes, start: u64, end: u64| {
            bytes.slice(usize::try_from(start).unwrap()..usize::try_from(end).unwrap())
        };
        match self {
            Self::Bytes(bytes) => slice(bytes, range.start, range.end),
            Self::Pattern(_) => {
                let block = pattern_block();
                let start = range.start % WRITE_BYTES;
                slice(&block, start, start + (range.end - range.start))
            }
        }
    }
}

/// Two blocks of noise one after the other, so that a block's length can be read from anywhere.
fn pattern_block() -> Bytes {
    static BLOCK: std::sync::OnceLock<Bytes> = std::sync::OnceLock::new();
    BLOCK
        .get_or_init(|| {
            let once = noise(WRITE_BYTES, 1);
            [once.clone(), once].concat().into()
        })
        .clone()
}

/// Incompressible bytes, the same for the same seed.
pub(crate) fn noise(length: u64, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap() + 8);
    while (bytes.len() as u64) < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(usize::try_from(length).unwrap());
    bytes
}

impl Origin {
    /// Starts a server without photos on a free port of the loopback address.
    pub(crate) async fn start() -> Self {
        Self::listen(None).await.unwrap()
    }

    /// Starts a server that speaks TLS with this certificate.
    pub(crate) async fn start_tls(config: Arc<tokio_rustls::rustls::ServerConfig>) -> Self {
        Self::listen(Some(TlsAcceptor::from(config))).await.unwrap()
    }

    async fn listen(tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let served = Arc::clone(&state);
        let scheme = if tls.is_some() { "https" } else { "http" };
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let (state, tls) = (Arc::clone(&served), tls.clone());
                tokio::spawn(async move {
                    // Clients may go away at any time.
                    let _ = match tls {
                        None => serve(stream, &state).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &state).await,
                            Err(error) => Err(error),
                        },
                    };
                });
            }
        });
        Ok(Self {
            address,
            scheme,
            state,
            server,
        })
    }

    /// Adds or replaces a photo.
    pub(crate) fn add(&self, path: &str, photo: Photo) {
        self.state.photos().insert(path.to_owned(), photo);
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// The server's address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request so far.
    pub(crate) fn log(&self) -> Vec<Request> {
        self.state.log().clone()
    }

    /// `Range` headers of the GETs of a path (without its query), in order.
    pub(crate) fn gets(&self, path: &str) -> Vec<Option<String>> {
        self.log()
            .into_iter()
            .filter(|request| {
                request.method == "GET" && request.target.split('?').next() == Some(path)
            })
            .map(|request| request.range)
            .collect()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl State {
    fn photos(&self) -> std::sync::MutexGuard<'_, HashMap<String, Photo>> {
        self.photos.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Vec<Request>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The photo for a request, and what goes wrong with it. Paths with their query go first.
    fn take(&self, method: &str, target: &str) -> Option<(Photo, Option<Fault>)> {
        let mut photos = self.photos();
        let path = target.split('?').next().unwrap_or_default();
        let key = if photos.contains_key(target) {
            target
        } else {
            path
        };
        let photo = photos.get_mut(key)?;
        if method == "HEAD" {
            return Some((photo.clone(), None));
        }
        let fault = photo.faults.pop_front().or_else(|| photo.always.clone());
        if let Some(Fault::Becomes(next)) = fault {
            *photo = *next;
            return Some((photo.clone(), None));
        }
        Some((photo.clone(), fault))
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, state: &State) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await? {
        state.log().push(request.clone());
        let keep = match state.take(&request.method, &request.target) {
            None => {
                write_head(&mut stream, 404, &[("content-length".into(), "0".into())]).await?;
                true
            }
            Some((photo, fault)) => answer(&mut stream, &request, &photo, fault).await?,
        };
        stream.flush().await?;
        if !keep {
            break;
        }
    }
    stream.shutdown().await
}

async fn read_request<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<Request>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            buffer.drain(..end + 4);
            let mut lines = head.split("\r\n");
            let mut start = lines.next().unwrap_or_default().split(' ');
            let range = lines
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("range"))
                .map(|(_, value)| value.trim().to_owned());
            return Ok(Some(Request {
                method: start.next().unwrap_or_default().to_owned(),
                target: start.next().unwrap_or_default().to_owned(),
                range,
            }));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

async fn write_head<S: AsyncWrite + Unpin>(
    stream: &mut S,
    status: u16,
    headers: &[(String, String)],
) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {status} Whatever\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await
}

/// Answers one request; false when the connection must end.
async fn answer<S: AsyncWrite + Unpin>(
    stream: &mut S,
    request: &Request,
    photo: &Photo,
    fault: Option<Fault>,
) -> io::Result<bool> {
    if request.method == "HEAD" && photo.head_status != 200 {
        let none = [("content-length".to_owned(), "0".to_owned())];
        write_head(stream, photo.head_status, &none).await?;
        return Ok(true);
    }
    tokio::time::sleep(photo.delay).await;
    match &fault {
        Some(Fault::NoAnswer) => return Ok(false),
        Some(Fault::Status(status, headers)) => {
            let mut headers: Vec<(String, String)> = headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect();
            headers.push(("content-length".to_owned(), "0".to_owned()));
            write_head(stream, *status, &headers).await?;
            return Ok(true);
        }
        _ => {}
    }
    let total = photo.body.length();
    let mut headers = photo.headers.clone();
    let asked = request
        .range
        .as_deref()
        .filter(|_| photo.ranges && !matches!(fault, Some(Fault::WholeAnswer)))
        .and_then(parse_range);
    let mut range = match &asked {
        Some(asked) if asked.start >= total => {
            headers.push(("content-range".to_owned(), format!("bytes */{total}")));
            headers.push(("content-length".to_owned(), "0".to_owned()));
            write_head(stream, 416, &headers).await?;
            return Ok(true);
        }
        Some(asked) => asked.start..asked.end.min(total),
        None => 0..total,
    };
    if asked.is_some() {
        if matches!(fault, Some(Fault::WrongRange)) {
            range = range.start + 1..(range.end + 1).min(total);
        }
        let last = range.end - 1;
        headers.push((
            "content-range".to_owned(),
            format!("bytes {}-{last}/{total}", range.start),
        ));
    }
    let length = range.end - range.start;
    let announced = match fault {
        _ if request.method == "HEAD" && photo.head_length.is_some() => {
            photo.head_length.unwrap_or_default()
        }
        Some(Fault::LengthOff(by)) => length.checked_add_signed(by).unwrap(),
        _ => length,
    };
    if photo.chunked {
        headers.push(("transfer-encoding".to_owned(), "chunked".to_owned()));
    } else {
        headers.push(("content-length".to_owned(), announced.to_string()));
    }
    if photo.ranges {
        headers.push(("accept-ranges".to_owned(), "bytes".to_owned()));
    }
    write_head(stream, if asked.is_some() { 206 } else { 200 }, &headers).await?;
    if request.method == "HEAD" {
        return Ok(true);
    }
    write_body(stream, photo, fault, range, announced).await
}

async fn write_body<S: AsyncWrite + Unpin>(
    stream: &mut S,
    photo: &Photo,
    fault: Option<Fault>,
    range: Range<u64>,
    announced: u64,
) -> io::Result<bool> {
    let length = range.end - range.start;
    let more = match fault {
        Some(Fault::Longer(by)) => by,
        _ => announced.saturating_sub(length),
    };
    let length = length.min(announced);
    let started = tokio::time::Instant::now();
    let mut sent = 0;
    while sent < length {
        let mut count = (length - sent).min(WRITE_BYTES);
        let mut crawls = false;
        match fault {
            Some(Fault::CutAfter(at)) if sent >= at => {
                stream.flush().await?;
                return Ok(false);
            }
            Some(Fault::StallAfter(at)) if sent >= at => {
                stream.flush().await?;
                tokio::time::sleep(Duration::from_hours(1)).await;
            }
            Some(Fault::CrawlAfter(at)) if sent >= at => {
                count = count.min(200);
                crawls = true;
            }
            Some(Fault::CutAfter(at) | Fault::StallAfter(at) | Fault::CrawlAfter(at)) => {
                count = count.min(at - sent);
            }
            _ => {}
        }
        let from = range.start + sent;
        let mut bytes = photo.body.read(from..from + count);
        if let Some(Fault::Flip(at)) = fault
            && (from..from + count).contains(&at)
        {
            let mut flipped = bytes.to_vec();
            flipped[usize::try_from(at - from).unwrap()] ^= 1;
            bytes = flipped.into();
        }
        write_piece(stream, &bytes, photo.chunked).await?;
        sent += count;
        if crawls {
            stream.flush().await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if let Some(rate) = photo.rate {
            stream.flush().await?;
            // By the clock and not by pauses, whose inaccuracies would add up.
            tokio::time::sleep_until(started + Duration::from_secs_f64(sent as f64 / rate as f64))
                .await;
        }
    }
    if more > 0 {
        let junk = vec![0x55; usize::try_from(more).unwrap()];
        write_piece(stream, &junk, photo.chunked).await?;
    }
    if photo.chunked {
        stream.write_all(b"0\r\n\r\n").await?;
    }
    Ok(true)
}

async fn write_piece<S: AsyncWrite + Unpin>(
    stream: &mut S,
    bytes: &[u8],
    chunked: bool,
) -> io::Result<()> {
    if chunked {
        stream
            .write_all(format!("{:x}\r\n", bytes.len()).as_bytes())
            .await?;
    }
    stream.write_all(bytes).await?;
    if chunked {
        stream.write_all(b"\r\n").await?;
    }
    Ok(())
}

fn parse_range(text: &str) -> Option<Range<u64>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    Some(first.parse().ok()?..last.parse::<u64>().ok()? + 1)
}
