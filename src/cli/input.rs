//! Reading what the command line names.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::engine::EngineError;
use crate::manifest::MAX_MANIFEST_BYTES;
use crate::text::shown;

/// Reads a file or stdin, but not more than a manifest may have (plans of long manifests are
/// longer, hence the factor). Stdin may take its time, so that a signal must be able to end it.
///
/// # Errors
/// If it cannot be read, or somebody asks to stop.
pub async fn read(path: &Path, cancel: &CancellationToken) -> Result<Vec<u8>, Failure> {
    let most = 4 * MAX_MANIFEST_BYTES as u64;
    let owned = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        if owned == Path::new("-") {
            io::stdin().take(most).read_to_end(&mut bytes)?;
        } else {
            File::open(&owned)?.take(most).read_to_end(&mut bytes)?;
        }
        io::Result::Ok(bytes)
    });
    let read = tokio::select! {
        () = cancel.cancelled() => return Err(EngineError::Cancelled.into()),
        read = reading => read.map_err(Failure::try_again)?,
    };
    read.map_err(|error| {
        let name = path.display().to_string();
        if name.contains("://") {
            return Failure::usage(format!(
                "cannot read `{}`: a manifest is a file, not an address",
                shown(&name)
            ));
        }
        Failure::usage(format!("cannot read `{name}`: {error}"))
    })
}
