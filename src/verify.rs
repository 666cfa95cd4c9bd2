//! Is this archive whole? Its structure, names and CRCs by itself, and its completeness against
//! a plan or a manifest. Read through the `zip` crate.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{self, Read, Seek};

use serde::Serialize;
use zip::read::{ArchiveOffset, Config};
use zip::{CompressionMethod, ZipArchive};

use crate::manifest::assign::unnumbered;
use crate::manifest::{EntryName, Leeway, Manifest, Photo};
use crate::plan::{MISSING_NOTE_NAME, Plan};

/// The longest note about missing photos that is read, in bytes.
const MAX_NOTE_BYTES: u64 = 16 * 1024 * 1024;
/// Members among which one of the right length is looked for, where several may be the photo.
const MAX_SEARCHED: usize = 1000;

/// What was found in one archive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Members.
    pub entries: usize,
    /// Bytes of all members.
    pub bytes: u64,
    /// What is wrong, in words.
    pub problems: Vec<String>,
    /// Members' names and lengths, in order.
    #[serde(skip)]
    members: Vec<(String, u64)>,
    /// Names in the note about missing photos, in order.
    #[serde(skip)]
    noted: Vec<String>,
}

/// Whether archives hold all that was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Completeness {
    /// Photos that are there.
    pub present: usize,
    /// Photos that the archive itself says are missing.
    pub noted_missing: Vec<String>,
    /// What is wrong, in words.
    pub problems: Vec<String>,
}

/// Looks at one archive by itself, every byte of it once: where entries overlap, it stops, since such archives are
/// made to take for ever (David Fifield, "A better zip bomb").
pub fn inspect<R: Read + Seek>(reader: R) -> Findings {
    let mut findings = Findings::default();
    let config = Config {
        archive_offset: ArchiveOffset::Known(0),
    };
    let mut archive = match ZipArchive::with_config(config, reader) {
        Ok(archive) => archive,
        Err(error) => {
            findings
                .problems
                .push(format!("it is not a ZIP archive: {error}"));
            return findings;
        }
    };
    findings.entries = archive.len();
    if archive.has_duplicate_names() {
        findings
            .problems
            .push("two entries have the same name".to_owned());
    }
    // Unknown after an entry that cannot be read.
    let mut expected_start = Some(0);
    // The end of all entries so far.
    let mut reached = 0;
    for index in 0..archive.len() {
        match inspect_entry(&mut archive, index, reached, &mut findings) {
            Ok(placed) => {
                if let Some(expected) = expected_start.filter(|at| *at != placed.header_start) {
                    findings.problems.push(format!(
                        "`{}` begins at {} instead of {expected}",
                        placed.name, placed.header_start
                    ));
                }
                expected_start = Some(placed.end);
                reached = placed.end;
            }
            Err(Unreadable::Entry(problem)) => {
                findings.problems.push(problem);
                expected_start = None;
            }
            Err(Unreadable::Rest(problem)) => {
                findings.problems.push(problem);
                return findings;
            }
        }
    }
    let directory = archive.central_directory_start();
    if let Some(expected) = expected_start.filter(|at| *at != directory) {
        findings.problems.push(format!(
            "the directory begins at {directory} instead of {expected}"
        ));
    }
    if let Err(error) = archive.validate_header_consistency() {
        findings
            .problems
            .push(format!("local headers and directory do not agree: {error}"));
    }
    findings
}

/// The kind of a file in its Unix mode, and that of a regular one (`S_IFMT`, `S_IFREG` of POSIX's `sys/stat.h`).
const FILE_KIND: u32 = 0o170_000;
const REGULAR_FILE: u32 = 0o100_000;

/// Where an entry lies.
struct Placed {
    name: String,
    header_start: u64,
    end: u64,
}

/// What cannot be looked at.
enum Unreadable {
    /// One entry, with the problem in words.
    Entry(String),
    /// All that follows.
    Rest(String),
}

