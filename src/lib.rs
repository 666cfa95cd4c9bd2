//! Turns an event's photos, scattered over cloud storage, into ZIP archives that guests can open.
//!
//! # Bird's eye view
//!
//! ```text
//!  manifest ─▶ probe ─▶ plan ─▶ fetch ∥ assemble ∥ upload ─▶ verify
//!  (asked for) (sizes)  (pure)  (under a memory budget)      (read back)
//! ```
//!
//! Photos are stored in the ZIP, not deflated, so that every offset of the archive is known as
//! soon as every size is. Parts of the archive are then filled and stored in any order, memory is
//! a budget and not a function of the event's size, and the same manifest makes the same bytes on
//! every machine.
//!
//! # Code map, in reading order
//!
//! - [`manifest`]: what is asked for, validated; names that are safe everywhere. *Core, pure.*
//! - [`plan`]: entries → volumes → parts → segments; the `zip` crate over a sparse writer. *Core, pure.*
//! - [`job`]: one manifest being carried out: its id, its message, its state. *Core, pure.*
//! - [`letter`]: what those who wait are told, as e-mails. *Core, pure.*
//! - [`clock`]: time and chance, from outside. [`retry`]: when to try again, and when to give up.
//! - [`redact`]: no secret leaves the program, however it is spelled. `connection`: failures of connections, in
//!   our words. [`text`]: what people hand over, without the blanks around it.
//!   [`mail_address`]: addresses of e-mail as servers take them.
//! - [`tls`]: the one TLS stack. [`aws`]: region, credentials and one way to call. [`s3`]: the one
//!   client for S3-compatible stores, whose keys may be in a secret of AWS.
//! - [`source`]: port through which photos come in: HTTP, Cloud Storage, S3, memory.
//! - [`sink`]: port through which archives go out: R2 and S3, files, memory, nowhere.
//! - [`bucket`]: port for small objects with conditional writes: R2 and S3, a folder, memory.
//! - [`queue`]: port for work that waits: SQS, memory. [`compute`]: port for places to work: Batch,
//!   memory.
//! - [`engine`]: fetch ∥ assemble ∥ upload under a memory budget; generic over source and sink.
//! - [`verify`]: is this archive whole?
//! - [`deliver`]: tell those who want to know how a job ended, once; port for handing over: SMTP and
//!   HTTPS, memory.
//! - [`processor`]: what a container does: drain the queue. [`submit`]: hand jobs in, ask about them.
//! - [`settings`], [`telemetry`], [`shutdown`], [`exit_code`]: what programs need around that.
//! - [`demo`]: sample photos and a server for them.
//! - `fuzz`: what hostile input is tried on, in tests and by `ci/fuzz`.
//! - [`cli`]: what both programs share at their edge: options, printing, failures, services.
//! - `src/bin/processor`, `src/bin/submit`: the programs; the only place that reads arguments and
//!   signals. The environment is theirs and the settings', but for what AWS's and
//!   Google's own names say.
//!
//! # Glossary
//!
//! A *manifest* asks for *photos*; each photo's place in an archive is an *entry*; one ZIP is a
//! *volume*, uploaded in equal *parts*, each made of *segments* (header bytes, a range of one
//! photo's body, or tail bytes). A *job* is one manifest being carried out; its *state* says how it
//! is, its *lease* which container may work on it. "Queue" is always SQS; AWS Batch's is always
//! called *job queue*.
//!
//! # Invariants
//!
//! 1. [`manifest`], [`plan`], [`job`] and [`letter`] do no I/O. Same input, same plan, byte for byte.
//! 2. Only `source` speaks to origins. Every address that a manifest names is checked before it is
//!    connected to (`source::http`), and every bucket must be allowed.
//! 3. All photo bytes in memory are covered by an [`engine::Reservation`]. No unbounded channel.
//! 4. An archive becomes visible only through [`sink::ArchiveUpload::complete`]; every other way
//!    out goes through [`sink::ArchiveUpload::abort`].
//! 5. A photo is in the archive, or named as missing, or the run fails. Never silently left out.
//! 6. Download tokens are never shown: [`manifest::PhotoUrl`] prints without its query.
//! 7. Doing a job twice is harmless: every attempt has keys of its own, and a final state stays.
//! 8. There is no message without its manifest, and no state that is written without the version
//!    that was read.
//!
//! `tests/it/dependency_direction.rs` guards what a grep can guard of these.

// In reading order; the empty lines keep rustfmt from sorting them.
pub mod manifest;

pub mod plan;

pub mod job;

pub mod letter;

pub mod clock;

pub mod retry;

pub mod tls;

pub(crate) mod connection;

pub mod redact;

pub mod text;

pub mod mail_address;

pub mod archives;
pub mod aws;

pub mod s3;

pub mod source;

pub mod sink;

pub mod bucket;

pub mod queue;

pub mod compute;

pub mod engine;

pub mod verify;

pub mod deliver;

pub mod processor;

pub mod submit;

pub mod settings;

pub mod telemetry;

pub mod shutdown;

pub mod exit_code;

pub mod cli;

pub mod demo;

#[cfg(any(test, fuzzing))]
pub mod fuzz;

/// An error with its causes, on one line: for logs.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// An error with its causes, on one line, in our words: for states, e-mails, webhooks and dead letters.
pub(crate) fn told(error: &(dyn std::error::Error + 'static)) -> String {
    redact::causes(error).join(": ")
}
