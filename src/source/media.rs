//! Tells photos and films from pages, by their first bytes.
//!
//! Servers answer 200 with a login, error or virus-scan page where a photo should be. Such an answer
//! calls itself `text/html` or the like, but so do some servers' photos; only the bytes tell.

use bytes::Bytes;

use super::SourceError;
use crate::manifest::{Described, Photo, PhotoUrl};
use crate::plan::MissingReason;

/// Bytes that tell: two packets of a transport stream, and more than any other format needs.
pub const TELLING_BYTES: usize = 512;

/// Endings of documents. Who asks for one by such a name means it.
const DOCUMENTS: &[&str] = &[
    "aae", "css", "csv", "gpx", "htm", "html", "ics", "js", "json", "kml", "log", "md", "rtf",
    "srt", "svg", "tsv", "txt", "vcf", "vtt", "xhtml", "xml", "xmp", "yaml", "yml",
];

/// First bytes of images and films, and where they are.
const SIGNATURES: &[(usize, &[u8])] = &[
    // JPEG, JPEG XL, JPEG 2000, JPEG XR.
    (0, b"\xff\xd8\xff"),
    (0, b"\xff\x0a"),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n"),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n"),
    (0, b"\xff\x4f\xff\x51"),
    (0, b"II\xbc"),
    (0, b"\x89PNG\r\n\x1a\n"),
    (0, b"\x8aMNG\r\n\x1a\n"),
    (0, b"GIF87a"),
    (0, b"GIF89a"),
    // TIFF, BigTIFF, and the raw formats that are TIFF: DNG, NEF, ARW, CR2.
    (0, b"II*\x00"),
    (0, b"MM\x00*"),
    (0, b"II+\x00"),
    (0, b"MM\x00+"),
    // Raw formats of Olympus, Panasonic, Fujifilm, Canon, Minolta, Sigma.
    (0, b"IIRO"),
    (0, b"IIRS"),
    (0, b"MMOR"),
    (0, b"IIU\x00"),
    (0, b"FUJIFILMCCD-RAW"),
    (0, b"II\x1a\x00\x00\x00HEAPCCDR"),
    (0, b"\x00MRM"),
    (0, b"FOVb"),
    (0, b"8BPS"),
    (0, b"\x00\x00\x01\x00"),
    (0, b"qoif"),
    (0, b"gimp xcf"),
    // HEIC, AVIF, CR3, MP4, MOV, 3GP; and films whose index or data come first.
    (4, b"ftyp"),
    (4, b"moov"),
    (4, b"mdat"),
    (4, b"wide"),
    (4, b"free"),
    (4, b"skip"),
    (4, b"pnot"),
    // Matroska and WebM, Ogg, Windows Media, Flash, MPEG.
    (0, b"\x1a\x45\xdf\xa3"),
    (0, b"OggS"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    (0, b"FLV\x01"),
    (0, b"\x00\x00\x01\xba"),
    (0, b"\x00\x00\x01\xb3"),
];

/// Forms within a RIFF file.
const RIFF_FORMS: &[&[u8]] = &[b"WEBP", b"AVI ", b"AVIX", b"CDXA"];

/// Lengths of the packets of transport streams, and where in a packet its mark is.
const TRANSPORT_PACKETS: [(usize, usize); 2] = [(0, 188), (4, 192)];

/// Returns whether these are the first bytes of an image or a film.
pub fn is_media(first: &[u8]) -> bool {
    let at = |offset: usize, bytes: &[u8]| {
        first
            .get(offset..)
            .is_some_and(|rest| rest.starts_with(bytes))
    };
    SIGNATURES.iter().any(|(offset, bytes)| at(*offset, bytes))
        || at(0, b"RIFF") && RIFF_FORMS.iter().any(|form| at(8, form))
        || is_bitmap(first)
        || is_svg(first)
        || TRANSPORT_PACKETS
            .iter()
            .any(|(mark, length)| at(*mark, b"G") && at(mark + length, b"G"))
}

