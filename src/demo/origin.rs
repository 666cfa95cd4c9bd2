//! A photo server on loopback that behaves as a good origin does: lengths, `ETags`, ranges.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// One photo that the server has.
#[derive(Debug, Clone)]
pub struct DemoPhoto {
    /// Its name in the archive.
    pub name: String,
    /// Its modification time, in RFC 3339.
    pub modified: String,
    /// Its bytes.
    pub bytes: Bytes,
}

/// A running server; it stops when dropped.
#[derive(Debug)]
pub struct DemoOrigin {
    address: SocketAddr,
    photos: Arc<Vec<DemoPhoto>>,
    server: JoinHandle<()>,
}

impl DemoOrigin {
    /// Starts to serve `photos` on a free port of the loopback address.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn start(photos: Vec<DemoPhoto>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let photos = Arc::new(photos);
        let served = Arc::clone(&photos);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let photos = Arc::clone(&served);
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let response = answer(&photos, &request);
                        async move { Ok::<_, Infallible>(response) }
                    });
                    // A client that goes away is no concern of a demo's server.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Ok(Self {
            address,
            photos,
            server,
        })
    }

    /// The photos that it serves.
    pub fn photos(&self) -> &[DemoPhoto] {
        &self.photos
    }

    /// The address of one of them.
    pub fn url(&self, index: usize) -> String {
        format!("http://{}/photos/{index}.jpg", self.address)
    }
}

impl Drop for DemoOrigin {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn answer(photos: &[DemoPhoto], request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let photo = request
        .uri()
        .path()
        .strip_prefix("/photos/")
        .and_then(|path| path.strip_suffix(".jpg"))
        .and_then(|index| index.parse::<usize>().ok())
        .and_then(|index| photos.get(index));
    let Some(photo) = photo else {
        return with_status(StatusCode::NOT_FOUND);
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return with_status(StatusCode::METHOD_NOT_ALLOWED);
    }
    let total = photo.bytes.len();
    let range = request
        .headers()
        .get(header::RANGE)
        .and_then(|range| range.to_str().ok())
        .and_then(|range| parse_range(range, total));
    let (status, bytes) = match range.clone() {
        Some(range) => (StatusCode::PARTIAL_CONTENT, photo.bytes.slice(range)),
        None => (StatusCode::OK, photo.bytes.clone()),
    };
    let mut response = with_status(status);
    let headers = response.headers_mut();
    let mut set = |name, value: String| {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, "image/jpeg".to_owned());
    set(header::ACCEPT_RANGES, "bytes".to_owned());
    set(header::CONTENT_LENGTH, bytes.len().to_string());
    set(header::ETAG, format!("\"{total}\""));
    if let Some(range) = range {
        set(
            header::CONTENT_RANGE,
            format!("bytes {}-{}/{total}", range.start, range.end - 1),
        );
    }
    // hyper sends no body in answer to HEAD.
    *response.body_mut() = Full::new(bytes);
    response
}

fn with_status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// `bytes=first-last`, the one form that our client sends.
fn parse_range(text: &str, total: usize) -> Option<Range<usize>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let first: usize = first.parse().ok()?;
    let end = last.parse::<usize>().ok()?.checked_add(1)?.min(total);
    (first < end).then_some(first..end)
}
