//! Containers that are only counted.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Active, Compute, ComputeError, ContainerJob};

/// A compute for tests, which starts nothing; clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryCompute(Arc<Mutex<Containers>>);

#[derive(Debug, Default)]
struct Containers {
    names: Vec<String>,
    running: usize,
}

impl MemoryCompute {
    fn lock(&self) -> std::sync::MutexGuard<'_, Containers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names of the containers that were asked for and have not ended, in order.
    pub fn names(&self) -> Vec<String> {
        self.lock().names.clone()
    }

    /// All containers run from now on; until then they wait.
    pub fn start_all(&self) {
        let mut containers = self.lock();
        containers.running = containers.names.len();
    }

    /// Ends all containers.
    pub fn end_all(&self) {
        *self.lock() = Containers::default();
    }
}

impl Compute for MemoryCompute {
    async fn submit(&self, name: &str) -> Result<String, ComputeError> {
        let mut containers = self.lock();
        containers.names.push(name.to_owned());
        Ok(format!("memory-{}", containers.names.len()))
    }

    async fn active(&self, enough: usize) -> Result<Active, ComputeError> {
        let containers = self.lock();
        Ok(Active {
            waiting: (containers.names.len() - containers.running).min(enough),
            running: containers.running.min(enough),
        })
    }

    async fn describe(&self, _id: &str) -> Result<Option<ContainerJob>, ComputeError> {
        Ok(None)
    }
}
