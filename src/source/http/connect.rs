//! Connections to photo servers: guarded addresses, TLS by rustls, HTTP/1.1 only.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tower_service::Service;

use super::guard::{self, AddressRefused};
use super::proxy::{Proxies, ProxyOptions};
use super::reach::{Unreachable, literal, reach};
use crate::connection::Cause;
use crate::tls::{self, TlsError};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Bytes that are read from a socket at once. rustls on its own reads a record of 16 KiB at a time,
/// and every read makes the kernel acknowledge: `docs/performance.md`.
const READ_AHEAD_BYTES: usize = 128 * 1024;

/// Connects to what a URL names, if its address may be connected to.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    inner: HttpsConnector<GuardedConnector>,
    timeout: Duration,
}

impl Connector {
    /// Connects without a proxy.
    pub(crate) fn new(allow_private: bool, timeout: Duration) -> Result<Self, TlsError> {
        Self::with_proxies(allow_private, timeout, &ProxyOptions::default())
    }

    /// Connects through the proxies that the options name.
    pub(super) fn with_proxies(
        allow_private: bool,
        timeout: Duration,
        proxies: &ProxyOptions,
    ) -> Result<Self, TlsError> {
        let inner = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config()?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(GuardedConnector {
                proxies: Proxies::new(proxies),
                allow_private,
            });
        Ok(Self { inner, timeout })
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<ReadAhead>>;
    type Error = BoxError;
    type Future = BoxFuture<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let host = uri.host().unwrap_or_default().to_owned();
        let connecting = self.inner.call(uri);
        let timeout = self.timeout;
        Box::pin(async move {
            tokio::time::timeout(timeout, connecting)
                .await
                .map_err(|_| Unreachable {
                    host,
                    cause: Cause::TooSlow(timeout),
                })?
        })
    }
}

/// Makes the connection below TLS: to the host itself, or through a proxy.
#[derive(Clone, Debug)]
struct GuardedConnector {
    proxies: Proxies,
    allow_private: bool,
}

impl Service<Uri> for GuardedConnector {
    type Response = TokioIo<ReadAhead>;
    type Error = BoxError;
    type Future = BoxFuture<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let proxy = self.proxies.of(&uri);
        let allow_private = self.allow_private;
        Box::pin(async move {
            let host = uri.host().unwrap_or_default();
            let encrypted = uri.scheme() != Some(&http::uri::Scheme::HTTP);
            let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
            let Some(proxy) = proxy else {
                let stream = reach(host, port, allow_private).await?;
                return Ok(TokioIo::new(ReadAhead::new(stream, false)));
            };
            // Names are the proxy's to resolve; only an address that is written out can be checked.
            if literal(host).is_some_and(|address| !guard::allowed(address, allow_private)) {
                let host = host.to_owned();
                return Err(AddressRefused { host }.into());
            }
            let mut stream = ReadAhead::new(proxy.reach().await?, !encrypted);
            if encrypted {
                proxy.tunnel(&mut stream.stream, host, port).await?;
            }
            Ok(TokioIo::new(stream))
        })
    }
}

/// A mark on a connection, set once it has served an answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Used(Arc<AtomicBool>);

impl Used {
    /// Notes that it has served one now; returns whether it had before.
    pub(super) fn note(&self) -> bool {
        self.0.swap(true, Ordering::Relaxed)
    }
}

/// A connection that is read in larger steps than TLS records.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    stream: BufReader<TcpStream>,
    /// True if it ends at a proxy, which is told whole addresses.
    proxied: bool,
}

impl ReadAhead {
    fn new(stream: TcpStream, proxied: bool) -> Self {
        Self {
            stream: BufReader::with_capacity(READ_AHEAD_BYTES, stream),
            proxied,
        }
    }
}

impl AsyncRead for ReadAhead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ReadAhead {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl Connection for ReadAhead {
    fn connected(&self) -> Connected {
        let connected = self.stream.get_ref().connected();
        connected.proxy(self.proxied).extra(Used::default())
    }
}
