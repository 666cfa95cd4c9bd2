//! Names that can be unpacked anywhere: on Windows, on a Mac, on a phone.
//!
//! [`EntryName`] cannot hold a name that leaves the folder it is unpacked into or that a system
//! refuses. The rules are those of ZIP (APPNOTE 4.4.17: relative, forward slashes) and of Windows,
//! the strictest of the three (Microsoft, "Naming Files, Paths, and Namespaces").

use std::borrow::Cow;
use std::fmt;

use caseless::default_case_fold_str;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;

/// The longest file or folder name that common file systems take, in bytes.
pub(super) const MAX_SEGMENT_BYTES: usize = 255;
/// The longest part after the last dot that is treated as an extension, in bytes.
const MAX_EXTENSION_BYTES: usize = 16;
/// Stems that Windows keeps for devices, beside `COM1` and `LPT1` and their like.
const RESERVED_STEMS: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
/// Extensions of files that run, install or connect to somewhere when they are tapped or even only
/// shown (those that Outlook blocks, "Blocked attachments in Outlook", and their like on Macs, Linux
/// and Android). No photo has one; from a stranger's phone they are malware.
const RUNNABLE: [&str; 72] = [
    "action",
    "apk",
    "app",
    "appinstaller",
    "application",
    "appref-ms",
    "appx",
    "appxbundle",
    "bat",
    "chm",
    "cmd",
    "com",
    "command",
    "cpl",
    "desktop",
    "diagcab",
    "dll",
    "dmg",
    "exe",
    "fileloc",
    "gadget",
    "hlp",
    "hta",
    "img",
    "inetloc",
    "inf",
    "ins",
    "iso",
    "isp",
    "jar",
    "jnlp",
    "js",
    "jse",
    "library-ms",
    "lnk",
    "mobileconfig",
    "msc",
    "msh",
    "msi",
    "msix",
    "msixbundle",
    "msp",
    "mst",
    "pif",
    "pkg",
    "ps1",
    "ps1xml",
    "psc1",
    "psd1",
    "psm1",
    "reg",
    "scf",
    "scr",
    "sct",
    "search-ms",
    "searchconnector-ms",
    "settingcontent-ms",
    "sh",
    "shb",
    "shs",
    "terminal",
    "url",
    "vb",
    "vbe",
    "vbs",
    "vhd",
    "vhdx",
    "webloc",
    "website",
    "workflow",
    "wsf",
    "wsh",
];
/// Files that Windows reads when it shows a folder or a drive.
const READ_WITH_FOLDERS: [&str; 2] = ["autorun.inf", "desktop.ini"];
/// The extension that makes a runnable file open as text.
const HARMLESS: &str = ".txt";

/// A relative path inside an archive that every system can unpack.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntryName(String);

impl EntryName {
    /// Makes a name safe; `None` when nothing is left of it.
    pub fn sanitize(name: &str) -> Option<Self> {
        let name: Cow<'_, str> = if name.is_ascii() {
            Cow::Borrowed(name)
        } else {
            let composed: String = name.nfc().collect();
            // What invisible characters kept apart may compose.
            Cow::Owned(without_invisible(&composed).nfc().collect())
        };
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

    /// A name of which the caller knows that it is safe.
    pub(super) fn of_safe(name: String) -> Self {
        Self(name)
    }

    /// Returns what the name is on a system that ignores case and Unicode form.
    pub(super) fn key(&self) -> String {
        fold(&self.0)
    }
}

impl TryFrom<String> for EntryName {
    type Error = String;

