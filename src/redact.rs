//! The last line of defence against secrets in what people read: whoever reads a secret says so here
//! ([`learn`]), and what leaves the program is searched for it ([`text`]), however it is spelled.
//!
//! The first line is that our own sentences hold no secret and no text of a library. Logs hold such
//! texts, and they may quote what they were given: a PEM parser printed a whole private key as a list of
//! bytes.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::error::Error;
use std::io::{self, Write};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The text that replaces a secret.
const MASK: &str = "[redacted]";
/// The shortest secret that is looked for, in bytes: a shorter one is part of words.
const SHORTEST: usize = 8;
/// The shortest line of a secret of several lines that is looked for by itself, in bytes.
const SHORTEST_LINE: usize = 16;
/// The length, in bytes, of the pieces of a long secret that are looked for by themselves: a text may quote
/// but a part.
const PIECE: usize = 20;
/// A list of so many numbers, each of them a byte, is somebody's bytes and tells people nothing.
const BYTES_IN_A_LIST: usize = 8;

/// The secrets, and the search for them.
struct Known {
    secrets: BTreeSet<String>,
    /// `None` where there is no secret, or where one was learned since it was made.
    search: Option<Arc<AhoCorasick>>,
}

static KNOWN: LazyLock<RwLock<Known>> = LazyLock::new(|| {
    RwLock::new(Known {
        secrets: BTreeSet::new(),
        search: None,
    })
});

/// Makes a secret known, for as long as the program runs. Of one with several lines each is looked for, but
/// not the lines that PEM begins and ends with. Those of fewer than eight bytes are not looked for.
pub fn learn(secret: &str) {
    // `-----BEGIN PRIVATE KEY-----` is no secret, and stands in texts that say what a key must be.
    let lines = secret
        .split("-----")
        .filter(|piece| !piece.starts_with("BEGIN ") && !piece.starts_with("END "))
        .flat_map(str::lines)
        .map(str::trim);
    let several = secret.trim().contains('\n');
    let shortest = if several { SHORTEST_LINE } else { SHORTEST };
    let lines = lines.filter(|line| line.len() >= shortest);
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    for secret in lines {
        if known.secrets.insert(secret.to_owned()) {
            known.search = None;
        }
    }
}

/// A search for all that is known; made where there is something new. `None` where there is no secret.
fn search() -> Option<Arc<AhoCorasick>> {
    {
        let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
        if known.search.is_some() || known.secrets.is_empty() {
            return known.search.clone();
        }
    }
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    if known.search.is_none() {
        let patterns: BTreeSet<String> = known.secrets.iter().flat_map(|s| spellings(s)).collect();
        // It fails for gigabytes of patterns only.
        known.search = AhoCorasick::new(patterns).ok().map(Arc::new);
    }
    known.search.clone()
}

/// Makes the password known that an address holds, if it holds one: as it stands there, and as it is meant.
pub fn learn_password(address: &str) {
    let Ok(url) = url::Url::parse(address.trim()) else {
        return;
    };
    if let Some(password) = url.password() {
        learn(password);
        learn(&percent_decode_str(password).decode_utf8_lossy());
    }
}

/// Spellings of a secret: as it is or in pieces, within JSON or Rust, in an address, as hexadecimal
/// digits, in base64 with whatever stands before it. (Lists of bytes are masked whatever they hold.)
fn spellings(secret: &str) -> Vec<String> {
    let mut found = vec![
        secret.to_owned(),
        serde_json::Value::from(secret)
            .to_string()
            .trim_matches('"')
            .to_owned(),
        format!("{secret:?}").trim_matches('"').to_owned(),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
    ];
    // Small letters in percent-encoding, and as form fields have it.
    found.extend([lower_escapes(&found[3]), found[3].replace("%20", "+")]);
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    found.extend([hex.to_ascii_uppercase(), hex]);
    for alphabet in [&alphabet::STANDARD, &alphabet::URL_SAFE] {
        let engine = GeneralPurpose::new(alphabet, NO_PAD);
        for before in 0..3 {
            let mut bytes = vec![0; before];
            bytes.extend_from_slice(secret.as_bytes());
            let code = engine.encode(&bytes);
            // The first and last letters depend on what stands there.
            let first = [0, 2, 3][before];
            let last = code.len() - usize::from(bytes.len() % 3 != 0);
            found.push(code[first..last].to_owned());
        }
    }
    if secret.is_ascii() && secret.len() > PIECE {
        let pieces = (0..=secret.len() - PIECE).map(|at| secret[at..at + PIECE].to_owned());
        found.extend(pieces);
    }
    found
}

/// `%2F` as `%2f`.
fn lower_escapes(text: &str) -> String {
    let mut left = 0;
    text.chars()
        .map(|letter| {
            left = if letter == '%' {
                3_usize
            } else {
                left.saturating_sub(1)
            };
            if left > 0 {
                letter.to_ascii_lowercase()
            } else {
                letter
            }
        })
        .collect()
}

/// The text without secrets, and without lists of bytes.
pub fn text(text: &str) -> Cow<'_, str> {
    let mut spans = lists_of_bytes(text);
    if let Some(search) = search() {
        spans.extend(
            search
                .find_overlapping_iter(text)
                .map(|found| (found.start(), found.end())),
        );
    }
    if spans.is_empty() {
        return Cow::Borrowed(text);
    }
    spans.sort_unstable();
    let (mut masked, mut rest) = (String::with_capacity(text.len()), 0);
    for (start, end) in spans {
        if start >= rest {
            masked.push_str(&text[rest..start]);
            masked.push_str(MASK);
        }
        rest = rest.max(end);
    }
    masked.push_str(&text[rest..]);
    Cow::Owned(masked)
}