fn inspect_entry<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    index: usize,
    reached: u64,
    findings: &mut Findings,
) -> Result<Placed, Unreadable> {
    let mut file = archive
        .by_index(index)
        .map_err(|error| Unreadable::Entry(format!("entry {index} cannot be read: {error}")))?;
    let Ok(name) = file.name().map(Cow::into_owned) else {
        let problem = format!("the name of entry {index} is not UTF-8");
        return Err(Unreadable::Entry(problem));
    };
    match EntryName::sanitize(&name) {
        Some(safe) if safe.as_str() == name => {}
        _ => findings.problems.push(format!(
            "the name `{}` cannot be unpacked everywhere",
            name.escape_debug()
        )),
    }
    if file.compression() != CompressionMethod::Stored {
        findings
            .problems
            .push(format!("`{name}` is compressed, which photos need not be"));
    }
    let header_start = file.header_start();
    let data_start = file.data_start().unwrap_or(header_start);
    let size = file.size();
    let placed = Placed {
        header_start,
        end: data_start.saturating_add(file.compressed_size()),
        name: name.clone(),
    };
    if header_start < reached {
        return Err(Unreadable::Rest(format!(
            "`{name}` begins at {header_start}, inside an entry before it; the rest was not looked at"
        )));
    }
    let kind = file.unix_mode().unwrap_or_default() & FILE_KIND;
    if kind != 0 && kind != REGULAR_FILE {
        findings.problems.push(format!(
            "`{name}` is not a file, but a link or something else that unpackers act upon"
        ));
    }
    let mut note = Vec::new();
    let read = if is_note(&name) && size <= MAX_NOTE_BYTES {
        file.read_to_end(&mut note).map(|count| count as u64)
    } else {
        io::copy(&mut file, &mut io::sink())
    };
    match read {
        Ok(count) if count == size => {}
        Ok(count) => findings
            .problems
            .push(format!("`{name}` has {count} bytes instead of {size}")),
        Err(error) => findings
            .problems
            .push(format!("`{name}` is damaged: {error}")),
    }
    findings.bytes = findings.bytes.saturating_add(size);
    findings.noted.extend(noted(&name, &note));
    findings.members.push((name, size));
    Ok(placed)
}

