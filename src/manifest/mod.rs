//! What is asked for: one event's photos, and how the caller wants them packed.
//!
//! A [`Manifest`] is the validated form. It is made from JSON or from a list of URLs by
//! [`Manifest::parse`], which reports everything that is wrong at once as [`Violations`]; after
//! that nobody checks again. [`name`] makes names that are safe to unpack anywhere, [`naming`] and
//! [`assign`] choose them, [`url`] keeps download tokens out of whatever is printed. Nothing here does
//! I/O.

pub mod assign;
mod fields;
pub mod given;
pub mod hash;
mod kind;
pub mod name;
pub mod naming;
mod parse;
mod photo;
pub mod rules;
mod select;
pub mod stored;
pub mod url;
mod violation;
mod zone;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

pub use given::Given;
pub use hash::Hashes;
pub use name::EntryName;
pub use naming::Leeway;
pub use parse::Defaults;
pub use parse::is_event_id;
pub use rules::SourceRules;
pub use select::Selection;
pub use stored::{Scheme, StoredUrl};
pub use url::{PhotoUrl, WebUrl};
pub use violation::{Violation, Violations};
pub use zone::Zone;

/// The largest manifest that is read, in bytes (32 MiB).
pub const MAX_MANIFEST_BYTES: usize = 32 * 1024 * 1024;
/// The most photos that one manifest may name.
pub const MAX_PHOTOS: usize = 100_000;
/// The most photos of one manifest that may have the same address: each is fetched again.
pub const MAX_SAME_URL: usize = 100;
/// The most folders, one in another, that a name may be in for [`Manifest::check_depth`].
pub const MAX_FOLDERS: usize = 32;
/// The most people who may be told of one job by e-mail.
pub const MAX_RECIPIENTS: usize = 50;
/// How long links live unless the caller says otherwise, and the longest they may: R2 signs
/// URLs for at most seven days (R2 documentation, "Presigned URLs").
pub const MAX_EXPIRES_IN: Duration = Duration::from_hours(7 * 24);

/// A validated manifest.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Names the event; part of keys in the bucket. 1 to 128 of `A-Za-z0-9._-`.
    pub event_id: String,
    /// What people call the event, for e-mails.
    pub title: Option<String>,
    /// The archive's name as given; [`Manifest::archive_file_name`] is the safe form.
    pub archive_name: Option<String>,
    /// 1 to [`MAX_PHOTOS`] photos, in the order in which they appear in the archive.
    pub photos: Vec<Photo>,
    /// What to do about photos that cannot be had.
    pub on_missing: OnMissing,
    /// Split into several archives so that none is longer than this many bytes.
    pub max_archive_bytes: Option<u64>,
    /// The zone of the times that programs show which know no zones; UTC unless it is given.
    pub time_zone: Option<Zone>,
    /// Whom to tell when the job is done.
    pub notify: Notify,
    /// How long download links are valid; at most [`MAX_EXPIRES_IN`].
    pub expires_in: Duration,
}

impl Manifest {
    /// Reads a manifest: a JSON object, a bare JSON array of photos, or text with one URL a line.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn parse(
        bytes: &[u8],
        defaults: &Defaults,
        rules: &SourceRules,
    ) -> Result<Self, Violations> {
        parse::parse(bytes, defaults, rules, &mut None)
    }

    /// The same, together with what was given: for those who hand it on.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn parse_given(
        bytes: &[u8],
        defaults: &Defaults,
        rules: &SourceRules,
    ) -> Result<(Self, Given), Violations> {
        let mut photos = Some(Vec::new());
        let manifest = parse::parse(bytes, defaults, rules, &mut photos)?;
        let given = Given::new(&manifest, photos.unwrap_or_default());
        // It is stored in its normal form, and read back from there.
        let length = given.canonical_json().len();
        if length > MAX_MANIFEST_BYTES {
            return Err(parse::too_long(length));
        }
        Ok((manifest, given))
    }

    /// Refuses names in more than [`MAX_FOLDERS`] folders, one in another: thousands of folders would
    /// take a container's memory. `run` takes them, at the user's own cost.
    ///
    /// # Errors
    /// All such names.
    pub fn check_depth(&self) -> Result<(), Violations> {
        let mut found = Violations::default();
        for (index, photo) in self.photos.iter().enumerate() {
            let name = photo.name.as_deref().unwrap_or_default();
            let segments = name
                .split(['/', '\\'])
                .filter(|segment| !segment.is_empty());
            let folders = segments.count().saturating_sub(1);
            if folders > MAX_FOLDERS {
                let place = format!("photos[{index}].name");
                let problem = format!("is in {folders} folders, one in another");
                found.add(place, problem, format!("use at most {MAX_FOLDERS}"));
            }
        }
        if found.total() == 0 {
            Ok(())
        } else {
            Err(found)
        }
    }

    /// Whether it asks for whole folders, so that only a listing tells its photos.
    pub fn has_folders(&self) -> bool {
        self.photos.iter().any(|photo| photo.url.is_folder())
    }

    /// The archive's file name, safe on every system and ending in `.zip`.
    pub fn archive_file_name(&self) -> String {
        let wanted = self.archive_name.clone();
        let wanted = wanted.unwrap_or_else(|| self.default_archive_name());
        name::archive_file_name(&wanted, &self.event_id)
    }

    /// The archive's name where none is given.
    fn default_archive_name(&self) -> String {
        format!("{}.zip", self.event_id)
    }

    /// The name of every photo's entry, in manifest order: safe, and unique even where case does not
    /// count. `described` tells how a photo's server describes it, by the photo's index.
    pub fn entry_names<'a>(
        &'a self,
        described: impl Fn(usize) -> Option<&'a Described>,
    ) -> Vec<EntryName> {
        let photos = self.photos.iter().enumerate();
        assign::assign(photos.map(|(index, photo)| naming::wish(photo, described(index))))
    }
}

