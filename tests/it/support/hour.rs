//! A proxy in front of a store that makes every request an hour old, so that the clock of whoever sent it seems
//! to be off. Static programs take no other clock from outside.

use std::net::Ipv4Addr;

use jiff::civil::DateTime;
use jiff::{Span, ToSpan as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

const FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// Starts a proxy that ends with the test, and returns its address.
pub(crate) async fn an_hour_late(store: &str) -> String {
    let store = store.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let store = store.clone();
            tokio::spawn(async move {
                let _ = pass_on(client, &store).await;
            });
        }
    });
    url
}

/// Passes on one request, with another date, and its answer.
async fn pass_on(mut client: TcpStream, store: &str) -> std::io::Result<()> {
    let mut request = Vec::new();
    let end = loop {
        if let Some(end) = request.windows(4).position(|end| end == b"\r\n\r\n") {
            break end + 2;
        }
        if client.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&request[..end]).into_owned();
    let mut late = String::new();
    for line in head.lines() {
        match line.split_once(": ") {
            Some((name, date)) if name.eq_ignore_ascii_case("x-amz-date") => {
                late.push_str(&format!("{name}: {}\r\n", earlier(date, 1.hour())));
            }
            _ => late.push_str(&format!("{line}\r\n")),
        }
    }
    // The store ends the connection, so that no second request comes through.
    late.push_str("Connection: close\r\n");
    let mut server = TcpStream::connect(store).await?;
    server.write_all(late.as_bytes()).await?;
    server.write_all(&request[end..]).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

fn earlier(date: &str, by: Span) -> String {
    let date = DateTime::strptime(FORMAT, date).expect("a date as AWS writes it");
    (date - by).strftime(FORMAT).to_string()
}
