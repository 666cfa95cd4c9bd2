//! Values as people write them: `256MiB`, `15s`, `a.example, b.example`.
//!
//! The environment gives numbers where text looks like one, so all of these accept both. Blanks around a
//! value do not count, and no value may hold a control character.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::redact;
use crate::source::gcs::Credentials;

/// A number of bytes: `256MiB`, `4GB`, or plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0"),
            bytes if bytes % (1 << 30) == 0 => write!(f, "{}GiB", bytes >> 30),
            bytes if bytes % (1 << 20) == 0 => write!(f, "{}MiB", bytes >> 20),
            bytes => write!(f, "{bytes}"),
        }
    }
}

impl Size {
    fn parse(text: &str) -> Result<Self, String> {
        tidy(text)?
            .parse::<ByteSize>()
            .map(|size| Self(size.as_u64()))
            .map_err(|_| format!("`{text}` is not a size; write for example `256MiB`"))
    }
}

/// A time span: `15s`, `250ms`, `2m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Human(pub Duration);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", humantime::format_duration(self.0))
    }
}

impl Human {
    fn parse(text: &str) -> Result<Self, String> {
        humantime::parse_duration(tidy(text)?)
            .map(Self)
            .map_err(|_| format!("`{text}` is not a time; write for example `15s` or `250ms`"))
    }
}

/// How much memory photos may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryBudget {
    /// Half of what the container or the machine has, at most 1 GiB.
    Auto,
    /// So many bytes.
    Fixed(Size),
}

/// More than this brings nothing: 64 connections with a photo of 8 MB each, and as much on its
/// way out.
const MOST_BY_DEFAULT: u64 = 1 << 30;

impl MemoryBudget {
    /// The budget in bytes, on this machine.
    pub fn bytes(self) -> u64 {
        match self {
            Self::Fixed(size) => size.0,
            Self::Auto => memory_limit().map_or(MOST_BY_DEFAULT / 2, |limit| {
                (limit / 2).min(MOST_BY_DEFAULT)
            }),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        match tidy(text)? {
            "auto" => Ok(Self::Auto),
            text => Size::parse(text).map(Self::Fixed),
        }
    }
}

impl fmt::Display for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(size) => size.fmt(f),
        }
    }
}

/// The memory of the container (cgroup v2 or v1), else of the machine, in bytes.
fn memory_limit() -> Option<u64> {
    let number =
        |path: &str| -> Option<u64> { std::fs::read_to_string(path).ok()?.trim().parse().ok() };
    let machine = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let kib = text.lines().next()?.strip_prefix("MemTotal:")?;
            let kib: u64 = kib.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kib * 1024)
        });
    [
        number("/sys/fs/cgroup/memory.max"),
        number("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        machine,
    ]
    .into_iter()
    .flatten()
    .min()
}

/// A folder on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder(pub PathBuf);

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl Folder {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(PathBuf::from(tidy(text)?)))
    }
}

/// Text that may look like a number, such as an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(pub String);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Text {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(tidy(text)?.to_owned()))
    }
}

/// Text that is never shown: its `Debug`, its `Display` and what it serialises to are masked.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Secret {
    fn parse(text: &str) -> Result<Self, String> {
        redact::learn(text);
        Ok(Self(tidy(text)?.to_owned()))
    }

    /// The text itself, for those who need it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Credentials of Google's; the text of a key is never shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoogleCredentials(pub Credentials);

impl fmt::Display for GoogleCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl GoogleCredentials {
    #[expect(clippy::unnecessary_wraps, reason = "the values have one signature")]
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(Credentials::parse(text)))
    }
}

/// Names, in a list or separated by commas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

impl Names {
    fn parse(text: &str) -> Result<Self, String> {
        let names: Result<Vec<&str>, String> = text.split(',').map(tidy).collect();
        let names = names?.into_iter().filter(|name| !name.is_empty());
        Ok(Self(names.map(str::to_owned).collect()))
    }
}

/// Tidies a value. The error does not repeat it, because it may be a secret.
fn tidy(text: &str) -> Result<&str, String> {
    let text =
        crate::text::tidy(text).map_err(|problem| format!("a value {problem}; take it out"))?;
    // `docker run --env-file` and others keep the quotes.
    let in_quotes = |quote| text.len() > 1 && text.starts_with(quote) && text.ends_with(quote);
    if in_quotes('"') || in_quotes('\'') {
        return Err("a value in quotes; take them away".to_owned());
    }
    Ok(text)
}

/// Serde for a type that is written as text: through its `Display` and its `parse`. `$more` are
/// further visitor methods.
macro_rules! as_text {
    ($type:ty, $expecting:literal $(, $more:item)*) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct AsText;
                impl<'de> Visitor<'de> for AsText {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                        <$type>::parse(text).map_err(E::custom)
                    }
                    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
                        self.visit_str(&number.to_string())
                    }
                    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                        self.visit_str(&number.to_string())
                    }
                    $($more)*
                }
                deserializer.deserialize_any(AsText)
            }
        }
    };
}

as_text!(Size, "a size such as `256MiB`");
as_text!(Folder, "a folder");
as_text!(Text, "text");
as_text!(Secret, "text");
as_text!(
    GoogleCredentials,
    "a file, the text of a key, `metadata` or `anonymous`"
);
as_text!(Human, "a time such as `15s`");
as_text!(MemoryBudget, "`auto` or a size such as `256MiB`");
as_text!(
    Names,
    "names, in a list or separated by commas",
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = seq.next_element::<String>()? {
            names.extend(Names::parse(&name).map_err(A::Error::custom)?.0);
        }
        Ok(Names(names))
    }
);
