//! CRCs of pieces, and of what the pieces make together.

use crc_fast::{CrcAlgorithm, Digest, checksum};

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
///
/// A CRC is a remainder of polynomials over GF(2), so appending `n` bytes multiplies the one before
/// by x⁸ⁿ (Mark Adler's way in zlib 1.2.12, `crc32_combine_op`). Some 20 multiplications at most,
/// where `crc-fast` squares matrices: that was a third of all CPU time for small photos.
pub(super) fn combine(
    algorithm: CrcAlgorithm,
    pieces: impl IntoIterator<Item = (u32, u64)>,
) -> u32 {
    let field = match algorithm {
        CRC32C => &Field::CRC32C,
        _ => &Field::CRC32,
    };
    pieces.into_iter().fold(0, |before, (crc, length)| {
        if before == 0 {
            return crc;
        }
        field.multiply(field.shift(length), before) ^ crc
    })
}

/// Polynomials over GF(2) modulo that of a reflected CRC; the highest bit stands for x⁰.
struct Field {
    polynomial: u32,
    /// x to the power of 8 · 2ᵏ, for every bit of a length.
    powers: [u32; 64],
}

impl Field {
    const CRC32: Self = Self::new(0xedb8_8320);
    const CRC32C: Self = Self::new(0x82f6_3b78);

    const fn new(polynomial: u32) -> Self {
        let mut field = Self {
            polynomial,
            powers: [0; 64],
        };
        // x⁸
        let mut power = 1 << (31 - 8);
        let mut bit = 0;
        while bit < 64 {
            field.powers[bit] = power;
            power = field.multiply(power, power);
            bit += 1;
        }
        field
    }

    const fn multiply(&self, a: u32, mut b: u32) -> u32 {
        let mut product = 0;
        let mut bit = 1 << 31;
        while bit > 0 {
            if a & bit > 0 {
                product ^= b;
            }
            b = (b >> 1) ^ (self.polynomial & (b & 1).wrapping_neg());
            bit >>= 1;
        }
        product
    }

    /// x to the power of 8 · `bytes`.
    fn shift(&self, bytes: u64) -> u32 {
        (0..64)
            .filter(|bit| bytes >> bit & 1 == 1)
            .fold(1 << 31, |power, bit| self.multiply(power, self.powers[bit]))
    }
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
