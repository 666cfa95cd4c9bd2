//! Proxies, as `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name them for all programs.

use std::fmt;
use std::sync::Arc;

use http::{HeaderValue, Uri, uri};
use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
};
use tokio::net::TcpStream;

use super::reach::{Unreachable, reach};
use crate::connection::Cause;

/// The longest answer to a CONNECT that is read, in bytes.
const MAX_ANSWER_BYTES: u64 = 16 * 1024;

/// Proxies as the environment names them. They may hold passwords.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProxyOptions {
    /// For `https` addresses: `HTTPS_PROXY`.
    pub https: Option<String>,
    /// For `http` addresses: `HTTP_PROXY`.
    pub http: Option<String>,
    /// For both, where there is no other: `ALL_PROXY`.
    pub all: Option<String>,
    /// Hosts that are asked without a proxy: `NO_PROXY`.
    pub none: Option<String>,
}

impl fmt::Debug for ProxyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyOptions")
            .field("https", &self.https.is_some())
            .field("http", &self.http.is_some())
            .field("all", &self.all.is_some())
            .field("none", &self.none)
            .finish()
    }
}

impl ProxyOptions {
    /// Returns whether there is any proxy.
    pub fn is_empty(&self) -> bool {
        self.https.is_none() && self.http.is_none() && self.all.is_none()
    }

    /// Hosts of the proxies, for people.
    pub fn hosts(&self) -> Vec<String> {
        let given = [&self.https, &self.http, &self.all];
        let parsed = given
            .into_iter()
            .flatten()
            .map(|proxy| proxy.parse::<Uri>());
        let mut hosts: Vec<String> = parsed
            .filter_map(|proxy| Some(proxy.ok()?.host()?.to_owned()))
            .collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }

    /// Checks what the environment says.
    ///
    /// # Errors
    /// If a proxy cannot be used: which one, and the remedy. Passwords are not shown.
    pub fn check(&self) -> Result<(), String> {
        for (name, value) in [
            ("HTTPS_PROXY", &self.https),
            ("HTTP_PROXY", &self.http),
            ("ALL_PROXY", &self.all),
        ] {
            if value.as_deref().is_some_and(|value| !is_usable(value)) {
                return Err(format!(
                    "`{name}` cannot be used; give an address such as `http://proxy.example:3128` \
                     (other schemes than `http` are not supported)"
                ));
            }
        }
        Ok(())
    }
}

fn is_usable(proxy: &str) -> bool {
    proxy.parse::<Uri>().is_ok_and(|uri| {
        uri.host().is_some_and(|host| !host.is_empty())
            && matches!(uri.scheme_str(), None | Some("http"))
    })
}

/// Which address is asked through which proxy.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxies(Option<Arc<Matcher>>);

/// The way to an address through a proxy.
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    authorization: Option<HeaderValue>,
}

/// A proxy that did not let a connection through.
#[derive(Debug)]
pub(crate) enum ProxyRefused {
    /// No connection to it.
    Unreachable { proxy: String, cause: Cause },
    /// An address that no proxy is at.
    Address { proxy: String },
    /// Other credentials wanted.
    Credentials { proxy: String },
    /// No connection to this host, by its own word.
    Status {
        proxy: String,
        host: String,
        status: u16,
    },
    /// No proxy, or one that does not speak as one.
    NoProxy { proxy: String },
}

impl fmt::Display for ProxyRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { proxy, cause } => write!(f, "the proxy `{proxy}` {cause}"),
            Self::Address { proxy } => write!(
                f,
                "the proxy `{proxy}` is at an address that is never connected to; give another one in \
                 `HTTPS_PROXY`"
            ),
            Self::Credentials { proxy } => write!(
                f,
                "the proxy `{proxy}` wants another user name and password (HTTP 407); give them in \
                 `HTTPS_PROXY`, as in `http://user:password@proxy.example:3128`"
            ),
            Self::Status {
                proxy,
                host,
                status,
            } => {
                write!(
                    f,
                    "the proxy `{proxy}` did not connect to `{host}` (HTTP {status})"
                )
            }
            Self::NoProxy { proxy } => {
                write!(f, "`{proxy}`, the proxy, did not answer as a proxy does")
            }
        }
    }
}

