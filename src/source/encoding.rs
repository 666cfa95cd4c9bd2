//! `Content-Encoding`, read alike for every source.
//!
//! The header says how the bytes are packed, but much of what is written into it in the wild does
//! not: uploaders label photos `base64` or `utf-8`, and stores keep the `aws-chunked` of the upload.
//! Only the codings that IANA lists change bytes (RFC 9110, 8.4.1); every other token leaves them as
//! they are.

/// The most codings, one upon the other, that are undone: some photos are packed twice.
const MAX_CODINGS: usize = 2;
/// The most characters of a header that are repeated to people.
const MAX_SHOWN: usize = 60;

/// The packing of an answer's bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Encoding {
    /// The bytes are the photo's.
    #[default]
    Identity,
    /// Packed in a way that can be undone.
    Packed {
        /// The codings, in the order in which they were applied.
        codings: Vec<Coding>,
        /// The header, for people.
        written: String,
    },
    /// Packed in a way that cannot be undone here: the header, for people.
    Unreadable(String),
}

/// A coding that can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`, or `x-gzip` (RFC 1952).
    Gzip,
    /// `deflate`: zlib (RFC 1950), or as some servers have it, bare deflate (RFC 1951).
    Deflate,
}

impl Encoding {
    /// Reads a `Content-Encoding`; several lines of it are joined by commas.
    pub fn read(header: &str) -> Self {
        let mut codings = Vec::new();
        let mut readable = true;
        for token in header.split(',') {
            let name = token.split(';').next().unwrap_or_default();
            let name = name.trim().trim_matches('"').to_ascii_lowercase();
            match name.as_str() {
                "gzip" | "x-gzip" => codings.push(Coding::Gzip),
                "deflate" => codings.push(Coding::Deflate),
                "br" | "zstd" | "compress" | "x-compress" | "dcb" | "dcz" | "exi"
                | "pack200-gzip" | "aes128gcm" => readable = false,
                _ => {}
            }
        }
        if readable && codings.is_empty() {
            return Self::Identity;
        }
        let written: String = header.trim().chars().take(MAX_SHOWN).collect();
        if readable && codings.len() <= MAX_CODINGS {
            Self::Packed { codings, written }
        } else {
            Self::Unreadable(written)
        }
    }

    /// Returns whether the bytes are the photo's as they are.
    pub fn is_identity(&self) -> bool {
        *self == Self::Identity
    }

    /// The header, for people; empty for none.
    pub fn written(&self) -> &str {
        match self {
            Self::Identity => "",
            Self::Packed { written, .. } | Self::Unreadable(written) => written,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(header: &str) -> Option<Vec<Coding>> {
        match Encoding::read(header) {
            Encoding::Identity => Some(Vec::new()),
            Encoding::Packed { codings, .. } => Some(codings),
            Encoding::Unreadable(_) => None,
        }
    }

    #[test]
    fn labels_that_are_no_coding_leave_the_bytes_as_they_are() {
        for header in [
            "",
            " ",
            ",",
            "identity",
            "none",
            "base64",
            "utf-8",
            "UTF-8",
            "binary",
            "image/jpeg",
            "aws-chunked",
            "aws-chunked,",
            "aws-chunked, identity",
            "base64,aws-chunked",
            "7bit",
            "gzipped",
        ] {
            assert_eq!(Encoding::read(header), Encoding::Identity, "{header:?}");
        }
    }

    #[test]
    fn gzip_and_deflate_are_known_by_all_their_names() {
        for (header, codings) in [
            ("gzip", vec![Coding::Gzip]),
            ("GZIP", vec![Coding::Gzip]),
            ("x-gzip", vec![Coding::Gzip]),
            (" \"gzip\" ", vec![Coding::Gzip]),
            ("gzip;q=1.0", vec![Coding::Gzip]),
            ("aws-chunked,gzip", vec![Coding::Gzip]),
            ("gzip, aws-chunked", vec![Coding::Gzip]),
            ("deflate", vec![Coding::Deflate]),
            ("deflate, gzip", vec![Coding::Deflate, Coding::Gzip]),
            ("gzip,gzip", vec![Coding::Gzip, Coding::Gzip]),
        ] {
            assert_eq!(packed(header), Some(codings), "{header:?}");
        }
    }

    #[test]
    fn real_codings_that_cannot_be_undone_are_unreadable() {
        for header in [
            "br",
            "zstd",
            "compress",
            "x-compress",
            "gzip, br",
            "aws-chunked,zstd",
            "gzip,gzip,gzip",
        ] {
            let Encoding::Unreadable(written) = Encoding::read(header) else {
                panic!("{header:?}")
            };
            assert_eq!(written, header);
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read(header in "\\PC*") {
            prop_assert!(Encoding::read(&header).written().chars().count() <= MAX_SHOWN);
        }
    }
}
