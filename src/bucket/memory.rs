//! Objects in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::{Bucket, BucketError, Condition, Object, Version, check_key};

/// A bucket for tests; clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryBucket(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    objects: BTreeMap<String, Object>,
    writes: u64,
}

impl MemoryBucket {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket for MemoryBucket {
    async fn get(&self, key: &str) -> Result<Option<Object>, BucketError> {
        check_key(key)?;
        Ok(self.lock().objects.get(key).cloned())
    }

    async fn put(
        &self,
        key: &str,
        bytes: Bytes,
        condition: Condition,
    ) -> Result<Version, BucketError> {
        check_key(key)?;
        let mut inner = self.lock();
        let present = inner.objects.get(key).map(|object| &object.version);
        let holds = match &condition {
            Condition::None => true,
            Condition::Absent => present.is_none(),
            Condition::Unchanged(version) => present == Some(version),
        };
        if !holds {
            return Err(BucketError::Conflict {
                key: key.to_owned(),
            });
        }
        inner.writes += 1;
        let version = Version(inner.writes.to_string());
        let object = Object {
            bytes,
            version: version.clone(),
        };
        inner.objects.insert(key.to_owned(), object);
        Ok(version)
    }

    async fn delete(&self, key: &str) -> Result<(), BucketError> {
        check_key(key)?;
        self.lock().objects.remove(key);
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, BucketError> {
        Ok(self
            .lock()
            .objects
            .keys()
            .filter(|key| key.starts_with(prefix))
            .cloned()
            .collect())
    }
}
