//! The languages that letters are written in, and how numbers, sizes and dates look in them.

use fluent_bundle::FluentValue;
use jiff::Timestamp;

/// A language of letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locale {
    /// English.
    En,
    /// German.
    De,
}

impl Locale {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::En, Self::De];

    /// The language that a BCP 47 tag (`de`, `de-AT`, `en-GB`) asks for; English where there is no
    /// tag, or one of a language that letters are not written in.
    pub fn from_tag(tag: Option<&str>) -> Self {
        let language = tag.and_then(|tag| tag.trim().split(['-', '_']).next());
        Self::ALL
            .into_iter()
            .find(|locale| language.is_some_and(|it| it.eq_ignore_ascii_case(locale.tag())))
            .unwrap_or(Self::En)
    }

    /// Its tag.
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
        }
    }

    /// A whole number: `12,345`, `12.345`.
    pub(super) fn number(self, number: u64) -> String {
        let digits = number.to_string();
        let mut text = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(self.thousands_mark());
            }
            text.push(digit);
        }
        text
    }

    /// A size in decimal units, as phones show it: `1.2 GB`, `1,2 GB`. The space does not break.
    pub(super) fn size(self, bytes: u64) -> String {
        const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
        if bytes < 1000 {
            return format!("{bytes}\u{a0}B");
        }
        // In tenths of the unit, so that 999,999 bytes become 1.0 MB and not 1000.0 kB.
        let mut tenths = bytes.saturating_add(50) / 100;
        let mut unit = 0;
        while tenths >= 10_000 {
            tenths = (tenths + 500) / 1000;
            unit += 1;
        }
        let (whole, tenth, mark) = (tenths / 10, tenths % 10, self.decimal_mark());
        format!("{whole}{mark}{tenth}\u{a0}{}", UNITS[unit])
    }

    fn decimal_mark(self) -> char {
        match self {
            Self::En => '.',
            Self::De => ',',
        }
    }

    fn thousands_mark(self) -> char {
        match self {
            Self::En => ',',
            Self::De => '.',
        }
    }
}

/// What `date` of `words/*.ftl` is made of, in UTC and in English.
pub(super) fn date_parts(at: Timestamp) -> [(&'static str, FluentValue<'static>); 5] {
    let part = |format| FluentValue::from(at.strftime(format).to_string());
    [
        ("weekday", part("%A")),
        ("day", part("%-d")),
        ("month", part("%B")),
        ("year", part("%Y")),
        ("time", part("%H:%M")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_choose_the_language() {
        let chosen = |tag| Locale::from_tag(Some(tag));
        for tag in ["de", "de-AT", "DE-ch", "de_DE", " de "] {
            assert_eq!(chosen(tag), Locale::De, "{tag}");
        }
        for tag in ["en-GB", "fr", "den", "", "-de"] {
            assert_eq!(chosen(tag), Locale::En, "{tag}");
        }
        assert_eq!(Locale::from_tag(None), Locale::En);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(Locale::En.number(0), "0");
        assert_eq!(Locale::En.number(999), "999");
        assert_eq!(Locale::En.number(1_234_567), "1,234,567");
        assert_eq!(Locale::De.number(12_345), "12.345");
    }

    #[test]
    fn sizes_have_one_decimal() {
        let size = |bytes| Locale::En.size(bytes).replace('\u{a0}', " ");
        assert_eq!(size(0), "0 B");
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1_000), "1.0 kB");
        assert_eq!(size(999_949), "999.9 kB");
        assert_eq!(size(999_950), "1.0 MB");
        assert_eq!(size(1_234_567_890), "1.2 GB");
        assert_eq!(size(u64::MAX), "18.4 EB");
        assert_eq!(Locale::De.size(1_234_567_890), "1,2\u{a0}GB");
    }
}
