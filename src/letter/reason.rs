//! Why a photo is missing, in the words of a person.

use super::words::{Message, Words};
use crate::plan::MissingReason;

/// The reader can do nothing with a status or a checksum; what they want to know is whether the
/// photo can still be had, and where to ask.
pub(super) fn in_words(reason: &MissingReason, words: &Words) -> String {
    // No `_`: a new reason needs words before it compiles.
    let message = match reason {
        MissingReason::NotFound => Message::ReasonNotFound,
        MissingReason::Forbidden => Message::ReasonForbidden,
        MissingReason::AccessDenied { permission: _ } => Message::ReasonAccessDenied,
        MissingReason::EmptyFolder => Message::ReasonEmptyFolder,
        MissingReason::PaymentRequired => Message::ReasonPaymentRequired,
        MissingReason::Refused { status: _ } => Message::ReasonRefused,
        MissingReason::AddressRefused { host: _ } | MissingReason::RedirectRefused { host: _ } => {
            Message::ReasonPlaceNotAllowed
        }
        MissingReason::Unreachable { what: _ } => Message::ReasonUnreachable,
        MissingReason::UnreadableEncoding { encoding: _ } => Message::ReasonUnreadable,
        MissingReason::NotAPhoto { content_type: _ } => Message::ReasonNotAPhoto,
        MissingReason::TooManyRedirects => Message::ReasonCircle,
        MissingReason::TooLarge { bytes } => {
            let size = words.size(*bytes);
            return words.say(Message::ReasonTooLong, &[("size", size.into())]);
        }
        MissingReason::WrongSize {
            expected: _,
            found: _,
        } => Message::ReasonWrongSize,
        MissingReason::WrongHash => Message::ReasonWrongFile,
        MissingReason::Other(_) => Message::ReasonOther,
    };
    words.say(message, &[])
}