/// The names in a note about missing photos: the lines `- name: reason`.
fn noted(name: &str, note: &[u8]) -> Vec<String> {
    if !is_note(name) {
        return Vec::new();
    }
    String::from_utf8_lossy(note)
        .lines()
        .filter_map(|line| line.strip_prefix("- ")?.rsplit_once(": "))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Holds archives against the plan that they were made by.
pub fn compare_with_plan(archives: &[Findings], plan: &Plan) -> Completeness {
    let mut result = Completeness::default();
    let mut members: BTreeMap<&str, u64> = all_members(archives).collect();
    for entry in plan.volumes.iter().flat_map(|volume| &volume.entries) {
        match members.remove(entry.name.as_str()) {
            Some(size) if size == entry.size => result.present += 1,
            Some(size) => result.problems.push(format!(
                "`{}` has {size} bytes, but the plan says {}",
                entry.name, entry.size
            )),
            None => result
                .problems
                .push(format!("`{}` is not in the archive", entry.name)),
        }
    }
    for name in members.keys() {
        result.problems.push(format!("`{name}` is not in the plan"));
    }
    result.noted_missing = plan
        .missing
        .iter()
        .map(|missing| missing.name.to_string())
        .collect();
    result
}

/// Holds archives against the manifest that they were made from.
///
/// Where servers may have had a say in names (see [`Leeway`]), photos are found by the names that the
/// manifest alone gives, and the rest by what these may have become, in the order of the archive.
pub fn compare_with_manifest(archives: &[Findings], manifest: &Manifest) -> Completeness {
    let mut result = Completeness::default();
    let mut members = Members::of(archives);
    let flexible = manifest
        .photos
        .iter()
        .any(|photo| photo.leeway() != Leeway::None);
    let names = manifest.entry_names(|_| None);
    let mut open = Vec::new();
    for (photo, name) in manifest.photos.iter().zip(names) {
        if members.take_member(name.as_str(), photo.size) {
            result.present += 1;
        } else if members.take_noted(name.as_str()) {
            result.noted_missing.push(name.into());
        } else {
            open.push((photo, name));
        }
    }
    if flexible {
        members.index();
        // Photos whose names may be any come last, and those whose length is known first of them.
        for (leeway, sized) in [(false, true), (false, false), (true, true), (true, false)] {
            open.retain(|(photo, name)| {
                let is_turn = (photo.leeway() == Leeway::Name, photo.size.is_some());
                let found = is_turn == (leeway, sized)
                    && if leeway {
                        members.take_beside(name, photo.size)
                    } else {
                        members.take_similar(photo, name)
                    };
                result.present += usize::from(found);
                !found
            });
        }
    }
    for (photo, name) in open {
        let problem = if flexible && let Some(noted) = members.take_noted_similar(&name) {
            result.noted_missing.push(noted);
            continue;
        } else if let (Some(found), Some(size)) = (members.take(name.as_str()), photo.size) {
            format!("`{name}` has {found} bytes, but the manifest says {size}")
        } else {
            format!("`{name}` is not in the archive")
        };
        result.problems.push(problem);
    }
    for name in members.left().filter(|name| !is_note(name)) {
        result
            .problems
            .push(format!("`{name}` is not in the manifest"));
    }
    result
}

/// What archives have, and no photo has been found to be yet.
struct Members<'a> {
    /// `None` once it was found to be a photo.
    entries: Vec<Option<(&'a str, u64)>>,
    by_name: HashMap<&'a str, usize>,
    /// By their names without numbers.
    by_base: HashMap<String, VecDeque<usize>>,
    /// The same without their extensions.
    by_stem: HashMap<String, VecDeque<usize>>,
    by_folder: HashMap<&'a str, VecDeque<usize>>,
    noted: Vec<Option<&'a str>>,
    noted_by_name: HashMap<&'a str, usize>,
    noted_by_base: HashMap<String, VecDeque<usize>>,
}

impl<'a> Members<'a> {
    fn of(archives: &'a [Findings]) -> Self {
        let entries: Vec<Option<(&str, u64)>> = all_members(archives).map(Some).collect();
        let noted: Vec<Option<&str>> = archives
            .iter()
            .flat_map(|found| found.noted.iter().map(|name| Some(name.as_str())))
            .collect();
        let named = entries.iter().flatten().map(|(name, _)| *name);
        Self {
            by_name: named.zip(0..).collect(),
            noted_by_name: noted.iter().flatten().copied().zip(0..).collect(),
            entries,
            noted,
            by_base: HashMap::new(),
            by_stem: HashMap::new(),
            by_folder: HashMap::new(),
            noted_by_base: HashMap::new(),
        }
    }

    /// Makes ready for finding what has similar names.
    fn index(&mut self) {
        for (index, member) in self.entries.iter().enumerate() {
            let Some((name, _)) = member else {
                continue;
            };
            let [stem, extension] = unnumbered(name);
            let base = format!("{stem}{extension}");
            self.by_base.entry(base).or_default().push_back(index);
            self.by_stem.entry(stem).or_default().push_back(index);
            self.by_folder
                .entry(folder(name))
                .or_default()
                .push_back(index);
        }
        for (index, name) in self.noted.iter().enumerate() {
            if let Some(name) = name {
                let base = unnumbered(name).concat();
                self.noted_by_base.entry(base).or_default().push_back(index);
            }
        }
    }

    fn take(&mut self, name: &str) -> Option<u64> {
        let index = self.by_name.get(name)?;
        self.entries[*index].take().map(|(_, size)| size)
    }

    /// Takes the member of this name, if it has the length that it must have.
    fn take_member(&mut self, name: &str, size: Option<u64>) -> bool {
        let Some(member) = self
            .by_name
            .get(name)
            .map(|index| &mut self.entries[*index])
        else {
            return false;
        };
        member.take_if(|(_, found)| has(*found, size)).is_some()
    }

    fn take_noted(&mut self, name: &str) -> bool {
        let index = self.noted_by_name.get(name);
        index.is_some_and(|index| self.noted[*index].take().is_some())
    }

    /// Takes a member whose name has another number, or an extension that the server told.
    fn take_similar(&mut self, photo: &Photo, name: &EntryName) -> bool {
        let base = unnumbered(name.as_str()).concat();
        let queue = match photo.leeway() {
            Leeway::None => self.by_base.get_mut(&base),
            Leeway::Extension => self.by_stem.get_mut(&base),
            Leeway::Name => None,
        };
        queue.is_some_and(|queue| take_first(queue, &mut self.entries, photo.size))
    }

    /// Takes the next member in the same folder.
    fn take_beside(&mut self, name: &EntryName, size: Option<u64>) -> bool {
        let queue = self.by_folder.get_mut(folder(name.as_str()));
        queue.is_some_and(|queue| take_first(queue, &mut self.entries, size))
    }

    fn take_noted_similar(&mut self, name: &EntryName) -> Option<String> {
        let base = unnumbered(name.as_str()).concat();
        let queue = self.noted_by_base.get_mut(&base)?;
        std::iter::from_fn(|| queue.pop_front())
            .find_map(|index| self.noted[index].take())
            .map(str::to_owned)
    }

    fn left(&self) -> impl Iterator<Item = &'a str> {
        self.entries.iter().flatten().map(|(name, _)| *name)
    }
}

/// Takes the first of these that is still there, is no note, and has the length that it must have.
fn take_first(
    queue: &mut VecDeque<usize>,
    members: &mut [Option<(&str, u64)>],
    size: Option<u64>,
) -> bool {
    while queue.front().is_some_and(|index| members[*index].is_none()) {
        queue.pop_front();
    }
    let found = queue.iter().take(MAX_SEARCHED).copied().find(|index| {
        members[*index].is_some_and(|(name, found)| has(found, size) && !is_note(name))
    });
    found.is_some_and(|index| members[index].take().is_some())
}

