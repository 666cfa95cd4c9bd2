//! Where every byte of the archives will be, before the first one is fetched.
//!
//! Photos are stored, not deflated, so once every size is known every offset is known too: the
//! length of each ZIP, the content of each part, which bytes of which photo go where. A [`Plan`]
//! is a pure function of the manifest and of what the probe found: same input, same plan, byte
//! for byte, on every machine. It is made of [`Volume`]s (one ZIP each), which are cut into
//! equal [`Part`]s for the upload, which consist of [`Segment`]s. [`layout`] is the only place
//! that knows the ZIP format, and leaves it to the `zip` crate.

mod human;
pub mod layout;
mod missing;
mod part;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

pub use human::{bytes_for_people, count_of, is_or_are, part_of};
pub use layout::LayoutError;
pub use missing::{MISSING_NOTE_NAME, Missing, MissingReason};
pub use part::{Part, Parts, Segment, SegmentKind};

use crate::manifest::assign::assign_beside;
use crate::manifest::{Described, EntryName, Manifest};

/// One binary megabyte.
const MIB: u64 = 1024 * 1024;
/// The smallest part, in bytes: above S3's and R2's minimum of 5 MiB, and large enough that a
/// request's cost does not show.
pub const MIN_PART_BYTES: u64 = 8 * MIB;
/// Parts aimed at for a long volume; S3 and R2 take at most 10,000 per upload.
const TARGET_PARTS: u64 = 9_500;
/// The longest object that R2 keeps, in bytes: 4.995 TiB (R2 documentation, "Limits").
const MAX_VOLUME_BYTES: u64 = 4_995 * (1 << 40) / 1000;
/// The longest photo that fits into an archive, in bytes: as long, less its headers.
pub const MAX_PHOTO_BYTES: u64 = MAX_VOLUME_BYTES - (1 << 20);

/// Every archive that one manifest becomes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Archives in order; at least one.
    pub volumes: Vec<Volume>,
    /// Photos that are left out, in manifest order.
    pub missing: Vec<Missing>,
}

/// One ZIP archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// File name, such as `Smith-1-of-3.zip`.
    pub name: String,
    /// Length of the archive in bytes.
    pub length: u64,
    /// Length of every part but the last, in bytes.
    pub part_size: u64,
    /// Where the central directory begins.
    pub central_directory_offset: u64,
    /// Members in order; at least one.
    pub entries: Vec<Entry>,
}

/// One photo's place in an archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name in the archive.
    pub name: EntryName,
    /// Its length in bytes.
    pub size: u64,
    /// Its modification time, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<Timestamp>,
    /// The time that clocks showed then in the manifest's time zone, where it names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<DateTime>,
    /// Where its local file header begins.
    pub header_offset: u64,
    /// Where its bytes begin.
    pub data_offset: u64,
    /// What its bytes are.
    #[serde(flatten)]
    pub content: Content,
}

/// Where an entry's bytes come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// The photo at this index of the manifest.
    Photo(usize),
    /// A text that the plan itself holds.
    Text(String),
}

impl Content {
    /// The bytes, if the plan holds them.
    pub fn text(&self) -> Option<Bytes> {
        match self {
            Self::Photo(_) => None,
            Self::Text(text) => Some(Bytes::copy_from_slice(text.as_bytes())),
        }
    }
}

/// What became of one photo's probe, as far as the plan needs to know.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// It is there.
    Present {
        /// Its length in bytes.
        size: u64,
        /// When it was last modified.
        modified: Option<Timestamp>,
        /// The description that its name can be made of.
        described: Described,
    },
    /// It cannot be had.
    Missing(MissingReason),
}

impl Fate {
    /// How its server describes it; nothing of a photo that is missing.
    fn described(&self) -> Option<&Described> {
        match self {
            Self::Present { described, .. } => Some(described),
            Self::Missing(_) => None,
        }
    }
}

/// Why no plan can be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// An archive would be longer than any bucket keeps.
    #[error(
        "the archive `{name}` would be {length} bytes long, more than R2 keeps in one object; \
         set `max_archive_bytes` in the manifest"
    )]
    TooLong {
        /// The archive's name.
        name: String,
        /// Its length in bytes.
        length: u64,
    },
    /// Every photo is missing.
    #[error("every photo is missing")]
    NothingLeft,
    /// The format does not allow it.
    #[error("the archive cannot be laid out")]
    Layout(#[from] LayoutError),
}