/// One photo (or video, or any other file) of a manifest.
#[derive(Debug, Clone)]
pub struct Photo {
    /// Where it is downloaded from.
    pub url: PhotoUrl,
    /// The name it was given, as given; a relative path that may contain folders.
    pub name: Option<String>,
    /// The name by which a listing of its folder has it.
    pub listed_as: Option<String>,
    /// Which objects are taken, where this is a folder.
    pub selection: Option<Arc<Selection>>,
    /// Its length in bytes, when the caller knows it. Saves the probe.
    pub size: Option<u64>,
    /// When it was last modified.
    pub modified: Option<Timestamp>,
    /// Checksums that its bytes must have.
    pub hashes: Hashes,
}

impl Photo {
    /// The name that it has without its server's description, before that is made safe and unique.
    pub fn own_name(&self) -> Option<Cow<'_, str>> {
        let known = self.name.as_deref().or(self.listed_as.as_deref());
        known
            .map(Cow::Borrowed)
            .or_else(|| self.url.file_name().map(Cow::Owned))
    }

    /// How far its server's description can change its name.
    pub fn leeway(&self) -> Leeway {
        naming::leeway_of(self)
    }

    /// A photo of this folder, named by where in the folder it is. `None` for what is not in it, is
    /// junk, or is not selected.
    pub fn inside(&self, url: StoredUrl) -> Option<Self> {
        let PhotoUrl::Stored(folder) = &self.url else {
            return None;
        };
        let below = url.key().strip_prefix(folder.key())?;
        let junk_aside = Selection::default();
        let selection = self.selection.as_deref().unwrap_or(&junk_aside);
        if below.is_empty() || !selection.takes(below) {
            return None;
        }
        let name = match &self.name {
            Some(name) => format!("{name}/{below}"),
            None => below.to_owned(),
        };
        Some(Self {
            name: None,
            listed_as: Some(name),
            selection: None,
            url: PhotoUrl::Stored(url),
            ..self.clone()
        })
    }

    /// How to call it in messages: its name made safe, so that it cannot forge log lines, or its
    /// URL without the query.
    pub fn label(&self) -> String {
        self.own_name()
            .and_then(|name| EntryName::sanitize(&name))
            .map_or_else(|| self.url.to_string(), String::from)
    }
}

/// A photo's description by its server: what a name can be made of where the manifest gives none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Described {
    /// `Content-Type` in lower case, without parameters.
    pub content_type: Option<String>,
    /// File name of `Content-Disposition` (RFC 6266), not yet made safe.
    pub file_name: Option<String>,
}

impl Described {
    /// This, completed from `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            content_type: self.content_type.or(other.content_type),
            file_name: self.file_name.or(other.file_name),
        }
    }
}

/// What to do about photos that cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnMissing {
    /// Leave them out and say so, in the archive and in every report.
    #[default]
    Skip,
    /// Make no archive.
    Fail,
}

/// Whom to tell, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notify {
    /// Recipients of the e-mail with the links.
    pub email: Vec<String>,
    /// Language of the e-mail, such as `en`.
    pub locale: Option<String>,
    /// Whether the recipients hear of a failure too.
    pub tell_about_failure: bool,
    /// An `https` address that receives signed events.
    pub webhook: Option<WebUrl>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_at_most_32_folders_where_others_pay_for_it() {
        let depth = |name: String| {
            let list = format!("https://photos.example/a\t{name}");
            let defaults = Defaults {
                event_id: Some("e".to_owned()),
                ..Defaults::default()
            };
            let manifest = Manifest::parse(list.as_bytes(), &defaults, &SourceRules::anything());
            manifest.unwrap().check_depth()
        };
        let name = |folders: usize| format!("{}a.jpg", "d/".repeat(folders));
        assert!(depth(name(32)).is_ok());
        assert!(depth(format!("//{}", name(32))).is_ok());
        assert!(depth(name(33).replace('/', "\\")).is_err());
        insta::assert_snapshot!(depth(name(2000)).unwrap_err(), @r"
        the manifest has 1 problem
          photos[0].name: is in 2000 folders, one in another; use at most 32
        ");
    }
}
