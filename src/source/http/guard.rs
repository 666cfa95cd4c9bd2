//! Addresses that are never connected to.
//!
//! URLs come from outside, and the machine that fetches them can reach things that the outside
//! cannot: its own services, its network's, and the metadata service that hands out its
//! credentials. So every address is checked after the name was resolved and before the
//! connection is made, redirects included.
//!
//! The list is that of IANA's special-purpose registries (RFC 6890 and its successors).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A host whose address must not be connected to.
#[derive(Debug, thiserror::Error)]
#[error("the address is not on the public internet")]
pub struct AddressRefused {
    /// The host, as the address names it.
    pub host: String,
}

/// Whether `address` may be connected to. `allow_private` admits loopback and private networks;
/// link-local and metadata addresses stay refused whatever is set.
pub fn allowed(address: IpAddr, allow_private: bool) -> bool {
    match class(address) {
        Class::Public => true,
        Class::Private => allow_private,
        Class::Never => false,
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    Public,
    Private,
    Never,
}

fn class(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(v4) => class_v4(v4),
        IpAddr::V6(v6) => class_v6(v6),
    }
}

fn class_v4(address: Ipv4Addr) -> Class {
    match address.octets() {
        // Loopback; private use (RFC 1918).
        [127 | 10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Class::Private,
        // Carrier-grade NAT (RFC 6598) is private, but one of it is Alibaba's metadata service.
        [100, 100, 100, 200] => Class::Never,
        [100, 64..=127, ..] => Class::Private,
        // "This network", link-local (AWS, GCP and Azure metadata; ECS credentials), protocol
        // assignments (Oracle metadata), documentation, 6to4 relays, benchmarks, multicast,
        // reserved, broadcast; Azure's virtual host.
        [0 | 224..=255, ..]
        | [169, 254, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18..=19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [168, 63, 129, 16] => Class::Never,
        _ => Class::Public,
    }
}

fn class_v6(address: Ipv6Addr) -> Class {
    if let Some(v4) = embedded_v4(address) {
        return class_v4(v4);
    }
    let s = address.segments();
    match s[0] {
        _ if address == Ipv6Addr::LOCALHOST => Class::Private,
        // AWS metadata over IPv6 is in the private range.
        0xfd00 if s[1] == 0x0ec2 => Class::Never,
        // GCP metadata over IPv6.
        0xfd20 if s[1] == 0x00ce => Class::Never,
        // Unique local (RFC 4193).
        0xfc00..=0xfdff => Class::Private,
        // Documentation; protocol assignments (Teredo and its like) and 6to4.
        0x2001 if s[1] == 0x0db8 || s[1] < 0x0200 => Class::Never,
        0x2002 => Class::Never,
        0x3fff if s[1] < 0x1000 => Class::Never,
        // Global unicast is 2000::/3; everything else (unspecified, discard, link-local,
        // site-local, multicast) is special.
        0x2000..=0x3fff => Class::Public,
        _ => Class::Never,
    }
}

/// The IPv4 address inside a mapped (`::ffff:0:0/96`), compatible (`::/96`) or translated
/// (`64:ff9b::/96`) one.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let compatible = s[..6] == [0; 6] && (s[6] != 0 || s[7] > 1);
    let mapped = s[..6] == [0, 0, 0, 0, 0, 0xffff];
    let translated = s[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
    (compatible || mapped || translated).then(|| {
        let [.., a, b, c, d] = address.octets();
        Ipv4Addr::new(a, b, c, d)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(addresses: &[&str]) -> Vec<Class> {
        addresses
            .iter()
            .map(|address| class(address.parse().unwrap()))
            .collect()
    }

    #[test]
    fn public_addresses_are_allowed() {
        for address in [
            "142.250.80.91",
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "2607:f8b0:4006:80b::201b",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert_eq!(classes(&[address]), [Class::Public], "{address}");
        }
    }

    #[test]
    fn private_addresses_need_permission() {
        for address in [
            "127.0.0.1",
            "127.8.9.1",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fd12:3456::1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
        ] {
            assert_eq!(classes(&[address]), [Class::Private], "{address}");
        }
    }

    #[test]
    fn metadata_and_link_local_addresses_are_never_allowed() {
        for address in [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.0.1",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "203.0.113.9",
            "::",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "fec0::1",
        ] {
            assert_eq!(classes(&[address]), [Class::Never], "{address}");
            assert!(!allowed(address.parse().unwrap(), true));
        }
    }
}
