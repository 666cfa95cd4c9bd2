//! Undoes what a `Content-Encoding` says, in bounded pieces: a kilobyte can unpack to a megabyte.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};

use crate::source::Coding;

/// Packed bytes that are unpacked at once, to at most a thousand times as many.
const PACKED_BYTES: usize = 1024;
/// Room for unpacked bytes that is made at once.
const ROOM_BYTES: usize = 32 * 1024;

/// Unpacks a body. After every [`push`](Self::push), and after [`end`](Self::end), the pieces are
/// to be taken by [`next`](Self::next) until there is none.
pub(super) struct Unpacker {
    /// The coding that was applied last is undone first.
    stages: Vec<Stage>,
    /// The stage whose input ends next, once the body has.
    ending: Option<usize>,
    output: Bytes,
}

struct Stage {
    decoder: Decoder,
    input: Bytes,
    /// True if there was any input. Nothing at all is the packing of nothing.
    begun: bool,
}

enum Decoder {
    Gzip(MultiGzDecoder<Vec<u8>>),
    Inflate(Inflate),
}

impl Unpacker {
    /// Undoes these codings, which are in the order in which they were applied.
    pub(super) fn new(codings: &[Coding]) -> Self {
        let stages = codings.iter().rev().map(|coding| Stage {
            decoder: match coding {
                Coding::Gzip => Decoder::Gzip(MultiGzDecoder::new(Vec::new())),
                Coding::Deflate => Decoder::Inflate(Inflate::default()),
            },
            input: Bytes::new(),
            begun: false,
        });
        Self {
            stages: stages.collect(),
            ending: None,
            output: Bytes::new(),
        }
    }

    /// Adds packed bytes. What was there before must have been taken.
    pub(super) fn push(&mut self, packed: Bytes) {
        match self.stages.first_mut() {
            Some(stage) => stage.input = packed,
            None => self.output = packed,
        }
    }

    /// Says that there are no more packed bytes.
    pub(super) fn end(&mut self) {
        self.ending = Some(0);
    }

    /// The next unpacked bytes; `None` where more packed ones are needed, or at the end.
    ///
    /// # Errors
    /// If the bytes are not packed as they are said to be, or end too early.
    pub(super) fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if !self.output.is_empty() {
                return Ok(Some(std::mem::take(&mut self.output)));
            }
            // The last one first, so that no stage is given bytes before it used up those it has.
            let pending = self
                .stages
                .iter()
                .rposition(|stage| !stage.input.is_empty());
            let (index, unpacked) = match (pending, self.ending) {
                (Some(index), _) => (index, self.stages[index].step()?),
                (None, Some(index)) if index < self.stages.len() => {
                    self.ending = Some(index + 1);
                    (index, self.stages[index].finish()?)
                }
                (None, _) => return Ok(None),
            };
            match self.stages.get_mut(index + 1) {
                Some(next) => next.input = unpacked.into(),
                None => self.output = unpacked.into(),
            }
        }
    }
}

impl Stage {
    fn step(&mut self) -> io::Result<Vec<u8>> {
        let piece = self.input.split_to(self.input.len().min(PACKED_BYTES));
        self.begun = true;
        match &mut self.decoder {
            Decoder::Gzip(decoder) => {
                decoder.write_all(&piece)?;
                Ok(std::mem::take(decoder.get_mut()))
            }
            Decoder::Inflate(inflate) => inflate.step(&piece),
        }
    }