/// BMP: two letters alone would be the beginning of many a text, so its reserved fields and the
/// length of its next header count too.
fn is_bitmap(first: &[u8]) -> bool {
    first.starts_with(b"BM")
        && first.get(6..10) == Some(&[0; 4])
        && first.get(15..18) == Some(&[0; 3])
}

fn is_svg(first: &[u8]) -> bool {
    let text = String::from_utf8_lossy(first).to_ascii_lowercase();
    let text = text.trim_start_matches('\u{feff}').trim_start();
    text.starts_with("<svg")
        || text.starts_with("<?xml") && text.contains("<svg")
        || text.starts_with("<!doctype svg")
}

/// Returns whether documents, and no photos, are called that. `multipart` is a webcam's stream of pictures.
fn is_page(content_type: &str) -> bool {
    let Some((kind, form)) = content_type.split_once('/') else {
        return false;
    };
    match kind {
        "image" | "video" | "audio" => false,
        "text" | "multipart" => true,
        _ => {
            let form = form.strip_prefix("x-").unwrap_or(form);
            matches!(form, "json" | "xml" | "javascript" | "ecmascript")
                || form.ends_with("+json")
                || form.ends_with("+xml")
        }
    }
}

/// Returns whether the manifest says by length, checksum or name that it is this that it wants.
fn is_vouched_for(photo: &Photo) -> bool {
    photo.size.is_some()
        || !photo.hashes.is_empty()
        || photo.own_name().is_some_and(|name| {
            let ending = name.rsplit_once('.').map(|(_, ending)| ending.trim_end());
            ending.is_some_and(|ending| {
                DOCUMENTS
                    .iter()
                    .any(|document| document.eq_ignore_ascii_case(ending))
            })
        })
}

/// A look at the first bytes of an answer, where its `Content-Type` gives reason to.
///
/// Only the web is looked at: what is in a bucket is what its owner put there, and no server stands
/// before it that would answer with a page instead.
#[derive(Debug)]
pub struct Look {
    /// The `Content-Type`; `None` as soon as there is nothing to look for.
    suspect: Option<String>,
    first: Vec<u8>,
}

impl Look {
    /// A look at what was asked for as this photo, and is described like this.
    pub fn new(photo: &Photo, described: &Described) -> Self {
        let content_type = described.content_type.as_ref();
        let suspect = content_type.filter(|content_type| {
            is_page(content_type) && matches!(photo.url, PhotoUrl::Web(_)) && !is_vouched_for(photo)
        });
        Self {
            suspect: suspect.cloned(),
            first: Vec::new(),
        }
    }

    /// A look at nothing, for bytes from the middle of a photo.
    pub fn none() -> Self {
        Self {
            suspect: None,
            first: Vec::new(),
        }
    }

    /// Returns whether there is anything to look for.
    pub fn is_due(&self) -> bool {
        self.suspect.is_some()
    }

    /// Looks at the next bytes.
    ///
    /// # Errors
    /// If enough has come to tell that it is no photo.
    pub fn at(&mut self, bytes: &Bytes) -> Result<(), SourceError> {
        if self.suspect.is_none() {
            return Ok(());
        }
        let more = TELLING_BYTES - self.first.len();
        self.first
            .extend_from_slice(&bytes[..bytes.len().min(more)]);
        if self.first.len() < TELLING_BYTES {
            return Ok(());
        }
        self.end()
    }

