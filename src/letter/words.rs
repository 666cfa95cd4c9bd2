//! The words of letters, from `words/*.ftl` (Project Fluent).

use fluent_bundle::{FluentArgs, FluentBundle, FluentResource, FluentValue};
use jiff::Timestamp;

use super::Locale;
use super::locale::date_parts;

/// Makes an enum of messages and their ids. A message that nobody says is dead code to the compiler;
/// a test compares the ids with the files.
macro_rules! messages {
    ($($message:ident = $id:literal,)*) => {
        /// A message of `words/*.ftl`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Message { $($message,)* }

        impl Message {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$message,)*];

            fn id(self) -> &'static str {
                match self { $(Self::$message => $id,)* }
            }
        }
    };
}

messages! {
    Photos = "photos",
    Date = "date",
    Unnamed = "unnamed",
    ReadySubject = "ready-subject",
    ReadySubjectOneOfSeveral = "ready-subject-one-of-several",
    ReadyPreview = "ready-preview",
    ReadyHeading = "ready-heading",
    ReadySummary = "ready-summary",
    ReadyOneOfSeveral = "ready-one-of-several",
    ReadyDownload = "ready-download",
    ReadyExpiry = "ready-expiry",
    ReadyMissing = "ready-missing",
    ReadyMissingWhy = "ready-missing-why",
    ReadyMissingMore = "ready-missing-more",
    ReadyHints = "ready-hints",
    ReadyHintZip = "ready-hint-zip",
    ReadyHintOrder = "ready-hint-order",
    ReadyHintShare = "ready-hint-share",
    SorrySubject = "sorry-subject",
    SorryPreview = "sorry-preview",
    SorryHeading = "sorry-heading",
    SorryMissing = "sorry-missing",
    SorryList = "sorry-list",
    SorryOurs = "sorry-ours",
    SorrySafe = "sorry-safe",
    SorryNext = "sorry-next",
    SorryTold = "sorry-told",
    SorryAsk = "sorry-ask",
    WhyYou = "why-you",
    NoMore = "no-more",
    ReasonNotFound = "reason-not-found",
    ReasonForbidden = "reason-forbidden",
    ReasonAccessDenied = "reason-access-denied",
    ReasonEmptyFolder = "reason-empty-folder",
    ReasonPaymentRequired = "reason-payment-required",
    ReasonRefused = "reason-refused",
    ReasonPlaceNotAllowed = "reason-place-not-allowed",
    ReasonCircle = "reason-circle",
    ReasonTooLong = "reason-too-long",
    ReasonUnreachable = "reason-unreachable",
    ReasonUnreadable = "reason-unreadable",
    ReasonNotAPhoto = "reason-not-a-photo",
    ReasonWrongSize = "reason-wrong-size",
    ReasonWrongFile = "reason-wrong-file",
    ReasonOther = "reason-other",
}

/// What a message is told: names and values.
pub(super) type Args<'a> = &'a [(&'static str, FluentValue<'a>)];

/// The words of one language.
pub(super) struct Words {
    /// Whose words they are.
    pub(super) locale: Locale,
    bundle: FluentBundle<FluentResource>,
}

impl Words {
    pub(super) fn new(locale: Locale) -> Self {
        let tag = locale.tag().parse().expect("the tags are well-formed");
        let mut bundle = FluentBundle::new(vec![tag]);
        // `line::in_a_sentence` does this where it is needed.
        bundle.set_use_isolating(false);
        bundle.set_formatter(Some(match locale {
            Locale::En => |value, _| number(Locale::En, value),
            Locale::De => |value, _| number(Locale::De, value),
        }));
        bundle
            .add_resource(resource(locale))
            .expect("no message is there twice");
        Self { locale, bundle }
    }

    /// A message in words.
    pub(super) fn say(&self, message: Message, args: Args) -> String {
        let pattern = self
            .bundle
            .get_message(message.id())
            .and_then(|message| message.value())
            .expect("every language has every message");
        let args: FluentArgs = args.iter().cloned().collect();
        let mut errors = Vec::new();
        let text = self
            .bundle
            .format_pattern(pattern, Some(&args), &mut errors)
            .into_owned();
        debug_assert!(errors.is_empty(), "{message:?}: {errors:?}");
        text
    }

