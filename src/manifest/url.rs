//! Where a photo comes from. A download URL often carries a token that is as good as a password,
//! so [`PhotoUrl`] never shows its query; [`HostRules`] says which hosts may be asked at all.

use std::fmt;

use ::url::{Host, Url};
use percent_encoding::percent_decode_str;

/// An `https` (or, where allowed, `http`) address whose query is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct PhotoUrl(Url);

impl PhotoUrl {
    /// Reads and checks an address; the error is a problem and its remedy.
    pub fn parse(text: &str, hosts: &HostRules) -> Result<Self, (String, String)> {
        let url = Url::parse(text.trim()).map_err(|error| {
            (
                format!("is not a URL ({error})"),
                "give a complete address that starts with `https://`".to_owned(),
            )
        })?;
        Self::checked(url, hosts)
    }

    /// Resolves a `Location` header against this address, under the same rules.
    pub fn join(&self, location: &str, hosts: &HostRules) -> Result<Self, (String, String)> {
        let url = self.0.join(location).map_err(|error| {
            (
                format!("redirects to something that is not a URL ({error})"),
                String::new(),
            )
        })?;
        Self::checked(url, hosts)
    }

    fn checked(mut url: Url, hosts: &HostRules) -> Result<Self, (String, String)> {
        match url.scheme() {
            "https" => {}
            "http" if hosts.allow_http => {}
            "http" => {
                return Err((
                    "is not encrypted".to_owned(),
                    "use `https://`, or set `source.allow_http` for a private network".to_owned(),
                ));
            }
            scheme => {
                return Err((
                    format!("has the scheme `{scheme}`, which is not supported"),
                    "use `https://`".to_owned(),
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
        if !hosts.allows(host) {
            return Err((
                format!("names the host `{host}`, which is not allowed"),
                format!(
                    "add it to `source.allowed_hosts` (now: {})",
                    hosts.describe()
                ),
            ));
        }
        url.set_fragment(None);
        Ok(Self(url))
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

impl fmt::Display for PhotoUrl {
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

impl fmt::Debug for PhotoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhotoUrl({self})")
    }
}

/// Which hosts photos may come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRules {
    /// Exact names, `*.example.com` for every host below it, or `*` for any.
    pub allowed_hosts: Vec<String>,
    /// Whether unencrypted `http` may be used.
    pub allow_http: bool,
}

impl HostRules {
    /// Any host, encrypted or not; for tests and the demo.
    pub fn anything() -> Self {
        Self {
            allowed_hosts: vec!["*".to_owned()],
            allow_http: true,
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

    fn describe(&self) -> String {
        if self.allowed_hosts.is_empty() {
            "none".to_owned()
        } else {
            self.allowed_hosts.join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(hosts: &[&str]) -> HostRules {
        HostRules {
            allowed_hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            allow_http: false,
        }
    }

    #[test]
    fn the_token_is_never_shown() {
        let url = PhotoUrl::parse(
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
        let name = |url| PhotoUrl::parse(url, &rules(&["*"])).unwrap().file_name();
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
