//! The metadata services of EC2 and ECS, as a container meets them.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A server that ends with the test.
pub(crate) struct Metadata {
    pub(crate) url: String,
    notice: Arc<AtomicBool>,
}

impl Metadata {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let notice = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&notice);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&seen)));
            }
        });
        Self { url, notice }
    }

    /// From now on the instance is about to be taken away.
    pub(crate) fn give_notice(&self) {
        self.notice.store(true, Ordering::Relaxed);
    }
}

/// Answers one request, and closes the connection.
async fn answer(mut stream: TcpStream, notice: Arc<AtomicBool>) {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    let mut words = head.split_whitespace();
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let has_token = head
        .to_ascii_lowercase()
        .contains("x-aws-ec2-metadata-token: t0ken");
    let (status, body) = match (method, path) {
        ("PUT", "/latest/api/token") => ("200 OK", "t0ken"),
        // Version 2 of the service answers nobody without a token.
        ("GET", path) if path.starts_with("/latest/") && !has_token => ("401 Unauthorized", ""),
        ("GET", "/latest/meta-data/instance-id") => ("200 OK", "i-0123456789abcdef0"),
        ("GET", "/latest/meta-data/spot/instance-action") if notice.load(Ordering::Relaxed) => (
            "200 OK",
            r#"{"action": "terminate", "time": "2026-06-20T15:04:05Z"}"#,
        ),
        ("GET", "/v4/task") => (
            "200 OK",
            r#"{"LogDriver": "awslogs", "LogOptions": {"awslogs-stream": "job/default/0123"}}"#,
        ),
        _ => ("404 Not Found", ""),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nx-aws-ec2-metadata-token-ttl-seconds: 60\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
}
