//! Rules about the hosts and buckets that photos may come from.

use std::borrow::Cow;

use ::url::{Host, Url};
use percent_encoding::percent_decode_str;

use super::stored::{Scheme, StoredUrl};

/// Folders of the jobs' bucket that belong to jobs and those who wait for them (`crate::job::Layout`).
pub(crate) const JOB_FOLDERS: [&str; 4] = ["jobs/", "archives/", "builds/", "mail/"];

/// Rules about where photos may come from, and which webhooks may be called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceRules {
    /// Exact names, `*.example.com` for every host below it, or `*` for any; each as
    /// [`host_pattern`] writes it.
    pub allowed_hosts: Vec<String>,
    /// True if unencrypted `http` may be used.
    pub allow_http: bool,
    /// Private buckets: `gs://bucket` or `s3://bucket`, with a folder behind it where only that is
    /// meant, `gs://*` for all that the credentials open, or `*` for all of both kinds.
    pub allowed_buckets: Vec<String>,
    /// The bucket of the jobs, at `s3://`: what belongs to jobs is never a photo.
    pub job_buckets: Vec<String>,
    /// Hosts of webhooks, written like `allowed_hosts`.
    pub webhook_hosts: Vec<String>,
}

impl SourceRules {
    /// Any host, encrypted or not, and any bucket; for tests and the demo.
    pub fn anything() -> Self {
        Self {
            allowed_hosts: vec!["*".to_owned()],
            allow_http: true,
            allowed_buckets: vec!["*".to_owned()],
            job_buckets: Vec::new(),
            webhook_hosts: vec!["*".to_owned()],
        }
    }

    /// Any host of photos and webhooks, but encrypted, and no bucket.
    pub fn https() -> Self {
        Self {
            allowed_hosts: vec!["*".to_owned()],
            webhook_hosts: vec!["*".to_owned()],
            ..Self::default()
        }
    }

    /// Returns the rules for the addresses of webhooks, as if these were photos.
    #[must_use]
    pub fn for_webhooks(&self) -> Self {
        Self {
            allowed_hosts: self.webhook_hosts.clone(),
            ..Self::default()
        }
    }

    /// Returns whether a host, as [`url::Url`] writes it, is allowed, and below it a path, as it is sent.
    pub(super) fn allows(&self, host: &str, path: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        self.allowed_hosts.iter().any(|pattern| {
            let (pattern, folder) = match pattern.split_once('/') {
                Some((host, _)) => (host, &pattern[host.len()..]),
                None => (pattern.as_str(), ""),
            };
            is_within(path, folder)
                && (pattern == "*"
                    || pattern.eq_ignore_ascii_case(host)
                    || pattern.strip_prefix("*.").is_some_and(|domain| {
                        host.len() > domain.len() + 1
                            && host.as_bytes()[host.len() - domain.len() - 1] == b'.'
                            && host[host.len() - domain.len()..].eq_ignore_ascii_case(domain)
                    }))
        })
    }

    /// Refuses what is, or has in it, what belongs to jobs: manifests with others' tokens, and their
    /// archives. The error is a problem and its remedy.
    pub(super) fn check_jobs_apart(&self, url: &StoredUrl) -> Result<(), (String, String)> {
        let is_ours = |bucket: &String| bucket == url.bucket();
        if url.scheme() != Scheme::S3 || !self.job_buckets.iter().any(is_ours) {
            return Ok(());
        }
        let key = url.key();
        // Stores that keep objects as files drop such slashes, and then `//jobs/` is `jobs/`.
        if key.starts_with('/') || key.contains("//") {
            return Err((
                "has two slashes in a row, which is not allowed in the bucket of the jobs"
                    .to_owned(),
                "write one, or keep photos in a bucket of their own".to_owned(),
            ));
        }
        let is_held =
            |folder: &str| key.starts_with(folder) || url.is_folder() && folder.starts_with(key);
        match JOB_FOLDERS.into_iter().find(|folder| is_held(folder)) {
            Some(folder) => Err((
                format!("has `{folder}` in it, where the jobs and archives of others are"),
                "name another folder, or keep photos in a bucket of their own".to_owned(),
            )),
            None => Ok(()),
        }
    }

    pub(super) fn allows_stored(&self, url: &StoredUrl) -> bool {
        self.allowed_buckets.iter().any(|pattern| {
            let Some((scheme, place)) = Scheme::of(pattern) else {
                return pattern == "*";
            };
            let (bucket, folder) = place.split_once('/').unwrap_or((place, ""));
            let folder = folder.trim_end_matches('/');
            scheme == url.scheme()
                && (bucket == "*" || bucket == url.bucket())
                && (folder.is_empty()
                    || url
                        .key()
                        .strip_prefix(folder)
                        .is_some_and(|rest| rest.starts_with('/')))
        })
    }
}