impl std::error::Error for ProxyRefused {}

impl ProxyRefused {
    /// The remedy is a setting.
    pub(super) fn is_settings(&self) -> bool {
        matches!(self, Self::Credentials { .. } | Self::Address { .. })
    }

    /// It is unlikely to pass by itself.
    pub(super) fn is_lasting(&self) -> bool {
        match self {
            Self::Unreachable { cause, .. } => *cause == Cause::UnknownHost,
            Self::Status { status, .. } => *status < 500,
            _ => true,
        }
    }
}

impl Proxies {
    /// Proxies of options that were checked.
    pub(super) fn new(options: &ProxyOptions) -> Self {
        if options.is_empty() {
            return Self(None);
        }
        let text = |option: &Option<String>| option.clone().unwrap_or_default();
        let matcher = Matcher::builder()
            .https(text(&options.https))
            .http(text(&options.http))
            .all(text(&options.all))
            .no(text(&options.none));
        Self(Some(Arc::new(matcher.build())))
    }

    /// The proxy for an address, if it is asked through one.
    pub(super) fn of(&self, address: &Uri) -> Option<Proxy> {
        let intercept = self.0.as_ref()?.intercept(address)?;
        Some(Proxy {
            host: intercept.uri().host()?.to_owned(),
            port: intercept.uri().port_u16().unwrap_or(80),
            authorization: intercept.basic_auth().cloned(),
        })
    }
}

impl Proxy {
    /// Connects to the proxy itself. Whoever set it may have it in a private network.
    pub(super) async fn reach(&self) -> Result<TcpStream, ProxyRefused> {
        reach(&self.host, self.port, true).await.map_err(|error| {
            let proxy = self.host.clone();
            match error.downcast::<Unreachable>() {
                Ok(unreachable) => ProxyRefused::Unreachable {
                    proxy,
                    cause: unreachable.cause,
                },
                Err(_) => ProxyRefused::Address { proxy },
            }
        })
    }

    /// The credentials for a request that the proxy gets to see: one that is not encrypted.
    pub(super) fn authorization(&self, address: &Uri) -> Option<HeaderValue> {
        let plain = address.scheme() == Some(&uri::Scheme::HTTP);
        self.authorization.clone().filter(|_| plain)
    }

    /// The refusal of a request that is not encrypted, by the proxy's own answer to it.
    pub(super) fn wants_credentials(&self) -> ProxyRefused {
        ProxyRefused::Credentials {
            proxy: self.host.clone(),
        }
    }

