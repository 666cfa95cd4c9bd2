//! What the e-mail about a job would look like, from its manifest alone.

use jiff::Timestamp;

use crate::letter::{ArchiveLink, Letter, Locale, Ready, ready};
use crate::manifest::Manifest;

/// What a photo whose size nobody gave is taken to have, in bytes: as phones make them.
const USUAL_BYTES: u64 = 4_000_000;
/// Where the button of a preview leads: nowhere (RFC 6761, 6.4).
const LINK: &str = "https://download.invalid/preview.zip";

/// The letter to those whom a manifest names, as if all its photos were there. Sizes that it does not
/// give are guessed. `locale` is one to try instead of the manifest's.
pub fn letter(manifest: &Manifest, locale: Option<&str>, now: Timestamp) -> Letter {
    let photos = manifest.photos.len();
    let sizes = manifest.photos.iter().map(|photo| photo.size);
    let archive = ArchiveLink {
        name: &manifest.archive_file_name(),
        bytes: sizes.map(|size| size.unwrap_or(USUAL_BYTES)).sum(),
        photos,
        url: LINK,
    };
    let letters = ready(
        &Ready {
            event: manifest.title.as_deref().unwrap_or(&manifest.event_id),
            photos,
            archives: &[archive],
            missing: &[],
            missing_count: 0,
            expires_at: now
                .checked_add(manifest.expires_in)
                .unwrap_or(Timestamp::MAX),
            unsubscribe: None,
        },
        Locale::from_tag(locale.or(manifest.notify.locale.as_deref())),
    );
    letters.into_iter().next().expect("there is always one")
}
