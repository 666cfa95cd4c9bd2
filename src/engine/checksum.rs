//! CRCs of pieces, and of what the pieces make together.

use crc_fast::{CrcAlgorithm, Digest, checksum, checksum_combine};

/// The CRC-32 of ZIP, gzip and S3's `x-amz-checksum-crc32` (ISO-HDLC).
pub(super) const CRC32: CrcAlgorithm = CrcAlgorithm::Crc32IsoHdlc;
/// The CRC-32C of Google's `x-goog-hash` (Castagnoli, iSCSI).
pub(super) const CRC32C: CrcAlgorithm = CrcAlgorithm::Crc32Iscsi;

/// The CRC-32 of `bytes`.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    narrow(checksum(CRC32, bytes))
}

/// The value of a running digest of a 32-bit CRC.
pub(super) fn value(digest: &Digest) -> u32 {
    narrow(digest.finalize())
}

/// The CRC of pieces one after the other, each given by its CRC and its length.
pub(super) fn combine(
    algorithm: CrcAlgorithm,
    pieces: impl IntoIterator<Item = (u32, u64)>,
) -> u32 {
    let combined = pieces.into_iter().fold(0, |before, (crc, length)| {
        checksum_combine(algorithm, before, u64::from(crc), length)
    });
    narrow(combined)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a 32-bit CRC in the 64 bits that serve all algorithms"
)]
fn narrow(crc: u64) -> u32 {
    crc as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_combine_to_the_whole(
            bytes in proptest::collection::vec(any::<u8>(), 0..5000),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            for algorithm in [CRC32, CRC32C] {
                let pieces = cuts.windows(2).map(|pair| {
                    let piece = &bytes[pair[0]..pair[1]];
                    (narrow(checksum(algorithm, piece)), piece.len() as u64)
                });
                prop_assert_eq!(combine(algorithm, pieces), narrow(checksum(algorithm, &bytes)));
            }
        }
    }

    #[test]
    fn nothing_has_crc_zero() {
        assert_eq!(combine(CRC32, []), 0);
        assert_eq!(crc32(b""), 0);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
