//! Letters: what the people who wait for an event's photos are told, and the operator when a job fails.
//!
//! [`ready()`], [`sorry()`] and [`alert()`] turn facts into a [`Letter`]: a subject, a page of HTML and the
//! same as plain text. Each of them makes a `Page` (what stands in the letter, in order), and two
//! templates (`templates/letter.*`) show it. Sending is somebody else's task.
//!
//! What a reader sees in their language is in `words/*.ftl`, one file per [`Locale`]; the operator's
//! letter is in English, and its words are in `alert.rs`. Titles and names come from outside: `line`
//! makes them fit to be shown, `unlink` breaks up what mail programs would turn into links, the HTML template escapes everything.

mod alert;
mod line;
mod locale;
mod page;
mod ready;
mod reason;
pub mod samples;
mod sorry;
#[cfg(test)]
mod tests;
mod unlink;
mod words;

use std::fmt;

pub use alert::{Alert, alert};
pub use locale::Locale;
pub use ready::{ArchiveLink, Ready, ready};
pub use sorry::{Sorry, Trouble, sorry};

/// An e-mail, but for its addresses.
#[derive(Clone, PartialEq, Eq)]
pub struct Letter {
    /// One line without control characters.
    pub subject: String,
    /// A whole page, with nothing to load from elsewhere.
    pub html: String,
    /// The same for those who read plain text.
    pub text: String,
}

// Whoever has a link can download, so links are not for logs.
impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letter")
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}
