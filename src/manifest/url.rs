//! Addresses of photos: on the web, or in a private bucket.
//!
//! A download URL often carries a token that is as good as a password, so [`WebUrl`] never shows its
//! query. Its path and query are sent byte for byte as they were given, because signatures are over
//! them; [`url::Url`] has the say about everything else, above all about the host.

use std::fmt;

use ::url::{Host, Position, Url};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::rules::{SourceRules, describe};
use super::stored::{Scheme, StoredUrl};

/// Characters of a path that no request can have; browsers encode them (WHATWG URL, path
/// percent-encode set, but for `^`).
const NOT_IN_PATHS: &AsciiSet = &NOT_IN_QUERIES.add(b'`').add(b'{').add(b'}');
/// The same of a query. `'` is left alone, which browsers encode there.
const NOT_IN_QUERIES: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>');

/// Where a photo comes from.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum PhotoUrl {
    /// An address on the web.
    Web(WebUrl),
    /// An object in a private bucket, or all those in one of its folders.
    Stored(StoredUrl),
}

/// A folder that photos come from: its scheme, its host or bucket, and its path.
pub(super) type OriginFolder<'a> = (&'static str, &'a str, &'a str);

impl PhotoUrl {
    /// Reads and checks an address; the error is a problem and its remedy.
    pub fn parse(text: &str, rules: &SourceRules) -> Result<Self, (String, String)> {
        let text = super::parse::trim_pasted(text);
        refuse_second_address(text)?;
        match Scheme::of(text) {
            Some((scheme, rest)) => StoredUrl::parse(scheme, rest, rules).map(Self::Stored),
            None => WebUrl::parse(text, rules).map(Self::Web),
        }
    }

    /// The name that a photo from here has unless it is given one.
    pub fn file_name(&self) -> Option<String> {
        match self {
            Self::Web(url) => url.file_name(),
            Self::Stored(url) => url.file_name(),
        }
    }

    /// The folder that a photo from here is in.
    pub(super) fn folder(&self) -> OriginFolder<'_> {
        match self {
            Self::Web(url) => ("", &url.url[..Position::BeforePath], url.folder()),
            Self::Stored(url) => {
                let scheme = match url.scheme() {
                    Scheme::Gs => "gs",
                    Scheme::S3 => "s3",
                };
                let (folder, _) = url.key().rsplit_once('/').unwrap_or_default();
                (scheme, url.bucket(), folder)
            }
        }
    }

    /// Whether this stands for all objects in a folder.
    pub fn is_folder(&self) -> bool {
        matches!(self, Self::Stored(url) if url.is_folder())
    }
}

impl fmt::Display for PhotoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Web(url) => url.fmt(f),
            Self::Stored(url) => url.fmt(f),
        }
    }
}

impl fmt::Debug for PhotoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhotoUrl({self})")
    }
}

/// An `https` (or, where allowed, `http`) address whose query is a secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WebUrl {
    url: Url,
    /// Path and query as given, where `url` has them in another form.
    given_target: Option<Box<str>>,
}

impl WebUrl {
    /// Reads and checks an address; the error is a problem and its remedy.
    pub fn parse(text: &str, rules: &SourceRules) -> Result<Self, (String, String)> {
        let text = super::parse::trim_pasted(text);
        refuse_controls(text)?;
        let url = Url::parse(text).map_err(|error| {
            (
                format!("is not a URL ({error})"),
                "give a complete address that starts with `https://`".to_owned(),
            )
        })?;
        Self::checked(url, Some(behind_authority(text)), rules)
    }

    /// Resolves a `Location` header against this address, under the same rules.
    pub fn join(&self, location: &str, rules: &SourceRules) -> Result<Self, (String, String)> {
        let location = location.trim();
        let url = self.url.join(location).map_err(|error| {
            (
                format!("redirects to something that is not a URL ({error})"),
                String::new(),
            )
        })?;
        let target = match refuse_controls(location) {
            Ok(()) => self.joined_target(location),
            Err(_) => None,
        };
        let mut joined = Self::checked(url, target.as_deref(), rules)?;
        // Addresses that are cut short are read in odd ways, and `url` knows them all.
        if Url::parse(&joined.request_uri()).as_ref() != Ok(&joined.url) {
            joined.given_target = None;
        }
        Ok(joined)
    }

