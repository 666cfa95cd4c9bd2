//! Private buckets of R2, of S3, or of any other store that speaks S3: `s3://bucket/key`.
//!
//! Listings tell lengths and `ETag`s; downloads ask for the `ETag` that was planned with.

use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::EncodingType;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::Bytes;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use tokio::time::timeout;

use super::{
    Encoding, Opened, Page, PhotoBody, PhotoSource, Probe, SourceError, Transient, Validators,
    Want, media_type, named_by, stored,
};
use crate::manifest::{Described, Hashes, Photo, StoredUrl};
use crate::plan::MissingReason;
use crate::s3::{S3Bucket, S3Store, StoreErrorKind, WholeListing};

/// Photos in a store that speaks S3.
#[derive(Debug, Clone)]
pub struct S3Source {
    store: S3Store,
    /// How long the store may take to begin its answer.
    response_timeout: Duration,
}

impl S3Source {
    /// Photos in the buckets of a store.
    pub fn new(store: S3Store, response_timeout: Duration) -> Self {
        Self {
            store,
            response_timeout,
        }
    }

    fn bucket(&self, url: &StoredUrl) -> S3Bucket {
        self.store.bucket(url.bucket())
    }

    /// A single attempt.
    async fn attempt<T, E, F>(
        &self,
        url: &StoredUrl,
        doing: &'static str,
        permission: &'static str,
        request: impl Fn() -> F,
    ) -> Result<T, SourceError>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let sending = self.store.send(request);
        let answer = timeout(self.response_timeout, sending).await.map_err(|_| {
            let seconds = self.response_timeout.as_secs_f32();
            SourceError::transient(format!("no answer within {seconds} s"))
        })?;
        answer.map_err(|error| self.meaning(url, doing, permission, &error))
    }

    fn meaning<E>(
        &self,
        url: &StoredUrl,
        doing: &'static str,
        permission: &'static str,
        error: &SdkError<E, HttpResponse>,
    ) -> SourceError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let status = error.raw_response().map(|answer| answer.status().as_u16());
        let said = self.bucket(url).error(doing, error);
        match (status, error.code()) {
            (_, Some("AccessDenied" | "AllAccessDisabled")) => {
                return SourceError::Missing(MissingReason::AccessDenied {
                    permission: permission.to_owned(),
                });
            }
            (Some(412), _) => {
                return SourceError::Changed("it was replaced since it was looked at".to_owned());
            }
            (Some(416), _) => {
                return SourceError::Changed("the photo has become shorter".to_owned());
            }
            _ => {}
        }
        match said.kind {
            StoreErrorKind::Settings => SourceError::Settings(said.to_string()),
            StoreErrorKind::NotFound | StoreErrorKind::BareNotFound => {
                SourceError::Missing(MissingReason::NotFound)
            }
            StoreErrorKind::Temporary | StoreErrorKind::Conflict => {
                SourceError::Transient(Transient {
                    throttled: matches!(status, Some(429 | 503)),
                    ..Transient::new(said.to_string())
                })
            }
            StoreErrorKind::Refused => match status {
                Some(status) => SourceError::Missing(MissingReason::Refused { status }),
                None => SourceError::transient(said.to_string()),
            },
        }
    }

    async fn get(
        &self,
        url: &StoredUrl,
        want: &Want,
        e_tag: Option<String>,
    ) -> Result<GetObjectOutput, SourceError> {
        let bucket = self.bucket(url);
        let range = match want {
            Want::Range(range) => Some(format!(
                "bytes={}-{}",
                range.start,
                range.end.saturating_sub(1)
            )),
            Want::Whole | Want::MaybePacked => None,
        };
        let request = || {
            bucket
                .client()
                .get_object()
                .bucket(url.bucket())
                .key(url.key())
                .set_range(range.clone())
                .set_if_match(e_tag.clone())
                .send()
        };
        self.attempt(url, "reading a photo", "s3:GetObject", request)
            .await
    }

    /// By a GET of one byte, whose refusals have words: those of HEAD have none.
    async fn probe_by_get(&self, url: &StoredUrl) -> Result<Probe, SourceError> {
        let answer = match self.get(url, &Want::Range(0..1), None).await {
            // The first byte of nothing.
            Err(SourceError::Changed(_)) => self.get(url, &Want::Whole, None).await?,
            answer => answer?,
        };
        let total = total(&answer);
        Ok(probe(
            total,
            answer.e_tag(),
            answer.last_modified(),
            answer.content_encoding(),
            described(answer.content_type(), answer.content_disposition()),
        ))
    }
}

