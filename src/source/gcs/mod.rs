//! Private buckets of Google Cloud Storage, which Firebase's are: `gs://bucket/object`.
//!
//! [`GcsSource`] speaks the JSON API over the connections of [`HttpSource`]. Listings tell all that a
//! probe would, and downloads ask for the generation that was planned with. [`credentials`] is who
//! asks.

pub mod credentials;
mod key;
mod refusal;

use std::fmt;

use http::{Method, Response};
use hyper::body::Incoming;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use url::{Host, Url};

pub use self::credentials::{Access, Credentials};
use super::google::Resource;
use super::http::{HttpBody, HttpOptions, HttpSource};
use super::{Opened, Page, PhotoSource, Probe, SourceError, Validators, Want, stored};
use crate::manifest::{Photo, SourceRules, StoredUrl, WebUrl};
use crate::plan::MissingReason;

/// Where Cloud Storage is.
pub const ENDPOINT: &str = "https://storage.googleapis.com";
/// Objects of one page of a listing; as many as the API gives.
const PAGE_OBJECTS: &str = "1000";
/// What of an object a listing has to tell.
const FIELDS: &str = "nextPageToken,items(name,size,generation,md5Hash,crc32c,updated,\
    contentEncoding,contentType)";
/// All but the characters that are never encoded (RFC 3986, 2.3).
const NOT_IN_SEGMENTS: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// The longest page that is read, in bytes: a thousand objects with names of a thousand bytes.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// How Cloud Storage is reached.
#[derive(Debug, Clone)]
pub struct GcsOptions {
    /// Its address; [`ENDPOINT`], but for emulators and private endpoints.
    pub endpoint: String,
    /// Who asks.
    pub credentials: Credentials,
}

/// Photos in Cloud Storage.
pub struct GcsSource {
    http: HttpSource,
    endpoint: Url,
    access: Access,
}

impl fmt::Debug for GcsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GcsSource")
            .field("endpoint", &self.endpoint.as_str())
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// What is asked of an object, or of a folder.
#[derive(Debug, Clone, Copy)]
enum Ask {
    List,
    Describe,
    Read,
}

/// A page of a listing ("Objects: list").
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    #[serde(default)]
    items: Vec<Resource>,
    next_page_token: Option<String>,
}

/// Returns whether credentials may be sent there: changing an environment variable must not be enough
/// to get them. Google's private and regional endpoints are all below `googleapis.com`.
fn may_have_credentials(endpoint: &Url, allow_private: bool) -> bool {
    let is_loopback = match endpoint.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let is_googles = endpoint.scheme() == "https"
        && endpoint.port().is_none()
        && (endpoint.domain()).is_some_and(|name| name.ends_with(".googleapis.com"));
    is_googles || allow_private && is_loopback
}

impl GcsSource {
    /// Makes ready; nothing is asked yet. Of `http`, only the timeouts count: the endpoint is the
    /// settings', not the manifest's, so that it may be anywhere.
    ///
    /// # Errors
    /// If the credentials cannot be read, the endpoint is no address, or it is none that credentials
    /// may be sent to.
    pub fn new(options: &GcsOptions, http: &HttpOptions) -> Result<Self, SourceError> {
        let settings = |error: String| SourceError::Settings(error);
        let endpoint = Url::parse(&options.endpoint)
            .map_err(|error| settings(format!("`gcs.endpoint` is not an address: {error}")))?;
        if options.credentials != Credentials::Anonymous
            && !may_have_credentials(&endpoint, http.allow_private)
        {
            return Err(settings(
                "Google credentials are only sent to `https://*.googleapis.com`, and `gcs.endpoint` is \
                 another address; set `GOOGLE_APPLICATION_CREDENTIALS` to `anonymous` to use it \
                 without credentials, or `source.allow_private` where it is on this machine"
                    .to_owned(),
            ));
        }
        let http = HttpSource::new(HttpOptions {
            hosts: SourceRules::anything(),
            allow_private: true,
            max_redirects: 0,
            ..http.clone()
        })
        .map_err(|error| settings(error.to_string()))?;
        Ok(Self {
            http,
            endpoint,
            access: Access::new(&options.credentials)?,
        })
    }