    /// Path and query that a `Location` leads to, as it writes them. `None` where steps in the path
    /// have to be resolved.
    fn joined_target(&self, location: &str) -> Option<String> {
        let separator = |c: char| matches!(c, '/' | '\\');
        if let Some(rest) = behind_scheme(location) {
            // Without slashes behind it, a scheme does not make an address complete.
            let complete = rest.starts_with(separator);
            return complete.then(|| behind_authority(location).to_owned());
        }
        if location.starts_with(separator) && location[1..].starts_with(separator) {
            return Some(behind_authority(location).to_owned());
        }
        let reference = without_fragment(location);
        let (path, query) = match reference.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (reference, None),
        };
        if path.starts_with(separator) {
            return Some(reference.to_owned());
        }
        if path.split(separator).any(is_step) {
            return None;
        }
        let base = match path {
            "" => self.path(),
            _ => &self.path()[..=self.path().rfind('/')?],
        };
        let query = match (path, query) {
            ("", None) => self.query(),
            _ => query,
        };
        Some(with_query(&format!("{base}{path}"), query))
    }

    /// `target` is path and query as they were given.
    fn checked(
        mut url: Url,
        target: Option<&str>,
        rules: &SourceRules,
    ) -> Result<Self, (String, String)> {
        match url.scheme() {
            "https" => {}
            "http" if rules.allow_http => {}
            "http" => {
                return Err((
                    "is not encrypted".to_owned(),
                    "use `https://`, or set `source.allow_http` for a private network".to_owned(),
                ));
            }
            scheme => {
                return Err((
                    format!("has the scheme `{scheme}`, which is not supported"),
                    "use `https://`, `gs://` or `s3://`".to_owned(),
                ));
            }
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err((
                "carries a user name or password".to_owned(),
                "use a download URL with a token instead".to_owned(),
            ));
        }
        let Some(host) = url.host_str() else {
            return Err((
                "has no host".to_owned(),
                "give a complete address that starts with `https://`".to_owned(),
            ));
        };
        let without_dot = host.strip_suffix('.').map(str::to_owned);
        url.set_fragment(None);
        // Names that are complete are looked up as such in any case, and few servers know the dot.
        if let Some(host) = without_dot {
            // Where nothing is left, it stays as it is.
            let _ = url.set_host(Some(&host));
        }
        let mut checked = Self {
            url,
            given_target: None,
        };
        // Nearly always both are the same, and one is kept.
        if let Some(target) = target.filter(|target| *target != checked.target()) {
            let target = as_sent(target);
            if target != checked.target() {
                checked.given_target = Some(target.into());
            }
        }
        checked.check_place(rules)?;
        Ok(checked)
    }

    /// Returns whether host and path are allowed, as they are sent and in their normal form.
    pub(crate) fn is_allowed(&self, rules: &SourceRules) -> bool {
        let host = self.url.host_str().unwrap_or_default();
        rules.allows(host, self.url.path()) && rules.allows(host, self.target())
    }

    fn check_place(&self, rules: &SourceRules) -> Result<(), (String, String)> {
        if self.is_allowed(rules) {
            return Ok(());
        }
        let host = self.url.host_str().unwrap_or_default();
        let allowed = describe(&rules.allowed_hosts);
        let folders =
            (rules.allowed_hosts.iter()).any(|pattern| pattern.starts_with(&format!("{host}/")));
        let problem = if folders {
            format!("leads into a folder of `{host}` that is not allowed")
        } else {
            format!("names the host `{host}`, which is not allowed")
        };
        Err((
            problem,
            format!("add it to `source.allowed_hosts` (now: {allowed})"),
        ))
    }

    /// An address that the settings give, and not the manifest: no rules apply.
    pub(crate) fn of_settings(url: Url) -> Self {
        Self {
            url,
            given_target: None,
        }
    }

    /// The whole address, secret query included, in its normal form: never for people.
    pub fn expose(&self) -> &Url {
        &self.url
    }

    /// The whole address, secret query included, as it is sent: for requests only.
    pub fn request_uri(&self) -> String {
        format!("{}{}", &self.url[..Position::BeforePath], self.target())
    }

    /// Path and query as they are sent.
    fn target(&self) -> &str {
        self.given_target
            .as_deref()
            .unwrap_or_else(|| &self.url[Position::BeforePath..Position::AfterQuery])
    }

    fn path(&self) -> &str {
        let target = self.target();
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// The query as it is sent: for requests only.
    pub fn query(&self) -> Option<&str> {
        self.target().split_once('?').map(|(_, query)| query)
    }

    /// The same address with another query: `None` for none.
    #[must_use]
    pub fn with_query(&self, query: Option<&str>) -> Self {
        let mut url = self.url.clone();
        url.set_query(query);
        let target = with_query(self.path(), query);
        let given_target = (target != url[Position::BeforePath..]).then(|| target.into());
        Self { url, given_target }
    }

    /// The host, as written in the address.
    pub fn host(&self) -> Option<Host<&str>> {
        self.url.host()
    }

    /// The last segment of the percent-decoded path: `IMG_1.jpg` for
    /// `…/v0/b/bucket/o/events%2F1%2FIMG_1.jpg`, because a Firebase object's name is a path too.
    pub fn file_name(&self) -> Option<String> {
        let path = percent_decode_str(self.path()).decode_utf8_lossy();
        path.rsplit('/')
            .next()
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
    }

    /// The path before that, as it is sent.
    fn folder(&self) -> &str {
        let path = self.path();
        let encoded = ["%2F", "%2f"]
            .into_iter()
            .filter_map(|slash| path.rfind(slash));
        let end = encoded.chain(path.rfind('/')).max().unwrap_or_default();
        &path[..end]
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.url.clone();
        shown.set_query(None);
        write!(f, "{shown}")?;
        match self.url.query() {
            Some(_) => f.write_str("?…"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebUrl({self})")
    }
}

/// Returns what follows the scheme, if there is one.
fn behind_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c));
    is_scheme.then_some(rest)
}

