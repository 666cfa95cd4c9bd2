//! The ZIP format, by way of the `zip` crate.
//!
//! `ZipWriter` runs over a [`Sparse`] writer that remembers only the bytes it is told to keep, so
//! that an archive of any length is laid out in memory for its headers alone. Three passes use
//! it: [`place`] finds every offset (they do not depend on the CRCs), [`local_header`] makes one
//! entry's header once its CRC is known, [`tail`] makes the central directory when all are.
//!
//! The result has exact sizes and CRCs in the local headers and no data descriptors (APPNOTE
//! 4.3.7, 4.4.4 bit 3), so that readers that stream can open it, and ZIP64 only where a number
//! does not fit otherwise.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::rc::Rc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use zip::read::{ArchiveOffset, Config};
use zip::write::FullFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use super::{Entry, Volume};

/// A size or offset of this many bytes or more needs ZIP64 (APPNOTE 4.4.8, 4.4.16).
const ZIP64_THRESHOLD: u64 = 0xffff_ffff;
/// What ZIP64 adds to one entry of the central directory for a far offset, in bytes
/// (APPNOTE 4.5.3: id, length, offset).
const ZIP64_OFFSET_FIELD: u64 = 12;
/// What ZIP64 adds to the end of the archive, in bytes (APPNOTE 4.3.14 and 4.3.15).
const ZIP64_END_RECORDS: u64 = 56 + 20;

/// Why an archive cannot be laid out. Planned names and sizes never cause this.
#[derive(Debug, thiserror::Error)]
#[error("the entries do not fit into an archive")]
pub struct LayoutError(#[from] zip::result::ZipError);

/// What [`place`] found beside the entries' offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Where the central directory begins.
    pub central_directory_offset: u64,
    /// Length of the whole archive in bytes.
    pub length: u64,
}

/// What one entry adds to an archive, and what an empty archive is; both upper bounds.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Bytes of header, body and directory entry.
    pub entry: u64,
    /// Bytes of the end records.
    pub archive: u64,
}

/// Fills in the offsets of `entries`.
///
/// # Errors
/// If the format does not allow them.
pub fn place(entries: &mut [Entry]) -> Result<Placed, LayoutError> {
    let (offsets, placed, _) = write(entries, |_| 0, 0..0, false)?;
    // A directory that begins at exactly 0xFFFFFFFF is written without ZIP64, but that number
    // means "see the ZIP64 record" to readers.
    let (offsets, placed) = if needs_zip64_record(placed.central_directory_offset) {
        let (offsets, placed, _) = write(entries, |_| 0, 0..0, true)?;
        (offsets, placed)
    } else {
        (offsets, placed)
    };
    for (entry, (header_offset, data_offset)) in entries.iter_mut().zip(offsets) {
        entry.header_offset = header_offset;
        entry.data_offset = data_offset;
    }
    Ok(placed)
}

/// An upper bound of what `entry` adds to an archive, wherever in it it comes to lie.
///
/// # Errors
/// If the format does not allow it.
pub fn cost(entry: &Entry) -> Result<Cost, LayoutError> {
    let (_, alone, _) = write(std::slice::from_ref(entry), |_| 0, 0..0, false)?;
    let (_, empty, _) = write(&[], |_| 0, 0..0, false)?;
    Ok(Cost {
        entry: alone.length - empty.length + ZIP64_OFFSET_FIELD,
        archive: empty.length + ZIP64_END_RECORDS,
    })
}

/// The bytes of one entry's local file header.
///
/// # Errors
/// If the format does not allow it.
pub fn local_header(entry: &Entry, crc32: u32) -> Result<Vec<u8>, LayoutError> {
    let length = entry.data_offset - entry.header_offset;
    let (_, _, bytes) = write(std::slice::from_ref(entry), |_| crc32, 0..length, false)?;
    Ok(bytes)
}

/// The bytes from the central directory to the end. `crc32` gives each entry's CRC by its index.
///
/// # Errors
/// If the format does not allow it.
pub fn tail(volume: &Volume, crc32: impl Fn(usize) -> u32) -> Result<Vec<u8>, LayoutError> {
    let keep = volume.central_directory_offset..volume.length;
    let zip64_record = needs_zip64_record(volume.central_directory_offset);
    let (_, placed, bytes) = write(&volume.entries, crc32, keep, zip64_record)?;
    assert_eq!(placed.length, volume.length, "the plan fits its entries");
    Ok(bytes)
}