    /// Has the proxy connect to a host, after which the connection is as good as one to that.
    pub(super) async fn tunnel(
        &self,
        stream: &mut (impl AsyncBufRead + AsyncWrite + Unpin),
        host: &str,
        port: u16,
    ) -> Result<(), ProxyRefused> {
        let no_proxy = || ProxyRefused::NoProxy {
            proxy: self.host.clone(),
        };
        let mut request =
            format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").into_bytes();
        if let Some(authorization) = &self.authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(authorization.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        stream.write_all(&request).await.map_err(|_| no_proxy())?;
        stream.flush().await.map_err(|_| no_proxy())?;
        let status = answer(stream).await.ok_or_else(no_proxy)?;
        match status {
            200..=299 => Ok(()),
            407 => Err(self.wants_credentials()),
            status => Err(ProxyRefused::Status {
                proxy: self.host.clone(),
                host: host.to_owned(),
                status,
            }),
        }
    }
}

/// Reads the head of an answer, and no byte more.
async fn answer(stream: &mut (impl AsyncBufRead + Unpin)) -> Option<u16> {
    let mut head = stream.take(MAX_ANSWER_BYTES);
    let mut line = Vec::new();
    head.read_until(b'\n', &mut line).await.ok()?;
    let status = std::str::from_utf8(&line).ok()?.strip_prefix("HTTP/1.")?;
    let status = status.split_ascii_whitespace().nth(1)?.parse().ok()?;
    loop {
        line.clear();
        head.read_until(b'\n', &mut line).await.ok()?;
        match line.as_slice() {
            b"\r\n" | b"\n" => return Some(status),
            line if line.ends_with(b"\n") => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> ProxyOptions {
        ProxyOptions {
            https: Some("http://user:s3cret@proxy.example:3128".to_owned()),
            http: Some("plain.example".to_owned()),
            all: None,
            none: Some("internal.example, 10.0.0.0/8".to_owned()),
        }
    }

    #[test]
    fn addresses_go_by_the_proxy_of_their_scheme() {
        let proxies = Proxies::new(&options());
        let of = |address: &'static str| {
            let proxy = proxies.of(&Uri::from_static(address))?;
            Some((proxy.host, proxy.port, proxy.authorization.is_some()))
        };
        let (proxy, plain) = ("proxy.example".to_owned(), "plain.example".to_owned());
        assert_eq!(
            of("https://photos.example/a.jpg"),
            Some((proxy, 3128, true))
        );
        assert_eq!(of("http://photos.example/a.jpg"), Some((plain, 80, false)));
        assert_eq!(of("https://internal.example/a.jpg"), None);
        assert_eq!(of("https://a.internal.example/a.jpg"), None);
        assert_eq!(of("https://10.1.2.3/a.jpg"), None);
        assert!(
            Proxies::new(&ProxyOptions::default())
                .of(&Uri::from_static("https://h.example/"))
                .is_none()
        );
    }

    #[test]
    fn passwords_are_not_shown() {
        assert!(!format!("{:?}", options()).contains("s3cret"));
        assert!(!format!("{:?}", Proxies::new(&options())).contains("s3cret"));
        let proxy = Proxies::new(&options()).of(&Uri::from_static("https://h.example/"));
        assert!(!format!("{proxy:?}").contains("s3cret"));
    }

    #[test]
    fn what_is_no_proxy_is_refused_by_name() {
        assert_eq!(options().check(), Ok(()));
        for proxy in [
            "socks5://u:s3cret@p.example",
            "https://p.example",
            "http://",
            "not a proxy",
            "",
        ] {
            let options = ProxyOptions {
                https: Some(proxy.to_owned()),
                ..ProxyOptions::default()
            };
            let error = options.check().unwrap_err();
            assert!(
                error.contains("HTTPS_PROXY") && !error.contains("s3cret"),
                "{error}"
            );
        }
    }

    async fn tunnel(said: &[u8]) -> (Result<(), ProxyRefused>, Vec<u8>) {
        let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
        theirs.write_all(said).await.unwrap();
        let mut ours = tokio::io::BufReader::new(ours);
        let proxy = Proxies::new(&options()).of(&Uri::from_static("https://h.example/"));
        let outcome = proxy.unwrap().tunnel(&mut ours, "h.example", 443).await;
        // What follows the head is the host's.
        let rest = ours.buffer().to_vec();
        let mut asked = vec![0; 1000];
        let read = theirs.read(&mut asked).await.unwrap();
        let asked = String::from_utf8_lossy(&asked[..read]).into_owned();
        assert!(asked.starts_with("CONNECT h.example:443 HTTP/1.1\r\nHost: h.example:443\r\n"));
        assert!(asked.contains("\r\nProxy-Authorization: Basic ") && asked.ends_with("\r\n\r\n"));
        (outcome, rest)
    }

    #[tokio::test]
    async fn a_tunnel_is_open_after_the_head_of_a_success() {
        let (outcome, rest) = tunnel(b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\nhello").await;
        outcome.unwrap();
        assert_eq!(rest, b"hello");
        let (outcome, _) = tunnel(b"HTTP/1.0 200\n\n").await;
        outcome.unwrap();
    }

    #[tokio::test]
    async fn refusals_of_a_proxy_say_so() {
        let mut said = Vec::new();
        for answer in [
            "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n".to_owned(),
            "HTTP/1.1 403 Forbidden\r\n\r\n".to_owned(),
            "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
            format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(20_000)),
        ] {
            let (outcome, _) = tunnel(answer.as_bytes()).await;
            said.push(outcome.unwrap_err().to_string());
        }
        insta::assert_snapshot!(said.join("\n"));
    }
}