/// Returns whether a path leads into a folder, which ends with a slash, and not out of it again: servers resolve
/// steps up also where they are escaped.
fn is_within(path: &str, folder: &str) -> bool {
    let Some(rest) = path.strip_prefix(folder) else {
        return false;
    };
    if folder.is_empty() {
        return true;
    }
    let mut rest = Cow::Borrowed(rest.split(['?', '#']).next().unwrap_or_default());
    for _ in 0..4 {
        if rest
            .split(['/', '\\'])
            .any(|step| step == ".." || step == ".")
        {
            return false;
        }
        rest = Cow::Owned(percent_decode_str(&rest).decode_utf8_lossy().into_owned());
    }
    true
}

/// An allowed host in the form in which addresses have it: lower case, punycode, IPv6 in brackets,
/// no dot at the end; and the folder behind it, where only that is allowed. The error is a problem and its remedy.
///
/// # Errors
/// If it is no host, or more than one.
pub fn host_pattern(text: &str) -> Result<String, (String, String)> {
    let text = text.trim();
    if text == "*" {
        return Ok(text.to_owned());
    }
    let (host_and_port, folder) = match text.find('/') {
        Some(slash) if !text[..slash].ends_with(':') => text.split_at(slash),
        _ => (text, ""),
    };
    if folder.len() > 1 {
        let is_plain = |c: char| c.is_ascii_graphic() && !"?#\\%".contains(c);
        let known =
            folder.chars().all(is_plain) && is_within(folder, "/") && !folder.contains("//");
        return match host_pattern(host_and_port) {
            Ok(host) if known => Ok(format!("{host}{}/", folder.trim_end_matches('/'))),
            Ok(_) => Err((
                format!("`{}` has a folder that cannot be compared", shown(text)),
                "write it as it is in addresses, without escapes and a query, such as \
                 `firebasestorage.googleapis.com/v0/b/my-project.appspot.com/`"
                    .to_owned(),
            )),
            Err(error) => Err(error),
        };
    }
    let text = text
        .strip_suffix('/')
        .filter(|_| folder == "/")
        .unwrap_or(text);
    let (wildcard, name) = match text.strip_prefix("*.") {
        Some(domain) => ("*.", domain),
        None => ("", text),
    };
    if let Some(host) = host(name) {
        return Ok(format!("{wildcard}{host}"));
    }
    let (problem, meant) = if let Some((_, rest)) = name.split_once("://") {
        let authority = rest.split(['/', '\\', '?', '#']).next();
        let host = authority.and_then(|text| text.rsplit('@').next());
        ("has a scheme", host.and_then(without_port))
    } else if let Some((authority, _)) = name.split_once(['/', '\\']) {
        ("has a path", without_port(authority))
    } else if let Some(host) = without_port(name) {
        ("has a port", Some(host))
    } else {
        ("is not a host", None)
    };
    let remedy = match meant {
        Some(host) => format!("write `{wildcard}{host}`, which allows every port"),
        None => "write a name such as `photos.example.com`, `*.example.com` for all below it, an \
                 address such as `[::1]`, or `*`"
            .to_owned(),
    };
    Err((format!("`{}` {problem}", shown(text)), remedy))
}

/// A host, with or without a port behind it.
fn without_port(text: &str) -> Option<String> {
    let port = |port: &str| !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit());
    let name = match text.rsplit_once(':') {
        Some((name, digits)) if port(digits) => name,
        _ => text,
    };
    host(name)
}

