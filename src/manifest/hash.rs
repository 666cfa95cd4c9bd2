//! Checksums of a photo, written as Google Cloud Storage writes them in `x-goog-hash`: base64
//! of the big-endian CRC32C, and base64 of the MD5.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The checksums that a photo's bytes must have, as far as anyone told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hashes {
    /// CRC-32C (Castagnoli, RFC 3720).
    pub crc32c: Option<u32>,
    /// MD5. Only looked at where there is no CRC32C: it costs as much as the whole rest.
    pub md5: Option<[u8; 16]>,
}

impl Hashes {
    /// Whether there is anything to check.
    pub fn is_empty(self) -> bool {
        self.crc32c.is_none() && self.md5.is_none()
    }

    /// These, completed from `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            crc32c: self.crc32c.or(other.crc32c),
            md5: self.md5.or(other.md5),
        }
    }

    /// Whether both name the same kind of hash with different values.
    pub fn contradicts(self, other: Self) -> bool {
        fn differ<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
            matches!((a, b), (Some(a), Some(b)) if a != b)
        }
        differ(self.crc32c, other.crc32c) || differ(self.md5, other.md5)
    }

    /// Takes over one `crc32c=…` or `md5=…` pair of an `x-goog-hash` header; other kinds and
    /// unreadable values are left aside.
    pub fn read_pair(&mut self, pair: &str) {
        match pair.trim().split_once('=') {
            Some(("crc32c", value)) => self.crc32c = crc32c_from_base64(value).or(self.crc32c),
            Some(("md5", value)) => self.md5 = md5_from_base64(value).or(self.md5),
            _ => {}
        }
    }
}

/// Reads a base64 CRC32C; `None` unless it is exactly four bytes.
pub fn crc32c_from_base64(text: &str) -> Option<u32> {
    let bytes: [u8; 4] = STANDARD.decode(text).ok()?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes))
}

/// Reads a base64 MD5; `None` unless it is exactly sixteen bytes.
pub fn md5_from_base64(text: &str) -> Option<[u8; 16]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_pairs_of_x_goog_hash() {
        // The example of Google's documentation of `x-goog-hash`.
        let mut hashes = Hashes::default();
        for pair in "crc32c=n03x6A==, md5=Ojk9c3dhfxgoKVVHYwFbHQ==".split(',') {
            hashes.read_pair(pair);
        }
        assert_eq!(hashes.crc32c, Some(0x9f4d_f1e8));
        assert_eq!(hashes.md5.map(|md5| md5[0]), Some(0x3a));
    }

    #[test]
    fn leaves_unreadable_hashes_aside() {
        let mut hashes = Hashes::default();
        for pair in ["crc32c=AAA", "md5=n03x6A==", "sha1=AAAA", "", "crc32c"] {
            hashes.read_pair(pair);
        }
        assert!(hashes.is_empty());
    }
}
