//! Texts that people and their tools hand over, which come with blanks around them;
//! and texts of theirs that terminals show.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::manifest::name;

/// The text without blanks, line breaks and a byte order mark at its ends: files, secret managers and shells
/// add those.
///
/// # Errors
/// If a control character is left: no name, address or key has one, and no request can carry it. Or what
/// stands for bytes that are not UTF-8. The error says which, as in "a setting *with a line break in it*".
pub fn tidy(text: &str) -> Result<&str, &'static str> {
    let is_blank = |letter: char| letter.is_whitespace() || letter == '\u{feff}';
    let text = text.trim_matches(is_blank);
    let is_wrong = |letter: &char| letter.is_control() || *letter == '\u{fffd}';
    match text.chars().find(is_wrong) {
        None => Ok(text),
        Some('\n' | '\r') => Err("with a line break in it"),
        Some('\t') => Err("with a tab in it"),
        Some('\u{fffd}') => Err("that is not UTF-8"),
        Some(_) => Err("with a control character in it"),
    }
}

/// The part of an address that may be shown: all but its query, its fragment, and a user and a
/// password, any of which may be a secret.
pub fn shown(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else {
        return address.to_owned();
    };
    let (path, hidden) = match rest.find(['?', '#']) {
        Some(at) => (&rest[..at], "?…"),
        None => (rest, ""),
    };
    let (place, path) = path.split_at(path.find('/').unwrap_or(path.len()));
    match place.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://…@{host}{path}{hidden}"),
        None => format!("{scheme}://{place}{path}{hidden}"),
    }
}

/// The text as a terminal may show it: line breaks and tabs stay; other control characters, which move the cursor
/// or change the terminal, and marks that reverse the reading order become `\u001b`. Inside JSON that is the same
/// text.
pub fn printable(text: &str) -> Cow<'_, str> {
    let is_wrong =
        |c: char| c.is_control() && !matches!(c, '\n' | '\t') || name::is_direction_mark(c);
    if !text.contains(is_wrong) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if is_wrong(letter) {
            // All of them are in the first plane.
            let _ = write!(shown, "\\u{:04x}", u32::from(letter));
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

/// The text on one line: a name with a line break in it would look like a line of ours. Line breaks and tabs become
/// `\u000a`; what else terminals must not see, [`printable`] takes care of.
pub fn one_line(text: &str) -> Cow<'_, str> {
    let breaks = ['\n', '\r', '\t', '\u{85}', '\u{2028}', '\u{2029}'];
    if !text.contains(breaks) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if breaks.contains(&letter) {
            let _ = write!(shown, "\\u{:04x}", u32::from(letter));
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A photo's name could set the terminal's title, or overwrite the line before.
    #[test]
    fn terminals_are_not_told_anything_by_names() {
        for (given, seen) in [
            ("two\n\tlines ü 写真", "two\n\tlines ü 写真"),
            ("\u{1b}]0;x\u{7}", "\\u001b]0;x\\u0007"),
            ("a\rb", "a\\u000db"),
            ("\u{202e}gpj.exe", "\\u202egpj.exe"),
            ("\u{9b}31m\u{7f}\u{2066}", "\\u009b31m\\u007f\\u2066"),
        ] {
            assert_eq!(printable(given), seen);
            let json = serde_json::to_string(given).unwrap();
            let read: String = serde_json::from_str(&printable(&json)).unwrap();
            assert_eq!(read, given);
        }
    }

    #[test]
    fn a_name_makes_no_line_of_its_own() {
        assert_eq!(one_line("a.jpg"), "a.jpg");
        assert_eq!(
            one_line("a\n  state  done\t\u{2028}"),
            "a\\u000a  state  done\\u0009\\u2028"
        );
    }

    #[test]
    fn blanks_go_and_control_characters_are_refused() {
        for given in ["key", " key\n", "\u{feff}key\r\n", "\tkey\u{a0}"] {
            assert_eq!(tidy(given), Ok("key"));
        }
        assert_eq!(tidy("two words"), Ok("two words"));
        assert_eq!(tidy("a\nb"), Err("with a line break in it"));
        assert_eq!(tidy("a\tb"), Err("with a tab in it"));
        assert_eq!(tidy("a\0b"), Err("with a control character in it"));
    }

    #[test]
    fn what_may_be_secret_in_an_address_is_not_shown() {
        for (given, seen) in [
            ("photos/a.zip", "photos/a.zip"),
            (
                "https://h.example/a?X-Amz-Signature=hunter2",
                "https://h.example/a?…",
            ),
            ("https://h.example#hunter2", "https://h.example?…"),
            ("gs://u:hunter2@bucket/x/", "gs://…@bucket/x/"),
            (
                "https://u:hunt@er2@h.example/a@b",
                "https://…@h.example/a@b",
            ),
        ] {
            assert_eq!(shown(given), seen);
        }
    }
}
