//! Is this archive whole? Its structure, names and CRCs by itself, and its completeness against
//! a plan or a manifest. Read through the `zip` crate.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek};

use serde::Serialize;
use zip::read::{ArchiveOffset, Config};
use zip::{CompressionMethod, ZipArchive};

use crate::manifest::{EntryName, Manifest};
use crate::plan::{MISSING_NOTE_NAME, Plan};

/// The longest note about missing photos that is read, in bytes.
const MAX_NOTE_BYTES: u64 = 16 * 1024 * 1024;

/// What was found in one archive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Members.
    pub entries: usize,
    /// Bytes of all members.
    pub bytes: u64,
    /// What is wrong, in words.
    pub problems: Vec<String>,
    /// Members' names and lengths.
    #[serde(skip)]
    members: BTreeMap<String, u64>,
    /// Names in the note about missing photos.
    #[serde(skip)]
    noted: BTreeSet<String>,
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

/// Looks at one archive by itself, every byte of it.
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
    for index in 0..archive.len() {
        match inspect_entry(&mut archive, index, &mut findings) {
            Ok(placed) => {
                if let Some(expected) = expected_start.filter(|at| *at != placed.header_start) {
                    findings.problems.push(format!(
                        "`{}` begins at {} instead of {expected}",
                        placed.name, placed.header_start
                    ));
                }
                expected_start = Some(placed.end);
            }
            Err(problem) => {
                findings.problems.push(problem);
                expected_start = None;
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

/// Where an entry lies.
struct Placed {
    name: String,
    header_start: u64,
    end: u64,
}

fn inspect_entry<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    index: usize,
    findings: &mut Findings,
) -> Result<Placed, String> {
    let mut file = archive
        .by_index(index)
        .map_err(|error| format!("entry {index} cannot be read: {error}"))?;
    let name = match file.name() {
        Ok(name) => name.into_owned(),
        Err(_) => return Err(format!("the name of entry {index} is not UTF-8")),
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
        end: data_start + file.compressed_size(),
        name: name.clone(),
    };
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
    findings.bytes += size;
    findings.noted.extend(noted(&name, &note));
    findings.members.insert(name, size);
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
    let mut members = all_members(archives);
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
pub fn compare_with_manifest(archives: &[Findings], manifest: &Manifest) -> Completeness {
    let mut result = Completeness::default();
    let mut members = all_members(archives);
    let noted: BTreeSet<&String> = archives.iter().flat_map(|found| &found.noted).collect();
    for (photo, name) in manifest.photos.iter().zip(manifest.entry_names()) {
        let name = String::from(name);
        match (members.remove(&name), photo.size) {
            (Some(found), Some(size)) if found != size => result.problems.push(format!(
                "`{name}` has {found} bytes, but the manifest says {size}"
            )),
            (Some(_), _) => result.present += 1,
            (None, _) if noted.contains(&name) => result.noted_missing.push(name),
            (None, _) => result
                .problems
                .push(format!("`{name}` is not in the archive")),
        }
    }
    for name in members.keys().filter(|name| !is_note(name)) {
        result
            .problems
            .push(format!("`{name}` is not in the manifest"));
    }
    result
}

/// Whether an entry is our note about missing photos, also where a photo took its name.
fn is_note(name: &str) -> bool {
    name.starts_with(MISSING_NOTE_NAME.trim_end_matches(".txt"))
}

fn all_members(archives: &[Findings]) -> BTreeMap<String, u64> {
    archives
        .iter()
        .flat_map(|found| found.members.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

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

    #[test]
    fn a_note_names_what_is_missing() {
        let note = b"2 of 3 photos could not be included:\r\n\r\n- a: b.jpg: it no longer exists\r\n- c.jpg: x\r\n";
        assert_eq!(noted("MISSING.txt", note), ["a: b.jpg", "c.jpg"]);
        assert!(noted("IMG.txt", note).is_empty());
    }
}
