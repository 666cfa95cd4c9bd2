//! "Your photos are not ready yet".

use super::line::{self, MAX_TITLE, MAX_TITLE_IN_SUBJECT};
use super::page::{Block, Page};
use super::words::{Message, Words};
use super::{Letter, Locale};

/// What went wrong, and who knows of it.
#[derive(Debug, Clone, Copy)]
pub struct Sorry<'a> {
    /// The event's title, else its id.
    pub event: &'a str,
    /// What went wrong.
    pub trouble: Trouble,
    /// Whether the operator has been told, too.
    pub operator_told: bool,
    /// The unsubscribe link.
    pub unsubscribe: Option<&'a str>,
}

/// What went wrong, as far as it concerns those who wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Photos are missing, and without them there was to be no archive.
    Missing,
    /// What was asked for cannot be carried out.
    List,
    /// Anything else.
    Ours,
}

impl Trouble {
    /// The trouble that a job's exit code stands for.
    pub fn from_exit_code(code: u8) -> Self {
        match code {
            65 => Self::List,
            66 => Self::Missing,
            _ => Self::Ours,
        }
    }
}

/// Tells those who wait that there will be no photos for now, kindly and without technical words.
pub fn sorry(sorry: &Sorry, locale: Locale) -> Letter {
    let words = Words::new(locale);
    let event = line::title(sorry.event, &words);
    let in_subject = line::shorten(&event, MAX_TITLE_IN_SUBJECT);
    let say = |message| words.say(message, &[]);
    let blocks = vec![
        Block::Text(say(match sorry.trouble {
            Trouble::Missing => Message::SorryMissing,
            Trouble::List => Message::SorryList,
            Trouble::Ours => Message::SorryOurs,
        })),
        Block::Text(say(Message::SorrySafe)),
        Block::Heading(say(Message::SorryNext)),
        Block::Text(say(if sorry.operator_told {
            Message::SorryTold
        } else {
            Message::SorryAsk
        })),
    ];
    Page {
        locale,
        subject: words.say(Message::SorrySubject, &[("event", in_subject.into())]),
        preview: say(Message::SorryPreview),
        heading: say(Message::SorryHeading),
        event: line::shorten(&event, MAX_TITLE),
        blocks,
        footer: say(Message::WhyYou),
        unsubscribe: sorry
            .unsubscribe
            .map(|url| (say(Message::NoMore), url.to_owned())),
    }
    .into_letter()
}
