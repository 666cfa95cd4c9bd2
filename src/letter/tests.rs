//! What every letter promises, whatever it says.

use proptest::prelude::*;

use super::samples::{self, archive, every_reason, missing, one_archive};
use super::*;
use crate::plan::MissingReason;

/// Gmail cuts off what is longer.
const GMAIL_MAX_HTML: usize = 102 * 1024;
/// Gmail drops style sheets that are longer.
const GMAIL_MAX_STYLE: usize = 8 * 1024;

fn named(name: &str) -> Letter {
    let mut all = samples::all().into_iter();
    all.find(|(it, _)| *it == name).unwrap().1
}

fn snapshot(name: &str) {
    let letter = named(name);
    let shown = format!("Subject: {}\n\n{}", letter.subject, letter.text);
    insta::assert_snapshot!(format!("{name}.txt"), shown);
    insta::assert_snapshot!(format!("{name}.html"), letter.html);
}

#[test]
fn one_archive_is_one_button() {
    snapshot("ready");
}

#[test]
fn three_archives_and_what_is_missing() {
    snapshot("ready-three");
}

#[test]
fn hostile_names_are_only_text() {
    snapshot("ready-hostile");
}

#[test]
fn everything_is_there_in_german() {
    snapshot("ready-german");
}

#[test]
fn bad_news_is_told_kindly() {
    snapshot("sorry");
    snapshot("sorry-german");
}

#[test]
fn the_operator_learns_what_to_do() {
    snapshot("alert");
}

#[test]
fn nothing_is_loaded_and_no_style_sheet_is_too_long_for_gmail() {
    for (name, letter) in samples::all() {
        for word in ["<img", "<link", "@import", "url(", "<script"] {
            assert!(!letter.html.contains(word), "{name} has `{word}`");
        }
        let style = letter.html.split("</style>").next().unwrap();
        assert!(style.len() < GMAIL_MAX_STYLE, "{name}");
    }
}

#[test]
fn many_archives_become_several_letters_that_gmail_shows_whole() {
    let names: Vec<String> = (1..=500)
        .map(|n| format!("{}{n}.zip", "&".repeat(200)))
        .collect();
    let urls: Vec<String> = (1..=500)
        .map(|n| format!("https://example.com/{}/{n}.", "&".repeat(300)))
        .collect();
    let archives: Vec<ArchiveLink> = (names.iter().zip(&urls))
        .map(|(name, url)| ArchiveLink {
            url,
            ..archive(name)
        })
        .collect();
    let gone = vec![
        missing(
            &"'".repeat(200),
            MissingReason::WrongSize {
                expected: 1,
                found: 2
            }
        );
        1000
    ];
    let facts = Ready {
        event: &"<".repeat(500),
        archives: &archives,
        missing: &gone,
        missing_count: 5000,
        ..one_archive()
    };
    for locale in Locale::ALL {
        let letters = ready(&facts, locale);
        let count = letters.len();
        for (letter, number) in letters.iter().zip(1..) {
            assert!(letter.html.len() < GMAIL_MAX_HTML, "{}", letter.html.len());
            let of = format!(
                "({number} {} {count})",
                if locale == Locale::En { "of" } else { "von" }
            );
            assert!(letter.subject.contains(&of), "{}", letter.subject);
        }
        let all: String = letters.iter().map(|letter| letter.text.as_str()).collect();
        for url in &urls {
            assert_eq!(all.matches(url.as_str()).count(), 1);
        }
    }
}

#[test]
fn a_button_takes_no_more_than_is_reckoned() {
    let length = |archives: &[ArchiveLink]| {
        let facts = Ready {
            archives,
            ..one_archive()
        };
        ready(&facts, Locale::En)[0].html.len()
    };
    let plain = ArchiveLink {
        url: "",
        ..archive("")
    };
    let button = length(&[plain; 10]) - length(&[plain; 9]);
    assert!(button <= ready::BUTTON_BYTES, "{button}");
}

#[test]
fn at_most_twenty_missing_photos_are_listed() {
    let gone = vec![missing("a.jpg", MissingReason::NotFound); 30];
    let text = |listed: usize, missing_count| {
        let facts = Ready {
            missing: &gone[..listed],
            missing_count,
            ..one_archive()
        };
        ready(&facts, Locale::En).remove(0).text
    };
    assert_eq!(text(20, 20).matches("a.jpg").count(), 20);
    assert!(!text(20, 20).contains(" more."));
    assert_eq!(text(30, 1234).matches("a.jpg").count(), 20);
    assert!(text(30, 1234).contains("and 1,214 more."));
    assert!(text(30, 21).contains("and one more."));
    assert!(text(0, 0).find("missing").is_none());
}

#[test]
fn counts_of_one_are_singular() {
    let facts = Ready {
        photos: 1,
        missing: &every_reason()[..1],
        missing_count: 1,
        ..one_archive()
    };
    let english = ready(&facts, Locale::En).remove(0).text;
    assert!(english.contains("1 photo in one archive"), "{english}");
    assert!(english.contains("One photo is missing"), "{english}");
    let german = ready(&facts, Locale::De).remove(0).text;
    assert!(german.contains("1 Foto in einem Archiv"), "{german}");
    assert!(german.contains("Ein Foto fehlt"), "{german}");
}

#[test]
fn a_title_of_nothing_gets_words() {
    let facts = Ready {
        event: " \r\n\u{202e}",
        ..one_archive()
    };
    let letter = ready(&facts, Locale::En).remove(0);
    assert_eq!(letter.subject, "Your photos are ready: Your celebration");
}

