//! Links to archives, which anyone who has one can follow.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::job::State;
use crate::sink::{ArchiveStore, SinkError};

/// What stands in a path as it is: unreserved characters (RFC 3986, 2.3), and `/`.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// A link to each archive of a job, in order: on `base` where the bucket is to be seen there, else
/// signed and good for so long. Either way the archive is saved under its own name, since the object
/// has a `Content-Disposition`.
///
/// # Errors
/// If the store cannot sign.
pub async fn links<A: ArchiveStore>(
    archives: &A,
    state: &State,
    base: Option<&str>,
    valid: Duration,
) -> Result<Vec<String>, SinkError> {
    let mut links = Vec::new();
    for archive in &state.archives {
        links.push(match base {
            Some(base) => on_domain(base, &archive.key),
            None => archives.link(&archive.key, valid).await?,
        });
    }
    Ok(links)
}

fn on_domain(base: &str, key: &str) -> String {
    let base = base.trim_end_matches('/');
    format!("{base}/{}", utf8_percent_encode(key, PATH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_paths() {
        assert_eq!(
            on_domain(
                "https://photos.example.com/",
                "archives/e/1-5ec/Smith & Jones ü.zip"
            ),
            "https://photos.example.com/archives/e/1-5ec/Smith%20%26%20Jones%20%C3%BC.zip"
        );
    }
}
