//! Plans in words.

use std::fmt;

use bytesize::ByteSize;

use super::{Content, Plan};

/// Entries that are listed at the beginning and at the end of a long volume.
const SHOWN_AT_EACH_END: usize = 10;

/// A number of bytes for people, in decimal units: `8.1 MB`.
pub fn bytes_for_people(bytes: u64) -> String {
    ByteSize::b(bytes).display().si().to_string()
}

/// `1 photo`, `2 photos`, `3 entries`.
pub fn count_of(count: usize, noun: &str) -> String {
    match noun.strip_suffix('y') {
        _ if count == 1 => format!("1 {noun}"),
        Some(stem) => format!("{count} {stem}ies"),
        None => format!("{count} {noun}s"),
    }
}

/// `1 of 1 photo`, `1 of 2 photos`.
pub fn part_of(part: usize, all: usize, noun: &str) -> String {
    format!("{part} of {}", count_of(all, noun))
}

/// `is` for one thing, `are` for several.
pub fn is_or_are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} in {}, {}",
            count_of(self.photo_count(), "photo"),
            count_of(self.volumes.len(), "archive"),
            bytes_for_people(self.length())
        )?;
        for volume in &self.volumes {
            writeln!(
                f,
                "\n{}  {} bytes, {} of {} bytes",
                volume.name,
                volume.length,
                count_of(volume.part_count() as usize, "part"),
                volume.part_size
            )?;
            writeln!(f, "{:>16}  {:>14}  name", "offset", "bytes")?;
            let count = volume.entries.len();
            for (index, entry) in volume.entries.iter().enumerate() {
                if count > 2 * SHOWN_AT_EACH_END + 1 {
                    if index == SHOWN_AT_EACH_END {
                        let hidden = count - 2 * SHOWN_AT_EACH_END;
                        writeln!(f, "{:>16}  {:>14}  … {hidden} more", "", "")?;
                    }
                    if (SHOWN_AT_EACH_END..count - SHOWN_AT_EACH_END).contains(&index) {
                        continue;
                    }
                }
                let note = match entry.content {
                    Content::Photo(_) => "",
                    Content::Text(_) => "  (written by us)",
                };
                writeln!(
                    f,
                    "{:>16}  {:>14}  {}{note}",
                    entry.header_offset, entry.size, entry.name
                )?;
            }
        }
        if !self.missing.is_empty() {
            writeln!(f, "\n{} missing:", count_of(self.missing.len(), "photo"))?;
            for photo in &self.missing {
                writeln!(f, "  {}: {}", photo.name, photo.reason)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{manifest, present};
    use super::super::{Fate, MissingReason};
    use super::*;

    #[test]
    fn numbers_agree() {
        let words = |count| {
            let (photos, entries) = (count_of(count, "photo"), count_of(count, "entry"));
            format!(
                "{photos} {} {entries} ({})",
                is_or_are(count),
                part_of(1, count, "byte")
            )
        };
        assert_eq!(words(1), "1 photo is 1 entry (1 of 1 byte)");
        assert_eq!(words(2), "2 photos are 2 entries (1 of 2 bytes)");
        assert_eq!(words(0), "0 photos are 0 entries (1 of 0 bytes)");
    }

    #[test]
    fn a_plan_reads_well() {
        let mut fates = present(&[8_000_000; 24]);
        fates.push(Fate::Missing(MissingReason::Forbidden));
        let plan = Plan::new(&manifest(25, Some(170_000_000)), &fates).unwrap();
        insta::assert_snapshot!(plan);
    }
}