impl Plan {
    /// Plans the archives. `fates` has one item per photo of the manifest.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn new(manifest: &Manifest, fates: &[Fate]) -> Result<Self, PlanError> {
        assert_eq!(manifest.photos.len(), fates.len(), "one fate per photo");
        let names = entry_names(manifest, fates);
        let missing = Missing::among(manifest, fates);
        if missing.len() == fates.len() {
            return Err(PlanError::NothingLeft);
        }
        let note = (!missing.is_empty()).then(|| {
            let text = missing::note(&missing, fates.len());
            Entry::unplaced(
                assign_beside(MISSING_NOTE_NAME, &names),
                text.len() as u64,
                None,
                Content::Text(text),
            )
        });
        let entries: Vec<Entry> = names
            .into_iter()
            .zip(fates)
            .enumerate()
            .filter_map(|(photo, (name, fate))| match fate {
                Fate::Missing(_) => None,
                Fate::Present { size, modified, .. } => {
                    let entry = Entry::unplaced(name, *size, *modified, Content::Photo(photo));
                    Some(match (&manifest.time_zone, modified) {
                        (Some(zone), Some(modified)) => Entry {
                            local: Some(zone.local(*modified)),
                            ..entry
                        },
                        _ => entry,
                    })
                }
            })
            .chain(note)
            .collect();
        let groups = split(entries, manifest.max_archive_bytes)?;
        let count = groups.len();
        let file_name = manifest.archive_file_name();
        let volumes = groups
            .into_iter()
            .enumerate()
            .map(|(index, entries)| Volume::new(volume_name(&file_name, index, count), entries))
            .collect::<Result<_, _>>()?;
        Ok(Self { volumes, missing })
    }

    /// Photos that are in the archives.
    pub fn photo_count(&self) -> usize {
        self.volumes
            .iter()
            .flat_map(|volume| &volume.entries)
            .filter(|entry| matches!(entry.content, Content::Photo(_)))
            .count()
    }

    /// Bytes of all archives together.
    pub fn length(&self) -> u64 {
        self.volumes.iter().map(|volume| volume.length).sum()
    }
}

/// The names of all photos. Of those that are missing nobody described anything.
fn entry_names(manifest: &Manifest, fates: &[Fate]) -> Vec<EntryName> {
    manifest.entry_names(|photo| fates.get(photo).and_then(Fate::described))
}

impl Entry {
    /// An entry whose offsets are not known yet.
    fn unplaced(name: EntryName, size: u64, modified: Option<Timestamp>, content: Content) -> Self {
        Self {
            name,
            size,
            modified,
            local: None,
            header_offset: 0,
            data_offset: 0,
            content,
        }
    }
}

impl Volume {
    fn new(name: String, mut entries: Vec<Entry>) -> Result<Self, PlanError> {
        let placed = layout::place(&mut entries)?;
        if placed.length > MAX_VOLUME_BYTES {
            return Err(PlanError::TooLong {
                name,
                length: placed.length,
            });
        }
        Ok(Self {
            name,
            length: placed.length,
            part_size: part_size(placed.length),
            central_directory_offset: placed.central_directory_offset,
            entries,
        })
    }

    /// The parts in order; together they are exactly the archive.
    pub fn parts(&self) -> Parts<'_> {
        Parts::new(self)
    }

    /// How many parts there are.
    pub fn part_count(&self) -> u32 {
        u32::try_from(self.length.div_ceil(self.part_size)).unwrap_or(u32::MAX)
    }
}

/// The length of every part but the last: a function of the volume's length alone, never of this
/// machine's memory, so that all machines cut alike.
pub fn part_size(length: u64) -> u64 {
    MIN_PART_BYTES.max(length.div_ceil(TARGET_PARTS).next_multiple_of(MIB))
}

/// `Smith.zip`, or `Smith-2-of-3.zip` where there are several.
pub fn volume_name(file_name: &str, index: usize, count: usize) -> String {
    if count == 1 {
        return file_name.to_owned();
    }
    let (stem, extension) = match file_name.rfind('.') {
        Some(dot) if dot > 0 => file_name.split_at(dot),
        _ => (file_name, ""),
    };
    format!("{stem}-{}-of-{count}{extension}", index + 1)
}