fn all_about(event: &str, name: &str, url: &str) -> Vec<Letter> {
    let gone: Vec<_> = (crate::manifest::EntryName::sanitize(name).into_iter())
        .map(|name| crate::plan::Missing {
            name,
            ..missing("a", MissingReason::NotFound)
        })
        .chain([missing("b", MissingReason::NotFound)])
        .take(1)
        .collect();
    let facts = Ready {
        event,
        archives: &[ArchiveLink {
            url,
            ..archive(name)
        }],
        missing: &gone,
        missing_count: 2,
        unsubscribe: None,
        ..one_archive()
    };
    let bad = Sorry {
        event,
        trouble: Trouble::Ours,
        operator_told: true,
        unsubscribe: None,
    };
    let failed = Alert {
        event,
        job: name,
        failure: name,
        exit_code: 1,
        attempts: 1,
        log_stream: Some(url),
    };
    let mut letters = vec![alert(&failed)];
    for locale in Locale::ALL {
        letters.extend(ready(&facts, locale));
        letters.push(sorry(&bad, locale));
    }
    letters
}

/// What makes markup: outside of it, all of these are escaped.
fn markup(letter: &Letter) -> Vec<usize> {
    let count = |c: char| letter.html.matches(c).count();
    ['<', '>', '"', '\''].map(count).to_vec()
}

/// Returns whether some mail program would make a link of a word: `scheme://`, `www.`, `word.tld`, `user@host`.
/// It reads the word as host names are read (UTS 46): normalised, without what is not seen.
fn is_linked(word: &str) -> bool {
    use unicode_normalization::UnicodeNormalization as _;
    let unseen = |c: &char| {
        unicode_normalization::char::is_combining_mark(*c)
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let dots = ['\u{2025}', '\u{2026}', '\u{fe19}', '\u{fe30}'];
    let word: String = (word.replace(dots, " ").chars())
        .filter(|c| !unseen(c))
        .nfkc()
        .map(|c| if c == '\u{3002}' { '.' } else { c })
        .collect::<String>()
        .to_lowercase();
    word.split_whitespace().any(|word| {
        let host = |text: &str| text.starts_with(char::is_alphanumeric);
        let domain = word.match_indices('.').any(|(at, _)| {
            let tld: String = (word[at + 1..].chars())
                .take_while(|c| c.is_alphanumeric() || *c == '-')
                .collect();
            let photo = ["jpg", "jpeg", "png", "txt"].contains(&tld.as_str())
                && !word[at + 1 + tld.len()..].starts_with(['.', '/']);
            word[..at].ends_with(char::is_alphanumeric)
                && tld.starts_with(char::is_alphabetic)
                && tld.chars().count() > 1
                && !photo
        });
        let user = word
            .match_indices('@')
            .any(|(at, _)| word[..at].ends_with(char::is_alphanumeric) && host(&word[at + 1..]));
        word.contains("://") || word.contains("www.") && !word.ends_with("www.") || domain || user
    })
}

#[test]
fn the_linkifier_of_these_tests_finds_links() {
    for word in [
        "https://x",
        "www.x",
        "evil.com",
        "(evil.com)",
        "ｅｖｉｌ．ｃｏｍ",
        "a\u{3002}\u{ad}de",
        "a@b",
        "a.zip",
    ] {
        assert!(is_linked(word), "{word}");
    }
    assert!(!is_linked("IMG_1.jpg") && !is_linked("evil.") && !is_linked("27.11.2026"));
}

/// Text with much of what bites.
fn hostile() -> impl Strategy<Value = String> {
    let bits = prop_oneof![
        Just("<script>".to_owned()),
        Just("\"><b a='".to_owned()),
        Just("\r\nBcc: x".to_owned()),
        Just("\u{202e}\u{2066}\u{85}\u{2028}".to_owned()),
        Just("{{ event }}".to_owned()),
        Just("]]>-->".to_owned()),
        Just("שלום".to_owned()),
        Just("https://evil.example/x?y".to_owned()),
        Just(" www.evil ｅｖｉｌ．com evil\u{3002}\u{ad}de ".to_owned()),
        "[a-z]{1,3}[.:@/．＠：。][a-z]{1,3}",
        ".{0,60}",
        proptest::collection::vec(any::<char>(), 0..30).prop_map(String::from_iter),
    ];
    proptest::collection::vec(bits, 0..6).prop_map(|bits| bits.concat())
}

proptest! {
    #[test]
    fn nothing_from_outside_is_markup_or_a_header(event in hostile(), name in hostile(), url in hostile()) {
        let benign = all_about("Smith", "a", "b");
        for (letter, benign) in all_about(&event, &name, &url).iter().zip(&benign) {
            prop_assert_eq!(markup(letter), markup(benign));
            prop_assert!(!letter.subject.chars().any(char::is_control), "{:?}", letter.subject);
            prop_assert!(letter.subject.chars().count() <= 130);
            let forbidden = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
            let outside: String = letter.text.replace(&url, "");
            prop_assert!(!outside.contains(forbidden), "{:?}", letter.text);
        }
    }

    #[test]
    fn nothing_from_outside_is_linked_by_mail_programs(event in hostile(), name in hostile()) {
        const URL: &str = "https://photos.example.com/own";
        for letter in all_about(&event, &name, URL) {
            let shown = format!("{}\n{}", letter.subject, letter.text.replace(URL, ""));
            let linked: Vec<&str> = shown.split_whitespace().filter(|word| is_linked(word)).collect();
            prop_assert!(linked.is_empty(), "{linked:?} in {shown:?}");
        }
    }
}