    /// Makes a name safe that was written by a program with other rules, such as an older one.
    fn try_from(name: String) -> Result<Self, String> {
        Self::sanitize(&name)
            .ok_or_else(|| format!("nothing is left of the name `{}`", name.escape_debug()))
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

pub(super) fn fold(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
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
    let mut replaced = String::with_capacity(segment.len());
    for c in segment.chars() {
        match c {
            '<' | '>' | ':' | '"' | '|' | '?' | '*' => replaced.push('_'),
            c if c.is_control() => replaced.push('_'),
            // A run of spaces pushes the extension out of sight.
            c if c.is_whitespace() && replaced.ends_with(char::is_whitespace) => {}
            c => replaced.push(c),
        }
    }
    let trimmed = trim_segment(&replaced);
    if trimmed.is_empty() {
        return None;
    }
    let mut short = shorten(trimmed);
    if is_runnable(&short) {
        short = shorten(&format!("{short}{HARMLESS}"));
    }
    Some(if is_reserved(&short) {
        shorten(&format!("_{short}"))
    } else {
        short
    })
}

/// Returns true if a system runs the file, or does what it says, when the user opens it or its folder.
fn is_runnable(segment: &str) -> bool {
    let name = segment.to_ascii_lowercase();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    RUNNABLE.binary_search(&extension).is_ok()
        || READ_WITH_FOLDERS.contains(&name.as_str())
        // Explorer shows a folder called `x.{…}` as the part of Windows that has this id.
        || extension.starts_with('{')
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

/// Invisible characters, by which two names look alike or an extension does not look like one.
fn is_invisible(c: char) -> bool {
    is_direction_mark(c)
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
                | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2060}'..='\u{2065}'
                | '\u{206a}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        )
}

/// Joiners, which emoji, Persian and the scripts of India are written with.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// Removes invisible characters. A joiner stays between characters of such scripts, where it shows.
fn without_invisible(name: &str) -> String {
    let mut kept = String::with_capacity(name.len());
    let mut chars = name.chars().filter(|c| !is_invisible(*c)).peekable();
    while let Some(c) = chars.next() {
        let joins = |other: char| !other.is_ascii() && !is_joiner(other) && !other.is_whitespace();
        let shows = !is_joiner(c)
            || kept.chars().next_back().is_some_and(joins)
                && chars.peek().copied().is_some_and(joins);
        if shows {
            kept.push(c);
        }
    }
    kept
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
pub(super) fn split_extension(file: &str) -> (&str, &str) {
    match file.rfind('.') {
        Some(dot) if dot > 0 && file.len() - dot <= MAX_EXTENSION_BYTES => file.split_at(dot),
        _ => (file, ""),
    }
}

/// The longest beginning of at most `most` bytes that ends between characters.
pub(super) fn cut(text: &str, most: usize) -> &str {
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
            "IMG_1.jpg.exe",
            "IMG_1.EXE",
            "Party.lnk . ",
            "a.library-ms",
            "see.url",
            "Desktop.ini",
            "sub/autorun.inf",
            "Camera.{20D04FE0-3AEA-1069-A2D8-08002B30309D}/a.jpg",
            "IMG_1.jpg            .scr",
            "a\u{a0}\u{a0} \u{2003}b.jpg",
            "zero\u{200b}width\u{feff}.\u{200d}jpg",
            "left\u{200e}right\u{200f}\u{61c}.jpg",
            "family 👨\u{200d}👩\u{200d}👧.jpg",
            "می\u{200c}خواهم.jpg",
            "e\u{200d}\u{301}.jpg",
            "commercial.com",
            "notes.txt",
            "exe",
            long.as_str(),
        ];
        let table: Vec<String> = names
            .iter()
            .map(|name| format!("{:40} -> {}", name.escape_debug().to_string(), safe(name)))
            .collect();
        insta::assert_snapshot!(table.join("\n"));
    }

    #[test]
    fn extensions_that_run_are_found_by_halves() {
        assert!(RUNNABLE.is_sorted());
    }

    #[test]
    fn names_of_older_states_are_read() {
        let read: Vec<EntryName> = serde_json::from_str(r#"["two  spaces.jpg", "a.exe"]"#).unwrap();
        assert_eq!(
            serde_json::to_string(&read).unwrap(),
            r#"["two spaces.jpg","a.exe.txt"]"#
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
            name in prop_oneof![".{0,400}", "([a-zé.]|/|\u{301}|\u{202a}|\u{2066}|\u{327}| |CON|:|\u{200d}|\u{200b}|\u{212a}|\u{a0}|[.]exe|[.][{]){0,12}"]
        ) {
            if let Some(once) = EntryName::sanitize(&name) {
                prop_assert_eq!(EntryName::sanitize(once.as_str()), Some(once.clone()));
                for segment in once.as_str().split('/') {
                    prop_assert!(!segment.is_empty() && segment != "." && segment != "..");
                    prop_assert!(segment.len() <= MAX_SEGMENT_BYTES);
                    prop_assert!(!segment.ends_with(['.', ' ']));
                    prop_assert!(!segment.contains("  "));
                    prop_assert!(!is_runnable(segment));
                    prop_assert!(!segment.contains(|c: char| c.is_control() || "<>:\"|?*\\".contains(c)));
                }
            }
        }
    }
}