/// A host in its normal form; IPv6 also without brackets, which settings lose on their way.
fn host(name: &str) -> Option<String> {
    if name.contains('*') {
        return None;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let host = Host::parse(name).or_else(|_| Host::parse(&format!("[{name}]")));
    host.ok().map(|host| host.to_string())
}

/// A setting as it may be shown: an address without its password and query.
fn shown(text: &str) -> String {
    match Url::parse(text) {
        Ok(url) if text.contains("://") => {
            let host = url.host_str().unwrap_or_default();
            format!("{}://{host}", url.scheme())
        }
        _ => text
            .chars()
            .take(100)
            .flat_map(char::escape_debug)
            .collect(),
    }
}

/// Returns what a list allows, in words.
pub(super) fn describe(allowed: &[String]) -> String {
    if allowed.is_empty() {
        "none".to_owned()
    } else {
        allowed.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(hosts: &[&str]) -> SourceRules {
        SourceRules {
            allowed_hosts: hosts
                .iter()
                .map(|host| host_pattern(host).unwrap())
                .collect(),
            ..SourceRules::default()
        }
    }

    #[test]
    fn hosts_are_matched_whole() {
        let hosts = rules(&["photos.example.com", "*.storage.example"]);
        assert!(hosts.allows("photos.example.com", "/a.jpg"));
        assert!(hosts.allows("PHOTOS.example.com", "/a.jpg"));
        assert!(hosts.allows("eu.storage.example", "/a.jpg"));
        assert!(!hosts.allows("storage.example", "/a.jpg"));
        assert!(!hosts.allows("evilstorage.example", "/a.jpg"));
        assert!(!hosts.allows("photos.example.com.evil.example", "/a.jpg"));
        assert!(!rules(&[]).allows("photos.example.com", "/a.jpg"));
    }

    /// One host serves the buckets of all of Firebase's customers.
    #[test]
    fn folders_of_a_host_are_not_left() {
        let ours = rules(&["firebasestorage.googleapis.com/v0/b/ours.appspot.com"]);
        for (path, allowed) in [
            ("v0/b/ours.appspot.com/o/a.jpg?alt=media", true),
            ("v0/b/ours.appspot.com/o/a%2Fb..c.jpg", true),
            ("v0/b/ours.appspot.com", false),
            ("v0/b/ours.appspot.com.evil/o/a.jpg", false),
            ("v0/b/theirs.appspot.com/o/a.jpg", false),
            ("v0/b/ours.appspot.com/../theirs.appspot.com/o/a.jpg", false),
            (
                "v0/b/ours.appspot.com/%2e%2e/theirs.appspot.com/o/a.jpg",
                false,
            ),
            (
                "v0/b/ours.appspot.com/..%2Ftheirs.appspot.com/o/a.jpg",
                false,
            ),
            ("v0/b/ours.appspot.com/o/%252e%252e%252Fa.jpg", false),
            ("v0/b/ours.appspot.com/o/..%5Ca.jpg", false),
            (
                "v0/b/ours.appspot.com%2F..%2Ftheirs.appspot.com/o/a.jpg",
                false,
            ),
            ("/v0/b/ours.appspot.com/o/a.jpg", false),
            ("x?/v0/b/ours.appspot.com/o/a.jpg", false),
        ] {
            let url = format!("https://firebasestorage.googleapis.com/{path}");
            let read = super::super::url::WebUrl::parse(&url, &ours);
            assert_eq!(read.is_ok(), allowed, "{url}");
        }
        let everywhere = rules(&["*/public/", "*.example.com/a/"]);
        assert!(everywhere.allows("h.example", "/public/a.jpg"));
        assert!(!everywhere.allows("h.example", "/a/a.jpg"));
        assert!(everywhere.allows("b.example.com", "/a/a.jpg"));
        assert_eq!(rules(&["h.example/"]), rules(&["h.example"]));
    }

    #[test]
    fn hosts_are_the_same_however_they_are_written() {
        for (pattern, address, allowed) in [
            ("localhost", "http://localhost./", true),
            ("LocalHost.", "http://LOCALHOST/", true),
            (" photos.example ", "https://photos.example/", true),
            ("MÜNCHEN.example", "https://münchen.example/", true),
            ("xn--mnchen-3ya.example", "https://münchen.example/", true),
            ("münchen.example", "https://xn--mnchen-3ya.example/", true),
            ("*.münchen.example", "https://fotos.münchen.example./", true),
            ("*.example.", "https://example/", false),
            ("[::1]", "http://[0:0::1]:8080/", true),
            ("::1", "http://[::1]/", true),
            ("127.0.0.1", "http://2130706433/", true),
            ("127.0.0.1", "http://127.0.0.2/", false),
            ("*", "https://anywhere.example./", true),
        ] {
            let url = Url::parse(address).unwrap();
            let host = url.host_str().unwrap();
            assert_eq!(
                rules(&[pattern]).allows(host, url.path()),
                allowed,
                "{pattern} {address}"
            );
        }
    }

    #[test]
    fn what_is_no_host_is_refused_with_a_remedy() {
        let refused: Vec<String> = [
            "localhost:8080",
            "[::1]:8080",
            "http://localhost",
            "https://user:s3cret@photos.example:444/a?token=s3cret",
            "*.example.com:443",
            "photos.example/albums?token=s3cret",
            "photos.example/a%2Fb/",
            "photos.example/../b/",
            "photos*.example",
            "*.*.example",
            "a b",
            "*.",
            "",
        ]
        .iter()
        .map(|text| {
            let (problem, remedy) = host_pattern(text).unwrap_err();
            format!("{problem}; {remedy}")
        })
        .collect();
        insta::assert_snapshot!(refused.join("\n"));
    }
}
