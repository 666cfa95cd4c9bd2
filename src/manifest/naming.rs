//! Names that photos would like to have, from what the manifest says and how servers describe them.
//!
//! People open what their system knows by its name, so a name that does not say what kind of file it
//! is gets the extension of the `Content-Type`, and an address that ends in no name (`…/download`)
//! the name of the `Content-Disposition`. What the manifest names stays as it is.

use std::borrow::Cow;

use super::kind::{self, extension_of};
use super::url::OriginFolder;
use super::{Described, EntryName, Photo};

/// The last segments of addresses that are there for programs.
const NO_NAMES: [&str; 44] = [
    "alt",
    "asset",
    "attachment",
    "binary",
    "blob",
    "content",
    "contents",
    "data",
    "dl",
    "download",
    "downloads",
    "export",
    "fetch",
    "file",
    "files",
    "full",
    "fullsize",
    "get",
    "getfile",
    "image",
    "images",
    "img",
    "index",
    "large",
    "main",
    "max",
    "media",
    "object",
    "open",
    "orig",
    "original",
    "photo",
    "photos",
    "picture",
    "preview",
    "raw",
    "render",
    "serve",
    "show",
    "source",
    "stream",
    "thumbnail",
    "uc",
    "view",
];
/// The ends of addresses of programs.
const SCRIPTS: [&str; 17] = [
    "action", "ashx", "asmx", "asp", "aspx", "axd", "cfm", "cgi", "do", "fcgi", "jsp", "jspx",
    "php", "phtml", "pl", "py", "rb",
];
/// Letters and digits from which on they are an id and no word.
const ID_BYTES: usize = 20;

/// The name that a photo would like to have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wish<'a> {
    /// The name, not yet safe.
    pub(super) name: Option<Cow<'a, str>>,
    /// The extension that it has if nothing is left of that, without the dot.
    pub(super) extension: Option<&'static str>,
    /// The folder that it comes from.
    pub(super) origin: OriginFolder<'a>,
}

/// The extent to which a server's description can change a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leeway {
    /// Not at all.
    None,
    /// An extension may be added.
    Extension,
    /// Another name may be given.
    Name,
}

/// The name that a photo would like to have. Without a description it is that of the manifest alone.
pub(super) fn wish<'a>(photo: &'a Photo, described: Option<&'a Described>) -> Wish<'a> {
    let own = photo.own_name();
    if described.is_none() {
        return Wish {
            name: own,
            extension: None,
            origin: photo.url.folder(),
        };
    }
    let content_type = described.and_then(|described| described.content_type.as_deref());
    let extension = content_type.and_then(extension_of);
    let file_name = described.and_then(|described| described.file_name.as_deref());
    let name = match (leeway(photo.name.is_some(), own.as_deref()), own) {
        (Leeway::None, own) => own,
        (leeway, own) => {
            let (folders, file) = split_folders(own.as_deref().unwrap_or_default());
            let file_name = file_name
                .filter(|_| leeway == Leeway::Name)
                .and_then(last_segment);
            let file = match file_name {
                Some(given) if kind::split(given).is_some() => given.to_owned(),
                Some(given) => with_extension(given, extension),
                // Nothing is left of `..`, and an extension alone is no name.
                None if EntryName::sanitize(file).is_none() => String::new(),
                None => with_extension(without_script(file, extension), extension),
            };
            Some(Cow::Owned(format!("{folders}{file}")))
        }
    };
    Wish {
        name,
        extension,
        origin: photo.url.folder(),
    }
}

/// How far a description can change the name of a photo.
pub(super) fn leeway_of(photo: &Photo) -> Leeway {
    leeway(photo.name.is_some(), photo.own_name().as_deref())
}

fn leeway(is_given: bool, own: Option<&str>) -> Leeway {
    let (_, file) = split_folders(own.unwrap_or_default());
    if is_given || kind::split(file).is_some() {
        Leeway::None
    } else if is_no_name(file) {
        Leeway::Name
    } else {
        Leeway::Extension
    }
}

/// Folders with their slash, and the file. A folder itself is called like a file.
fn split_folders(name: &str) -> (&str, &str) {
    let name = name.trim_end_matches('/');
    match name.rfind('/') {
        Some(slash) => name.split_at(slash + 1),
        None => ("", name),
    }
}

/// Returns whether the last segment of an address was made by a program for programs.
fn is_no_name(file: &str) -> bool {
    let is = |words: &[&str], text: &str| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    EntryName::sanitize(file).is_none()
        || is(&NO_NAMES, file)
        || file
            .rsplit_once('.')
            .is_some_and(|(_, end)| is(&SCRIPTS, end))
        || is_id(file)
}

/// Returns whether this is a number, a UUID, or a long row of letters and digits; before an `=`, behind which
/// Google Photos has sizes.
fn is_id(file: &str) -> bool {
    let id = file.split_once('=').map_or(file, |(id, _)| id);
    let all = |test: fn(&u8) -> bool| id.as_bytes().iter().all(test);
    let digits = id.bytes().any(|c| c.is_ascii_digit());
    digits
        && (all(u8::is_ascii_digit)
            || id.len() >= 8 && all(|c| c.is_ascii_hexdigit() || *c == b'-')
            || id.len() >= ID_BYTES && all(|c| c.is_ascii_alphanumeric() || b"-_".contains(c)))
}

/// The file's name in a path that a server gives, whatever system it is of (RFC 6266, 4.3).
fn last_segment(path: &str) -> Option<&str> {
    let name = path.rsplit(['/', '\\']).next()?.trim();
    (!name.trim_matches('.').is_empty()).then_some(name)
}