fn validators(e_tag: Option<&str>) -> Validators {
    Validators {
        etag: e_tag.map(str::to_owned),
        ..Validators::default()
    }
}

/// To the second, as HTTP tells it.
fn timestamp(time: Option<&DateTime>) -> Option<Timestamp> {
    Timestamp::from_second(time?.secs()).ok()
}

/// Length of the whole object.
fn total(answer: &GetObjectOutput) -> Option<u64> {
    match answer.content_range() {
        Some(range) => range.rsplit_once('/')?.1.parse().ok(),
        None => u64::try_from(answer.content_length()?).ok(),
    }
}

/// The beginning of a listing's next page.
enum Next<'a> {
    Token(&'a str),
    /// Behind this key.
    After(&'a str),
}

impl<'a> Next<'a> {
    fn read(text: &'a str) -> Self {
        match text.strip_prefix("after:") {
            Some(key) => Self::After(key),
            None => Self::Token(text.strip_prefix("token:").unwrap_or(text)),
        }
    }

    fn write(&self) -> String {
        match self {
            Self::Token(token) => format!("token:{token}"),
            Self::After(key) => format!("after:{key}"),
        }
    }
}

/// A key as listings encode it: like a form, where a plus is a blank.
fn decoded(key: &str) -> String {
    let key = key.replace('+', " ");
    percent_decode_str(&key).decode_utf8_lossy().into_owned()
}

/// S3 never unpacks, so what is packed has no length that counts until we did.
fn encoding(header: Option<&str>) -> Encoding {
    header.map(Encoding::read).unwrap_or_default()
}

fn described(content_type: Option<&str>, disposition: Option<&str>) -> Described {
    Described {
        content_type: content_type.and_then(media_type),
        file_name: named_by(disposition.map(str::as_bytes)),
    }
}

fn probe(
    length: Option<u64>,
    e_tag: Option<&str>,
    modified: Option<&DateTime>,
    packing: Option<&str>,
    described: Described,
) -> Probe {
    Probe {
        length: length.filter(|_| encoding(packing).is_identity()),
        validators: validators(e_tag),
        hashes: Hashes::default(),
        modified: timestamp(modified),
        no_ranges: false,
        described,
    }
}

impl PhotoSource for S3Source {
    type Body = S3Body;

    async fn probe(&self, photo: &Photo, thorough: bool) -> Result<Probe, SourceError> {
        let url = stored(photo)?;
        if thorough {
            return self.probe_by_get(url).await;
        }
        let bucket = self.bucket(url);
        let request = bucket
            .client()
            .head_object()
            .bucket(url.bucket())
            .key(url.key())
            .send();
        match timeout(self.response_timeout, request).await {
            Ok(Ok(answer)) => {
                let length = answer.content_length();
                Ok(probe(
                    length.and_then(|length| u64::try_from(length).ok()),
                    answer.e_tag(),
                    answer.last_modified(),
                    answer.content_encoding(),
                    described(answer.content_type(), answer.content_disposition()),
                ))
            }
            _ => self.probe_by_get(url).await,
        }
    }

    async fn list(&self, folder: &Photo, after: Option<&str>) -> Result<Page, SourceError> {
        let url = stored(folder)?;
        let bucket = self.bucket(url);
        let (token, last) = match after.map(Next::read) {
            Some(Next::Token(token)) => (Some(token), None),
            Some(Next::After(key)) => (None, Some(key)),
            None => (None, None),
        };
        let whole = WholeListing::default();
        let request = || {
            bucket
                .client()
                .list_objects_v2()
                .bucket(url.bucket())
                .prefix(url.key())
                .set_continuation_token(token.map(str::to_owned))
                .set_start_after(last.map(str::to_owned))
                // XML cannot hold all characters that keys may have.
                .encoding_type(EncodingType::Url)
                .customize()
                .interceptor(whole.clone())
                .send()
        };
        let answer = self.attempt(url, "listing a folder", "s3:ListBucket", request);
        let answer = answer.await.map_err(|error| match error {
            SourceError::Missing(MissingReason::AccessDenied { permission }) => {
                SourceError::Settings(format!(
                    "`{url}` cannot be listed: {} lacks the permission `{permission}` on the bucket \
                     `{}`; grant it",
                    self.store.whose(),
                    url.bucket()
                ))
            }
            SourceError::Missing(reason) => {
                SourceError::Settings(format!("`{url}` cannot be listed: {reason}"))
            }
            error => error,
        })?;
        if !whole.arrived() {
            return Err(SourceError::transient("the listing broke off"));
        }
        let encoded = answer.encoding_type() == Some(&EncodingType::Url);
        let objects: Vec<(StoredUrl, Probe)> = answer
            .contents()
            .iter()
            .filter_map(|object| {
                let length = object.size().and_then(|size| u64::try_from(size).ok());
                let probe = probe(
                    length,
                    object.e_tag(),
                    object.last_modified(),
                    None,
                    Described::default(),
                );
                let key = if encoded {
                    decoded(object.key()?)
                } else {
                    object.key()?.to_owned()
                };
                Some((url.sibling(key), probe))
            })
            .collect();
        let next = match (answer.next_continuation_token(), answer.is_truncated()) {
            (Some(token), _) => Some(Next::Token(token).write()),
            // Some stores give no token: their listings go on behind the last key.
            (None, Some(true)) => {
                let Some((last, _)) = objects.last() else {
                    return Err(SourceError::transient(
                        "the listing does not say how it goes on",
                    ));
                };
                Some(Next::After(last.key()).write())
            }
            (None, _) => None,
        };
        Ok(Page { objects, next })
    }

    async fn open(
        &self,
        photo: &Photo,
        want: Want,
        version: &Validators,
    ) -> Result<Opened<S3Body>, SourceError> {
        let url = stored(photo)?;
        let answer = self.get(url, &want, version.etag.clone()).await?;
        let encoding = encoding(answer.content_encoding());
        if !encoding.is_identity() && want != Want::MaybePacked {
            // A listing does not tell that.
            return Err(SourceError::kept_packed(&encoding));
        }
        let start = match (&want, answer.content_range()) {
            (Want::Range(range), Some(given))
                if given.starts_with(&format!("bytes {}-{}/", range.start, range.end - 1)) =>
            {
                range.start
            }
            (Want::Range(_), Some(_)) => {
                return Err(SourceError::NoRanges(
                    "the store answered with other bytes than it was asked for".to_owned(),
                ));
            }
            _ => 0,
        };
        Ok(Opened {
            start,
            total: total(&answer).filter(|_| encoding.is_identity()),
            validators: validators(answer.e_tag()),
            hashes: Hashes::default(),
            described: described(answer.content_type(), answer.content_disposition()),
            encoding,
            body: S3Body(answer.body),
        })
    }
}

/// The body of an answer.
#[derive(Debug)]
pub struct S3Body(ByteStream);

impl PhotoBody for S3Body {
    async fn chunk(&mut self) -> Result<Option<Bytes>, SourceError> {
        self.0.next().await.transpose().map_err(|error| {
            tracing::debug!("the download broke off: {}", crate::chain(&error));
            SourceError::transient("the download broke off: the connection was closed early")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_listings_are_read_back() {
        for (listed, key) in [
            ("e/a+b%2Bc.jpg", "e/a b+c.jpg"),
            ("e/tab%09here%0A%01.jpg", "e/tab\there\n\u{1}.jpg"),
            ("e/100%25.jpg", "e/100%.jpg"),
            ("e/%C3%BC%26%3C.jpg", "e/ü&<.jpg"),
            ("e/plain.jpg", "e/plain.jpg"),
        ] {
            assert_eq!(decoded(listed), key);
        }
    }
}
