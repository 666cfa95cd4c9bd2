//! All sources at once: each photo from where its address says.

use bytes::Bytes;
use tokio::sync::OnceCell;

use super::gcs::{GcsOptions, GcsSource};
use super::http::{HttpBody, HttpOptions, HttpSource, MAX_READ_BUFFER_BYTES};
use super::s3::{S3Body, S3Source};
use super::{Opened, Page, PhotoBody, PhotoSource, Probe, SourceError, Validators, Want};
use crate::aws::HyperClient;
use crate::manifest::{Photo, PhotoUrl, Scheme};
use crate::s3::{S3Options, S3Store, StoreErrorKind};
use crate::tls::TlsError;

/// How the sources are reached.
#[derive(Debug, Clone)]
pub struct RoutedOptions {
    /// The web.
    pub http: HttpOptions,
    /// What `gs://` means.
    pub gcs: GcsOptions,
    /// What `s3://` means, or why it means nothing.
    pub s3: Result<S3Options, String>,
}

/// Photos from the web and from private buckets. Credentials are looked for when a photo needs them,
/// so that nobody has to have those that are not needed.
#[derive(Debug)]
pub struct RoutedSource {
    options: RoutedOptions,
    http: HttpSource,
    gcs: OnceCell<GcsSource>,
    s3: OnceCell<S3Source>,
}

impl RoutedSource {
    /// Makes ready.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(options: RoutedOptions) -> Result<Self, TlsError> {
        Ok(Self {
            http: HttpSource::new(options.http.clone())?,
            options,
            gcs: OnceCell::new(),
            s3: OnceCell::new(),
        })
    }

    async fn gcs(&self) -> Result<&GcsSource, SourceError> {
        let make = async || GcsSource::new(&self.options.gcs, &self.options.http);
        self.gcs.get_or_try_init(make).await
    }

    async fn s3(&self) -> Result<&S3Source, SourceError> {
        let make = async || {
            let options = match &self.options.s3 {
                Ok(options) => options,
                Err(missing) => return Err(SourceError::Settings(missing.clone())),
            };
            let client = HyperClient::with_read_buffer(MAX_READ_BUFFER_BYTES)
                .map_err(|error| SourceError::Settings(error.to_string()))?;
            let store = S3Store::new(options, &client).await;
            let store = store.map_err(|error| match error.kind {
                StoreErrorKind::Temporary => SourceError::transient(error.to_string()),
                _ => SourceError::Settings(error.to_string()),
            })?;
            Ok(S3Source::new(store, self.options.http.response_timeout))
        };
        self.s3.get_or_try_init(make).await
    }
}

/// Where a photo is.
enum Route {
    Http,
    Gcs,
    S3,
}

fn route(photo: &Photo) -> Route {
    match &photo.url {
        PhotoUrl::Web(_) => Route::Http,
        PhotoUrl::Stored(url) => match url.scheme() {
            Scheme::Gs => Route::Gcs,
            Scheme::S3 => Route::S3,
        },
    }
}

/// A download from any of them.
#[derive(Debug)]
pub enum RoutedBody {
    /// From the web, or from Cloud Storage.
    Http(HttpBody),
    /// From a store that speaks S3.
    S3(S3Body),
}

impl PhotoBody for RoutedBody {
    async fn chunk(&mut self) -> Result<Option<Bytes>, SourceError> {
        match self {
            Self::Http(body) => body.chunk().await,
            Self::S3(body) => body.chunk().await,
        }
    }
}

impl<B> Opened<B> {
    fn map_body<T>(self, wrap: impl FnOnce(B) -> T) -> Opened<T> {
        Opened {
            start: self.start,
            total: self.total,
            validators: self.validators,
            hashes: self.hashes,
            described: self.described,
            encoding: self.encoding,
            body: wrap(self.body),
        }
    }
}

impl PhotoSource for RoutedSource {
    type Body = RoutedBody;

    async fn probe(&self, photo: &Photo, thorough: bool) -> Result<Probe, SourceError> {
        match route(photo) {
            Route::Http => self.http.probe(photo, thorough).await,
            Route::Gcs => self.gcs().await?.probe(photo, thorough).await,
            Route::S3 => self.s3().await?.probe(photo, thorough).await,
        }
    }

    async fn list(&self, folder: &Photo, after: Option<&str>) -> Result<Page, SourceError> {
        match route(folder) {
            Route::Http => self.http.list(folder, after).await,
            Route::Gcs => self.gcs().await?.list(folder, after).await,
            Route::S3 => self.s3().await?.list(folder, after).await,
        }
    }

    async fn open(
        &self,
        photo: &Photo,
        want: Want,
        version: &Validators,
    ) -> Result<Opened<RoutedBody>, SourceError> {
        Ok(match route(photo) {
            Route::Http => {
                let opened = self.http.open(photo, want, version).await?;
                opened.map_body(RoutedBody::Http)
            }
            Route::Gcs => {
                let opened = self.gcs().await?.open(photo, want, version).await?;
                opened.map_body(RoutedBody::Http)
            }
            Route::S3 => {
                let opened = self.s3().await?.open(photo, want, version).await?;
                opened.map_body(RoutedBody::S3)
            }
        })
    }
}
