//! Objects in R2 or S3. Versions are `ETag`s.

use std::sync::atomic::{AtomicU32, Ordering};

use aws_smithy_types::byte_stream::ByteStream;
use bytes::Bytes;

use super::{Bucket, BucketError, Condition, MAX_OBJECT_BYTES, Object, Version, check_key};
use crate::s3::{S3Bucket, StoreError, StoreErrorKind};

fn failed(key: &str, source: StoreError) -> BucketError {
    let key = key.to_owned();
    if source.kind == StoreErrorKind::Conflict {
        BucketError::Conflict { key }
    } else {
        BucketError::Store { key, source }
    }
}

impl Bucket for S3Bucket {
    async fn get(&self, key: &str) -> Result<Option<Object>, BucketError> {
        check_key(key)?;
        let answer = self
            .call("reading an object", MAX_OBJECT_BYTES, async || {
                let answer = self
                    .client()
                    .get_object()
                    .bucket(self.name())
                    .key(key)
                    .send()
                    .await?;
                let version = answer.e_tag().unwrap_or_default().to_owned();
                let long = answer
                    .content_length()
                    .and_then(|length| u64::try_from(length).ok())
                    .is_none_or(|length| length > MAX_OBJECT_BYTES);
                if long {
                    return Ok(None);
                }
                let bytes = answer
                    .body
                    .collect()
                    .await
                    .map_err(aws_sdk_s3::error::SdkError::timeout_error)?;
                Ok(Some(Object {
                    bytes: bytes.into_bytes(),
                    version: Version(version),
                }))
            })
            .await;
        match answer {
            Ok(Some(object)) => Ok(Some(object)),
            Ok(None) => Err(BucketError::Unacceptable {
                key: key.to_owned(),
                problem: "it is too long to be one of ours",
            }),
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(key, error)),
        }
    }

    /// A conditional write whose answer was lost is repeated and then meets itself. So where it
    /// meets another writer, the object is looked at: if it holds these very bytes, the write
    /// has happened.
    async fn put(
        &self,
        key: &str,
        bytes: Bytes,
        condition: Condition,
    ) -> Result<Version, BucketError> {
        check_key(key)?;
        let (if_match, if_none_match) = match &condition {
            Condition::None => (None, None),
            Condition::Absent => (None, Some("*".to_owned())),
            Condition::Unchanged(version) => (Some(version.0.clone()), None),
        };
        let sent = AtomicU32::new(0);
        let written = self
            .call("writing an object", bytes.len() as u64, || {
                sent.fetch_add(1, Ordering::Relaxed);
                self.client()
                    .put_object()
                    .bucket(self.name())
                    .key(key)
                    .set_if_match(if_match.clone())
                    .set_if_none_match(if_none_match.clone())
                    .content_type("application/json")
                    .body(ByteStream::from(bytes.clone()))
                    .send()
            })
            .await;
        match written {
            Ok(answer) => Ok(Version(answer.e_tag().unwrap_or_default().to_owned())),
            Err(error) if error.kind == StoreErrorKind::Conflict && sent.into_inner() > 1 => {
                match self.get(key).await? {
                    Some(object) if object.bytes == bytes => Ok(object.version),
                    _ => Err(failed(key, error)),
                }
            }
            // S3 answers 404 to If-Match where there is no object.
            Err(error)
                if error.kind == StoreErrorKind::NotFound
                    && matches!(condition, Condition::Unchanged(_)) =>
            {
                Err(BucketError::Conflict {
                    key: key.to_owned(),
                })
            }
            Err(error) => Err(failed(key, error)),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), BucketError> {
        check_key(key)?;
        let deleted = self
            .call("removing an object", 0, || {
                self.client()
                    .delete_object()
                    .bucket(self.name())
                    .key(key)
                    .send()
            })
            .await;
        match deleted {
            Err(error) if error.kind != StoreErrorKind::NotFound => Err(failed(key, error)),
            _ => Ok(()),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, BucketError> {
        self.keys(prefix)
            .await
            .map_err(|error| failed(prefix, error))
    }
}