/// Fills one volume after the other, in order, each up to `max` bytes. A photo that does not fit
/// into any volume gets one of its own: better too long than lost.
fn split(entries: Vec<Entry>, max: Option<u64>) -> Result<Vec<Vec<Entry>>, PlanError> {
    let Some(max) = max else {
        return Ok(vec![entries]);
    };
    let mut groups: Vec<Vec<Entry>> = Vec::new();
    let mut length = 0;
    for entry in entries {
        let cost = layout::cost(&entry)?;
        match groups.last_mut() {
            Some(group) if length + cost.entry <= max => {
                length += cost.entry;
                group.push(entry);
            }
            _ => {
                length = cost.archive + cost.entry;
                groups.push(vec![entry]);
            }
        }
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::manifest::Defaults;
    use crate::manifest::SourceRules;

    pub(super) fn manifest(count: usize, max_archive_bytes: Option<u64>) -> Manifest {
        let urls: Vec<String> = (0..count)
            .map(|n| format!("\"https://a.example/IMG_{n:05}.jpg\""))
            .collect();
        let max = max_archive_bytes.map_or(String::new(), |max| {
            format!("\"max_archive_bytes\": {max},")
        });
        let json = format!(
            "{{\"event_id\": \"event\", {max} \"photos\": [{}]}}",
            urls.join(",")
        );
        Manifest::parse(
            json.as_bytes(),
            &Defaults::default(),
            &SourceRules::anything(),
        )
        .unwrap()
    }

    pub(super) fn present(sizes: &[u64]) -> Vec<Fate> {
        sizes
            .iter()
            .map(|size| Fate::Present {
                size: *size,
                modified: Some("2026-06-20T15:04:05Z".parse().unwrap()),
                described: Described::default(),
            })
            .collect()
    }

    fn plan(sizes: &[u64], max: Option<u64>) -> Plan {
        Plan::new(&manifest(sizes.len(), max), &present(sizes)).unwrap()
    }

    #[test]
    fn missing_photos_are_left_out_and_noted() {
        let mut fates = present(&[10, 20, 30]);
        fates[1] = Fate::Missing(MissingReason::NotFound);
        let plan = Plan::new(&manifest(3, None), &fates).unwrap();
        insta::assert_json_snapshot!(plan);
    }

    #[test]
    fn a_plan_survives_its_json() {
        let mut fates = present(&[10, 20, 30]);
        fates[2] = Fate::Missing(MissingReason::Refused { status: 451 });
        let plan = Plan::new(&manifest(3, Some(200)), &fates).unwrap();
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    }

    #[test]
    fn times_are_those_of_the_manifests_zone() {
        let manifest = |zone: &str| {
            let json = format!(
                "{{\"event_id\": \"e\", \"photos\": [\"https://a.example/1.jpg\", \"https://a.example/2.jpg\"]{zone}}}"
            );
            let rules = SourceRules::anything();
            Manifest::parse(json.as_bytes(), &Defaults::default(), &rules).unwrap()
        };
        let mut fates = present(&[10, 20]);
        fates[1] = Fate::Present {
            size: 20,
            modified: None,
            described: Described::default(),
        };
        let headers = |zone: &str| {
            let plan = Plan::new(&manifest(zone), &fates).unwrap();
            let entries = &plan.volumes[0].entries;
            [0, 1].map(|index| layout::local_header(&entries[index], 0).unwrap())
        };
        let utc = headers("");
        let zoned = headers(", \"time_zone\": \"Asia/Kolkata\"");
        assert_eq!(utc[1], zoned[1]);
        // 15:04:04 became 20:34:04, five and a half hours later; nothing else is different.
        assert_eq!(utc[0][10..12], (15_u16 << 11 | 4 << 5 | 2).to_le_bytes());
        assert_eq!(zoned[0][10..12], (20_u16 << 11 | 34 << 5 | 2).to_le_bytes());
        assert_eq!(
            (&utc[0][..10], &utc[0][12..]),
            (&zoned[0][..10], &zoned[0][12..])
        );
        // A plan survives its JSON.
        let plan = Plan::new(&manifest(", \"time_zone\": \"Asia/Kolkata\""), &fates).unwrap();
        let json = serde_json::to_string(&plan).unwrap();
        assert!(json.contains("\"local\":\"2026-06-20T20:34:05\""), "{json}");
        assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    }

    #[test]
    fn descriptions_name_photos_that_are_there() {
        let json = br#"{"event_id": "e", "photos": ["https://a.example/1", "https://a.example/2",
            "https://a.example/3"]}"#;
        let rules = SourceRules::anything();
        let manifest = Manifest::parse(json, &Defaults::default(), &rules).unwrap();
        let mut fates = present(&[10, 20, 30]);
        for fate in &mut fates {
            if let Fate::Present { described, .. } = fate {
                described.content_type = Some("image/jpeg".to_owned());
            }
        }
        fates[1] = Fate::Missing(MissingReason::NotFound);
        let plan = Plan::new(&manifest, &fates).unwrap();
        let names: Vec<&str> = (plan.volumes[0].entries.iter())
            .map(|entry| entry.name.as_str())
            .collect();
        assert_eq!(names, ["1.jpg", "3.jpg", "MISSING.txt"]);
        assert_eq!(plan.missing[0].name.as_str(), "2");
    }

    #[test]
    fn nothing_left_is_an_error() {
        let fates = vec![Fate::Missing(MissingReason::NotFound); 2];
        let error = Plan::new(&manifest(2, None), &fates).unwrap_err();
        assert!(matches!(error, PlanError::NothingLeft));
    }

    #[test]
    fn volumes_end_before_the_limit() {
        let plan = plan(&[400, 400, 400, 5000, 400], Some(1500));
        let shape: Vec<(String, usize, bool)> = plan
            .volumes
            .iter()
            .map(|v| (v.name.clone(), v.entries.len(), v.length <= 1500))
            .collect();
        assert_eq!(
            shape,
            [
                ("event-1-of-4.zip".to_owned(), 2, true),
                ("event-2-of-4.zip".to_owned(), 1, true),
                ("event-3-of-4.zip".to_owned(), 1, false),
                ("event-4-of-4.zip".to_owned(), 1, true),
            ]
        );
    }

    #[test]
    fn volumes_are_numbered_before_the_extension() {
        let name = |file_name| volume_name(file_name, 1, 3);
        assert_eq!(name("Smith.zip"), "Smith-2-of-3.zip");
        assert_eq!(name("Photos.ZIP"), "Photos-2-of-3.ZIP");
        assert_eq!(name("photos"), "photos-2-of-3");
        assert_eq!(volume_name("Smith.zip", 0, 1), "Smith.zip");
    }

    #[test]
    fn parts_grow_with_the_volume() {
        assert_eq!(part_size(1), 8 * MIB);
        assert_eq!(part_size(9_500 * 8 * MIB), 8 * MIB);
        assert_eq!(part_size(9_500 * 8 * MIB + 1), 9 * MIB);
        assert!(MAX_VOLUME_BYTES.div_ceil(part_size(MAX_VOLUME_BYTES)) <= 10_000);
        assert!(part_size(MAX_VOLUME_BYTES) < 5 << 30);
    }

    #[test]
    fn a_volume_that_no_bucket_keeps_is_refused() {
        let error = Plan::new(&manifest(2, None), &present(&[3 << 40, 2 << 40])).unwrap_err();
        assert!(error.to_string().contains("max_archive_bytes"), "{error}");
    }

    fn sizes() -> impl Strategy<Value = Vec<u64>> {
        let four_gib = u64::from(u32::MAX);
        let size = prop_oneof![
            Just(0),
            Just(1),
            0..200_000u64,
            (0..400u64).prop_map(|d| 8 * MIB - 200 + d),
            (0..400u64).prop_map(|d| 16 * MIB - 200 + d),
            0..64 * MIB,
            (0..4u64).prop_map(move |d| four_gib - 2 + d),
            (0..400u64).prop_map(move |d| four_gib - 300 + d),
        ];
        proptest::collection::vec(size, 1..30)
    }

    proptest! {
        #[test]
        fn parts_and_segments_tile_the_archive(sizes in sizes()) {
            let plan = plan(&sizes, None);
            let volume = &plan.volumes[0];
            let mut at = 0;
            let mut bodies = vec![0; volume.entries.len()];
            let mut headers = vec![0; volume.entries.len()];
            let mut tail = 0;
            let mut number = 0;
            for part in volume.parts() {
                number += 1;
                prop_assert_eq!(part.number, number);
                prop_assert_eq!(part.offset, at);
                prop_assert!(part.offset + part.length == volume.length || part.length == volume.part_size);
                prop_assert_eq!(part.segments.iter().map(|s| s.length).sum::<u64>(), part.length);
                for segment in &part.segments {
                    prop_assert!(segment.length > 0);
                    match segment.kind {
                        SegmentKind::Header { entry, from } => {
                            prop_assert_eq!(volume.entries[entry].header_offset + from, at);
                            prop_assert_eq!(headers[entry], from);
                            headers[entry] += segment.length;
                        }
                        SegmentKind::Body { entry, from } => {
                            prop_assert_eq!(volume.entries[entry].data_offset + from, at);
                            prop_assert_eq!(bodies[entry], from);
                            bodies[entry] += segment.length;
                        }
                        SegmentKind::Tail { from } => {
                            prop_assert_eq!(volume.central_directory_offset + from, at);
                            prop_assert_eq!(tail, from);
                            tail += segment.length;
                        }
                    }
                    at += segment.length;
                }
            }
            prop_assert_eq!(at, volume.length);
            prop_assert_eq!(number, volume.part_count());
            prop_assert_eq!(bodies, sizes);
        }

        #[test]
        fn volumes_are_a_partition_within_the_limit(sizes in sizes(), max in 200..10_000_000_000u64) {
            let plan = plan(&sizes, Some(max));
            let photos: Vec<usize> = plan.volumes.iter().flat_map(|v| &v.entries).map(|e| match e.content {
                Content::Photo(photo) => photo,
                Content::Text(_) => usize::MAX,
            }).collect();
            prop_assert_eq!(photos, (0..sizes.len()).collect::<Vec<_>>());
            for volume in &plan.volumes {
                prop_assert!(volume.length <= max || volume.entries.len() == 1);
            }
        }
    }
}