    fn finish(&mut self) -> io::Result<Vec<u8>> {
        if !self.begun {
            return Ok(Vec::new());
        }
        match &mut self.decoder {
            Decoder::Gzip(decoder) => {
                decoder.try_finish()?;
                Ok(std::mem::take(decoder.get_mut()))
            }
            Decoder::Inflate(inflate) if inflate.ended => Ok(Vec::new()),
            Decoder::Inflate(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Undoes `deflate`, with or without zlib's frame around it.
#[derive(Default)]
struct Inflate {
    /// The first bytes, until they tell whether there is a frame.
    first: Vec<u8>,
    decompress: Option<Decompress>,
    /// The stream said that it was over. What follows is ignored, as browsers do.
    ended: bool,
}

impl Inflate {
    fn step(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        let mut output = Vec::new();
        let Some(decompress) = &mut self.decompress else {
            self.first.extend_from_slice(piece);
            if self.first.len() < 2 {
                return Ok(output);
            }
            self.decompress = Some(Decompress::new(has_zlib_frame(&self.first)));
            let first = std::mem::take(&mut self.first);
            return self.step(&first);
        };
        let mut rest = piece;
        while !self.ended {
            output.reserve(ROOM_BYTES);
            let (read, written) = (decompress.total_in(), output.len());
            let status = decompress
                .decompress_vec(rest, &mut output, FlushDecompress::None)
                .map_err(io::Error::other)?;
            let read = usize::try_from(decompress.total_in() - read).map_err(io::Error::other)?;
            rest = &rest[read..];
            self.ended = status == Status::StreamEnd;
            if read == 0 && output.len() == written {
                break;
            }
        }
        Ok(output)
    }
}

/// A method of 8, a window that exists, and a checksum over both (RFC 1950, 2.2). Bare deflate begins
/// like that only if it has bits set that mean nothing.
fn has_zlib_frame(first: &[u8]) -> bool {
    let (method, flags) = (first[0], first[1]);
    method & 0x0f == 8
        && method >> 4 <= 7
        && (u16::from(method) << 8 | u16::from(flags)).is_multiple_of(31)
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn bare(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Unpacks a body that comes in chunks, and tells the longest piece that came of it.
    fn unpack(codings: &[Coding], packed: &[u8], chunk: usize) -> io::Result<(Vec<u8>, usize)> {
        let mut unpacker = Unpacker::new(codings);
        let (mut bytes, mut longest) = (Vec::new(), 0);
        let mut take = |unpacker: &mut Unpacker| {
            while let Some(piece) = unpacker.next()? {
                longest = longest.max(piece.len());
                bytes.extend_from_slice(&piece);
            }
            io::Result::Ok(())
        };
        for chunk in packed.chunks(chunk) {
            unpacker.push(Bytes::copy_from_slice(chunk));
            take(&mut unpacker)?;
        }
        unpacker.end();
        take(&mut unpacker)?;
        Ok((bytes, longest))
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_out(bytes in prop::collection::vec(any::<u8>(), 0..5000), chunk in 1..3000usize) {
            let zeros = [bytes.clone(), vec![0; 100_000]].concat();
            for bytes in [bytes, zeros] {
                for (codings, packed) in [
                    (vec![Coding::Gzip], gzip(&bytes)),
                    (vec![Coding::Deflate], zlib(&bytes)),
                    (vec![Coding::Deflate], bare(&bytes)),
                    (vec![Coding::Gzip, Coding::Gzip], gzip(&gzip(&bytes))),
                    (vec![Coding::Deflate, Coding::Gzip], gzip(&zlib(&bytes))),
                    (vec![], bytes.clone()),
                ] {
                    let (unpacked, _) = unpack(&codings, &packed, chunk).unwrap();
                    prop_assert!(unpacked == bytes, "{codings:?}");
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..3000), chunk in 1..3000usize) {
            for coding in [Coding::Gzip, Coding::Deflate] {
                let _ = unpack(&[coding], &bytes, chunk);
            }
        }
    }

    #[test]
    fn what_is_not_packed_or_cut_short_is_an_error() {
        let photo = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01".repeat(50);
        let packed = [
            (Coding::Gzip, gzip(&photo)),
            (Coding::Deflate, zlib(&photo)),
            (Coding::Deflate, bare(&photo)),
        ];
        for (coding, packed) in packed {
            assert!(unpack(&[coding], &photo, 700).is_err(), "{coding:?}");
            for end in 1..packed.len() {
                assert!(
                    unpack(&[coding], &packed[..end], 700).is_err(),
                    "{coding:?} {end}"
                );
            }
        }
    }

    #[test]
    fn nothing_is_the_packing_of_nothing() {
        let (unpacked, _) = unpack(&[Coding::Gzip, Coding::Deflate], b"", 1).unwrap();
        assert!(unpacked.is_empty());
    }

    #[test]
    fn bombs_come_in_pieces() {
        let zeros = vec![0; 50_000_000];
        for (codings, packed) in [
            (vec![Coding::Deflate], zlib(&zeros)),
            (vec![Coding::Gzip, Coding::Gzip], gzip(&gzip(&zeros))),
        ] {
            let (unpacked, longest) = unpack(&codings, &packed, usize::MAX).unwrap();
            assert_eq!(unpacked.len(), zeros.len());
            assert!(longest < 3_000_000, "{longest}");
        }
    }
}