/// Reads the directory of an archive of which only the end is at hand: the `tail`, which begins
/// at `tail_offset`.
///
/// # Errors
/// If it is not a directory.
pub fn read_directory(
    tail: &[u8],
    tail_offset: u64,
) -> Result<ZipArchive<TailReader<'_>>, LayoutError> {
    let config = Config {
        archive_offset: ArchiveOffset::Known(0),
    };
    let reader = TailReader {
        tail,
        tail_offset,
        position: 0,
    };
    Ok(ZipArchive::with_config(config, reader)?)
}

/// A file of which only the end is at hand; what is before it reads as zeros, since the search
/// for the end record reads backwards in whole blocks.
#[derive(Debug, Clone)]
pub struct TailReader<'a> {
    tail: &'a [u8],
    tail_offset: u64,
    position: u64,
}

impl Read for TailReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = if let Some(at) = self.position.checked_sub(self.tail_offset) {
            let at = usize::try_from(at).unwrap_or(usize::MAX);
            let available = self.tail.get(at..).unwrap_or_default();
            let count = available.len().min(buffer.len());
            buffer[..count].copy_from_slice(&available[..count]);
            count
        } else {
            let before = self.tail_offset - self.position;
            let count = buffer
                .len()
                .min(usize::try_from(before).unwrap_or(usize::MAX));
            buffer[..count].fill(0);
            count
        };
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for TailReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let end = self.tail_offset + self.tail.len() as u64;
        self.position = target(to, self.position, end)?;
        Ok(self.position)
    }
}

/// The position that a seek leads to.
fn target(to: SeekFrom, position: u64, end: u64) -> io::Result<u64> {
    match to {
        SeekFrom::Start(position) => Some(position),
        SeekFrom::Current(by) => position.checked_add_signed(by),
        SeekFrom::End(by) => end.checked_add_signed(by),
    }
    .ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

fn needs_zip64_record(central_directory_offset: u64) -> bool {
    central_directory_offset == ZIP64_THRESHOLD
}

type Written = (Vec<(u64, u64)>, Placed, Vec<u8>);

/// One run of the `zip` crate: offsets of header and body of each entry, and the bytes in `keep`.
fn write(
    entries: &[Entry],
    crc32: impl Fn(usize) -> u32,
    keep: Range<u64>,
    zip64_record: bool,
) -> Result<Written, LayoutError> {
    let sink = Sparse::keeping(keep);
    let mut writer = ZipWriter::new(sink.clone());
    if zip64_record {
        // An empty extensible data sector makes the writer add the record.
        writer.set_raw_zip64_extensible_data_sector(Box::new([]));
    }
    let mut offsets = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let header_offset = sink.end();
        writer.start_file(entry.name.as_str(), options(entry)?)?;
        offsets.push((header_offset, sink.position()));
        sink.skip(entry.size);
        set_metadata(&mut writer, entry.size, crc32(index))?;
    }
    let central_directory_offset = sink.end();
    writer.finish()?;
    let placed = Placed {
        central_directory_offset,
        length: sink.end(),
    };
    Ok((offsets, placed, sink.into_kept()))
}

#[expect(
    unsafe_code,
    reason = "the call is unsafe because a wrong CRC or length makes a broken archive; the \
              length is the one just skipped, and the CRC is that of the bytes that the engine \
              puts there (checked again when the archive is read back)"
)]
fn set_metadata(
    writer: &mut ZipWriter<Sparse>,
    size: u64,
    crc32: u32,
) -> zip::result::ZipResult<()> {
    // SAFETY: a file was just started, and `size` bytes were skipped for it.
    unsafe { writer.set_file_metadata(size, crc32) }
}

fn options(entry: &Entry) -> Result<FullFileOptions<'static, 'static>, LayoutError> {
    let options = FullFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .large_file(entry.size >= ZIP64_THRESHOLD)
        .unix_permissions(0o644)
        .last_modified_time(dos_time(entry));
    Ok(match entry.modified.and_then(extended_timestamp) {
        Some(seconds) => options.with_extended_timestamp(Some(seconds), None, None)?,
        None => options,
    })
}

/// Seconds since 1970 for the extended timestamp (0x5455), which is signed in most readers.
fn extended_timestamp(modified: Timestamp) -> Option<u32> {
    i32::try_from(modified.as_second())
        .ok()
        .and_then(|seconds| u32::try_from(seconds).ok())
}

