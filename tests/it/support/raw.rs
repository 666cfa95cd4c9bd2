//! Servers that send exactly the bytes that a test gives, right or wrong, and a proxy.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is sent; after that the connection is closed.
pub(crate) enum Answer {
    /// These bytes.
    Bytes(Vec<u8>),
    /// These, and then chunks without end.
    Endless(Vec<u8>),
    /// These, and then those one by one, ten a second.
    Drip(Vec<u8>, Vec<u8>),
}

/// A request, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub method: String,
    pub target: String,
    pub head: String,
}

impl Request {
    fn read(head: String) -> Self {
        let mut start = head.split(' ').map(str::to_owned);
        Self {
            method: start.next().unwrap_or_default(),
            target: start.next().unwrap_or_default(),
            head,
        }
    }

    /// Returns whether the answer has no body.
    pub(crate) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }
}

/// A running server; it stops when dropped.
pub(crate) struct Raw {
    address: SocketAddr,
    log: Log,
    server: JoinHandle<()>,
}

type Log = Arc<Mutex<Vec<Request>>>;

impl Raw {
    /// Starts a server that answers by a function.
    pub(crate) async fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let answer = Arc::new(answer);
        Self::serve(move |mut stream, request| {
            let answer = answer(&request);
            async move {
                match answer {
                    Answer::Bytes(bytes) => stream.write_all(&bytes).await?,
                    Answer::Endless(head) => {
                        stream.write_all(&head).await?;
                        let ones = vec![0xff; 0x10000];
                        let chunk = [b"10000\r\n".as_slice(), &ones, b"\r\n"].concat();
                        loop {
                            stream.write_all(&chunk).await?;
                        }
                    }
                    Answer::Drip(head, body) => {
                        stream.write_all(&head).await?;
                        for byte in body {
                            stream.write_all(&[byte]).await?;
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                    }
                }
                stream.shutdown().await
            }
        })
        .await
    }

    /// Starts a proxy: tunnels all lead to `origin`, and what it is asked for itself it answers with
    /// these bytes.
    pub(crate) async fn proxy(origin: SocketAddr, answer: Vec<u8>) -> Self {
        Self::serve(move |mut stream, request| {
            let answer = answer.clone();
            async move {
                if request.method == "CONNECT" {
                    let mut origin = TcpStream::connect(origin).await?;
                    stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await?;
                    tokio::io::copy_bidirectional(&mut stream, &mut origin).await?;
                    Ok(())
                } else {
                    stream.write_all(&answer).await?;
                    stream.shutdown().await
                }
            }
        })
        .await
    }

    async fn serve<F: Future<Output = std::io::Result<()>> + Send>(
        serve: impl Fn(TcpStream, Request) -> F + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Log::default();
        let (logged, serve) = (Arc::clone(&log), Arc::new(serve));
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (log, serve) = (Arc::clone(&logged), Arc::clone(&serve));
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(byte) => head.push(byte),
                            Err(_) => return,
                        }
                    }
                    let request = Request::read(String::from_utf8_lossy(&head).into_owned());
                    log.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(request.clone());
                    // Clients may go away at any time.
                    let _ = serve(stream, request).await;
                });
            }
        });
        Self {
            address,
            log,
            server,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Every request so far.
    pub(crate) fn log(&self) -> Vec<Request> {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// An answer of this status with these header lines and this body; to HEAD without the body.
pub(crate) fn answer(request: &Request, status: u16, lines: &[&str], body: &[u8]) -> Answer {
    let mut bytes = format!(
        "HTTP/1.1 {status} Answer\r\nContent-Length: {}\r\n",
        body.len()
    );
    for line in lines {
        bytes.push_str(&format!("{line}\r\n"));
    }
    bytes.push_str("\r\n");
    let mut bytes = bytes.into_bytes();
    if !request.is_head() {
        bytes.extend_from_slice(body);
    }
    Answer::Bytes(bytes)
}
