//! Where a photo comes from: the web, or a private bucket. A download URL often carries a token that
//! is as good as a password, so [`WebUrl`] never shows its query; [`SourceRules`] says which hosts and
//! buckets may be asked at all.

use std::fmt;

use ::url::{Host, Url};
use percent_encoding::percent_decode_str;

use super::stored::{Scheme, StoredUrl};

/// Where a photo comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum PhotoUrl {
    /// An address on the web.
    Web(WebUrl),
    /// An object in a private bucket, or all those in one of its folders.
    Stored(StoredUrl),
}

impl PhotoUrl {
    /// Reads and checks an address; the error is a problem and its remedy.
    pub fn parse(text: &str, rules: &SourceRules) -> Result<Self, (String, String)> {
        let text = text.trim();
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
#[derive(Clone, PartialEq, Eq)]
pub struct WebUrl(Url);

impl WebUrl {
    /// Reads and checks an address; the error is a problem and its remedy.
    pub fn parse(text: &str, rules: &SourceRules) -> Result<Self, (String, String)> {
        let url = Url::parse(text.trim()).map_err(|error| {
            (
                format!("is not a URL ({error})"),
                "give a complete address that starts with `https://`".to_owned(),
            )
        })?;
        Self::checked(url, rules)
    }

    /// Resolves a `Location` header against this address, under the same rules.
    pub fn join(&self, location: &str, rules: &SourceRules) -> Result<Self, (String, String)> {
        let url = self.0.join(location).map_err(|error| {
            (
                format!("redirects to something that is not a URL ({error})"),
                String::new(),
            )
        })?;
        Self::checked(url, rules)
    }

    fn checked(mut url: Url, rules: &SourceRules) -> Result<Self, (String, String)> {
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
        if !rules.allows(host) {
            return Err((
                format!("names the host `{host}`, which is not allowed"),
                format!(
                    "add it to `source.allowed_hosts` (now: {})",
                    describe(&rules.allowed_hosts)
                ),
            ));
        }
        url.set_fragment(None);
        Ok(Self(url))
    }

    /// An address that the settings give, and not the manifest: no rules apply.
    pub(crate) fn of_settings(url: Url) -> Self {
        Self(url)
    }

    /// The whole address, secret query included: for requests only, never for people.
    pub fn expose(&self) -> &Url {
        &self.0
    }

    /// The same address with another query: `None` for none.
    #[must_use]
    pub fn with_query(&self, query: Option<&str>) -> Self {
        let mut url = self.0.clone();
        url.set_query(query);
        Self(url)
    }

    /// The host, as written in the address.
    pub fn host(&self) -> Option<Host<&str>> {
        self.0.host()
    }

    /// The last segment of the percent-decoded path: `IMG_1.jpg` for
    /// `…/v0/b/bucket/o/events%2F1%2FIMG_1.jpg`, because a Firebase object's name is a path too.
    pub fn file_name(&self) -> Option<String> {
        let path = percent_decode_str(self.0.path()).decode_utf8_lossy();
        path.rsplit('/')
            .next()
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        shown.set_query(None);
        write!(f, "{shown}")?;
        match self.0.query() {
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

/// Where photos may come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceRules {
    /// Exact names, `*.example.com` for every host below it, or `*` for any.
    pub allowed_hosts: Vec<String>,
    /// Whether unencrypted `http` may be used.
    pub allow_http: bool,
    /// Private buckets: `gs://bucket` or `s3://bucket`, with a folder behind it where only that is
    /// meant, `gs://*` for all that the credentials open, or `*` for all of both kinds.
    pub allowed_buckets: Vec<String>,
    /// The bucket of the jobs, at `s3://`: what others have handed in is never a photo.
    pub job_bucket: Option<String>,
}

impl SourceRules {
    /// Any host, encrypted or not, and any bucket; for tests and the demo.
    pub fn anything() -> Self {
        Self {
            allowed_hosts: vec!["*".to_owned()],
            allow_http: true,
            allowed_buckets: vec!["*".to_owned()],
            job_bucket: None,
        }
    }

    /// Any host, but encrypted, and no bucket.
    pub fn https() -> Self {
        Self {
            allowed_hosts: vec!["*".to_owned()],
            ..Self::default()
        }
    }

    fn allows(&self, host: &str) -> bool {
        self.allowed_hosts.iter().any(|pattern| {
            pattern == "*"
                || pattern.eq_ignore_ascii_case(host)
                || pattern.strip_prefix("*.").is_some_and(|domain| {
                    host.len() > domain.len() + 1
                        && host.as_bytes()[host.len() - domain.len() - 1] == b'.'
                        && host[host.len() - domain.len()..].eq_ignore_ascii_case(domain)
                })
        })
    }

    /// Whether this is, or has in it, what belongs to jobs.
    pub(super) fn holds_jobs(&self, url: &StoredUrl) -> bool {
        let (key, jobs) = (url.key(), "jobs/");
        url.scheme() == Scheme::S3
            && self.job_bucket.as_deref() == Some(url.bucket())
            && (key.starts_with(jobs) || url.is_folder() && jobs.starts_with(key))
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

/// What a list allows, in words.
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
            allowed_hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            ..SourceRules::default()
        }
    }

    #[test]
    fn the_token_is_never_shown() {
        let url = WebUrl::parse(
            "https://h.example/o/a.jpg?alt=media&token=s3cret#frag",
            &rules(&["*"]),
        )
        .unwrap();
        assert_eq!(url.to_string(), "https://h.example/o/a.jpg?…");
        assert!(!format!("{url:?}").contains("s3cret"));
        assert_eq!(
            url.expose().as_str(),
            "https://h.example/o/a.jpg?alt=media&token=s3cret"
        );
    }

    #[test]
    fn a_firebase_objects_name_is_the_end_of_its_path() {
        let name = |url| WebUrl::parse(url, &rules(&["*"])).unwrap().file_name();
        assert_eq!(
            name("https://f.example/v0/b/x/o/events%2F7%2FIMG%201.jpg?alt=media"),
            Some("IMG 1.jpg".to_owned())
        );
        assert_eq!(
            name("https://f.example/a/%D7%A9.jpg"),
            Some("ש.jpg".to_owned())
        );
        assert_eq!(name("https://f.example/"), None);
    }

    #[test]
    fn hosts_are_matched_whole() {
        let hosts = rules(&["photos.example.com", "*.storage.example"]);
        assert!(hosts.allows("photos.example.com"));
        assert!(hosts.allows("PHOTOS.example.com"));
        assert!(hosts.allows("eu.storage.example"));
        assert!(!hosts.allows("storage.example"));
        assert!(!hosts.allows("evilstorage.example"));
        assert!(!hosts.allows("photos.example.com.evil.example"));
        assert!(!rules(&[]).allows("photos.example.com"));
    }
}
