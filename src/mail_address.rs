//! Addresses of e-mail as servers take them.

use lettre::Address;
use url::Host;

/// Reads an address of e-mail. Its domain may be in any script, and is given as mail servers everywhere take
/// it (IDNA, RFC 5891).
///
/// # Errors
/// If it is no address, or one with other letters than ASCII's in front of the `@`, which few servers take
/// (RFC 6531). The problem is told without the address, with what to give instead.
pub fn parse(text: &str) -> Result<Address, (&'static str, &'static str)> {
    const REMEDY: &str = "give an address such as `couple@example.com`";
    let no_address = ("is not an address", REMEDY);
    let address: Address = text.trim().parse().map_err(|_| no_address)?;
    if !address.user().is_ascii() {
        return Err((
            "has other letters than a to z in front of the `@`, which most mail servers refuse",
            "give another address of that person",
        ));
    }
    if address.domain().is_ascii() {
        return Ok(address);
    }
    let Ok(Host::Domain(domain)) = Host::parse(address.domain()) else {
        return Err(no_address);
    };
    Address::new(address.user(), domain).map_err(|_| no_address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_sent_in_ascii_and_names_must_be() {
        let sent = |text| parse(text).map(|address| address.to_string());
        assert_eq!(sent("couple@example.com").unwrap(), "couple@example.com");
        assert_eq!(
            sent(" anna@b\u{fc}cher.example ").unwrap(),
            "anna@xn--bcher-kva.example"
        );
        assert_eq!(
            sent("anna@\u{4f8b}\u{3048}.jp").unwrap(),
            "anna@xn--r8jz45g.jp"
        );
        for wrong in [
            "jos\u{e9}@example.com",
            "nobody",
            "a@b@c",
            "",
            "a@b c.example",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
