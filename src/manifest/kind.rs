//! Kinds of files, by the ends of their names and by their media types.

/// A kind of file that an event's photos come with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An image or a film.
    Media,
    /// What cameras and programs put beside one: edits, ratings, sound, subtitles.
    Sidecar,
}

/// The longest end of a name that is known, in bytes.
const MAX_KNOWN_BYTES: usize = 5;

/// The kind of files whose names end in a dot and this.
pub(super) fn of_extension(extension: &str) -> Option<Kind> {
    let mut lower = [0; MAX_KNOWN_BYTES];
    let lower = lower.get_mut(..extension.len())?;
    lower.copy_from_slice(extension.as_bytes());
    lower.make_ascii_lowercase();
    match &*lower {
        b"jpg" | b"jpeg" | b"jpe" | b"jfif" | b"pjpeg" | b"pjp" | b"mpo" | b"insp" => {
            Some(Kind::Media)
        }
        b"heic" | b"heif" | b"hif" | b"avif" | b"avci" => Some(Kind::Media),
        b"png" | b"apng" | b"gif" | b"webp" | b"bmp" | b"dib" | b"svg" | b"ico" => {
            Some(Kind::Media)
        }
        b"tif" | b"tiff" | b"jxl" | b"jp2" | b"j2k" | b"jpf" | b"psd" | b"psb" => Some(Kind::Media),
        // As they come from the sensor.
        b"dng" | b"cr2" | b"cr3" | b"crw" | b"nef" | b"nrw" | b"arw" | b"srf" | b"sr2" | b"raf"
        | b"orf" | b"rw2" | b"rwl" | b"raw" | b"pef" | b"srw" | b"x3f" | b"3fr" | b"fff"
        | b"iiq" | b"mos" | b"mef" | b"mrw" | b"erf" | b"kdc" | b"dcr" | b"gpr" => {
            Some(Kind::Media)
        }
        b"mp4" | b"m4v" | b"mov" | b"qt" | b"avi" | b"mkv" | b"webm" | b"mpg" | b"mpeg"
        | b"mpe" | b"m2v" | b"mts" | b"m2ts" | b"ts" | b"3gp" | b"3gpp" | b"3g2" | b"wmv"
        | b"asf" | b"flv" | b"f4v" | b"ogv" | b"mxf" | b"insv" | b"360" | b"mod" | b"tod"
        | b"vob" | b"dv" | b"braw" | b"r3d" => Some(Kind::Media),
        b"xmp" | b"aae" | b"thm" | b"lrv" | b"lrf" | b"json" | b"pp3" | b"dop" | b"cos"
        | b"on1" | b"srt" | b"gpx" | b"wav" | b"mp3" | b"m4a" => Some(Kind::Sidecar),
        _ => None,
    }
}

