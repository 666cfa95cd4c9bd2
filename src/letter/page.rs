//! What stands in a letter, in order, and the two ways to show it.

use askama::Template;

use super::Letter;
use super::locale::Locale;

/// A letter before it is written out. Its texts are not escaped; the templates do that.
pub(super) struct Page {
    pub(super) locale: Locale,
    pub(super) subject: String,
    /// What lists of letters show after the subject.
    pub(super) preview: String,
    /// What it says, in a few words.
    pub(super) heading: String,
    /// Which event it is about.
    pub(super) event: String,
    pub(super) blocks: Vec<Block>,
    /// Why the reader receives it.
    pub(super) footer: String,
    /// The unsubscribe link: its words and its address.
    pub(super) unsubscribe: Option<(String, String)>,
}

/// One thing in a letter.
pub(super) enum Block {
    Text(String),
    Heading(String),
    Download(Download),
    /// Something not to be overlooked, about some files.
    Notice {
        heading: String,
        text: String,
        files: Vec<File>,
        more: Option<String>,
    },
    Hints(Vec<String>),
    Facts(Vec<Fact>),
    /// Something to type.
    Command(String),
}

/// A button that downloads something.
pub(super) struct Download {
    /// Tells by itself what is downloaded.
    pub(super) label: String,
    pub(super) detail: Option<String>,
    pub(super) url: String,
}

/// A file, and what there is to say about it.
pub(super) struct File {
    pub(super) name: String,
    pub(super) about: String,
}

/// A fact with its name.
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: String,
}

#[derive(Template)]
#[template(path = "letter.html")]
struct Html<'a> {
    page: &'a Page,
}

#[derive(Template)]
#[template(path = "letter.txt")]
struct Text<'a> {
    page: &'a Page,
}

impl Page {
    pub(super) fn into_letter(self) -> Letter {
        const WHY: &str = "the templates only print texts";
        let html = Html { page: &self }.render().expect(WHY);
        let text = Text { page: &self }.render().expect(WHY);
        Letter {
            subject: self.subject,
            html,
            text,
        }
    }
}