    /// The address of an object, or of its bucket's list of objects.
    fn address(&self, url: &StoredUrl, query: &[(&str, &str)], ask: Ask) -> WebUrl {
        let mut address = self.endpoint.clone();
        // By hand: `path_segments_mut` drops tabs and line ends, which names may have.
        let base = address.path().trim_end_matches('/');
        let bucket = utf8_percent_encode(url.bucket(), NOT_IN_SEGMENTS);
        let objects = format!("{base}/storage/v1/b/{bucket}/o");
        address.set_path(&match ask {
            Ask::List => objects,
            Ask::Describe | Ask::Read => {
                let key = utf8_percent_encode(url.key(), NOT_IN_SEGMENTS);
                format!("{objects}/{key}")
            }
        });
        if !query.is_empty() {
            address.query_pairs_mut().extend_pairs(query);
        }
        WebUrl::of_settings(address)
    }

    /// One request; an answer that is a success.
    async fn ask(
        &self,
        url: &StoredUrl,
        query: &[(&str, &str)],
        want: &Want,
        ask: Ask,
    ) -> Result<Response<Incoming>, SourceError> {
        let address = self.address(url, query, ask);
        let mut token = self.access.token().await?;
        loop {
            let sent = self
                .http
                .request(Method::GET, &address, want, token.as_ref());
            let response = sent.await?;
            // Out of range is about bytes, which whoever asked for them knows more about.
            if response.status().is_success() || response.status() == 416 {
                return Ok(response);
            }
            if response.status() == 401 {
                // Its time may have run out on the way.
                let newer = self.access.token().await?;
                if newer != token {
                    token = newer;
                    continue;
                }
            }
            return Err(refusal::read(url, ask, &self.access, response).await);
        }
    }
}

impl PhotoSource for GcsSource {
    type Body = HttpBody;

    async fn probe(&self, photo: &Photo, _thorough: bool) -> Result<Probe, SourceError> {
        let url = stored(photo)?;
        let response = self.ask(url, &[], &Want::Whole, Ask::Describe).await?;
        let resource: Resource = self.http.json(response, MAX_PAGE_BYTES).await?;
        resource
            .into_probe()
            .ok_or_else(|| SourceError::transient("the description of the object has no size"))
    }

    async fn list(&self, folder: &Photo, after: Option<&str>) -> Result<Page, SourceError> {
        let url = stored(folder)?;
        let mut query = vec![
            ("prefix", url.key()),
            ("maxResults", PAGE_OBJECTS),
            ("fields", FIELDS),
        ];
        query.extend(after.map(|token| ("pageToken", token)));
        let response = self.ask(url, &query, &Want::Whole, Ask::List).await?;
        let listing: Listing = self.http.json(response, MAX_PAGE_BYTES).await?;
        let objects = listing
            .items
            .into_iter()
            .map(|mut resource| {
                let url = url.sibling(std::mem::take(&mut resource.name));
                let probe = resource.into_probe().unwrap_or_default();
                (url, probe)
            })
            .collect();
        Ok(Page {
            objects,
            next: listing.next_page_token,
        })
    }

    async fn open(
        &self,
        photo: &Photo,
        want: Want,
        version: &Validators,
    ) -> Result<Opened<HttpBody>, SourceError> {
        let url = stored(photo)?;
        let mut query = vec![("alt", "media")];
        let generation = version.generation.as_deref();
        query.extend(generation.map(|generation| ("generation", generation)));
        match self.ask(url, &query, &want, Ask::Read).await {
            Ok(response) => super::http::opened(response, &want),
            // This version is no more; whether there is another, only a new look tells.
            Err(SourceError::Missing(MissingReason::NotFound)) if generation.is_some() => {
                Err(SourceError::Changed(
                    "it was removed or replaced since it was looked at".to_owned(),
                ))
            }
            Err(error) => Err(error),
        }
    }
}

