//! What the mail server and the receiver of webhooks (`ci/mail.py`, which `ci/services` starts) were sent.
//!
//! Both are everybody's. So a test has an [`address`](Mailbox::address) and a [`path`](Mailbox::path) of
//! its own, which also say how the server behaves: `later-…@example.com`, `/flaky/…`; `ci/mail.py` has
//! the list.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use mail_parser::{Addr, HeaderValue, MessageParser, PartType};
use serde_json::Value;

use super::stores::service;

/// The folder with what was accepted.
pub(crate) struct Mailbox;

/// A message, as the server took it.
pub(crate) struct Received {
    /// `mail_from`, `rcpt_tos`, `port` (`starttls`, `smtps` or `relay`), `ehlo`, `tls`, `user`.
    pub(crate) envelope: Value,
    /// From the first header to the last line.
    pub(crate) raw: Vec<u8>,
}

/// A message, as its reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) subject: String,
    /// `Name <address>`, or the address alone.
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) reply_to: Vec<String>,
    /// The `Message-ID`, without its angle brackets.
    pub(crate) id: String,
    pub(crate) date: Timestamp,
    pub(crate) auto_submitted: Option<String>,
    pub(crate) html: String,
    pub(crate) text: String,
}

impl Mailbox {
    /// An address of the test's own: `ok`, `rejected`, `later` or `slow`.
    pub(crate) fn address(behaviour: &str) -> String {
        format!("{behaviour}-{:016x}@example.com", rand::random::<u64>())
    }

    /// A path of the test's own at `TEST_WEBHOOK`: `ok`, `fail`, `flaky`, `gone`, `slow`, `big` or `redirect`.
    pub(crate) fn path(behaviour: &str) -> String {
        format!("/{behaviour}/{:016x}", rand::random::<u64>())
    }

    /// The messages to this address, in the order in which they came.
    pub(crate) fn received(to: &str) -> Vec<Received> {
        let mail = files(".json").into_iter().filter_map(|path| {
            let envelope = json(&path);
            let recipients = envelope["rcpt_tos"].as_array().unwrap();
            let raw = path.with_extension("eml");
            recipients.iter().any(|it| it == to).then(|| Received {
                envelope,
                raw: std::fs::read(raw).unwrap(),
            })
        });
        mail.collect()
    }

    /// The requests to this path, in the order in which they came: `method`, `path`, `headers`, `body`
    /// (text), `verified`, `error`.
    pub(crate) fn webhooks(path: &str) -> Vec<Value> {
        let mut all: Vec<Value> = files(".webhook.json").iter().map(|it| json(it)).collect();
        all.retain(|request| request["path"] == path);
        all
    }
}

impl Received {
    /// Parses it: there is one text, and one page of HTML.
    pub(crate) fn message(&self) -> Message {
        let message = MessageParser::default().parse(&self.raw).unwrap();
        let addresses = |header: &str| -> Vec<String> {
            let header = message.header(header).and_then(HeaderValue::as_address);
            header.map_or_else(Vec::new, |header| header.iter().map(shown).collect())
        };
        let (mut texts, mut pages) = (Vec::new(), Vec::new());
        for part in &message.parts {
            match &part.body {
                PartType::Text(text) => texts.push(text.to_string()),
                PartType::Html(page) => pages.push(page.to_string()),
                _ => {}
            }
        }
        assert_eq!((texts.len(), pages.len()), (1, 1), "texts, pages");
        let date = message.date().expect("a date");
        Message {
            subject: message.subject().expect("a subject").to_owned(),
            from: addresses("From").join(", "),
            to: addresses("To"),
            reply_to: addresses("Reply-To"),
            id: message.message_id().expect("a message id").to_owned(),
            date: Timestamp::from_second(date.to_timestamp()).unwrap(),
            auto_submitted: message
                .header("Auto-Submitted")
                .and_then(HeaderValue::as_text)
                .map(str::to_owned),
            html: pages.remove(0),
            text: texts.remove(0),
        }
    }
}

/// Waits until `look` sees so many, or more.
pub(crate) async fn wait_for<T>(
    count: usize,
    timeout: Duration,
    look: impl Fn() -> Vec<T>,
) -> Vec<T> {
    let start = Instant::now();
    loop {
        let seen = look();
        if seen.len() >= count {
            return seen;
        }
        assert!(
            start.elapsed() < timeout,
            "after {timeout:?} there are {}, not {count}",
            seen.len()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn shown(address: &Addr<'_>) -> String {
    let email = address.address().expect("an address");
    address
        .name()
        .map_or_else(|| email.to_owned(), |name| format!("{name} <{email}>"))
}

/// Files whose names are a number and this, by their number.
fn files(end: &str) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(service("TEST_MAIL_DIR")).unwrap();
    let mut files: Vec<(u64, PathBuf)> = folder
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().and_then(OsStr::to_str)?;
            let number = name.strip_suffix(end)?.parse().ok()?;
            Some((number, path))
        })
        .collect();
    files.sort();
    files.into_iter().map(|(_, path)| path).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
