//! Words that mail programs turn into links, broken up by a space.
//!
//! Titles and names come from outside. In a letter that this service sends, `bank.example` in a title would
//! be a link with this service's good name. A plain space breaks it: it reads well after a dot or a colon
//! (`bank. example`), stays what it is when it is copied, and no mail program looks through it. Invisible
//! characters would not do: U+2060 (word joiner) is dropped from host names (UTS 46), so `bank` U+2060
//! `.example` may still be linked.
//!
//! Telephone numbers stay whole: they look like dates and like the numbers of cameras. The page forbids mail
//! programs to link them (`format-detection` in `templates/letter.html`).

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Extensions of photos, videos and notes that are no top-level domains, so that nothing links names with them.
/// `zip` and `mov` are top-level domains.
const NO_DOMAINS: [&str; 25] = [
    "3gp", "arw", "avif", "bmp", "cr2", "cr3", "dng", "gif", "heic", "heif", "jpeg", "jpg", "m4v",
    "mp4", "nef", "orf", "png", "raf", "raw", "rw2", "svg", "tif", "tiff", "txt", "webp",
];

/// The text without anything that mail programs turn into links.
pub(super) fn unlink(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut broken = String::with_capacity(text.len() + 8);
    for (index, &letter) in letters.iter().enumerate() {
        let before = (letters[..index].iter().rev()).find(|c| !is_ignorable(**c));
        let after = Word(&letters[index + 1..]);
        let Some(before) = before.filter(|c| !c.is_whitespace()) else {
            broken.push(letter);
            continue;
        };
        match mark(letter) {
            Some(Mark::Dot) => {
                broken.push(letter);
                if after.begins_domain() || ends_in_www(&letters[..index]) && !after.is_empty() {
                    broken.push(' ');
                }
            }
            Some(Mark::At) if !after.is_empty() => {
                broken.push(' ');
                broken.push(letter);
                broken.push(' ');
            }
            Some(Mark::Colon) => {
                broken.push(letter);
                if after.begins_address(*before) {
                    broken.push(' ');
                }
            }
            Some(Mark::Slash) => {
                if matches!(mark(*before), Some(Mark::Slash)) {
                    broken.push(' ');
                }
                broken.push(letter);
            }
            Some(Mark::At) | None => broken.push(letter),
        }
    }
    broken
}

/// A job's name for a shell's command, without anything that mail programs turn into links. It is still the same
/// name: a shell drops the backslash in front of a dot. What no job's name has becomes `?`.
pub(super) fn job_in_a_command(job: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let job: String = (job.chars())
        .map(|c| if is_plain(c) { c } else { '?' })
        .collect();
    job.replace('.', "\\.")
}

/// Characters that make links.
enum Mark {
    Dot,
    At,
    Colon,
    Slash,
}

/// Returns what a character is to a linkifier, which normalises it first (UTS 46): `．` is a dot, too.
fn mark(letter: char) -> Option<Mark> {
    // An ellipsis is three dots in a row, and no host has those.
    if matches!(letter, '\u{2025}' | '\u{2026}' | '\u{fe19}' | '\u{fe30}') {
        return None;
    }
    match letter.nfkc().last()? {
        '.' | '\u{3002}' => Some(Mark::Dot),
        '@' => Some(Mark::At),
        ':' => Some(Mark::Colon),
        '/' | '\\' => Some(Mark::Slash),
        _ => None,
    }
}

/// Characters that linkifiers may look through: they are not seen.
fn is_ignorable(letter: char) -> bool {
    is_combining_mark(letter)
        || matches!(letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// The rest of a text after one of the characters that make links.
struct Word<'a>(&'a [char]);

impl Word<'_> {
    /// What is seen of it up to the next blank, normalised.
    fn seen(&self) -> impl Iterator<Item = char> {
        (self.0.iter().copied())
            .take_while(|letter| !letter.is_whitespace())
            .filter(|letter| !is_ignorable(*letter))
            .flat_map(|letter| letter.to_string().nfkc().collect::<Vec<_>>())
    }

    fn is_empty(&self) -> bool {
        self.seen().next().is_none()
    }

    /// Returns whether the end of a host's name may stand here: a letter and one more, but no photo's extension.
    fn begins_domain(&self) -> bool {
        let label: String = (self.seen())
            .take_while(|letter| letter.is_alphanumeric() || *letter == '-')
            .collect();
        let mut letters = label.chars();
        let long = letters.next().is_some_and(char::is_alphabetic) && letters.next().is_some();
        let rest = self.seen().nth(label.chars().count());
        let is_extension = NO_DOMAINS.contains(&label.to_ascii_lowercase().as_str());
        long && (!is_extension || matches!(rest.and_then(mark), Some(Mark::Dot | Mark::Slash)))
    }

    /// Returns whether a colon between these makes an address with a scheme: `https://`, `mailto:a`, `tel:1`.
    fn begins_address(&self, before: char) -> bool {
        self.seen().next().is_some_and(|letter| {
            let is_time = before.is_numeric() && letter.is_numeric();
            matches!(mark(letter), Some(Mark::Slash))
                || (letter.is_alphanumeric() || letter == '+') && !is_time
        })
    }
}

/// Returns whether a text ends in the word `www`.
fn ends_in_www(letters: &[char]) -> bool {
    let seen = letters
        .iter()
        .rev()
        .filter(|letter| !is_ignorable(**letter));
    let end: String = seen.take(3).flat_map(|letter| letter.nfkc()).collect();
    end.eq_ignore_ascii_case("www")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_linked_is_broken_up_and_still_reads_well() {
        let broken = [
            "Claim at evil.com now",
            "https://evil.example/a?b=c",
            "HTTPS\u{ff1a}\u{ff0f}\u{ff0f}evil\u{3002}com",
            "www.evil",
            "ｅｖｉｌ．ｃｏｍ",
            "evil\u{ad}.\u{200b}com",
            "evil.\u{2060}com",
            "user@host and a@evil.com",
            "mailto:a tel:123 tel:+49",
            "\\\\server\\share",
            "photos.zip and IMG_1.MOV",
            "evil.jpg.com evil.jpg/x",
            "evil.xn--p1ai пример.рф",
        ];
        insta::assert_snapshot!(broken.map(unlink).join("\n"));
    }

    #[test]
    fn what_nothing_links_stays_as_it_is() {
        for text in [
            "Smith & Jones",
            "Anna @ Ben, 27.11.2026, 14:30",
            "IMG_0412.jpg",
            "Ceremony/IMG 1.JPEG",
            "A.J. and B. C.",
            "Smith_a…th_and_Jones",
            "1.5 GB :)",
            "@anna",
        ] {
            assert_eq!(unlink(text), text);
        }
        assert_eq!(job_in_a_command("a.com/0"), "a\\.com/0");
    }
}
