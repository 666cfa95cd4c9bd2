//! "Your photos are ready".

use std::fmt;

use jiff::Timestamp;

use super::line::{self, MAX_TITLE, MAX_TITLE_IN_SUBJECT};
use super::page::{Block, Download, File, Page};
use super::words::{Message, Words};
use super::{Letter, Locale, reason};
use crate::plan::Missing;

/// Missing photos that are listed; the archive has a note with all.
const LISTED_MISSING: usize = 20;
/// Bytes of HTML for the buttons of one letter. Gmail cuts off what is longer than 102 KB; the rest
/// takes at most a quarter of that.
const MAX_DOWNLOAD_BYTES: usize = 70_000;
/// Bytes of a button's HTML without its texts (a test measures it).
pub(super) const BUTTON_BYTES: usize = 900;

/// What there is to download.
#[derive(Debug, Clone)]
pub struct Ready<'a> {
    /// The event's title, else its id.
    pub event: &'a str,
    /// Photos in the archives.
    pub photos: usize,
    /// At least one, in order.
    pub archives: &'a [ArchiveLink<'a>],
    /// Photos that are not in them, or the first of these.
    pub missing: &'a [Missing],
    /// How many are not.
    pub missing_count: usize,
    /// Until when the links work.
    pub expires_at: Timestamp,
    /// The unsubscribe link.
    pub unsubscribe: Option<&'a str>,
}

/// An archive that can be downloaded.
#[derive(Clone, Copy)]
pub struct ArchiveLink<'a> {
    /// Its file name.
    pub name: &'a str,
    /// Its length.
    pub bytes: u64,
    /// Photos in it.
    pub photos: usize,
    /// Where it is.
    pub url: &'a str,
}

// Without the URL: whoever has it can download.
impl fmt::Debug for ArchiveLink<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArchiveLink")
            .field("name", &self.name)
            .field("bytes", &self.bytes)
            .field("photos", &self.photos)
            .finish_non_exhaustive()
    }
}

/// Tells those who wait that the photos can be downloaded.
///
/// It is one letter, or several where there are more archives than fit into one: every archive's link
/// is in exactly one of them, and each says which of how many it is.
pub fn ready(ready: &Ready, locale: Locale) -> Vec<Letter> {
    let words = Words::new(locale);
    let downloads: Vec<Download> = (ready.archives.iter())
        .map(|archive| download(archive, ready.archives.len(), &words))
        .collect();
    let sheaves = split(downloads);
    let count = sheaves.len();
    (sheaves.into_iter().zip(1..))
        .map(|(downloads, number)| page(ready, downloads, number, count, &words).into_letter())
        .collect()
}

/// The letter with these downloads, which is one of `count`.
fn page(
    ready: &Ready,
    downloads: Vec<Download>,
    number: usize,
    count: usize,
    words: &Words,
) -> Page {
    let event = line::title(ready.event, words);
    let in_subject = line::shorten(&event, MAX_TITLE_IN_SUBJECT);
    let bytes = (ready.archives.iter()).fold(0_u64, |sum, one| sum.saturating_add(one.bytes));
    let size = words.size(bytes);
    let date = words.date(ready.expires_at);
    let archives = ready.archives.len();
    let facts = [
        ("photos", ready.photos.into()),
        ("archives", archives.into()),
        ("size", size.into()),
        ("date", date.into()),
        ("event", in_subject.into()),
        ("number", number.into()),
        ("count", count.into()),
    ];
    let say = |message| words.say(message, &facts);

    let mut blocks = vec![Block::Text(say(Message::ReadySummary))];
    if count > 1 {
        blocks.push(Block::Text(say(Message::ReadyOneOfSeveral)));
    }
    blocks.extend(downloads.into_iter().map(Block::Download));
    blocks.push(Block::Text(say(Message::ReadyExpiry)));
    blocks.extend(missing(ready, words));
    blocks.push(Block::Heading(say(Message::ReadyHints)));
    let mut hints = vec![Message::ReadyHintZip, Message::ReadyHintShare];
    if archives > 1 {
        hints.insert(1, Message::ReadyHintOrder);
    }
    blocks.push(Block::Hints(hints.into_iter().map(say).collect()));

    Page {
        locale: words.locale,
        subject: say(match count {
            1 => Message::ReadySubject,
            _ => Message::ReadySubjectOneOfSeveral,
        }),
        preview: say(Message::ReadyPreview),
        heading: say(Message::ReadyHeading),
        event: line::shorten(&event, MAX_TITLE),
        blocks,
        footer: say(Message::WhyYou),
        unsubscribe: ready
            .unsubscribe
            .map(|url| (say(Message::NoMore), url.to_owned())),
    }
}

fn download(archive: &ArchiveLink, of: usize, words: &Words) -> Download {
    let name = line::in_a_sentence(&line::archive_name(archive.name));
    let size = words.size(archive.bytes);
    let label = [("name", name.into()), ("size", size.into())];
    Download {
        label: words.say(Message::ReadyDownload, &label),
        // Of a single one the letter has said it already.
        detail: (of > 1).then(|| words.say(Message::Photos, &[("photos", archive.photos.into())])),
        url: archive.url.to_owned(),
    }
}

/// As few letters' worth of downloads as Gmail shows whole.
fn split(downloads: Vec<Download>) -> Vec<Vec<Download>> {
    let mut sheaves = vec![Vec::new()];
    let mut left = MAX_DOWNLOAD_BYTES;
    for download in downloads {
        // Escaped, a character takes at most five bytes, and so does `&` in URLs.
        let url = download.url.len() + 4 * download.url.matches('&').count();
        let bytes = BUTTON_BYTES + url + 5 * download.label.len();
        if bytes > left && !sheaves[sheaves.len() - 1].is_empty() {
            sheaves.push(Vec::new());
            left = MAX_DOWNLOAD_BYTES;
        }
        left = left.saturating_sub(bytes);
        let last = sheaves.len() - 1;
        sheaves[last].push(download);
    }
    sheaves
}

fn missing(ready: &Ready, words: &Words) -> Option<Block> {
    if ready.missing_count == 0 {
        return None;
    }
    let listed = &ready.missing[..ready.missing.len().min(LISTED_MISSING)];
    let files = (listed.iter())
        .map(|missing| File {
            name: line::file_name(missing.name.as_str()),
            about: reason::in_words(&missing.reason, words),
        })
        .collect();
    let say = |message, count: usize| words.say(message, &[("count", count.into())]);
    let more = ready.missing_count.saturating_sub(listed.len());
    Some(Block::Notice {
        heading: say(Message::ReadyMissing, ready.missing_count),
        text: say(Message::ReadyMissingWhy, ready.missing_count),
        files,
        more: (more > 0).then(|| say(Message::ReadyMissingMore, more)),
    })
}
