//! Titles and names that anybody may have written, made fit to stand in a letter.

use unicode_normalization::char::is_combining_mark;

use super::unlink::unlink;
use super::words::{Message, Words};
use crate::manifest::name::is_direction_mark;

/// Characters of an event's title that a letter shows.
pub(super) const MAX_TITLE: usize = 120;
/// Characters of an event's title in a subject; phones show about forty of the whole.
pub(super) const MAX_TITLE_IN_SUBJECT: usize = 80;
/// Characters of a file name that a letter shows.
const MAX_FILE_NAME: usize = 80;
/// Characters that stay at the end of a shortened file name: `-10-of-12.jpeg` and a little more.
const FILE_NAME_END: usize = 24;

/// Text as one line: without control characters and marks that reverse the reading order (they
/// could forge headers, or disguise what is there), with single spaces between words, and without
/// links ([`unlink`]).
pub(super) fn clean(text: &str) -> String {
    let shown = |c: char| match c {
        c if c.is_control() || c.is_whitespace() => Some(' '),
        c if is_direction_mark(c) => None,
        c => Some(c),
    };
    let text: String = text.chars().filter_map(shown).collect();
    unlink(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// An event's title as one line. There is always one.
pub(super) fn title(event: &str, words: &Words) -> String {
    let title = clean(event);
    if title.is_empty() {
        return words.say(Message::Unnamed, &[]);
    }
    title
}

/// At most `max` characters; what is longer ends in `…`.
pub(super) fn shorten(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    format!("{}…", start_of(text, max - 1))
}

/// A file's name as one line, shortened in the middle: its end tells what it is.
pub(super) fn file_name(name: &str) -> String {
    let name = clean(name);
    shorten_in_the_middle(name)
}

/// An archive's name as [`file_name`] gives it, but without `.zip`, which mail programs link.
pub(super) fn archive_name(name: &str) -> String {
    let stem = name
        .len()
        .checked_sub(4)
        .filter(|at| name.is_char_boundary(*at) && name[*at..].eq_ignore_ascii_case(".zip"));
    match stem {
        Some(at) if at > 0 => file_name(&name[..at]),
        _ => file_name(name),
    }
}

fn shorten_in_the_middle(name: String) -> String {
    let length = name.chars().count();
    if length <= MAX_FILE_NAME {
        return name;
    }
    let start = start_of(&name, MAX_FILE_NAME - FILE_NAME_END - 1);
    let end: String = name.chars().skip(length - FILE_NAME_END).collect();
    format!("{start}…{}", end.trim_start_matches(is_combining_mark))
}

/// A name inside a sentence: one that is read from right to left is set apart, so that it does not
/// pull its neighbours along (Unicode Standard Annex 9, "Explicit Directional Isolates").
pub(super) fn in_a_sentence(name: &str) -> String {
    if name.chars().any(is_right_to_left) {
        format!("\u{2068}{name}\u{2069}")
    } else {
        name.to_owned()
    }
}

/// The first `length` characters, or a few less where an accent or the rest of an emoji would be cut off.
fn start_of(text: &str, length: usize) -> &str {
    const JOINER: char = '\u{200d}';
    let cut = text
        .char_indices()
        .take(length + 1)
        .filter(|(_, c)| !is_combining_mark(*c) && *c != JOINER)
        .last()
        .map_or(0, |(index, _)| index);
    text[..cut].trim_end_matches(|c: char| c == JOINER || c.is_whitespace())
}

/// Hebrew, Arabic and their neighbours (Unicode's blocks for scripts from right to left).
fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}'
        | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_reversals_go() {
        let hostile = "  Smith\r\nBcc: all@example.com\u{202e}gpj.exe\u{2028}\u{0}\u{85} & Jones ";
        assert_eq!(
            clean(hostile),
            "Smith Bcc: all @ example. comgpj. exe & Jones"
        );
        assert_eq!(clean("\u{202e}\r\n"), "");
    }

    #[test]
    fn titles_are_shortened_between_characters() {
        assert_eq!(shorten("Smith", 5), "Smith");
        assert_eq!(shorten("Smith & Jones", 8), "Smith &…");
        assert_eq!(shorten("Smith and", 7), "Smith…");
        assert_eq!(shorten("ééééé", 3), "éé…");
        assert_eq!(shorten("Zoe\u{308} & I", 4), "Zo…");
    }

    #[test]
    fn file_names_keep_their_end() {
        let name = format!("{}-1-of-3.zip", "x".repeat(500));
        let shown = file_name(&name);
        assert_eq!(shown.chars().count(), MAX_FILE_NAME);
        assert!(shown.ends_with("x-1-of-3. zip"), "{shown}");
    }
}
