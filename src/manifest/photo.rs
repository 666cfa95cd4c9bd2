//! One photo of a manifest, from JSON or from a line of a list.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::fields::{Fields, Object};
use super::given::GivenPhoto;
use super::hash::{crc32c_from_base64, md5_from_base64};
use super::{Hashes, Photo, PhotoUrl, Selection, SourceRules, Violations, kind};

/// The longest entry name that is accepted, in bytes; Linux's limit on a path.
const MAX_NAME_BYTES: usize = 4096;

/// Reads a photo: a URL, or an object.
pub(super) fn photo(
    raw: &RawValue,
    place: &str,
    rules: &SourceRules,
    given: &mut Option<Vec<GivenPhoto>>,
    found: &mut Violations,
) -> Option<Photo> {
    if let Ok(url) = serde_json::from_str::<Cow<'_, str>>(raw.get()) {
        return photo_from_url(&url, None, place, rules, given, found);
    }
    let Ok(object) = serde_json::from_str::<Object<'_>>(raw.get()) else {
        found.add(
            place,
            "is neither a URL nor an object",
            "write `\"https://…\"` or `{\"url\": \"https://…\"}`",
        );
        return None;
    };
    let before = found.total();
    let mut fields = Fields::new(format!("{place}."), object, found);
    let given_url = fields.take::<String>("url", "an address", found);
    let url = match &given_url {
        Some(text) => PhotoUrl::parse(text, rules)
            .map_err(|(problem, remedy)| found.add(format!("{place}.url"), problem, remedy))
            .ok(),
        None if found.total() == before => {
            found.add(
                format!("{place}.url"),
                "is missing",
                "give the photo's address",
            );
            None
        }
        None => None,
    };
    let name = fields.take::<String>("name", "text", found);
    if let Some((problem, remedy)) = name.as_deref().and_then(too_long) {
        found.add(format!("{place}.name"), problem, remedy);
    }
    let size = fields.take("size", "a whole number of bytes", found);
    let given_modified = fields.take::<String>("modified", "a time", found);
    let modified = time(place, given_modified.as_deref(), found);
    let given_crc32c = fields.take::<String>("crc32c", "base64 text", found);
    let crc32c = checksum(
        place,
        "crc32c",
        given_crc32c.as_ref(),
        "4",
        crc32c_from_base64,
        found,
    );
    let given_md5 = fields.take::<String>("md5", "base64 text", found);
    let md5 = checksum(
        place,
        "md5",
        given_md5.as_ref(),
        "16",
        md5_from_base64,
        found,
    );
    let include = fields.take::<Vec<String>>("include", "an array of globs", found);
    let exclude = fields.take::<Vec<String>>("exclude", "an array of globs", found);
    let mut selection = None;
    if url.as_ref().is_some_and(PhotoUrl::is_folder) {
        let fields = [
            ("size", size.is_some()),
            ("modified", modified.is_some()),
            ("crc32c", crc32c.is_some()),
            ("md5", md5.is_some()),
        ];
        refuse_for_folder(place, &fields, found);
        selection = select(place, include.as_deref(), exclude.as_deref(), found);
    } else if url.is_some() {
        refuse_for_photo(place, include.is_some(), exclude.is_some(), found);
    }
    fields.refuse_rest(found);
    (found.total() == before).then_some(())?;
    if let Some(given) = given {
        given.push(GivenPhoto {
            crc32c: given_crc32c,
            exclude,
            include,
            md5: given_md5,
            modified: given_modified,
            name: name.clone(),
            size,
            url: given_url.unwrap_or_default(),
        });
    }
    Some(Photo {
        url: url?,
        name,
        listed_as: None,
        selection,
        size,
        modified,
        hashes: Hashes { crc32c, md5 },
    })
}

/// Refuses what is given about a folder as if it were one photo.
fn refuse_for_folder(place: &str, fields: &[(&str, bool)], found: &mut Violations) {
    for (field, _) in fields.iter().filter(|(_, is_given)| *is_given) {
        found.add(
            format!("{place}.{field}"),
            "is given for a whole folder",
            "leave it out; the listing tells",
        );
    }
}