/// Returns what follows scheme and host.
fn behind_authority(text: &str) -> &str {
    let rest = behind_scheme(text).unwrap_or(text);
    let rest = rest.trim_start_matches(['/', '\\']);
    let end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
    without_fragment(&rest[end..])
}

fn without_fragment(text: &str) -> &str {
    text.split('#').next().unwrap_or_default()
}

fn with_query(path: &str, query: Option<&str>) -> String {
    match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

/// Path and query as browsers send them, but for steps in the path, which stay.
fn as_sent(target: &str) -> String {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let path = path.replace('\\', "/");
    let path = utf8_percent_encode(&path, NOT_IN_PATHS).to_string();
    let query = query.map(|query| utf8_percent_encode(query, NOT_IN_QUERIES).to_string());
    let root = if path.is_empty() { "/" } else { "" };
    with_query(&format!("{root}{path}"), query.as_deref())
}

/// Returns whether this segment of a path leads up, or nowhere.
fn is_step(segment: &str) -> bool {
    let dots = segment.to_ascii_lowercase().replace("%2e", ".");
    dots == "." || dots == ".."
}

/// Refuses what a spreadsheet or a broken export leaves in addresses.
fn refuse_controls(text: &str) -> Result<(), (String, String)> {
    match text.chars().find(|c| c.is_control()) {
        None => Ok(()),
        Some('\t') => Err((
            "has a tab in it".to_owned(),
            "give names and whatever else is known in JSON, as `{\"url\": …, \"name\": …}`"
                .to_owned(),
        )),
        Some('\n' | '\r') => Err((
            "has a line end in it".to_owned(),
            "give each address on its own".to_owned(),
        )),
        Some(control) => Err((
            format!("has the control character U+{:04X} in it", control as u32),
            "remove it, or write it percent-encoded".to_owned(),
        )),
    }
}

/// Refuses two addresses that have become one.
fn refuse_second_address(text: &str) -> Result<(), (String, String)> {
    let mut rest = text;
    while let Some(blank) = rest.find(char::is_whitespace) {
        let word = rest[blank..].trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        rest = word.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "+.-".contains(c));
        if rest.starts_with("://") {
            return Err((
                "has more than one address in it".to_owned(),
                "give each address on its own".to_owned(),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn web(text: &str) -> WebUrl {
        WebUrl::parse(text, &SourceRules::anything()).unwrap()
    }

    #[test]
    fn the_token_is_never_shown() {
        let url = web("https://h.example/o/a.jpg?alt=media&token=s3cret#frag");
        assert_eq!(url.to_string(), "https://h.example/o/a.jpg?…");
        assert!(!format!("{url:?}").contains("s3cret"));
        assert_eq!(
            url.expose().as_str(),
            "https://h.example/o/a.jpg?alt=media&token=s3cret"
        );
        let odd = web("https://h.example/./a.jpg?token=it's#frag");
        assert_eq!(odd.to_string(), "https://h.example/a.jpg?…");
        assert!(!format!("{odd:?}").contains("it"));
    }

    #[test]
    fn a_firebase_objects_name_is_the_end_of_its_path() {
        let name = |url| web(url).file_name();
        assert_eq!(
            name("https://f.example/v0/b/x/o/events%2F7%2FIMG%201.jpg?alt=media"),
            Some("IMG 1.jpg".to_owned())
        );
        assert_eq!(
            name("https://f.example/a/%D7%A9.jpg"),
            Some("ש.jpg".to_owned())
        );
        assert_eq!(name("https://f.example/"), None);
        let folder = |text: &str| web(text).folder().to_owned();
        assert_eq!(
            folder("https://f.example/v0/b/x/o/events%2F7%2FIMG.jpg"),
            "/v0/b/x/o/events%2F7"
        );
        assert_eq!(folder("https://f.example/a/b%2fc/d.jpg?x=/"), "/a/b%2fc");
        assert_eq!(folder("https://f.example"), "");
    }

    #[test]
    fn path_and_query_are_sent_as_they_are_given() {
        for (given, sent) in [
            // Byte for byte.
            (
                "https://h.example/a/./b/../c.jpg?s=1",
                "/a/./b/../c.jpg?s=1",
            ),
            (
                "https://h.example/a/%2e%2E/d%7E.jpg?%41",
                "/a/%2e%2E/d%7E.jpg?%41",
            ),
            (
                "https://h.example/it's//f.jpg?n=Anna's&s=(1)",
                "/it's//f.jpg?n=Anna's&s=(1)",
            ),
            (
                "HTTPS://h.example:443//a|b^[c]?d|{e}`\\?/#frag?x",
                "//a|b^[c]?d|{e}`\\?/",
            ),
            // As browsers do.
            ("https://h.example", "/"),
            ("https://h.example?q#f", "/?q"),
            ("https://h.example/a b.jpg?c d", "/a%20b.jpg?c%20d"),
            (
                "https://h.example/ü.jpg?ü=\"<>",
                "/%C3%BC.jpg?%C3%BC=%22%3C%3E",
            ),
            ("https:\\\\h.example\\a\\b.jpg", "/a/b.jpg"),
            ("https:h.example/a/../b", "/a/../b"),
        ] {
            let host = "https://h.example";
            assert_eq!(web(given).request_uri(), format!("{host}{sent}"), "{given}");
        }
    }

    #[test]
    fn a_dot_behind_the_host_is_left_out() {
        let url = web("https://h.example.:8443/a./b.?c.");
        assert_eq!(url.request_uri(), "https://h.example:8443/a./b.?c.");
    }

    #[test]
    fn redirects_are_followed_as_they_are_written() {
        let base = web("https://h.example:8443/a/./b.jpg?x=it's");
        for (location, sent) in [
            (
                "https://i.example/c/../d'.jpg?s='1'#f",
                "https://i.example/c/../d'.jpg?s='1'",
            ),
            ("//i.example/./e", "https://i.example/./e"),
            ("/\\i.example/./e", "https://i.example/./e"),
            ("/c/./d?e='f'", "https://h.example:8443/c/./d?e='f'"),
            (
                "/hochzeit_ü.jpg",
                "https://h.example:8443/hochzeit_%C3%BC.jpg",
            ),
            ("c'd.jpg?'", "https://h.example:8443/a/./c'd.jpg?'"),
            ("../c.jpg?it's", "https://h.example:8443/c.jpg?it%27s"),
            ("?y='", "https://h.example:8443/a/./b.jpg?y='"),
            ("#top", "https://h.example:8443/a/./b.jpg?x=it's"),
            ("", "https://h.example:8443/a/./b.jpg?x=it's"),
            ("https:c.jpg", "https://h.example:8443/a/c.jpg"),
            ("/a\tb", "https://h.example:8443/ab"),
        ] {
            let to = base.join(location, &SourceRules::anything()).unwrap();
            assert_eq!(to.request_uri(), sent, "{location}");
        }
    }

    #[test]
    fn another_query_leaves_the_path_alone() {
        let url = web("https://h.example/a/./b.jpg?alt=media&t=it's");
        assert_eq!(url.query(), Some("alt=media&t=it's"));
        let other = url.with_query(Some("t=it's"));
        assert_eq!(other.request_uri(), "https://h.example/a/./b.jpg?t=it's");
        let none = url.with_query(None);
        assert_eq!(none.request_uri(), "https://h.example/a/./b.jpg");
    }

    #[test]
    fn what_has_become_one_address_is_refused() {
        let url = "https://h.example/a.jpg?t=s3cret";
        let refused: Vec<String> = [
            format!("{url}, {url}"),
            format!("{url} {url}"),
            format!("{url} <{url}>"),
            format!("{url}\u{2028}{url}"),
            format!("gs://b/a.jpg {url}"),
            format!("{url}\n{url}"),
            format!("{url}\tIMG_1.jpg"),
            format!("{url}\u{1}"),
            format!("{url}\u{85}x"),
        ]
        .iter()
        .map(|text| {
            let (problem, remedy) = PhotoUrl::parse(text, &SourceRules::anything()).unwrap_err();
            format!("{problem}; {remedy}")
        })
        .collect();
        insta::assert_snapshot!(refused.join("\n"));
        for fine in [
            format!("  {url}\n"),
            "https://h.example/a, b.jpg?see=http://x.example".to_owned(),
            "https://proxy.example/https://h.example/a b.jpg".to_owned(),
        ] {
            assert!(
                PhotoUrl::parse(&fine, &SourceRules::anything()).is_ok(),
                "{fine}"
            );
        }
    }

    proptest! {
        /// The text that is sent never leads anywhere else than where the rules were asked about.
        #[test]
        fn what_is_sent_is_what_was_checked(
            text in "https?:[/\\\\]{0,3}[a-z.@:1?#\\\\/%éA' ]{0,20}",
            location in "(https?:|)[/\\\\]{0,3}[a-z.@:1?#\\\\/%éA' ]{0,20}"
        ) {
            let rules = SourceRules::anything();
            if let Ok(url) = WebUrl::parse(&text, &rules) {
                prop_assert_eq!(&normal(&url), url.expose());
                if let Ok(to) = url.join(&location, &rules) {
                    prop_assert_eq!(&normal(&to), to.expose());
                }
            }
        }
    }

    fn normal(url: &WebUrl) -> Url {
        Url::parse(&url.request_uri()).unwrap()
    }
}