    /// Decides by the bytes that there are; there are no more.
    ///
    /// # Errors
    /// If it is no photo.
    pub fn end(&mut self) -> Result<(), SourceError> {
        match self.suspect.take() {
            Some(content_type) if !is_media(&self.first) => {
                Err(SourceError::Missing(MissingReason::NotAPhoto {
                    content_type,
                }))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::SourceRules;

    fn photo(url: &str, name: Option<&str>) -> Photo {
        Photo {
            url: PhotoUrl::parse(url, &SourceRules::anything()).unwrap(),
            name: name.map(str::to_owned),
            listed_as: None,
            selection: None,
            size: None,
            modified: None,
            hashes: crate::manifest::Hashes::default(),
        }
    }

    fn look(photo: &Photo, content_type: &str) -> Look {
        let described = Described {
            content_type: Some(content_type.to_owned()),
            file_name: None,
        };
        Look::new(photo, &described)
    }

    #[test]
    fn images_and_films_are_known_by_their_first_bytes() {
        let mut transport = vec![0; TELLING_BYTES];
        (transport[0], transport[188]) = (b'G', b'G');
        let bitmap = b"BM\x36\x00\x0c\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00";
        for media in [
            b"\xff\xd8\xff\xe1\x12\x34Exif".as_slice(),
            b"\x00\x00\x00\x18ftypheic",
            b"\x00\x00\x00\x14ftypqt  ",
            b"RIFF\x00\x01\x00\x00WEBPVP8 ",
            b"RIFF\x00\x01\x00\x00AVI LIST",
            b"II*\x00\x08\x00\x00\x00CR\x02",
            b"FUJIFILMCCD-RAW 0201",
            b"\x1a\x45\xdf\xa3\x01",
            b"<?xml version=\"1.0\"?>\n<svg xmlns=",
            b"\xef\xbb\xbf<SVG>",
            bitmap,
            &transport,
        ] {
            assert!(is_media(media), "{media:?}");
        }
        for other in [
            b"".as_slice(),
            b"<!DOCTYPE html>",
            b"{\"error\": 403}",
            b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>",
            b"BMW is a maker of cars",
            b"Go away",
            b"RIFF raff",
            b"%PDF-1.7",
        ] {
            assert!(!is_media(other), "{other:?}");
        }
    }

    #[test]
    fn only_documents_are_suspect() {
        let photo = photo("https://h.example/a.jpg", None);
        for page in [
            "text/html",
            "text/plain",
            "application/json",
            "application/problem+json",
            "application/xml",
            "text/xml",
            "application/xhtml+xml",
            "application/x-javascript",
            "multipart/x-mixed-replace",
        ] {
            assert!(look(&photo, page).is_due(), "{page}");
        }
        for other in [
            "image/jpeg",
            "image/svg+xml",
            "video/mp4",
            "application/octet-stream",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "binary",
            "",
        ] {
            assert!(!look(&photo, other).is_due(), "{other}");
        }
        assert!(!Look::new(&photo, &Described::default()).is_due());
    }

    #[test]
    fn what_the_manifest_vouches_for_is_not_suspect() {
        for (url, name) in [
            ("https://h.example/guests.html", None),
            ("https://h.example/guests.HTM?x=1", None),
            ("https://h.example/story", Some("Ceremony/story.htm")),
            ("https://h.example/a", Some("IMG_1.AAE")),
            ("gs://bucket/a.jpg", None),
        ] {
            assert!(
                !look(&photo(url, name), "text/html").is_due(),
                "{url} {name:?}"
            );
        }
        for (url, name) in [
            ("https://h.example/a.jpg", None),
            ("https://h.example/download.php", None),
            ("https://h.example/gallery.html", Some("IMG_1.jpg")),
            ("https://h.example/", None),
        ] {
            assert!(
                look(&photo(url, name), "text/html").is_due(),
                "{url} {name:?}"
            );
        }
        let sized = Photo {
            size: Some(7),
            ..photo("https://h.example/a.jpg", None)
        };
        assert!(!look(&sized, "text/html").is_due());
    }

    #[test]
    fn a_look_takes_bytes_as_they_come() {
        let photo = photo("https://h.example/a.jpg", None);
        let mut slow = look(&photo, "text/html");
        for byte in b"\xff\xd8\xff\xe0" {
            slow.at(&Bytes::copy_from_slice(&[*byte])).unwrap();
        }
        slow.end().unwrap();
        let mut page = look(&photo, "text/html");
        page.at(&Bytes::from_static(b"<html>")).unwrap();
        assert!(page.at(&vec![b' '; 4000].into()).is_err());
        assert!(look(&photo, "text/html").end().is_err(), "an empty page");
    }
}
