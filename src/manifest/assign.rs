//! Names for all photos together: safe, unique even where case and Unicode form don't count, and
//! short enough for Windows.
//!
//! A number goes to a whole group: the files of one folder at the origin that have one stem, such as
//! a Live Photo's two halves, a RAW file and its JPEG, a photo and its sidecar. Systems tell by the
//! stem that they belong together, so nobody's film may come to lie beside somebody else's photo.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hasher as _};

use super::kind;
use super::name::{EntryName, MAX_SEGMENT_BYTES, cut, fold, split_extension};
use super::naming::Wish;
use super::url::OriginFolder;

/// The longest path in an archive, in UTF-16 code units as Windows counts: it takes 260 of them,
/// with the folder into which the archive is unpacked.
pub const MAX_PATH_CHARACTERS: usize = 200;
/// The longest path of folders in it, slash included, where not all fits: so that there is room for
/// a name, its number and its extension.
const MAX_FOLDERS_CHARACTERS: usize = 160;
/// The longest ` (n)`.
const MAX_MARK_CHARACTERS: usize = " (100000)".len();

/// Gives every photo a name, in order: the wished one made safe, or `photo-0001` where none is left;
/// with ` (2)` where the name is taken, by another file or as a folder.
pub(super) fn assign<'a>(wishes: impl Iterator<Item = Wish<'a>>) -> Vec<EntryName> {
    let (files, origins): (Vec<File>, Vec<OriginFolder<'a>>) = wishes
        .enumerate()
        .map(|(index, wish)| {
            let name = wish.name.and_then(|name| EntryName::sanitize(&name));
            let name = name.map_or_else(|| unnamed(index, wish.extension), String::from);
            (File::new(name), wish.origin)
        })
        .unzip();
    let mut taken = Taken::folders_of(files.iter().map(|file| file.key.as_str()));
    if taken.has_room_for(&files) {
        let names = files.into_iter().map(|file| file.name);
        return names.map(EntryName::of_safe).collect();
    }
    let groups = grouped(&files, &origins);
    let mut names: Vec<Option<EntryName>> = files.iter().map(|_| None).collect();
    for group in groups {
        let members: Vec<&File> = group.iter().map(|index| &files[*index]).collect();
        for (index, name) in group.iter().zip(taken.claim(&members)) {
            names[*index] = Some(EntryName::of_safe(name));
        }
    }
    // Every file is in a group.
    names.into_iter().flatten().collect()
}

/// A name for one more entry beside `names`, such as a note about missing photos.
pub fn assign_beside(name: &str, names: &[EntryName]) -> EntryName {
    let keys: Vec<String> = names.iter().map(EntryName::key).collect();
    let mut taken = Taken::folders_of(keys.iter().map(String::as_str));
    taken.keys.extend(keys.iter().map(|key| hash(key)));
    let file = File::new(name.to_owned());
    let name = taken.claim(&[&file]).pop();
    EntryName::of_safe(name.unwrap_or(file.name))
}

/// A name without the number that [`assign`] may have given it: what is before its extension, and that.
pub fn unnumbered(name: &str) -> [String; 2] {
    let file = File::new(name.to_owned());
    let (stem, tail) = file.split();
    let number = stem
        .strip_suffix(')')
        .and_then(|stem| stem.rsplit_once(" ("));
    let stem = match number {
        Some((stem, n)) if !n.is_empty() && n.bytes().all(|c| c.is_ascii_digit()) => stem,
        _ => stem,
    };
    [stem.to_owned(), tail.to_owned()]
}

/// The name of a photo of which no name is left.
fn unnamed(index: usize, extension: Option<&str>) -> String {
    match extension {
        Some(extension) => format!("photo-{:04}.{extension}", index + 1),
        None => format!("photo-{:04}", index + 1),
    }
}

/// A file with the name that it would like to have, made safe.
#[derive(Debug)]
struct File {
    name: String,
    /// What the name is on a system that ignores case and Unicode form.
    key: String,
    /// Bytes at the end of the name behind which a number must not stand.
    tail: usize,
    /// True if the tail is one that files of one stem have.
    pairs: bool,
}

impl File {
    fn new(name: String) -> Self {
        let file = name.rsplit('/').next().unwrap_or_default();
        let (tail, pairs) = match kind::split(file) {
            Some((_, tail)) => (tail.len(), true),
            None => (split_extension(file).1.len(), false),
        };
        Self {
            key: fold(&name),
            name,
            tail,
            pairs,
        }
    }

    /// Returns what files that belong together have in common.
    fn stem_key(&self) -> &str {
        // A known tail is ASCII, and as long when it is folded.
        let tail = if self.pairs { self.tail } else { 0 };
        &self.key[..self.key.len() - tail]
    }

    fn split(&self) -> (&str, &str) {
        self.name.split_at(self.name.len() - self.tail)
    }

    /// The name with a number, or without one; `widest` is the longest tail of its group.
    fn numbered(&self, n: Option<usize>, widest: Tail) -> String {
        let (stem, tail) = self.split();
        match n {
            None => match shortened(stem, widest, 0) {
                None => self.name.clone(),
                Some(stem) => safe(format!("{stem}{tail}")),
            },
            Some(n) => match shortened(stem, widest, MAX_MARK_CHARACTERS) {
                None => format!("{} ({n}){tail}", stem.trim_end()),
                Some(stem) => safe(format!("{stem} ({n}){tail}")),
            },
        }
    }
}

/// Makes a name that was cut safe again: `CONSOLE` may have become `CON`.
fn safe(name: String) -> String {
    EntryName::sanitize(&name).map_or(name, String::from)
}

/// The length of the longest tail of a group.
#[derive(Debug, Clone, Copy, Default)]
struct Tail {
    bytes: usize,
    characters: usize,
}

impl Tail {
    fn widest(group: &[&File]) -> Self {
        let mut widest = Self::default();
        for file in group {
            widest.bytes = widest.bytes.max(file.tail);
            widest.characters = widest.characters.max(characters(file.split().1));
        }
        widest
    }
}

/// A path without its tail, made so short that there is room for the tail and a mark of so many
/// characters; `None` if there is.
fn shortened(stem: &str, tail: Tail, mark: usize) -> Option<String> {
    // In bytes there are never fewer.
    if stem.len() + mark + tail.bytes <= MAX_PATH_CHARACTERS {
        return None;
    }
    let (folders, file) = stem.split_at(stem.rfind('/').map_or(0, |slash| slash + 1));
    let room = MAX_PATH_CHARACTERS - tail.characters;
    let (of_folders, of_file) = (characters(folders), characters(file));
    let crowded = of_folders + of_file + MAX_MARK_CHARACTERS > room;
    let folders = if crowded && of_folders > MAX_FOLDERS_CHARACTERS {
        // Less by a slash, and by what `safe` may put in front of a segment.
        without_end(cut_characters(folders, MAX_FOLDERS_CHARACTERS - 2))
    } else {
        folders.to_owned()
    };
    let fits = characters(&folders) + of_file + mark <= room;
    let room = room - mark - characters(&folders);
    let short = if fits {
        file
    } else {
        cut_characters(file, room - 1)
    };
    let short = cut(short, MAX_SEGMENT_BYTES - mark - tail.bytes);
    if folders.len() + short.len() == stem.len() {
        return None;
    }
    let short = if short.len() < file.len() {
        short.trim_end()
    } else {
        short
    };
    Some(format!("{folders}{short}"))
}

/// Folders that were cut off somewhere, ending in a slash again.
fn without_end(folders: &str) -> String {
    let whole = folders.trim_end_matches(|c: char| c == '.' || c == '/' || c.is_whitespace());
    if whole.is_empty() {
        String::new()
    } else {
        format!("{whole}/")
    }
}

/// Length in UTF-16 code units.
fn characters(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// The longest beginning of at most so many UTF-16 code units.
fn cut_characters(text: &str, most: usize) -> &str {
    let mut length = 0;
    let end = text.char_indices().find_map(|(at, c)| {
        length += c.len_utf16();
        (length > most).then_some(at)
    });
    end.map_or(text, |end| &text[..end])
}

/// Files that keep one number, by their indices; groups and files in order. Of files that are called
/// alike in one folder, the first ones are a group, the second ones another.
fn grouped<'a>(files: &[File], origins: &[OriginFolder<'a>]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::with_capacity(files.len());
    let mut alike: HashMap<(OriginFolder<'a>, &str), usize> = HashMap::new();
    let mut of_stem: HashMap<(OriginFolder<'a>, &str, usize), usize> = HashMap::new();
    for (index, (file, origin)) in files.iter().zip(origins).enumerate() {
        let count = alike.entry((*origin, &file.key)).or_default();
        let group = of_stem
            .entry((*origin, file.stem_key(), *count))
            .or_insert(groups.len());
        *count += 1;
        match groups.get_mut(*group) {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }
    groups
}

/// The hash of a key, so that deep folders of long names take little memory. Where two keys had the same
/// one, a name would get a number that it does not need; the same names always get the same ones.
fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key.as_bytes());
    hasher.finish()
}

/// The names that are in use.
struct Taken {
    /// Hashes of the keys.
    keys: HashSet<u64>,
    /// Where to go on counting for the names that are numbered alike, so that ten thousand photos
    /// of one name do not take ten thousand tries each.
    next: HashMap<String, usize>,
}

impl Taken {
    /// The folders that names are in.
    fn folders_of<'a>(keys: impl Iterator<Item = &'a str>) -> Self {
        let mut folders = HashSet::new();
        for key in keys {
            // Each folder goes on from the one above, as there may be thousands in one name.
            let mut hasher = DefaultHasher::new();
            let mut segments = key.split_inclusive('/').peekable();
            while let Some(segment) = segments.next()
                && segments.peek().is_some()
            {
                let (folder, slash) = segment.split_at(segment.len() - 1);
                hasher.write(folder.as_bytes());
                folders.insert(hasher.clone().finish());
                hasher.write(slash.as_bytes());
            }
        }
        Self {
            keys: folders,
            next: HashMap::new(),
        }
    }

    /// Returns whether all these files can have the names that they would like to have, as nearly always.
    fn has_room_for(&self, files: &[File]) -> bool {
        let mut seen = HashSet::with_capacity(files.len());
        files.iter().all(|file| {
            let widest = Tail::widest(&[file]);
            !self.keys.contains(&hash(&file.key))
                && seen.insert(file.key.as_str())
                && shortened(file.split().0, widest, 0).is_none()
        })
    }

    /// Names for the files of a group, with the first number that is free for all of them.
    fn claim(&mut self, group: &[&File]) -> Vec<String> {
        let widest = Tail::widest(group);
        let plain: Vec<String> = group
            .iter()
            .map(|file| file.numbered(None, widest))
            .collect();
        // Nearly always nothing was cut, and the keys are known.
        let keys = group.iter().zip(&plain).map(|(file, name)| {
            if *name == file.name {
                file.key.clone()
            } else {
                fold(name)
            }
        });
        if self.take(keys.map(|key| hash(&key)).collect()) {
            return plain;
        }
        let mut common = group[0].numbered(Some(0), widest);
        if group.len() > 1 {
            common.truncate(common.len() - group[0].tail);
        }
        let common = fold(&common);
        let mut n = self.next.get(&common).copied().unwrap_or(2);
        loop {
            let numbered = group.iter().map(|file| file.numbered(Some(n), widest));
            let numbered: Vec<String> = numbered.collect();
            n += 1;
            if self.take(numbered.iter().map(|name| hash(&fold(name))).collect()) {
                self.next.insert(common, n);
                return numbered;
            }
        }
    }

    /// Takes the names with all these keys, or none.
    fn take(&mut self, keys: Vec<u64>) -> bool {
        for (index, key) in keys.iter().enumerate() {
            if self.keys.contains(key) || keys[..index].contains(key) {
                return false;
            }
        }
        self.keys.extend(keys);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wish<'a>(origin: &'a str, name: &'a str) -> Wish<'a> {
        Wish {
            name: Some(name.into()),
            origin: ("", "", origin),
            ..Wish::default()
        }
    }

    fn texts(names: Vec<EntryName>) -> Vec<String> {
        names.into_iter().map(String::from).collect()
    }

    /// Names of files that come from one folder.
    fn assigned(names: &[&str]) -> Vec<String> {
        texts(assign(names.iter().map(|name| wish("", name))))
    }

    /// Names of files that come from the folders before `:`.
    fn from_folders(places: &[&str]) -> Vec<String> {
        let wishes = places.iter().map(|place| {
            let (origin, name) = place.split_once(':').unwrap();
            wish(origin, name)
        });
        texts(assign(wishes))
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
        let wishes = [
            wish("", "a.jpg"),
            Wish::default(),
            Wish {
                extension: Some("heic"),
                ..wish("", "..")
            },
        ];
        let names = texts(assign(wishes.into_iter()));
        assert_eq!(names[1..], ["photo-0002", "photo-0003.heic"]);
    }

    #[test]
    fn files_that_belong_together_keep_one_number() {
        assert_eq!(
            from_folders(&[
                "anna:IMG_1.HEIC",
                "ben:IMG_1.HEIC",
                "carl:DSC_2.JPG",
                "ben:img_1.mov",
                "dora:DSC_2.CR3",
                "dora:DSC_2.JPG",
                "dora:DSC_2.JPG.xmp",
                "dora:DSC_2.xmp",
                "emil:IMG_1.HEIC",
            ]),
            [
                "IMG_1.HEIC",
                "IMG_1 (2).HEIC",
                "DSC_2.JPG",
                "img_1 (2).mov",
                "DSC_2 (2).CR3",
                "DSC_2 (2).JPG",
                "DSC_2 (2).JPG.xmp",
                "DSC_2 (2).xmp",
                "IMG_1 (3).HEIC",
            ]
        );
    }

    #[test]
    fn files_that_come_twice_are_pairs_twice() {
        assert_eq!(
            assigned(&["a.heic", "a.heic", "a.mov", "a.mov"]),
            ["a.heic", "a (2).heic", "a.mov", "a (2).mov"]
        );
    }

    #[test]
    fn files_of_one_stem_stay_where_nothing_collides() {
        // A photographer's folders: what belongs together comes from two.
        assert_eq!(
            from_folders(&["jpg:a.JPG", "raw:a.CR3", "raw:a.txt", "jpg:b.JPG"]),
            ["a.JPG", "a.CR3", "a.txt", "b.JPG"]
        );
    }

    #[test]
    fn long_paths_are_shortened_and_stay_apart() {
        let folders = format!("{}/", "d".repeat(200)).repeat(15);
        let names = [
            format!("{folders}x.jpg"),
            format!("{folders}y.jpg"),
            format!("{folders}x.jpg"),
            format!("{}x.jpg", "a/".repeat(1500)),
            format!("{}.jpg", "x".repeat(251)),
            format!("{}.heic", "x".repeat(251)),
            format!("{}/{}.jpeg", "ü".repeat(190), "ä".repeat(190)),
            format!("{}/{}.jpeg", "ü".repeat(100), "ä".repeat(96)),
            // Each two units.
            format!("{}.jpg", "🎉".repeat(98)),
            format!("{}.jpg", "🎉".repeat(100)),
            // What is left of these is a device, or ends in blanks.
            format!("{}/CONSOLE/{}.jpg", "d".repeat(154), "x".repeat(100)),
            format!("{}/. /{}.jpg", "e".repeat(156), "x".repeat(100)),
        ];
        let wished: Vec<&str> = names.iter().map(String::as_str).collect();
        let assigned = assigned(&wished);
        for (name, wished) in assigned.iter().zip(&wished) {
            assert!(characters(name) <= MAX_PATH_CHARACTERS, "{name}");
            let extension = wished.rfind('.').map(|dot| &wished[dot..]).unwrap();
            assert!(name.ends_with(extension), "{name}");
            assert_eq!(EntryName::sanitize(name).unwrap().as_str(), name);
        }
        insta::assert_snapshot!(assigned.join("\n"));
    }

    #[test]
    fn pairs_are_cut_alike() {
        let stem = "x".repeat(194);
        let [photo, film, sidecar] = ["HEIC", "MOV", "HEIC.xmp"].map(|end| format!("{stem}.{end}"));
        let assigned = assigned(&[&photo, &film, &sidecar, &photo, &film, &sidecar]);
        let stems: Vec<&str> = assigned
            .iter()
            .map(|name| name.split_once('.').unwrap().0)
            .collect();
        assert!(stems[0] == stems[1] && stems[1] == stems[2]);
        assert!(stems[3] == stems[4] && stems[4] == stems[5]);
        assert!(stems[3].ends_with(" (2)"));
    }

    #[test]
    fn ten_thousand_photos_of_one_name_are_quick() {
        let names = assign((0..10_000).map(|_| wish("", "IMG.jpg")));
        assert_eq!(names[9_999].as_str(), "IMG (10000).jpg");
        let folders: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
        let pairs = folders
            .iter()
            .flat_map(|folder| ["IMG.heic", "IMG.mov"].map(|name| wish(folder, name)));
        assert_eq!(assign(pairs)[19_999].as_str(), "IMG (10000).mov");
    }

    #[test]
    fn long_names_that_end_alike_are_quick_and_unique() {
        let long = "x".repeat(245);
        let names: Vec<String> = (0..5000)
            .map(|n| format!("{long}{:05}.jpg", n / 2))
            .collect();
        let names = assign(names.iter().map(|name| wish("", name)));
        let unique: HashSet<&EntryName> = names.iter().collect();
        assert_eq!(unique.len(), 5000);
        assert!(
            names
                .iter()
                .all(|name| name.as_str().len() <= MAX_PATH_CHARACTERS)
        );
    }

    #[test]
    fn one_more_name_is_found_beside_the_others() {
        let names = assign(
            ["MISSING.txt", "a/b.jpg"]
                .map(|name| wish("", name))
                .into_iter(),
        );
        let beside = |name| assign_beside(name, &names).to_string();
        assert_eq!(beside("MISSING.txt"), "MISSING (2).txt");
        assert_eq!(beside("A"), "A (2)");
        assert_eq!(beside("b.jpg"), "b.jpg");
    }

    proptest! {
        #[test]
        fn assigned_names_are_unique_safe_and_short(
            names in proptest::collection::vec((
                "[ab]",
                "([aAbB.]|/|é|e\u{301}| |\\(2\\)|CON|\\.jpg|\\.mov|\\.xmp|[x🎉]{50,90}){0,6}",
            ), 0..40)
        ) {
            let wishes = names.iter().map(|(origin, name)| wish(origin, name));
            let assigned = assign(wishes);
            let keys: HashSet<String> = assigned.iter().map(EntryName::key).collect();
            prop_assert_eq!(keys.len(), names.len());
            for name in &assigned {
                prop_assert_eq!(EntryName::sanitize(name.as_str()), Some(name.clone()));
                prop_assert!(characters(name.as_str()) <= MAX_PATH_CHARACTERS);
                // No name is also a folder of another.
                let folder = format!("{}/", name.key());
                prop_assert!(!keys.iter().any(|key| key.starts_with(&folder)));
            }
        }

        #[test]
        fn pairs_of_one_folder_stay_pairs(
            folders in proptest::collection::vec((0..4_u8, 0..3_usize), 1..30)
        ) {
            let wished: Vec<(String, String)> = folders
                .iter()
                .flat_map(|(folder, stem)| {
                    let stem = ["IMG_1", "IMG_1 (2)", "x"][*stem];
                    ["heic", "mov"].map(|end| (folder.to_string(), format!("{stem}.{end}")))
                })
                .collect();
            let names = assign(wished.iter().map(|(origin, name)| wish(origin, name)));
            for pair in names.chunks(2) {
                let stem = pair[0].as_str().strip_suffix("heic");
                prop_assert_eq!(stem, pair[1].as_str().strip_suffix("mov"));
            }
        }
    }
}
