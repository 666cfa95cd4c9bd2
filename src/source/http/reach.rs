//! TCP connections to hosts: names resolved, addresses guarded, and the first one that answers taken
//! (Happy Eyeballs, RFC 8305).

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepidle};
use tokio::net::TcpStream;

use super::guard::{self, AddressRefused};
use crate::connection::Cause;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The head start of an address before the next one is tried as well ("Connection Attempt Delay").
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Idle time after which the other side is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// A host that cannot be connected to.
#[derive(Debug)]
pub(crate) struct Unreachable {
    pub(super) host: String,
    pub(super) cause: Cause,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.host, self.cause)
    }
}

impl std::error::Error for Unreachable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// Connects to a host, if its addresses may be connected to.
pub(super) async fn reach(
    host: &str,
    port: u16,
    allow_private: bool,
) -> Result<TcpStream, BoxError> {
    let unreachable = |cause| Unreachable {
        host: host.to_owned(),
        cause,
    };
    let addresses = resolve(host, port).await.map_err(unreachable)?;
    let allowed: Vec<SocketAddr> = addresses
        .into_iter()
        .filter(|address| guard::allowed(address.ip(), allow_private))
        .collect();
    if allowed.is_empty() {
        return Err(AddressRefused {
            host: host.to_owned(),
        }
        .into());
    }
    let stream = race(interleaved(allowed), TcpStream::connect).await;
    let stream = stream.map_err(|error| {
        tracing::debug!("no connection: {error}");
        unreachable(Cause::of_connecting(&error))
    })?;
    prepare(&stream);
    Ok(stream)
}

/// Never empty.
async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Cause> {
    if let Some(address) = literal(host) {
        return Ok(vec![(address, port).into()]);
    }
    let found = tokio::net::lookup_host((host, port)).await;
    let found: Vec<SocketAddr> = found
        .map_err(|error| {
            tracing::debug!("no address: {error}");
            Cause::of_resolving(&error)
        })?
        .collect();
    if found.is_empty() {
        return Err(Cause::UnknownHost);
    }
    Ok(found)
}

/// The address that a host is written as, in brackets for IPv6.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

/// In the resolver's order, but the families by turns (RFC 8305, 4).
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let mut second = second.into_iter();
    let mut mixed = Vec::new();
    for address in first {
        mixed.push(address);
        mixed.extend(second.next());
    }
    mixed.extend(second);
    mixed
}

/// Connects to the first address that takes it. The next one is tried as well as soon as an earlier
/// one failed, or has had its head start. The error is the first address's.
async fn race<T, F: Future<Output = io::Result<T>>>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T> {
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut first_error = None;
    loop {
        let more = match waiting.next() {
            Some(address) => {
                attempts.push(connect(address));
                waiting.len() > 0
            }
            None => false,
        };
        let head_start = async {
            if more {
                tokio::time::sleep(ATTEMPT_DELAY).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            attempt = attempts.next() => match attempt {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => {
                    first_error.get_or_insert(error);
                }
                None => {
                    return Err(first_error.unwrap_or_else(|| io::ErrorKind::NotFound.into()));
                }
            },
            () = head_start => {}
        }
    }
}

/// Small requests are not held back, and a peer that is gone is noticed. Without that it works, too.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = set_socket_keepalive(stream, true);
    let _ = set_tcp_keepidle(stream, KEEPALIVE);
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use std::io::ErrorKind;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        let mixed = interleaved(addresses(&[
            "[2001:db8::1]:1",
            "[2001:db8::2]:1",
            "[2001:db8::3]:1",
            "192.0.2.1:1",
        ]));
        let expected = addresses(&[
            "[2001:db8::1]:1",
            "192.0.2.1:1",
            "[2001:db8::2]:1",
            "[2001:db8::3]:1",
        ]);
        assert_eq!(mixed, expected);
        let one = addresses(&["192.0.2.1:1", "192.0.2.2:1"]);
        assert_eq!(interleaved(one.clone()), one);
    }

    /// Connects in a world in which the last part of an address says how it goes.
    async fn connect(address: SocketAddr) -> io::Result<u16> {
        match address.port() {
            1 => {
                std::future::pending::<()>().await;
            }
            2 => return Err(ErrorKind::ConnectionRefused.into()),
            3 => {
                sleep(Duration::from_secs(5)).await;
                return Err(ErrorKind::TimedOut.into());
            }
            _ => sleep(Duration::from_millis(400)).await,
        }
        Ok(address.port())
    }

    async fn timed(texts: &[&str]) -> (io::Result<u16>, u128) {
        let start = Instant::now();
        let won = race(addresses(texts), connect).await;
        (won, start.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_address_costs_a_quarter_of_a_second() {
        let (won, millis) = timed(&["192.0.2.1:1", "192.0.2.2:80"]).await;
        assert_eq!((won.unwrap(), millis), (80, 650));
        let (won, millis) =
            timed(&["192.0.2.1:1", "192.0.2.1:1", "192.0.2.1:1", "192.0.2.2:80"]).await;
        assert_eq!((won.unwrap(), millis), (80, 1150));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_refuses_costs_nothing() {
        let (won, millis) = timed(&["192.0.2.1:2", "192.0.2.2:80"]).await;
        assert_eq!((won.unwrap(), millis), (80, 400));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_address_wins_if_it_was_first() {
        let (won, millis) = timed(&["192.0.2.1:80", "192.0.2.2:81"]).await;
        assert_eq!((won.unwrap(), millis), (80, 400));
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_fail_the_first_failure_is_told() {
        let (won, _) = timed(&["192.0.2.1:2", "192.0.2.2:3"]).await;
        assert_eq!(won.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let (won, _) = timed(&[]).await;
        assert!(won.is_err());
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_is_unknown_for_certain() {
        let error = reach("no-such-host.invalid", 80, true).await.unwrap_err();
        let error = error.downcast::<Unreachable>().unwrap();
        assert_eq!(error.cause, Cause::UnknownHost);
        assert_eq!(
            error.to_string(),
            "`no-such-host.invalid` is not known (DNS)"
        );
    }

    #[tokio::test]
    async fn addresses_are_guarded_however_they_are_written() {
        for host in ["127.0.0.1", "[::1]", "localhost"] {
            let error = reach(host, 80, false).await.unwrap_err();
            let refused = error.downcast::<AddressRefused>().unwrap();
            assert_eq!(refused.host, host);
        }
        assert!(reach("169.254.169.254", 80, true).await.is_err());
    }
}
