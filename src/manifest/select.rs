//! The choice of a folder's objects: what systems leave in folders is no photo, and the manifest may
//! include and exclude others by globs.

use globset::{ErrorKind, GlobBuilder, GlobSet, GlobSetBuilder};

use super::Violations;

/// Files that systems and programs leave in folders, in lower case.
const JUNK_FILES: [&str; 11] = [
    ".ds_store",
    ".directory",
    ".localized",
    ".nomedia",
    ".picasa.ini",
    "desktop.ini",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "icon\r",
    "picasa.ini",
    "thumbs.db",
];
/// Folders that they leave there.
const JUNK_FOLDERS: [&str; 11] = [
    "__macosx",
    "$recycle.bin",
    "#recycle",
    "@eadir",
    ".appledouble",
    ".documentrevisions-v100",
    ".fseventsd",
    ".spotlight-v100",
    ".temporaryitems",
    ".trashes",
    "system volume information",
];
/// The most globs of one list, and the longest, in bytes.
const MAX_GLOBS: usize = 100;
const MAX_GLOB_BYTES: usize = 1024;

/// A choice among a folder's objects, beyond what is junk.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    include: Option<GlobSet>,
    exclude: Option<GlobSet>,
}

impl Selection {
    /// Reads the globs of a folder at `place`; every one that is wrong is noted.
    pub(super) fn parse(
        place: &str,
        include: Option<&[String]>,
        exclude: Option<&[String]>,
        found: &mut Violations,
    ) -> Self {
        Self {
            include: globs(&format!("{place}.include"), include, found),
            exclude: globs(&format!("{place}.exclude"), exclude, found),
        }
    }

    /// Returns whether the object at this path below the folder is wanted.
    pub(super) fn takes(&self, below: &str) -> bool {
        !is_junk(below)
            && self
                .include
                .as_ref()
                .is_none_or(|globs| globs.is_match(below))
            && !self
                .exclude
                .as_ref()
                .is_some_and(|globs| globs.is_match(below))
    }
}

/// Returns whether systems leave such things in folders.
fn is_junk(path: &str) -> bool {
    let is =
        |names: &[&str], segment: &str| names.iter().any(|name| name.eq_ignore_ascii_case(segment));
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
    file.starts_with("._")
        || is(&JUNK_FILES, file)
        || folders.split('/').any(|folder| is(&JUNK_FOLDERS, folder))
}

/// `None` for an empty list, too, which says nothing.
fn globs(place: &str, globs: Option<&[String]>, found: &mut Violations) -> Option<GlobSet> {
    let globs = globs.filter(|globs| !globs.is_empty())?;
    if globs.len() > MAX_GLOBS {
        found.add(
            place,
            format!("has {} globs", globs.len()),
            format!("give at most {MAX_GLOBS}"),
        );
        return None;
    }
    let mut set = GlobSetBuilder::new();
    for (index, text) in globs.iter().enumerate() {
        let place = format!("{place}[{index}]");
        let printed = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        let shown: String = text.chars().take(40).map(printed).collect();
        if text.is_empty() || text.len() > MAX_GLOB_BYTES {
            found.add(
                place,
                format!("is {} bytes long", text.len()),
                format!("give a glob such as `**/thumb_*`, of at most {MAX_GLOB_BYTES} bytes"),
            );
        } else if text.starts_with('/') {
            found.add(
                place,
                format!("is `{shown}`, which matches nothing"),
                "globs are relative to the folder; leave out the slash in front",
            );
        } else {
            let glob = GlobBuilder::new(text)
                .literal_separator(true)
                .case_insensitive(true)
                .build();
            match glob {
                Ok(glob) => {
                    set.add(glob);
                }
                Err(error) => found.add(
                    place,
                    format!("is `{shown}`, which {}", problem(error.kind())),
                    "use `*`, `**`, `?`, `[a-z]` and `{a,b}`, and `\\` before what is meant as it is",
                ),
            }
        }
    }
    let set = set.build().ok();
    if set.is_none() {
        found.add(place, "is too much at once", "give fewer or simpler globs");
    }
    set
}

fn problem(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::UnclosedClass => "has a `[` without its `]`",
        ErrorKind::InvalidRange(..) => "has a range that ends before it begins",
        ErrorKind::UnclosedAlternates => "has a `{` without its `}`",
        ErrorKind::UnopenedAlternates => "has a `}` without its `{`",
        ErrorKind::DanglingEscape => "ends in a `\\`",
        _ => "is not a glob",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(include: &[&str], exclude: &[&str]) -> Result<Selection, Violations> {
        let list = |globs: &[&str]| globs.iter().map(|glob| (*glob).to_owned()).collect();
        let (include, exclude): (Vec<String>, Vec<String>) = (list(include), list(exclude));
        let mut found = Violations::default();
        let selection = Selection::parse("photos[3]", Some(&include), Some(&exclude), &mut found);
        match found.total() {
            0 => Ok(selection),
            _ => Err(found),
        }
    }

    #[test]
    fn what_systems_leave_in_folders_is_no_photo() {
        let all = Selection::default();
        for junk in [
            ".DS_Store",
            "a/.ds_store",
            "._IMG_1.jpg",
            "a/b/._IMG_1.jpg",
            "Thumbs.db",
            "THUMBS.DB",
            "desktop.ini",
            "__MACOSX/IMG_1.jpg",
            "a/__MACOSX/b/IMG_1.jpg",
            "@eaDir/IMG_1.jpg/SYNOPHOTO_THUMB_XL.jpg",
            "Icon\r",
        ] {
            assert!(!all.takes(junk), "{junk}");
        }
        for photo in [
            "IMG_1.jpg",
            "thumbs/IMG_1.jpg",
            ".hidden.jpg",
            "Thumbs.db.jpg",
            "__MACOSX",
            "_._.jpg",
            "icon",
        ] {
            assert!(all.takes(photo), "{photo}");
        }
    }

    #[test]
    fn globs_are_relative_to_the_folder() {
        for (include, exclude, path, taken) in [
            (&[][..], &["**/thumb_*"][..], "thumb_1.jpg", false),
            (&[], &["**/thumb_*"], "a/b/thumb_1.jpg", false),
            (&[], &["**/thumb_*"], "a/thumb_1/b.jpg", true),
            (&[], &["thumbs/**"], "thumbs/a/b.jpg", false),
            (&[], &["thumbs/**"], "a/thumbs/b.jpg", true),
            (&["*.jpg"], &[], "a.JPG", true),
            (&["*.jpg"], &[], "a/b.jpg", false),
            (&["**/*.{jpg,heic}"], &[], "a/b.heic", true),
            (&["**/*.{jpg,heic}"], &[], "a/b.mov", false),
            (&["*"], &["?.jpg", "[b-d].png"], "c.png", false),
            (&["*"], &[], ".DS_Store", false),
            (&[], &[], "a", true),
        ] {
            let selection = selection(include, exclude).unwrap();
            assert_eq!(
                selection.takes(path),
                taken,
                "{include:?} {exclude:?} {path}"
            );
        }
    }

    #[test]
    fn wrong_globs_are_named() {
        let many = vec!["a"; 101];
        let long = "x".repeat(1025);
        let refused: Vec<String> = [
            selection(&["fine", "[a"], &["{a", "", "/a", "a\\"]),
            selection(&many, &[long.as_str()]),
        ]
        .map(|wrong| wrong.unwrap_err().to_string())
        .into();
        insta::assert_snapshot!(refused.join("\n"));
    }
}