    /// A time: `Friday, 27 November 2026, 14:30 UTC`.
    pub(super) fn date(&self, at: Timestamp) -> String {
        self.say(Message::Date, &date_parts(at))
    }

    /// A size: `1.2 GB`.
    pub(super) fn size(&self, bytes: u64) -> String {
        self.locale.size(bytes)
    }
}

fn source(locale: Locale) -> &'static str {
    match locale {
        Locale::En => include_str!("words/en.ftl"),
        Locale::De => include_str!("words/de.ftl"),
    }
}

fn resource(locale: Locale) -> FluentResource {
    FluentResource::try_new(source(locale).to_owned()).expect("the files are well-formed")
}

/// Numbers in messages are counts: whole, and not negative.
fn number(locale: Locale, value: &FluentValue) -> Option<String> {
    match value {
        FluentValue::Number(number) => Some(locale.number(number.as_string().parse().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The ids of a file's messages, each with the variables that it (and what it refers to) uses.
    fn messages(locale: Locale) -> Vec<(String, BTreeSet<String>)> {
        let mut messages: Vec<(String, String)> = Vec::new();
        for line in source(locale).lines().filter(|line| !line.starts_with('#')) {
            match line.split_once(" = ") {
                Some((id, text)) if !line.starts_with(' ') => {
                    messages.push((id.to_owned(), text.to_owned()));
                }
                _ => {
                    if let Some((_, text)) = messages.last_mut() {
                        text.push_str(line);
                    }
                }
            }
        }
        let variables = |text: &str| -> BTreeSet<String> {
            let name = |rest: &str| -> String {
                (rest.chars())
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
                    .collect()
            };
            let own = text.split('$').skip(1).map(name);
            let photos = text.contains("{ photos }").then(|| "photos".to_owned());
            own.chain(photos).collect()
        };
        messages
            .into_iter()
            .map(|(id, text)| (id, variables(&text)))
            .collect()
    }

    #[test]
    fn every_language_has_every_message_and_no_other() {
        let said: Vec<&str> = Message::ALL.iter().map(|message| message.id()).collect();
        for locale in Locale::ALL {
            let written = messages(locale);
            let written: Vec<&str> = written.iter().map(|(id, _)| id.as_str()).collect();
            assert_eq!(written, said, "{locale:?}, in the order of `Message`");
        }
    }

    #[test]
    fn messages_use_the_same_variables_in_every_language() {
        assert_eq!(messages(Locale::De), messages(Locale::En));
    }

    #[test]
    fn dates_are_written_out() {
        let date = |locale, at: &str| Words::new(locale).date(at.parse().unwrap());
        assert_eq!(
            date(Locale::En, "2026-11-27T14:30:59Z"),
            "Friday, 27 November 2026, 14:30 UTC"
        );
        assert_eq!(
            date(Locale::De, "2026-11-27T14:30:59Z"),
            "Freitag, 27. November 2026, 14:30 Uhr (UTC)"
        );
    }

    #[test]
    fn every_weekday_and_month_has_a_name() {
        let words = Words::new(Locale::De);
        let mut days = BTreeSet::new();
        for month in 1..=12 {
            for day in 1..=7 {
                days.insert(
                    words.date(
                        format!("2026-{month:02}-{day:02}T00:00:00Z")
                            .parse()
                            .unwrap(),
                    ),
                );
            }
        }
        let all = days.into_iter().collect::<Vec<_>>().join("\n");
        let names = [
            "Montag",
            "Dienstag",
            "Mittwoch",
            "Donnerstag",
            "Freitag",
            "Samstag",
            "Sonntag",
            "Januar",
            "Februar",
            "März",
            "April",
            "Mai",
            "Juni",
            "Juli",
            "August",
            "September",
            "Oktober",
            "November",
            "Dezember",
        ];
        for name in names {
            assert!(all.contains(name), "{name}");
        }
    }
}
