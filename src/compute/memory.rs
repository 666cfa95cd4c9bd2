//! Containers that are only counted.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Active, Compute, ComputeError, ContainerJob};

/// A compute for tests, which starts nothing; clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryCompute(Arc<Mutex<Vec<String>>>);

impl MemoryCompute {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names of the containers that were asked for and have not ended, in order.
    pub fn names(&self) -> Vec<String> {
        self.lock().clone()
    }

    /// Ends all containers.
    pub fn end_all(&self) {
        self.lock().clear();
    }
}

impl Compute for MemoryCompute {
    async fn submit(&self, name: &str) -> Result<String, ComputeError> {
        let mut containers = self.lock();
        containers.push(name.to_owned());
        Ok(format!("memory-{}", containers.len()))
    }

    async fn active(&self, enough: usize) -> Result<Active, ComputeError> {
        Ok(Active {
            waiting: 0,
            running: self.lock().len().min(enough),
        })
    }

    async fn describe(&self, _id: &str) -> Result<Option<ContainerJob>, ComputeError> {
        Ok(None)
    }
}
