//! JSON objects read field by field, so that one wrong field does not hide the next.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Violations;

/// The most fields of one object that are looked at; there are not as many known ones.
const MAX_FIELDS: usize = 64;

/// A JSON object whose values are not read yet, with its keys in order, doubles included.
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    entries.push((key.0, value));
                }
                Ok(Object(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// A key, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The fields of one object that nobody has asked for yet, under their `snake_case` names.
#[derive(Default)]
pub(super) struct Fields<'a> {
    /// Prefix of a field's place, such as `photos[3].`.
    pub(super) place: String,
    entries: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(place: String, object: Object<'a>, found: &mut Violations) -> Self {
        let mut entries: Vec<(Cow<'a, str>, &'a RawValue)> = Vec::new();
        if object.0.len() > MAX_FIELDS {
            found.add(
                if place.is_empty() {
                    "manifest"
                } else {
                    place.trim_end_matches('.')
                },
                format!("has {} fields", object.0.len()),
                "leave out those that are not known",
            );
        }
        for (key, value) in object.0.into_iter().take(MAX_FIELDS) {
            let name = canonical(key);
            if entries.iter().any(|(known, _)| *known == name) {
                found.add(format!("{place}{name}"), "is given twice", "leave one out");
            } else {
                entries.push((name, value));
            }
        }
        Self { place, entries }
    }

    /// The only field of an object that was written without its braces.
    pub(super) fn of_one(name: &'a str, value: &'a RawValue) -> Self {
        Self {
            place: String::new(),
            entries: vec![(name.into(), value)],
        }
    }

    /// A field's value as written; `null` counts as absent, as JavaScript callers mean it.
    pub(super) fn raw(&mut self, name: &str) -> Option<&'a RawValue> {
        let at = self.entries.iter().position(|(key, _)| key == name)?;
        let (_, value) = self.entries.swap_remove(at);
        (value.get() != "null").then_some(value)
    }

    pub(super) fn take<T: DeserializeOwned>(
        &mut self,
        name: &str,
        expected: &str,
        found: &mut Violations,
    ) -> Option<T> {
        let raw = self.raw(name)?;
        serde_json::from_str(raw.get())
            .map_err(|_| {
                // Addresses have tokens in them, whatever field they stand in by mistake, and however they are
                // written (`https:\/\/`). So no more is shown than a number or a plain word.
                let is_plain = |text: &str| {
                    text.len() <= 42
                        && text.chars().all(|letter| {
                            letter.is_alphanumeric() || "\"-+._ *[],".contains(letter)
                        })
                };
                let shown = match raw.get() {
                    text if is_plain(text) => format!("`{text}`"),
                    _ => "of another kind".to_owned(),
                };
                found.add(
                    format!("{}{name}", self.place),
                    format!("is {shown}"),
                    format!("give {expected}"),
                );
            })
            .ok()
    }

    pub(super) fn refuse_rest(self, found: &mut Violations) {
        let mut rest: Vec<String> = self
            .entries
            .into_iter()
            .map(|(key, _)| format!("{}{}", self.place, key.escape_debug()))
            .collect();
        rest.sort();
        for place in rest {
            found.add(
                place,
                "is not a known field",
                "check its spelling, or leave it out",
            );
        }
    }
}

/// `eventId` and `event_id` are one field; `fileName` is how JavaScript callers say `name`.
fn canonical(key: Cow<'_, str>) -> Cow<'_, str> {
    let key = if key.contains(|c: char| c.is_ascii_uppercase()) {
        let mut snake = String::with_capacity(key.len() + 4);
        for c in key.chars() {
            if c.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(c.to_ascii_lowercase());
        }
        Cow::Owned(snake)
    } else {
        key
    };
    match key.as_ref() {
        "file_name" | "filename" => Cow::Borrowed("name"),
        _ => key,
    }
}