/// Reads a key, for whoever tries hostile ones.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz_key(text: &str) {
    let _ = key::read(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::PhotoUrl;
    use crate::source::http::ProxyOptions;

    fn http_options(allow_private: bool) -> HttpOptions {
        HttpOptions {
            hosts: SourceRules::default(),
            allow_private,
            max_redirects: 0,
            connect_timeout: std::time::Duration::from_secs(1),
            response_timeout: std::time::Duration::from_secs(1),
            proxies: ProxyOptions::default(),
        }
    }

    #[tokio::test]
    async fn credentials_go_to_google_over_https_alone() {
        let made = |endpoint: &str, allow_private, credentials| {
            let options = GcsOptions {
                endpoint: endpoint.to_owned(),
                credentials,
            };
            GcsSource::new(&options, &http_options(allow_private))
        };
        for (endpoint, private, allowed) in [
            (ENDPOINT, false, true),
            ("https://storage-wedding.p.googleapis.com", false, true),
            (
                "https://storage.europe-west3.rep.googleapis.com/",
                false,
                true,
            ),
            ("http://storage.googleapis.com", true, false),
            ("https://storage.googleapis.com:8443", true, false),
            ("https://googleapis.com.attacker.example", true, false),
            (
                "https://storage.googleapis.com@attacker.example",
                true,
                false,
            ),
            ("https://evilgoogleapis.com", true, false),
            ("https://192.0.2.7", true, false),
            ("http://10.0.0.7:4443", true, false),
            ("http://127.0.0.1:4443", false, false),
            ("http://127.0.0.1:4443", true, true),
            ("http://[::1]:4443", true, true),
            ("http://localhost:4443", true, true),
        ] {
            let with_key = made(endpoint, private, Credentials::Metadata);
            assert_eq!(with_key.is_ok(), allowed, "{endpoint} {private}");
            assert!(made(endpoint, private, Credentials::Anonymous).is_ok());
        }
        let refused = made("http://10.0.0.7:4443", true, Credentials::Machine).unwrap_err();
        let text = refused.to_string();
        assert!(text.contains("`gcs.endpoint` is another address"), "{text}");
        assert!(!text.contains("10.0.0.7"), "{text}");
    }

    #[tokio::test]
    async fn names_are_encoded_as_one_segment() {
        let http = http_options(false);
        let options = GcsOptions {
            endpoint: "http://127.0.0.1:4443/".to_owned(),
            credentials: Credentials::Anonymous,
        };
        let source = GcsSource::new(&options, &http).unwrap();
        let address = |text: &str, ask| {
            let PhotoUrl::Stored(url) = PhotoUrl::parse(text, &SourceRules::anything()).unwrap()
            else {
                panic!("{text}")
            };
            let address = source.address(&url, &[("alt", "media")], ask);
            address.expose().to_string()
        };
        assert_eq!(
            address("gs://photos/e/7/ä 1%20#?.jpg", Ask::Read),
            "http://127.0.0.1:4443/storage/v1/b/photos/o/e%2F7%2F%C3%A4%201%2520%23%3F.jpg?alt=media"
        );
        let PhotoUrl::Stored(folder) =
            PhotoUrl::parse("gs://photos/e/", &SourceRules::anything()).unwrap()
        else {
            panic!("no folder")
        };
        let listed = folder.sibling("e/tab\there\n\u{1}.jpg");
        assert_eq!(
            source.address(&listed, &[], Ask::Describe).expose().path(),
            "/storage/v1/b/photos/o/e%2Ftab%09here%0A%01.jpg"
        );
        assert_eq!(
            address("gs://photos/e/7/", Ask::List),
            "http://127.0.0.1:4443/storage/v1/b/photos/o?alt=media"
        );
    }
}