/// Returns whether this is the length that it must have, if any.
fn has(found: u64, size: Option<u64>) -> bool {
    size.is_none_or(|size| size == found)
}

fn folder(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Whether an entry is our note about missing photos, also where a photo took its name.
fn is_note(name: &str) -> bool {
    name.starts_with(MISSING_NOTE_NAME.trim_end_matches(".txt"))
}

fn all_members(archives: &[Findings]) -> impl Iterator<Item = (&str, u64)> {
    let members = archives.iter().flat_map(|found| &found.members);
    members.map(|(name, size)| (name.as_str(), *size))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;
    use crate::manifest::{Defaults, SourceRules};

    fn archive(names: &[&str]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        for name in names {
            writer.start_file(*name, stored).unwrap();
            writer.write_all(b"the same bytes in each").unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn a_good_archive_has_no_problems() {
        let findings = inspect(Cursor::new(archive(&["a.jpg", "b/c.jpg"])));
        assert_eq!(findings.problems, [""; 0]);
        assert_eq!((findings.entries, findings.bytes), (2, 44));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let mut flipped = archive(&["a.jpg", "b.jpg"]);
        flipped[40] ^= 1;
        let mut header = archive(&["a.jpg", "b.jpg"]);
        header[14] ^= 1;
        let truncated = archive(&["a.jpg"])[..40].to_vec();
        let mut gap = vec![0; 10];
        gap.extend(archive(&["a.jpg"]));
        let cases = [
            ("a flipped bit in a photo", flipped),
            ("another CRC in a local header", header),
            ("cut off", truncated),
            ("something before the first entry", gap),
            ("unsafe names", archive(&["../a.jpg", "CON.jpg", "/b.jpg"])),
            ("empty", Vec::new()),
        ];
        let text: Vec<String> = cases
            .into_iter()
            .map(|(case, bytes)| {
                format!(
                    "{case}\n  {}",
                    inspect(Cursor::new(bytes)).problems.join("\n  ")
                )
            })
            .collect();
        insta::assert_snapshot!(text.join("\n"));
    }

    /// Thousands of entries over the same bytes: each byte is read once, and not by each of them.
    #[test]
    fn entries_that_overlap_end_the_look() {
        let bytes = vec![0; 1_000_000];
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        writer.start_file("a.jpg", stored).unwrap();
        writer.write_all(&bytes).unwrap();
        let archive = writer.finish().unwrap().into_inner();
        // The directory's one record, 2,000 times, each with a name of its own but the same place.
        let end = archive.len() - 22;
        let directory =
            u32::from_le_bytes(archive[end + 16..end + 20].try_into().unwrap()) as usize;
        let record = &archive[directory..end];
        let mut bomb = archive[..directory].to_vec();
        for number in 0..2_000_u32 {
            let mut record = record.to_vec();
            record[46] = b'a' + u8::try_from(number % 26).unwrap();
            bomb.extend(record);
        }
        let length = u32::try_from(bomb.len() - directory).unwrap();
        let mut tail = archive[end..].to_vec();
        tail[8..10].copy_from_slice(&2_000_u16.to_le_bytes());
        tail[10..12].copy_from_slice(&2_000_u16.to_le_bytes());
        tail[12..16].copy_from_slice(&length.to_le_bytes());
        bomb.extend(tail);
        let mut reader = Counted(Cursor::new(bomb), 0);
        let findings = inspect(&mut reader);
        let problems = findings.problems.join("\n");
        assert!(
            problems.contains("inside an entry before it; the rest was not looked at"),
            "{problems}"
        );
        assert!(reader.1 < 4_000_000, "{}", reader.1);
    }

    /// Counts the bytes that are read.
    struct Counted(Cursor<Vec<u8>>, u64);

    impl Read for Counted {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.read(buffer)?;
            self.1 += count as u64;
            Ok(count)
        }
    }

    impl Seek for Counted {
        fn seek(&mut self, position: io::SeekFrom) -> io::Result<u64> {
            self.0.seek(position)
        }
    }

    #[test]
    fn links_are_no_photos() {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        writer.add_symlink("a.jpg", "/etc/passwd", stored).unwrap();
        let archive = writer.finish().unwrap().into_inner();
        let findings = inspect(Cursor::new(archive));
        assert_eq!(
            findings.problems,
            ["`a.jpg` is not a file, but a link or something else that unpackers act upon"]
        );
    }

    /// Names and lengths.
    type Lengths = &'static [(&'static str, u64)];

    /// Returns what is wrong with archives that have these members, of this length, and this note.
    fn compared(photos: &str, members: &[(&str, u64)], noted: &[&str]) -> Completeness {
        let manifest = format!("{{\"event_id\": \"e\", \"photos\": {photos}}}");
        let (defaults, rules) = (Defaults::default(), SourceRules::anything());
        let manifest = Manifest::parse(manifest.as_bytes(), &defaults, &rules).unwrap();
        let owned = |name: &&str| (*name).to_owned();
        let mut findings = Findings {
            members: members
                .iter()
                .map(|(name, size)| (owned(name), *size))
                .collect(),
            noted: noted.iter().map(owned).collect(),
            ..Findings::default()
        };
        if !noted.is_empty() {
            findings.members.push(("MISSING.txt".to_owned(), 1));
        }
        compare_with_manifest(&[findings], &manifest)
    }

    #[test]
    fn names_that_servers_had_a_say_in_are_known_again() {
        let h = "https://h.example";
        let cases: [(String, Lengths, &[&str]); 7] = [
            // As the manifest alone says, and with extensions.
            (
                format!("[\"{h}/a\", \"{h}/v1.2\"]"),
                &[("a", 1), ("v1.2", 1)],
                &[],
            ),
            (
                format!("[\"{h}/a\", \"{h}/v1.2\"]"),
                &[("a.jpg", 1), ("v1.2.png", 1)],
                &[],
            ),
            // The first one's extension makes the second one's number.
            (
                format!("[\"{h}/a\", {{\"url\": \"{h}/a.jpg\", \"size\": 2}}]"),
                &[("a.jpg", 1), ("a (2).jpg", 2)],
                &[],
            ),
            // Names of `Content-Disposition`, once with a length that tells.
            (
                format!(
                    "[\"{h}/1/download\", {{\"url\": \"{h}/2/download\", \"size\": 2}}, \"{h}/b.jpg\"]"
                ),
                &[("IMG_1.jpg", 2), ("b.jpg", 1), ("IMG_1 (2).jpg", 1)],
                &[],
            ),
            // Some are missing, and noted without any description.
            (
                format!("[\"{h}/a\", \"{h}/1/download\", \"{h}/2/download\", \"{h}/b/a\"]"),
                &[("a.jpg", 1), ("IMG_1.jpg", 1)],
                &["download", "a"],
            ),
            (format!("[\"{h}/a\", \"{h}/b/a\"]"), &[("a.jpg", 1)], &["a"]),
            // Two sizes of one object.
            (
                format!(
                    "[\"{h}/AF1Qip0123456789abcdef=w2048\", \"{h}/AF1Qip0123456789abcdef=w64\"]"
                ),
                &[("IMG_1.jpg", 1), ("IMG_1 (2).jpg", 1)],
                &[],
            ),
        ];
        for (photos, members, noted) in cases {
            let found = compared(&photos, members, noted);
            assert_eq!(found.problems, [""; 0], "{photos}");
            assert_eq!(found.present, members.len(), "{photos}");
            assert_eq!(found.noted_missing.len(), noted.len(), "{photos}");
        }
    }

    #[test]
    fn other_names_are_still_wrong() {
        let h = "https://h.example";
        let cases: [(String, Lengths); 6] = [
            (format!("[\"{h}/a.jpg\"]"), &[("b.jpg", 1)]),
            (format!("[\"{h}/a\"]"), &[("b.jpg", 1)]),
            (format!("[\"{h}/a\", \"{h}/b\"]"), &[("a.jpg", 1)]),
            (format!("[\"{h}/download\"]"), &[("a.jpg", 1), ("b.jpg", 1)]),
            (
                format!("[{{\"url\": \"{h}/download\", \"name\": \"x\"}}]"),
                &[("x.jpg", 1)],
            ),
            (
                format!("[\"{h}/a\", {{\"url\": \"{h}/b.jpg\", \"size\": 2}}]"),
                &[("a.jpg", 1), ("b.jpg", 1)],
            ),
        ];
        let text: Vec<String> = cases
            .iter()
            .map(|(photos, members)| compared(photos, members, &[]).problems.join("\n"))
            .collect();
        insta::assert_snapshot!(text.join("\n\n"));
    }

    #[test]
    fn a_note_names_what_is_missing() {
        let note = b"2 of 3 photos could not be included:\r\n\r\n- a: b.jpg: it no longer exists\r\n- c.jpg: x\r\n";
        assert_eq!(noted("MISSING.txt", note), ["a: b.jpg", "c.jpg"]);
        assert!(noted("IMG.txt", note).is_empty());
    }
}
