//! Folders of the manifest become the photos that are in them.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;

use super::prepare::{Probed, compare};
use super::progress::Progress;
use super::{EngineError, EngineOptions};
use crate::manifest::{MAX_PHOTOS, Manifest, Photo, StoredUrl};
use crate::plan::MissingReason;
use crate::retry::Retry;
use crate::source::{Page, PhotoSource, SourceError};

/// Folders that are listed at once.
const LISTERS: usize = 8;

/// A manifest without folders.
#[derive(Debug)]
pub(super) struct Expanded {
    pub(super) manifest: Arc<Manifest>,
    /// What the listings told about photos, by index, so that these need no probe.
    pub(super) listed: Vec<Option<Probed>>,
    /// Files in the folders that are left out: junk, and what the manifest does not select.
    pub(super) ignored: usize,
}

/// Lists the folders of a manifest. Their photos take their places, in the order of their names; a
/// folder with nothing in it stays as one photo that is missing.
pub(super) async fn expand<S: PhotoSource>(
    source: &S,
    manifest: Arc<Manifest>,
    options: &EngineOptions,
    progress: &Progress,
) -> Result<Expanded, EngineError> {
    if !manifest.has_folders() {
        return Ok(Expanded {
            manifest,
            listed: Vec::new(),
            ignored: 0,
        });
    }
    let mut photos = Vec::with_capacity(manifest.photos.len());
    let mut listed = Vec::new();
    let mut ignored = 0;
    // By index: a stream of borrowed photos would not be `Send`.
    let lists = stream::iter(0..manifest.photos.len())
        .map(async |index| {
            let photo = &manifest.photos[index];
            if photo.url.is_folder() {
                (index, Some(list(source, photo, options, progress).await))
            } else {
                (index, None)
            }
        })
        .buffered(LISTERS);
    let mut lists = std::pin::pin!(lists);
    while let Some((index, list)) = lists.next().await {
        let photo = &manifest.photos[index];
        match list.transpose()? {
            None => {
                photos.push(photo.clone());
                listed.push(None);
            }
            Some(found) => {
                ignored += found.ignored;
                if found.photos.is_empty() {
                    photos.push(photo.clone());
                    listed.push(Some(Err(MissingReason::EmptyFolder)));
                }
                for (photo, probe) in found.photos {
                    photos.push(photo);
                    listed.push(Some(probe));
                }
            }
        }
        if photos.len() > MAX_PHOTOS {
            return Err(too_many(photo));
        }
    }
    let manifest = Arc::new(Manifest {
        photos,
        ..Manifest::clone(&manifest)
    });
    Ok(Expanded {
        manifest,
        listed,
        ignored,
    })
}

/// The content of a folder.
#[derive(Debug, Default)]
struct Listed {
    photos: Vec<(Photo, Probed)>,
    /// Files that are left out.
    ignored: usize,
}

fn too_many(folder: &Photo) -> EngineError {
    EngineError::TooManyPhotos {
        folder: folder.url.to_string(),
    }
}

async fn list<S: PhotoSource>(
    source: &S,
    folder: &Photo,
    options: &EngineOptions,
    progress: &Progress,
) -> Result<Listed, EngineError> {
    let mut found = Listed::default();
    let mut after: Option<String> = None;
    let mut asked = HashSet::new();
    let mut first: Option<StoredUrl> = None;
    loop {
        let page = page(source, folder, after.as_deref(), options, progress).await?;
        // Some stores give the same page, or the same place to go on, for ever.
        let again = page
            .next
            .as_ref()
            .is_some_and(|next| !asked.insert(next.clone()));
        let begins = page.objects.first().map(|(url, _)| url.clone());
        if again || begins.is_some() && begins == first {
            return Err(EngineError::Listing {
                folder: folder.url.to_string(),
                what: "the store gives the same page again and again".to_owned(),
                attempts: 1,
            });
        }
        first = begins.or(first);
        for (url, probe) in page.objects {
            // Consoles make folders visible by empty objects.
            if url.is_folder() && probe.length == Some(0) {
                continue;
            }
            match folder.inside(url) {
                Some(photo) => {
                    let probed = compare(&photo, probe);
                    found.photos.push((photo, probed));
                }
                None => found.ignored += 1,
            }
        }
        // Nobody has to wait for the other half of a million.
        if found.photos.len() > MAX_PHOTOS {
            return Err(too_many(folder));
        }
        after = page.next;
        if after.is_none() {
            tracing::debug!(
                folder.url = %folder.url,
                photos = found.photos.len(),
                ignored = found.ignored,
                "listed a folder"
            );
            return Ok(found);
        }
    }
}

async fn page<S: PhotoSource>(
    source: &S,
    folder: &Photo,
    after: Option<&str>,
    options: &EngineOptions,
    progress: &Progress,
) -> Result<Page, EngineError> {
    let mut retry = Retry::new(options.retry);
    loop {
        let failure = match source.list(folder, after).await {
            Ok(page) => return Ok(page),
            Err(SourceError::Settings(what)) => return Err(EngineError::SourceSettings(what)),
            Err(error) => error,
        };
        let what = failure.to_string();
        let retry_after = match failure {
            SourceError::Transient(transient) => transient.retry_after,
            _ => None,
        };
        tracing::debug!(folder.url = %folder.url, "listing failed: {what}");
        if !retry.wait(retry_after).await {
            return Err(EngineError::Listing {
                folder: folder.url.to_string(),
                what,
                attempts: retry.failures(),
            });
        }
        progress.retries.add(1);
    }
}