/// The usual end of names of images and films of this `Content-Type`, which is in lower case and
/// without parameters.
pub(super) fn extension_of(content_type: &str) -> Option<&'static str> {
    let (kind, subtype) = content_type.split_once('/')?;
    let subtype = subtype.strip_prefix("x-").unwrap_or(subtype);
    Some(match (kind, subtype) {
        ("image", "jpeg" | "jpg" | "pjpeg" | "jfif") => "jpg",
        ("image", "png") => "png",
        ("image", "apng" | "vnd.mozilla.apng") => "apng",
        ("image", "gif") => "gif",
        ("image", "webp") => "webp",
        ("image", "heic" | "heic-sequence") => "heic",
        ("image", "heif" | "heif-sequence") => "heif",
        ("image", "avif" | "avif-sequence") => "avif",
        ("image", "tiff" | "tif") => "tif",
        ("image", "bmp" | "ms-bmp" | "windows-bmp") => "bmp",
        ("image", "svg+xml") => "svg",
        ("image", "icon" | "vnd.microsoft.icon") => "ico",
        ("image", "jxl") => "jxl",
        ("image", "jp2" | "jpeg2000") => "jp2",
        ("image" | "application", "vnd.adobe.photoshop" | "photoshop") => "psd",
        ("image", "adobe-dng" | "dng") => "dng",
        ("image", "canon-cr2") => "cr2",
        ("image", "canon-cr3") => "cr3",
        ("image", "canon-crw") => "crw",
        ("image", "nikon-nef") => "nef",
        ("image", "nikon-nrw") => "nrw",
        ("image", "sony-arw") => "arw",
        ("image", "sony-srf") => "srf",
        ("image", "sony-sr2") => "sr2",
        ("image", "fuji-raf" | "fujifilm-raf") => "raf",
        ("image", "olympus-orf") => "orf",
        ("image", "panasonic-rw2") => "rw2",
        ("image", "panasonic-raw" | "leica-rwl") => "rwl",
        ("image", "pentax-pef") => "pef",
        ("image", "samsung-srw") => "srw",
        ("image", "sigma-x3f") => "x3f",
        ("image", "hasselblad-3fr") => "3fr",
        ("image", "minolta-mrw") => "mrw",
        ("image", "epson-erf") => "erf",
        ("image", "kodak-dcr") => "dcr",
        ("image", "kodak-kdc") => "kdc",
        ("video" | "application", "mp4") => "mp4",
        ("video", "m4v") => "m4v",
        ("video", "quicktime") => "mov",
        ("video", "msvideo" | "avi" | "vnd.avi") => "avi",
        ("video", "matroska") => "mkv",
        ("video", "webm") => "webm",
        ("video", "mpeg") => "mpg",
        ("video", "mp2t") => "mts",
        ("video", "3gpp") => "3gp",
        ("video", "3gpp2") => "3g2",
        ("video", "ms-wmv") => "wmv",
        ("video", "ms-asf") => "asf",
        ("video", "flv") => "flv",
        ("video", "ogg") => "ogv",
        ("video", "dv") => "dv",
        _ => return None,
    })
}

/// Splits a file's name before what says of which kind it is, dot included: `.jpg`, and `.jpg.xmp`
/// of a sidecar that is named after its photo. `None` where nothing is known.
pub(super) fn split(file: &str) -> Option<(&str, &str)> {
    let known = |file: &str| {
        let dot = file.rfind('.').filter(|dot| *dot > 0)?;
        Some((dot, of_extension(&file[dot + 1..])?))
    };
    let (dot, kind) = known(file)?;
    match (kind, known(&file[..dot])) {
        (Kind::Sidecar, Some((before, Kind::Media))) => Some(file.split_at(before)),
        _ => Some(file.split_at(dot)),
    }
}

/// Returns whether a path ends in the name of a file whose kind is known.
pub(super) fn has_known_extension(path: &str) -> bool {
    split(path.rsplit(['/', '\\']).next().unwrap_or_default()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_of_a_type_is_a_known_one() {
        for (content_type, extension) in [
            ("image/jpeg", Some("jpg")),
            ("image/heic", Some("heic")),
            ("image/x-canon-cr3", Some("cr3")),
            ("video/quicktime", Some("mov")),
            ("video/x-matroska", Some("mkv")),
            ("application/mp4", Some("mp4")),
            ("application/octet-stream", None),
            ("text/html", None),
            ("image", None),
            ("", None),
        ] {
            assert_eq!(extension_of(content_type), extension, "{content_type}");
            if let Some(extension) = extension {
                assert_eq!(of_extension(extension), Some(Kind::Media));
            }
        }
    }

    #[test]
    fn names_are_split_before_what_is_known() {
        for (file, split_at) in [
            ("IMG_1.HEIC", Some(("IMG_1", ".HEIC"))),
            ("IMG_1.jpg.xmp", Some(("IMG_1", ".jpg.xmp"))),
            ("IMG_1.xmp", Some(("IMG_1", ".xmp"))),
            ("IMG_1.jpg.jpg", Some(("IMG_1.jpg", ".jpg"))),
            ("a.xmp.xmp", Some(("a.xmp", ".xmp"))),
            (".jpg", None),
            ("v1.2", None),
            ("a.supercalifragilistic", None),
            ("a.ÄÖÜ", None),
            ("", None),
        ] {
            assert_eq!(split(file), split_at, "{file}");
        }
    }
}