/// Refuses what chooses among the objects of a folder where there is but one.
fn refuse_for_photo(place: &str, include: bool, exclude: bool, found: &mut Violations) {
    for (field, is_given) in [("include", include), ("exclude", exclude)] {
        if is_given {
            found.add(
                format!("{place}.{field}"),
                "is given for one photo",
                "leave it out, or give a folder: `gs://bucket/folder/` or `s3://bucket/folder/`",
            );
        }
    }
}

/// The choice among the objects of a folder, where there is one.
fn select(
    place: &str,
    include: Option<&[String]>,
    exclude: Option<&[String]>,
    found: &mut Violations,
) -> Option<Arc<Selection>> {
    let is_given = include.is_some() || exclude.is_some();
    is_given.then(|| Arc::new(Selection::parse(place, include, exclude, found)))
}

fn time(place: &str, text: Option<&str>, found: &mut Violations) -> Option<Timestamp> {
    let text = text?;
    let time = text.parse().ok();
    if time.is_none() {
        found.add(
            format!("{place}.modified"),
            format!("is `{}`", text.escape_debug()),
            "use RFC 3339, such as `2026-06-20T15:04:05Z`",
        );
    }
    time
}

fn checksum<T>(
    place: &str,
    name: &str,
    text: Option<&String>,
    bytes: &str,
    read: impl Fn(&str) -> Option<T>,
    found: &mut Violations,
) -> Option<T> {
    let text = text?;
    let value = read(text);
    if value.is_none() {
        found.add(
            format!("{place}.{name}"),
            format!("is `{}`", text.escape_debug()),
            format!("write the {bytes} bytes in base64, as in `x-goog-hash`"),
        );
    }
    value
}

/// A name that is too long; the problem and its remedy.
fn too_long(name: &str) -> Option<(String, String)> {
    (name.len() > MAX_NAME_BYTES).then(|| {
        let problem = format!("is {} bytes long", name.len());
        (problem, format!("use at most {MAX_NAME_BYTES}"))
    })
}

/// Reads a line of a list: an address, or one with a tab and a name behind it, as spreadsheets write
/// two columns.
pub(super) fn photo_of_line(
    line: &str,
    place: &str,
    rules: &SourceRules,
    given: &mut Option<Vec<GivenPhoto>>,
    found: &mut Violations,
) -> Option<Photo> {
    let Some((url, name)) = line.split_once('\t') else {
        return photo_from_url(line, None, place, rules, given, found);
    };
    let (url, name) = (url.trim(), name.trim());
    // Without an extension it may be anything: a length, a checksum, a caption.
    let is_name = kind::has_known_extension(name) && !name.contains('\t') && !name.contains("://");
    if let Some((problem, remedy)) = too_long(name) {
        found.add(place, format!("has a name that {problem}"), remedy);
        return None;
    }
    if !is_name {
        found.add(
            place,
            "has something other than a name behind the tab",
            "write the address alone, or the address, a tab and a name such as `IMG_1.jpg`",
        );
        return None;
    }
    photo_from_url(url, Some(name), place, rules, given, found)
}

fn photo_from_url(
    text: &str,
    name: Option<&str>,
    place: &str,
    rules: &SourceRules,
    given: &mut Option<Vec<GivenPhoto>>,
    found: &mut Violations,
) -> Option<Photo> {
    match PhotoUrl::parse(text, rules) {
        Ok(url) => {
            if let Some(given) = given {
                given.push(GivenPhoto {
                    name: name.map(str::to_owned),
                    url: text.to_owned(),
                    ..GivenPhoto::default()
                });
            }
            Some(Photo {
                url,
                name: name.map(str::to_owned),
                listed_as: None,
                selection: None,
                size: None,
                modified: None,
                hashes: Hashes::default(),
            })
        }
        Err((problem, remedy)) => {
            found.add(place, problem, remedy);
            None
        }
    }
}
