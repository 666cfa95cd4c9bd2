//! A volume cut into parts of equal length, and each part into what it is made of.

use super::Volume;

/// One part of a volume's upload: a byte range of the ZIP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its number, from 1 as S3 counts.
    pub number: u32,
    /// Where it begins in the archive.
    pub offset: u64,
    /// Its length in bytes; only the last may be shorter than the others.
    pub length: u64,
    /// What it consists of, in order, without gaps. None is empty.
    pub segments: Vec<Segment>,
}

/// A contiguous piece of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Its length in bytes.
    pub length: u64,
    /// What its bytes are.
    pub kind: SegmentKind,
}

/// What a segment's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentKind {
    /// A piece of an entry's local file header.
    Header {
        /// Index of the entry in the volume.
        entry: usize,
        /// Where in the header the piece begins.
        from: u64,
    },
    /// A piece of an entry's bytes.
    Body {
        /// Index of the entry in the volume.
        entry: usize,
        /// Where in the body the piece begins.
        from: u64,
    },
    /// A piece of the central directory and the end records.
    Tail {
        /// Where in the tail the piece begins.
        from: u64,
    },
}

impl SegmentKind {
    /// The same content, `by` bytes later.
    fn advanced(self, by: u64) -> Self {
        match self {
            Self::Header { entry, from } => Self::Header {
                entry,
                from: from + by,
            },
            Self::Body { entry, from } => Self::Body {
                entry,
                from: from + by,
            },
            Self::Tail { from } => Self::Tail { from: from + by },
        }
    }
}

/// The parts of a volume in order, made one at a time: an iterator, because a long volume's
/// segments together would take more memory than its entries.
#[derive(Debug, Clone)]
pub struct Parts<'a> {
    volume: &'a Volume,
    number: u32,
    offset: u64,
    /// The piece that the last part ended in: what is left of it.
    rest: Option<Segment>,
    /// The piece after that.
    next: SegmentKind,
}

impl<'a> Parts<'a> {
    pub(super) fn new(volume: &'a Volume) -> Self {
        let first = if volume.entries.is_empty() {
            SegmentKind::Tail { from: 0 }
        } else {
            SegmentKind::Header { entry: 0, from: 0 }
        };
        Self {
            volume,
            number: 0,
            offset: 0,
            rest: None,
            next: first,
        }
    }

    /// The next whole piece of the archive; empty ones are passed over.
    fn next_piece(&mut self) -> Segment {
        loop {
            let kind = self.next;
            let length = match kind {
                SegmentKind::Header { entry, .. } => {
                    self.next = SegmentKind::Body { entry, from: 0 };
                    let entry = &self.volume.entries[entry];
                    entry.data_offset - entry.header_offset
                }
                SegmentKind::Body { entry, .. } => {
                    self.next = if entry + 1 < self.volume.entries.len() {
                        SegmentKind::Header {
                            entry: entry + 1,
                            from: 0,
                        }
                    } else {
                        SegmentKind::Tail { from: 0 }
                    };
                    self.volume.entries[entry].size
                }
                SegmentKind::Tail { .. } => {
                    self.volume.length - self.volume.central_directory_offset
                }
            };
            if length > 0 {
                return Segment { length, kind };
            }
        }
    }
}

impl Iterator for Parts<'_> {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        let length = self.volume.part_size.min(self.volume.length - self.offset);
        if length == 0 {
            return None;
        }
        let mut segments = Vec::new();
        let mut room = length;
        while room > 0 {
            let piece = match self.rest.take() {
                Some(piece) => piece,
                None => self.next_piece(),
            };
            let taken = piece.length.min(room);
            segments.push(Segment {
                length: taken,
                kind: piece.kind,
            });
            room -= taken;
            if taken < piece.length {
                self.rest = Some(Segment {
                    length: piece.length - taken,
                    kind: piece.kind.advanced(taken),
                });
            }
        }
        self.number += 1;
        let part = Part {
            number: self.number,
            offset: self.offset,
            length,
            segments,
        };
        self.offset += length;
        Some(part)
    }
}
