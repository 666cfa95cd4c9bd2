//! Names that can be unpacked anywhere: on Windows, on a Mac, on a phone.
//!
//! [`EntryName`] cannot hold a name that leaves the folder it is unpacked into or that a system
//! refuses. [`assign`] gives every photo one, unique even where case and Unicode form don't
//! count. The rules are those of ZIP (APPNOTE 4.4.17: relative, forward slashes) and of Windows,
//! the strictest of the three (Microsoft, "Naming Files, Paths, and Namespaces").

use std::collections::{HashMap, HashSet};
use std::fmt;

use caseless::default_case_fold_str;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;

/// The longest file or folder name that common file systems take, in bytes.
const MAX_SEGMENT_BYTES: usize = 255;
/// The longest part after the last dot that is treated as an extension, in bytes.
const MAX_EXTENSION_BYTES: usize = 16;
/// Bytes of the longest ` (n)`.
const MAX_MARK_BYTES: usize = " (100000)".len();
/// Stems that Windows keeps for devices, beside `COM1` and `LPT1` and their like.
const RESERVED_STEMS: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// A relative path inside an archive that every system can unpack.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntryName(String);

impl EntryName {
    /// Makes a name safe; `None` when nothing is left of it.
    pub fn sanitize(name: &str) -> Option<Self> {
        // Marks go first: what they kept apart may compose.
        let name: String = name
            .chars()
            .filter(|c| !is_direction_mark(*c))
            .nfc()
            .collect();
        let name = name.replace('\\', "/");
        let segments: Vec<String> = without_drive(&name)
            .split('/')
            .filter_map(safe_segment)
            .collect();
        (!segments.is_empty()).then(|| Self(segments.join("/")))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the name is on a system that ignores case and Unicode form.
    fn key(&self) -> String {
        fold(&self.0)
    }

    /// This name with ` (n)` before its extension; `None` for the name that all of these have in
    /// common.
    fn numbered(&self, n: Option<usize>) -> Self {
        let (folders, file) = match self.0.rsplit_once('/') {
            Some((folders, file)) => (Some(folders), file),
            None => (None, self.0.as_str()),
        };
        let (stem, extension) = split_extension(file);
        let mark = n.map_or(String::new(), |n| format!(" ({n})"));
        let room = MAX_SEGMENT_BYTES - extension.len() - MAX_MARK_BYTES;
        let file = format!("{}{mark}{extension}", cut(stem, room).trim_end());
        Self(match folders {
            Some(folders) => format!("{folders}/{file}"),
            None => file,
        })
    }
}

impl TryFrom<String> for EntryName {
    type Error = String;

