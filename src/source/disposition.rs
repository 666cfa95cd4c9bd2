//! The file name in a `Content-Disposition` (RFC 6266), read as leniently as browsers do.

use percent_encoding::percent_decode_str;

/// The file name that an answer gives, with the folders that it may carry cut off. Headers may be
/// repeated; the first name counts.
pub(super) fn file_name<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Option<String> {
    headers
        .into_iter()
        .find_map(|header| in_header(&super::text_of(header)))
}

fn in_header(header: &str) -> Option<String> {
    let (mut plain, mut extended) = (None, None);
    for (name, value) in Parameters(header) {
        if name.eq_ignore_ascii_case("filename") {
            plain = plain.or(Some(value));
        } else if name.eq_ignore_ascii_case("filename*") {
            extended = extended.or(extended_value(&value));
        }
    }
    // The extended form is the one that says how it is encoded.
    [extended, plain].into_iter().flatten().find_map(|name| {
        let name = name.rsplit(['/', '\\']).next().unwrap_or_default().trim();
        (!matches!(name, "" | "." | "..")).then(|| name.to_owned())
    })
}

/// `UTF-8'en'a%20b` (RFC 8187); `None` in a character set that is not known, or not in it after all.
fn extended_value(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_, encoded) = rest.split_once('\'')?;
    let bytes: Vec<u8> = percent_decode_str(encoded).collect();
    match charset.trim().to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" => String::from_utf8(bytes).ok(),
        "iso-8859-1" | "latin1" | "us-ascii" => Some(bytes.into_iter().map(char::from).collect()),
        _ => None,
    }
}

/// The parameters of a header, each a name and a value without its quotes.
struct Parameters<'a>(&'a str);

impl Iterator for Parameters<'_> {
    type Item = (String, String);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.0.trim_start_matches([';', ' ', '\t']);
            if rest.is_empty() {
                return None;
            }
            let end = rest.find([';', '=']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            let Some(after) = after.strip_prefix('=') else {
                // The type itself, or a parameter without a value.
                self.0 = after;
                continue;
            };
            let after = after.trim_start();
            let (value, after) = if let Some(quoted) = after.strip_prefix('"') {
                unquoted(quoted)
            } else {
                let (value, after) = after.split_at(after.find(';').unwrap_or(after.len()));
                (value.trim().to_owned(), after)
            };
            self.0 = after;
            return Some((name.trim().to_owned(), value));
        }
    }
}

/// Returns what is before the closing quote, and what is after it. A backslash counts as itself, but before a
/// quote or another one: some servers send the folders of Windows.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &text[at + 1..]),
            '\\' => {
                let escaped = characters.next_if(|(_, next)| matches!(next, '"' | '\\'));
                value.push(escaped.map_or('\\', |(_, escaped)| escaped));
            }
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(header: &str) -> Option<String> {
        file_name([header.as_bytes()])
    }

    #[test]
    fn every_form_that_servers_use_is_read() {
        for (header, expected) in [
            ("attachment; filename=\"IMG_0042.JPG\"", "IMG_0042.JPG"),
            ("attachment; filename=IMG_0042.JPG", "IMG_0042.JPG"),
            ("ATTACHMENT;FileName = \"a.jpg\" ", "a.jpg"),
            ("filename=a.jpg", "a.jpg"),
            ("inline;filename=first dance.jpg; size=5", "first dance.jpg"),
            ("attachment; filename=\"a;b=c.jpg\"", "a;b=c.jpg"),
            ("attachment; filename=\"a \\\"b\\\".jpg\"", "a \"b\".jpg"),
            ("attachment; filename=\"C:\\Photos\\a.jpg\"", "a.jpg"),
            ("attachment; filename=\"../../etc/a.jpg\"", "a.jpg"),
            ("attachment; filename=\"ü.jpg\"", "ü.jpg"),
            (
                "attachment; filename*=UTF-8''%C3%BC%20%281%29.jpg",
                "ü (1).jpg",
            ),
            (
                "attachment; filename*=utf-8'de'%C3%BC.jpg; filename=\"u.jpg\"",
                "ü.jpg",
            ),
            (
                "attachment; filename=\"u.jpg\"; filename*=iso-8859-1''%FC.jpg",
                "ü.jpg",
            ),
            (
                "attachment; filename=\"u.jpg\"; filename*=UTF-8''%FC.jpg",
                "u.jpg",
            ),
            (
                "attachment; filename=\"u.jpg\"; filename*=koi8-r''%C1.jpg",
                "u.jpg",
            ),
            ("attachment; filename*=\"UTF-8''a.jpg\"", "a.jpg"),
            ("attachment; filename=\"unfinished.jpg", "unfinished.jpg"),
            ("attachment; filename=a.jpg; filename=b.jpg", "a.jpg"),
        ] {
            assert_eq!(name(header).as_deref(), Some(expected), "{header}");
        }
        for header in [
            "",
            "inline",
            "attachment; filename=\"\"",
            "attachment; filename=\"..\"",
            "attachment; filename=\"a/\"",
            "attachment; filename",
            "attachment; name=\"a.jpg\"",
        ] {
            assert_eq!(name(header), None, "{header}");
        }
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_latin_1() {
        let header = b"attachment; filename=\"\xfc.jpg\"".as_slice();
        assert_eq!(file_name([header]), Some("ü.jpg".to_owned()));
    }

    #[test]
    fn the_first_line_with_a_name_counts() {
        let lines = [
            "inline",
            "attachment; filename=a.jpg",
            "attachment; filename=b.jpg",
        ];
        assert_eq!(
            file_name(lines.map(str::as_bytes)),
            Some("a.jpg".to_owned())
        );
    }

    proptest! {
        #[test]
        fn a_quoted_name_is_what_it_was(given in "[^/\\\\\\p{C}\\p{Z}]{1,20}") {
            prop_assume!(given != "." && given != "..");
            let quoted = given.replace('"', "\\\"");
            prop_assert_eq!(name(&format!("attachment; filename=\"{quoted}\"")), Some(given));
        }

        #[test]
        fn an_extended_name_is_what_it_was(given in "[^/\\\\\\p{C}\\p{Z}]{1,20}") {
            prop_assume!(given != "." && given != "..");
            let encoded = percent_encoding::utf8_percent_encode(&given, percent_encoding::NON_ALPHANUMERIC);
            prop_assert_eq!(name(&format!("inline; filename*=UTF-8''{encoded}")), Some(given));
        }

        #[test]
        fn any_header_is_read(header in prop::collection::vec(any::<u8>(), 0..200)) {
            let name = file_name([header.as_slice()]);
            prop_assert!(name.is_none_or(|name| !name.is_empty() && !name.contains(['/', '\\'])));
        }
    }
}