fn with_extension(file: &str, extension: Option<&str>) -> String {
    match extension {
        Some(extension) => format!("{}.{extension}", file.trim_end_matches('.')),
        None => file.to_owned(),
    }
}

/// Without the program's extension, if there is a better one.
fn without_script<'a>(file: &'a str, extension: Option<&str>) -> &'a str {
    match file.rsplit_once('.') {
        Some((stem, end))
            if extension.is_some()
                && !stem.is_empty()
                && SCRIPTS
                    .iter()
                    .any(|script| script.eq_ignore_ascii_case(end)) =>
        {
            stem
        }
        _ => file,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Defaults, Manifest, SourceRules};

    /// The name of one photo's entry.
    fn name(photo: &str, content_type: Option<&str>, file_name: Option<&str>) -> String {
        let photo = serde_json::from_str(photo).unwrap_or_else(|_| serde_json::json!(photo));
        let manifest = serde_json::json!({"event_id": "e", "photos": [photo]}).to_string();
        let defaults = Defaults::default();
        let manifest =
            Manifest::parse(manifest.as_bytes(), &defaults, &SourceRules::anything()).unwrap();
        let described = Described {
            content_type: content_type.map(str::to_owned),
            file_name: file_name.map(str::to_owned),
        };
        let mut names = manifest.entry_names(|_| Some(&described));
        let name = String::from(names.remove(0));
        // What `verify` may reckon with.
        let plain = manifest.entry_names(|_| None).remove(0);
        let expected = match leeway_of(&manifest.photos[0]) {
            Leeway::None => name == plain.as_str(),
            Leeway::Extension => name.starts_with(plain.as_str()),
            Leeway::Name => true,
        };
        assert!(expected, "{plain} became {name}");
        name
    }

    #[test]
    fn names_without_a_known_extension_get_that_of_their_type() {
        let firebase = "https://h.example/v0/b/x/o/e%2F3f2a9c1e?alt=media";
        for (url, content_type, expected) in [
            (firebase, "image/jpeg", "3f2a9c1e.jpg"),
            ("https://h.example/clip", "video/mp4", "clip.mp4"),
            ("https://h.example/v1.2", "image/png", "v1.2.png"),
            ("https://h.example/b=w2048", "image/jpeg", "b=w2048.jpg"),
            ("https://h.example/photo.", "image/jpeg", "photo.jpg"),
            ("https://h.example/original", "image/heic", "original.heic"),
            ("https://h.example/view.php?id=1", "image/jpeg", "view.jpg"),
            ("https://h.example/", "image/jpeg", "photo-0001.jpg"),
            ("https://h.example/a/..", "image/jpeg", "photo-0001.jpg"),
            ("gs://bucket/e/3f2a9c1e", "image/webp", "3f2a9c1e.webp"),
            (
                "s3://bucket/e/first dance",
                "video/quicktime",
                "first dance.mov",
            ),
            // Known, or not to be known.
            ("https://h.example/a.JPEG", "image/png", "a.JPEG"),
            ("https://h.example/IMG_1.xmp", "image/jpeg", "IMG_1.xmp"),
            ("https://h.example/a", "application/octet-stream", "a"),
            ("https://h.example/story", "text/html", "story"),
        ] {
            assert_eq!(name(url, Some(content_type), None), expected, "{url}");
        }
        assert_eq!(name("https://h.example/a", None, None), "a");
    }

    #[test]
    fn addresses_without_a_name_have_the_servers() {
        let jpeg = Some("image/jpeg");
        for url in [
            "https://h.example/api/assets/1f/original?key=k",
            "https://h.example/files/7/download",
            "https://h.example/uc?export=download&id=1",
            "https://h.example/action.php?id=3",
            "https://h.example/View.ASPX",
            "https://h.example/photos/7/",
            "https://h.example",
            "https://h.example/photo/12345",
            "https://h.example/0b7a2c1e-6a5f-4b1e-9d53-1f2e3d4c5b6a",
            "https://lh3.example/pw/AP1GczN9_x7dkQ2mM0aa=w2048-h1536",
            "https://drive.example/1A2b3C4d5E6f7G8h9I0jKlMnOpQ",
        ] {
            let named = name(url, jpeg, Some("IMG_0042.JPG"));
            assert_eq!(named, "IMG_0042.JPG", "{url}");
        }
        let download = "https://h.example/download";
        for (file_name, expected) in [
            ("IMG_0042", "IMG_0042.jpg"),
            ("Anna & Ben.heic", "Anna & Ben.heic"),
            ("../../etc/IMG_1.jpg", "IMG_1.jpg"),
            ("C:\\Users\\me\\IMG_1.jpg", "IMG_1.jpg"),
            ("con.jpg", "_con.jpg"),
            ("..", "download.jpg"),
            ("", "download.jpg"),
        ] {
            assert_eq!(name(download, jpeg, Some(file_name)), expected);
        }
    }

    #[test]
    fn names_that_say_what_they_are_stay() {
        let jpeg = Some("image/jpeg");
        for url in [
            "a.jpeg",
            "B.JPG",
            "c.heic",
            "d.MOV",
            "e.png",
            "IMG_1.jpg.xmp",
        ] {
            let named = name(&format!("https://h.example/{url}"), jpeg, Some("other.jpg"));
            assert_eq!(named, url);
        }
        // A word is a name, too.
        let dance = name("https://h.example/first%20dance", jpeg, Some("other.jpg"));
        assert_eq!(dance, "first dance.jpg");
        for given in ["Ceremony/first dance", "original", "story.php", "7"] {
            let photo = format!(r#"{{"url": "https://h.example/download", "name": "{given}"}}"#);
            assert_eq!(name(&photo, jpeg, Some("other.jpg")), given);
        }
    }
}