/// The time as MS-DOS writes it, without its zone: in that of the manifest, or else in UTC; two seconds
/// coarse, 1980 to 2107 (APPNOTE 4.4.6).
fn dos_time(entry: &Entry) -> DateTime {
    let utc = || Some(TimeZone::UTC.to_datetime(entry.modified?));
    let Some(civil) = entry.local.or_else(utc) else {
        return DateTime::DEFAULT;
    };
    let (Ok(year), Ok(month), Ok(day)) = (
        u16::try_from(civil.year()),
        u8::try_from(civil.month()),
        u8::try_from(civil.day()),
    ) else {
        return DateTime::DEFAULT;
    };
    let clock = [civil.hour(), civil.minute(), civil.second()].map(i8::unsigned_abs);
    DateTime::from_date_and_time(year, month, day, clock[0], clock[1], clock[2])
        .unwrap_or(DateTime::DEFAULT)
}

/// A file of any length of which only a range is kept. Clones share it, since `ZipWriter` owns
/// the one that it is given.
#[derive(Clone, Debug)]
struct Sparse(Rc<State>);

#[derive(Debug)]
struct State {
    position: Cell<u64>,
    end: Cell<u64>,
    keep: Range<u64>,
    kept: RefCell<Vec<u8>>,
}

impl Sparse {
    fn keeping(keep: Range<u64>) -> Self {
        let length = usize::try_from(keep.end - keep.start).expect("headers fit into memory");
        Self(Rc::new(State {
            position: Cell::new(0),
            end: Cell::new(0),
            kept: RefCell::new(vec![0; length]),
            keep,
        }))
    }

    fn position(&self) -> u64 {
        self.0.position.get()
    }

    fn end(&self) -> u64 {
        self.0.end.get()
    }

    /// Goes on `length` bytes later, as if they had been written.
    fn skip(&self, length: u64) {
        self.move_to(self.position() + length);
    }

    fn move_to(&self, position: u64) {
        self.0.position.set(position);
        self.0.end.set(self.end().max(position));
    }

    fn into_kept(self) -> Vec<u8> {
        self.0.kept.take()
    }
}

impl Write for Sparse {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let start = self.position();
        let end = start + bytes.len() as u64;
        let keep = &self.0.keep;
        let (from, to) = (start.max(keep.start), end.min(keep.end));
        if from < to {
            let kept = &mut self.0.kept.borrow_mut();
            let target = index(from - keep.start)..index(to - keep.start);
            kept[target].copy_from_slice(&bytes[index(from - start)..index(to - start)]);
        }
        self.move_to(end);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Sparse {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = target(to, self.position(), self.end())?;
        self.0.position.set(position);
        Ok(position)
    }
}