    /// Accepts only names that are safe already.
    fn try_from(name: String) -> Result<Self, String> {
        match Self::sanitize(&name) {
            Some(safe) if safe.0 == name => Ok(safe),
            _ => Err(format!(
                "`{}` is not a safe entry name",
                name.escape_debug()
            )),
        }
    }
}

impl From<EntryName> for String {
    fn from(name: EntryName) -> Self {
        name.0
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Gives every photo a name, in order: the wanted one made safe, or `photo-0001` where none is
/// left; with ` (2)` where the name is taken, by another file or as a folder.
pub fn assign(wanted: impl Iterator<Item = Option<String>>) -> Vec<EntryName> {
    let names: Vec<EntryName> = wanted
        .enumerate()
        .map(|(index, name)| {
            name.and_then(|name| EntryName::sanitize(&name))
                .unwrap_or_else(|| EntryName(format!("photo-{:04}", index + 1)))
        })
        .collect();
    let folders: HashSet<String> = names
        .iter()
        .flat_map(|name| {
            let key = name.key();
            let ends: Vec<usize> = key.match_indices('/').map(|(at, _)| at).collect();
            ends.into_iter()
                .map(|end| key[..end].to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    let mut taken = Taken {
        keys: folders,
        next: HashMap::new(),
    };
    names.into_iter().map(|name| taken.claim(name)).collect()
}

/// A name for one more entry beside `names`, such as a note about missing photos.
pub fn assign_beside(name: &str, names: &[EntryName]) -> EntryName {
    let all = names
        .iter()
        .map(|name| Some(name.0.clone()))
        .chain([Some(name.to_owned())]);
    let mut assigned = assign(all);
    assigned.pop().unwrap_or_else(|| EntryName(name.to_owned()))
}

/// The file name of an archive: safe, one segment, ending in `.zip`.
pub fn archive_file_name(wanted: &str, fallback: &str) -> String {
    let flat = wanted.replace(['/', '\\'], "_");
    let name = EntryName::sanitize(&flat)
        .or_else(|| EntryName::sanitize(fallback))
        .map_or_else(|| "photos".to_owned(), String::from);
    let stem = match name.len().checked_sub(4) {
        Some(dot) if name.is_char_boundary(dot) && name[dot..].eq_ignore_ascii_case(".zip") => {
            name[..dot].trim_end_matches([' ', '.'])
        }
        _ => name.as_str(),
    };
    let stem = if stem.is_empty() { "photos" } else { stem };
    // Room for `-100000-of-100000.zip.partial` in the longest file name.
    format!("{}.zip", cut(stem, 220).trim_end_matches([' ', '.']))
}

/// The names that are in use, as keys.
struct Taken {
    keys: HashSet<String>,
    /// Where to go on counting for the names that are numbered alike, so that ten thousand photos
    /// of one name do not take ten thousand tries each.
    next: HashMap<String, usize>,
}

impl Taken {
    fn claim(&mut self, name: EntryName) -> EntryName {
        let key = name.key();
        if self.keys.insert(key) {
            return name;
        }
        let common = name.numbered(None).key();
        let mut n = self.next.get(&common).copied().unwrap_or(2);
        loop {
            let candidate = name.numbered(Some(n));
            n += 1;
            if self.keys.insert(candidate.key()) {
                self.next.insert(common, n);
                return candidate;
            }
        }
    }
}

fn fold(name: &str) -> String {
    default_case_fold_str(name).nfc().collect()
}

/// Without a drive letter, `C:` or `C:/`.
fn without_drive(name: &str) -> &str {
    match name.as_bytes() {
        [letter, b':', ..] if letter.is_ascii_alphabetic() => &name[2..],
        _ => name,
    }
}

/// One file or folder name made safe; `None` when nothing is left or it is `.` or `..`.
fn safe_segment(segment: &str) -> Option<String> {
    let replaced: String = segment
        .chars()
        .map(|c| match c {
            '<' | '>' | ':' | '"' | '|' | '?' | '*' => '_',
            c if c.is_control() => '_',
            c => c,
        })
        .collect();
    let trimmed = trim_segment(&replaced);
    if trimmed.is_empty() {
        return None;
    }
    let escaped = if is_reserved(trimmed) {
        format!("_{trimmed}")
    } else {
        trimmed.to_owned()
    };
    Some(shorten(&escaped))
}

/// Windows drops trailing dots and spaces; leading spaces only confuse.
fn trim_segment(segment: &str) -> &str {
    segment
        .trim_end_matches(|c: char| c == '.' || c.is_whitespace())
        .trim_start()
}

/// Marks that reverse the reading order, a known way to disguise an extension
/// (Unicode Technical Report 36, "Bidirectional Text Spoofing").
pub(crate) fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether Windows takes the name for a device, whatever its extension.
fn is_reserved(segment: &str) -> bool {
    let stem = segment
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end()
        .to_ascii_uppercase();
    RESERVED_STEMS.contains(&stem.as_str())
        || ["COM", "LPT"].iter().any(|port| {
            stem.strip_prefix(port).is_some_and(|digit| {
                matches!(
                    digit,
                    "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³"
                )
            })
        })
}

/// At most 255 bytes, the extension kept.
fn shorten(segment: &str) -> String {
    if segment.len() <= MAX_SEGMENT_BYTES {
        return segment.to_owned();
    }
    let (stem, extension) = split_extension(segment);
    let stem = cut(stem, MAX_SEGMENT_BYTES - extension.len());
    let short = format!("{stem}{extension}");
    trim_segment(&short).to_owned()
}

/// Splits before the last dot, if what follows looks like an extension.
fn split_extension(file: &str) -> (&str, &str) {
    match file.rfind('.') {
        Some(dot) if dot > 0 && file.len() - dot <= MAX_EXTENSION_BYTES => file.split_at(dot),
        _ => (file, ""),
    }
}

/// The longest beginning of at most `most` bytes that ends between characters.
fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn safe(name: &str) -> String {
        EntryName::sanitize(name).map_or_else(|| "(none)".to_owned(), String::from)
    }

    fn assigned(names: &[&str]) -> Vec<String> {
        assign(names.iter().map(|name| Some((*name).to_owned())))
            .into_iter()
            .map(String::from)
            .collect()
    }

    #[test]
    fn hostile_names_become_safe_ones() {
        let long = format!("{}.jpeg", "é".repeat(300));
        let names = [
            "Ceremony/IMG_0001.jpg",
            "../../etc/passwd",
            "/etc/passwd",
            "C:\\Users\\me\\a.jpg",
            "c:a.jpg",
            "a\\b",
            "a//./b/../c.jpg",
            "CON.jpg",
            "con",
            "COM1.tar.gz",
            "LPT¹.jpg",
            "CONSOLE.jpg",
            "aux .txt",
            "line\nbreak.jpg",
            "q?<>|*:\".jpg",
            "trailing. . .",
            "  leading.jpg",
            "...",
            "",
            "🎉 party.jpg",
            "חתונה.jpg",
            "cafe\u{301}.jpg",
            "gpj.\u{202e}exe.jpg",
            long.as_str(),
        ];
        let table: Vec<String> = names
            .iter()
            .map(|name| format!("{:40} -> {}", name.escape_debug().to_string(), safe(name)))
            .collect();
        insta::assert_snapshot!(table.join("\n"));
    }

    #[test]
    fn duplicates_are_numbered_before_the_extension() {
        assert_eq!(
            assigned(&["a.jpg", "A.JPG", "a.jpg", "a (2).jpg", "b", "b"]),
            [
                "a.jpg",
                "A (2).JPG",
                "a (3).jpg",
                "a (2) (2).jpg",
                "b",
                "b (2)"
            ]
        );
    }

    #[test]
    fn unicode_twins_are_duplicates() {
        assert_eq!(
            assigned(&["caf\u{e9}.jpg", "cafe\u{301}.jpg", "STRASSE", "straße"]),
            ["café.jpg", "café (2).jpg", "STRASSE", "straße (2)"]
        );
    }

    #[test]
    fn a_file_is_not_called_like_a_folder() {
        assert_eq!(
            assigned(&["Album", "album/one.jpg", "album/one.jpg/two.jpg"]),
            ["Album (2)", "album/one (2).jpg", "album/one.jpg/two.jpg"]
        );
    }

    #[test]
    fn photos_without_a_name_are_numbered() {
        let names = assign([Some("a.jpg".to_owned()), None, Some("..".to_owned())].into_iter());
        assert_eq!(names[1].as_str(), "photo-0002");
        assert_eq!(names[2].as_str(), "photo-0003");
    }

    #[test]
    fn ten_thousand_photos_of_one_name_are_quick() {
        let names = assign((0..10_000).map(|_| Some("IMG.jpg".to_owned())));
        assert_eq!(names[9_999].as_str(), "IMG (10000).jpg");
    }

    #[test]
    fn long_names_that_end_alike_are_quick_and_unique() {
        let long = "x".repeat(245);
        let names = assign((0..5000).map(|n| Some(format!("{long}{:05}.jpg", n / 2))));
        let unique: HashSet<&EntryName> = names.iter().collect();
        assert_eq!(unique.len(), 5000);
        assert!(
            names
                .iter()
                .all(|name| name.as_str().len() <= MAX_SEGMENT_BYTES)
        );
    }

    #[test]
    fn archive_names_are_flat_and_end_in_zip() {
        assert_eq!(
            archive_file_name("Smith & Jones.zip", "e"),
            "Smith & Jones.zip"
        );
        assert_eq!(archive_file_name("Smith/Jones", "e"), "Smith_Jones.zip");
        assert_eq!(archive_file_name("..", "event-1"), "event-1.zip");
        assert_eq!(archive_file_name("a.ZIP", "e"), "a.zip");
        assert_eq!(archive_file_name(".zip", "e"), "photos.zip");
    }

    proptest! {
        #[test]
        fn a_safe_name_stays_as_it_is(
            name in prop_oneof![".{0,400}", "([a-zé.]|/|\u{301}|\u{202a}|\u{2066}|\u{327}| |CON|:){0,12}"]
        ) {
            if let Some(once) = EntryName::sanitize(&name) {
                prop_assert_eq!(EntryName::sanitize(once.as_str()), Some(once.clone()));
                for segment in once.as_str().split('/') {
                    prop_assert!(!segment.is_empty() && segment != "." && segment != "..");
                    prop_assert!(segment.len() <= MAX_SEGMENT_BYTES);
                    prop_assert!(!segment.ends_with(['.', ' ']));
                    prop_assert!(!segment.contains(|c: char| c.is_control() || "<>:\"|?*\\".contains(c)));
                }
            }
        }

        #[test]
        fn assigned_names_are_unique_and_safe(
            names in proptest::collection::vec("([aAbB.]|/|é|e\u{301}| |\\(2\\)|CON){0,6}", 0..40)
        ) {
            let assigned = assign(names.iter().map(|name| Some(name.clone())));
            let keys: HashSet<String> = assigned.iter().map(EntryName::key).collect();
            prop_assert_eq!(keys.len(), names.len());
            for name in &assigned {
                prop_assert_eq!(EntryName::sanitize(name.as_str()), Some(name.clone()));
                // No name is also a folder of another.
                let folder = format!("{}/", name.key());
                prop_assert!(!keys.iter().any(|key| key.starts_with(&folder)));
            }
        }
    }
}
