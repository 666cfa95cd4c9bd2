//! Private buckets of R2, of S3, or of any other store that speaks S3: `s3://bucket/key`.
//!
//! Listings tell lengths and `ETag`s; downloads ask for the `ETag` that was planned with.

use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::timeout;

use super::{
    Opened, Page, PhotoBody, PhotoSource, Probe, SourceError, Transient, Validators, Want, stored,
};
use crate::manifest::{Hashes, Photo, StoredUrl};
use crate::plan::MissingReason;
use crate::s3::{S3Bucket, S3Store, StoreErrorKind};

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
            Want::Whole | Want::MaybeGzip => None,
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

/// S3 never unpacks, so what is compressed has no length that counts until we did.
fn is_gzip(encoding: Option<&str>) -> bool {
    encoding.is_some_and(|encoding| encoding.trim().eq_ignore_ascii_case("gzip"))
}

fn probe(
    length: Option<u64>,
    e_tag: Option<&str>,
    modified: Option<&DateTime>,
    encoding: Option<&str>,
) -> Probe {
    Probe {
        length: length.filter(|_| !is_gzip(encoding)),
        validators: validators(e_tag),
        hashes: Hashes::default(),
        modified: timestamp(modified),
        no_ranges: false,
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
                ))
            }
            _ => self.probe_by_get(url).await,
        }
    }

    async fn list(&self, folder: &Photo, after: Option<&str>) -> Result<Page, SourceError> {
        let url = stored(folder)?;
        let bucket = self.bucket(url);
        let request = || {
            bucket
                .client()
                .list_objects_v2()
                .bucket(url.bucket())
                .prefix(url.key())
                .set_continuation_token(after.map(str::to_owned))
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
        let objects = answer
            .contents()
            .iter()
            .filter_map(|object| {
                let length = object.size().and_then(|size| u64::try_from(size).ok());
                let probe = probe(length, object.e_tag(), object.last_modified(), None);
                Some((url.sibling(object.key()?), probe))
            })
            .collect();
        Ok(Page {
            objects,
            next: answer.next_continuation_token().map(str::to_owned),
        })
    }

    async fn open(
        &self,
        photo: &Photo,
        want: Want,
        version: &Validators,
    ) -> Result<Opened<S3Body>, SourceError> {
        let url = stored(photo)?;
        let answer = self.get(url, &want, version.etag.clone()).await?;
        let gzip = is_gzip(answer.content_encoding());
        if gzip && want != Want::MaybeGzip {
            // A listing does not tell that.
            return Err(SourceError::Changed("it is kept compressed".to_owned()));
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
            total: total(&answer).filter(|_| !gzip),
            validators: validators(answer.e_tag()),
            hashes: Hashes::default(),
            gzip,
            body: S3Body(answer.body),
        })
    }
}

/// The body of an answer.
#[derive(Debug)]
pub struct S3Body(ByteStream);

impl PhotoBody for S3Body {
    async fn chunk(&mut self) -> Result<Option<Bytes>, SourceError> {
        self.0
            .next()
            .await
            .transpose()
            .map_err(|error| SourceError::transient(format!("the download broke off: {error}")))
    }
}