/// An error and its causes, the last one at the end, in words that may leave the log: without secrets, and
/// without what a library says of what it was given.
pub fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut found = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let said = if let Some(error) = cause.downcast_ref::<serde_json::Error>() {
            let (line, column) = (error.line(), error.column());
            format!("it is not the JSON that it must be (line {line}, column {column})")
        } else if cause.is::<zip::result::ZipError>() {
            "the ZIP format does not allow it".to_owned()
        } else {
            match cause.downcast_ref::<io::Error>() {
                // What is no word of the system is a library's.
                Some(error) if error.raw_os_error().is_none() => error.kind().to_string(),
                _ => cause.to_string(),
            }
        };
        found.push(text(&said).into_owned());
        next = cause.source();
    }
    found
}

/// Finds where numbers from 0 to 255 stand with commas between them, as `Debug` has bytes.
fn lists_of_bytes(text: &str) -> Vec<(usize, usize)> {
    let bytes = text.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let starts = bytes[at].is_ascii_digit() && (at == 0 || !is_wordy(bytes[at - 1]));
        if !starts {
            at += 1;
            continue;
        }
        let (start, mut end, mut numbers) = (at, at, 0);
        loop {
            let digits = bytes[at..]
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            let after = at + digits;
            let is_byte = text[at..after].parse::<u8>().is_ok()
                && !bytes.get(after).copied().is_some_and(is_wordy);
            at = after.max(at + usize::from(digits == 0));
            if !is_byte {
                break;
            }
            (end, numbers) = (after, numbers + 1);
            let blanks = match bytes.get(after) {
                Some(b',') => bytes[after + 1..]
                    .iter()
                    .take_while(|byte| byte.is_ascii_whitespace())
                    .count(),
                _ => break,
            };
            at = after + 1 + blanks;
            if at >= bytes.len() {
                break;
            }
        }
        if numbers >= BYTES_IN_A_LIST {
            found.push((start, end));
        }
    }
    found
}

fn is_wordy(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-') || !byte.is_ascii()
}

/// A writer whose lines are searched for secrets. Whoever writes to it writes whole lines at once.
#[derive(Debug)]
pub struct Redacting<W>(pub W);

impl<W: Write> Write for Redacting<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0
            .write_all(text(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// All tests of the program share what is known, so that each has secrets of its own.
    fn assert_hidden(said: &str, secret: &str) {
        let masked = text(said);
        assert!(masked.contains(MASK), "{said:?} became {masked:?}");
        assert!(!masked.contains(secret), "{masked}");
    }

    #[test]
    fn a_secret_is_found_however_it_is_spelled() {
        let secret = "pa\"ss/wörd+17 ~x";
        learn(secret);
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        for said in [
            format!("no {secret} here"),
            format!("no {secret:?} here"),
            serde_json::json!({ "message": format!("no {secret}") }).to_string(),
            format!(
                "smtp://u:{}@host",
                utf8_percent_encode(secret, NON_ALPHANUMERIC)
            ),
            format!(
                "pass={}",
                url::form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>()
            ),
            format!("{:?}", secret.as_bytes()),
            format!("0x{}", hex.to_ascii_uppercase()),
            STANDARD.encode(secret),
            STANDARD.encode(format!("u:{secret}")),
            STANDARD.encode(format!("\0me\0{secret}@")),
        ] {
            assert_hidden(&said, secret);
        }
        let basic = text(&STANDARD.encode(format!("user:{secret}"))).into_owned();
        assert!(basic.len() < 24, "{basic}");
    }

    #[test]
    fn a_part_of_a_long_secret_is_found_and_pem_s_own_words_are_not() {
        let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7Vq1redactedtest";
        learn(&format!(
            "-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"
        ));
        assert_hidden(&format!("at `{}…`", &body[10..40]), &body[10..40]);
        let words = "there is no -----BEGIN PRIVATE KEY----- in it";
        assert_eq!(text(words), words);
    }

    #[test]
    fn lists_of_bytes_are_masked_whatever_they_are() {
        assert_eq!(
            text("illegal section start: [45, 45, 45, 45, 45, 66, 69, 71]!"),
            "illegal section start: [[redacted]]!"
        );
        for harmless in [
            "volumes 1, 2, 3, 4",
            "300, 301, 302, 303, 304, 305, 306, 307, 308",
            "1.2, 3.4, 5.6, 7.8, 9.0, 1.2, 3.4, 5.6, 7.8",
            "2026-11-26, 12:00, 5",
            "",
            "7",
            "7,",
        ] {
            assert_eq!(text(harmless), harmless);
        }
    }

    #[test]
    fn short_secrets_are_not_looked_for() {
        learn("photos");
        assert_eq!(text("the photos are there"), "the photos are there");
    }

    #[test]
    fn what_a_library_says_is_told_by_its_kind() {
        let json = serde_json::from_str::<u8>("\"hunter2\"").unwrap_err();
        let told = [
            causes(&json),
            causes(&io::Error::other("hunter2")),
            causes(&io::Error::from_raw_os_error(28)),
        ]
        .concat()
        .join("\n");
        insta::assert_snapshot!(told, @r"
        it is not the JSON that it must be (line 1, column 9)
        other error
        No space left on device (os error 28)
        ");
    }

    #[test]
    fn written_lines_are_searched() {
        learn("hunter2-in-a-line");
        let mut written = Vec::new();
        writeln!(Redacting(&mut written), "it says hunter2-in-a-line").unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), "it says [redacted]\n");
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_searched(said in ".{0,200}") {
            let _ = text(&said);
        }
    }
}