/// An offset inside the kept range, which was allocated and so fits.
fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("offsets inside a buffer fit")
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;
    use crate::manifest::EntryName;
    use crate::plan::{Content, part_size};

    fn entry(name: &str, size: u64) -> Entry {
        Entry::unplaced(
            EntryName::sanitize(name).unwrap(),
            size,
            Some("2026-06-20T15:04:05Z".parse().unwrap()),
            Content::Photo(0),
        )
    }

    fn volume(mut entries: Vec<Entry>) -> Volume {
        let placed = place(&mut entries).unwrap();
        Volume {
            name: "a.zip".to_owned(),
            length: placed.length,
            part_size: part_size(placed.length),
            central_directory_offset: placed.central_directory_offset,
            entries,
        }
    }

    /// Header, body, header, body, …, tail: what the engine puts together.
    fn assemble(volume: &Volume, body: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
        let bodies: Vec<Vec<u8>> = (0..volume.entries.len()).map(body).collect();
        let crc = |index: usize| crc32(&bodies[index]);
        let mut archive = Vec::new();
        for (index, entry) in volume.entries.iter().enumerate() {
            assert_eq!(archive.len() as u64, entry.header_offset);
            archive.extend(local_header(entry, crc(index)).unwrap());
            assert_eq!(archive.len() as u64, entry.data_offset);
            archive.extend(&bodies[index]);
        }
        archive.extend(tail(volume, crc).unwrap());
        assert_eq!(archive.len() as u64, volume.length);
        archive
    }

    /// What the `zip` crate writes when it is simply given the bytes one after the other.
    fn sequential(volume: &Volume, body: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (index, entry) in volume.entries.iter().enumerate() {
            writer
                .start_file(entry.name.as_str(), options(entry).unwrap())
                .unwrap();
            writer.write_all(&body(index)).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn crc32(bytes: &[u8]) -> u32 {
        u32::try_from(crc_fast::checksum(
            crc_fast::CrcAlgorithm::Crc32IsoHdlc,
            bytes,
        ))
        .unwrap()
    }

    fn body(index: usize, size: u64) -> Vec<u8> {
        (0..size)
            .map(|at| u8::try_from((at * 31 + index as u64 * 7) % 256).unwrap())
            .collect()
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_a_sequential_write(
            sizes in proptest::collection::vec(0..5000u64, 1..20),
            dated in any::<bool>(),
        ) {
            let mut entries: Vec<Entry> = sizes.iter().enumerate()
                .map(|(n, size)| entry(&format!("Folder/é {n}.jpg"), *size)).collect();
            if !dated {
                entries[0].modified = None;
            }
            let volume = volume(entries);
            let body = |index: usize| body(index, sizes[index]);
            prop_assert_eq!(assemble(&volume, body), sequential(&volume, body));
        }
    }

    #[test]
    fn no_data_descriptors_and_no_zip64_where_none_is_needed() {
        let volume = volume(vec![entry("a.jpg", 3)]);
        let header = local_header(&volume.entries[0], 0x1234_5678).unwrap();
        let flags = u16::from_le_bytes([header[6], header[7]]);
        assert_eq!(flags & 8, 0, "bit 3 announces a data descriptor");
        assert_eq!(header[4], 10, "version needed without ZIP64");
        assert_eq!(header[14..18], 0x1234_5678u32.to_le_bytes());
        assert_eq!(header[18..22], 3u32.to_le_bytes());
        let tail = tail(&volume, |_| 0).unwrap();
        assert!(!tail.windows(4).any(|window| window == b"PK\x06\x06"));
    }

    /// Reads the directory of an archive of which only the tail exists.
    fn directory(volume: &Volume) -> Vec<(String, u64, u64)> {
        let tail = tail(volume, |index| u32::try_from(index).unwrap()).unwrap();
        let reader = read_directory(&tail, volume.central_directory_offset).unwrap();
        (0..reader.len())
            .map(|index| {
                let entry = reader.by_index_data(index).unwrap();
                (
                    entry.name().unwrap().into_owned(),
                    entry.size(),
                    entry.header_start(),
                )
            })
            .collect()
    }

    fn expected(volume: &Volume) -> Vec<(String, u64, u64)> {
        volume
            .entries
            .iter()
            .map(|entry| (entry.name.to_string(), entry.size, entry.header_offset))
            .collect()
    }

    #[test]
    fn sizes_and_offsets_around_four_gib_are_read_back() {
        let edge = u64::from(u32::MAX);
        for size in [edge - 1, edge, edge + 1, 5 << 30] {
            let volume = volume(vec![
                entry("a.mp4", size),
                entry("b.jpg", 10),
                entry("c.mp4", size),
                entry("d.jpg", 0),
            ]);
            assert_eq!(directory(&volume), expected(&volume));
        }
    }

    #[test]
    fn a_directory_at_exactly_four_gib_minus_one_has_a_zip64_record() {
        let edge = u64::from(u32::MAX);
        let around = volume(vec![entry("a.mp4", edge / 2), entry("b.mp4", edge / 4)]);
        let fill = edge - around.central_directory_offset;
        for (extra, zip64) in [(fill - 1, false), (fill, true), (fill + 1, true)] {
            let volume = volume(vec![
                entry("a.mp4", edge / 2),
                entry("b.mp4", edge / 4 + extra),
            ]);
            assert_eq!(
                volume.central_directory_offset,
                around.central_directory_offset + extra
            );
            let bytes = tail(&volume, |_| 0).unwrap();
            let record = bytes.windows(4).any(|window| window == b"PK\x06\x06");
            assert_eq!(record, zip64);
            assert_eq!(directory(&volume), expected(&volume));
        }
    }

    #[test]
    fn more_than_65535_entries_are_read_back() {
        for count in [65_534, 65_535, 65_536, 70_000] {
            let volume = volume((0..count).map(|n| entry(&format!("{n}.jpg"), 9)).collect());
            assert_eq!(directory(&volume), expected(&volume));
        }
    }

    #[test]
    fn times_outside_the_formats_range_fall_back() {
        let at = |modified: Option<Timestamp>| {
            let entry = Entry {
                modified,
                ..entry("a.jpg", 1)
            };
            dos_time(&entry).year()
        };
        let year = |text: &str| at(Some(text.parse().unwrap()));
        assert_eq!(year("2026-06-20T15:04:05Z"), 2026);
        assert_eq!(year("1975-01-01T00:00:00Z"), 1980);
        assert_eq!(year("2200-01-01T00:00:00Z"), 1980);
        assert_eq!(at(None), 1980);
        assert_eq!(
            extended_timestamp("1960-01-01T00:00:00Z".parse().unwrap()),
            None
        );
        assert_eq!(
            extended_timestamp("2060-01-01T00:00:00Z".parse().unwrap()),
            None
        );
    }
}
