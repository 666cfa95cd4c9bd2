//! Dates of HTTP, in the three forms of RFC 9110, 5.6.7, and as servers get them wrong: with another
//! weekday, another zone, or none.

use jiff::civil::{Date, Time};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// Reads `Sat, 20 Jun 2026 15:04:05 GMT`, `Saturday, 20-Jun-26 15:04:05 GMT` or
/// `Sat Jun 20 15:04:05 2026`. The weekday says nothing that the date does not, so it is not looked at.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let mut words = text.split([',', ' ', '\t']).filter(|word| !word.is_empty());
    let mut word = words.next()?;
    if is_weekday(word) {
        word = words.next()?;
    }
    let (date, time) = if let Some(month) = month(word) {
        // asctime of C.
        let (day, time, year) = (words.next()?, words.next()?, words.next()?);
        (civil(day, month, year)?, time)
    } else if word.contains('-') {
        let mut parts = word.split('-');
        let (day, name, year) = (parts.next()?, parts.next()?, parts.next()?);
        (civil(day, month(name)?, year)?, words.next()?)
    } else {
        let (name, year) = (words.next()?, words.next()?);
        (civil(word, month(name)?, year)?, words.next()?)
    };
    let offset = words.next().map_or(Some(Offset::UTC), offset)?;
    offset.to_timestamp(date.to_datetime(clock(time)?)).ok()
}

fn is_weekday(word: &str) -> bool {
    let begins = |day: &&str| {
        word.get(..3)
            .is_some_and(|start| start.eq_ignore_ascii_case(day))
    };
    ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
        .iter()
        .any(begins)
}

fn month(word: &str) -> Option<i8> {
    let index = MONTHS.iter().position(|month| {
        word.get(..3)
            .is_some_and(|start| start.eq_ignore_ascii_case(month))
    })?;
    i8::try_from(index + 1).ok()
}

fn civil(day: &str, month: i8, year: &str) -> Option<Date> {
    let digits = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| text.parse::<i16>().ok())
            .flatten()
    };
    let year = match (digits(year)?, year.len()) {
        (short, 2) => full_year(short, Timestamp::now()),
        (year, _) => year,
    };
    Date::new(year, month, i8::try_from(digits(day)?).ok()?).ok()
}

/// The year of two digits that is not more than 50 years ahead (RFC 9110, 5.6.7).
fn full_year(short: i16, now: Timestamp) -> i16 {
    let now = Offset::UTC.to_datetime(now).year();
    let year = now - now % 100 + short;
    if year > now + 50 { year - 100 } else { year }
}

fn clock(text: &str) -> Option<Time> {
    let mut parts = text.split(':').map(|part| part.parse::<i8>().ok());
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    // A leap second is told as the one before it.
    Time::new(hour, minute, if second == 60 { 59 } else { second }, 0).ok()
}

fn offset(zone: &str) -> Option<Offset> {
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        // Whatever name it has, HTTP knows one zone.
        _ => return Some(Offset::UTC),
    };
    // Two digits each, so that nothing is too large to be multiplied.
    let two = |digits: &str| -> Option<i32> {
        let all = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        all.then(|| digits.parse().ok()).flatten()
    };
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = minutes.strip_prefix(':').unwrap_or(minutes);
    let seconds = two(hours)? * 3600 + two(minutes)? * 60;
    Offset::from_seconds(sign * seconds).ok()
}

/// The wait that a `Retry-After` asks for, in seconds or until a date. The date is told by the clock
/// that made it, which is the answer's own `Date` where there is one.
pub(super) fn wait(retry_after: &str, date: Option<Timestamp>) -> Option<SignedDuration> {
    let text = retry_after.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        // Some count in fractions.
        let seconds = (0.0..1e9).contains(&seconds).then_some(seconds)?;
        return SignedDuration::try_from_secs_f64(seconds.ceil()).ok();
    }
    let until = parse(text)?;
    Some(until.duration_since(date.unwrap_or_else(Timestamp::now)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_forms_of_a_date_are_read() {
        let expected: Timestamp = "2026-06-20T15:04:05Z".parse().unwrap();
        for text in [
            "Sat, 20 Jun 2026 15:04:05 GMT",
            "Saturday, 20-Jun-26 15:04:05 GMT",
            "Sat Jun 20 15:04:05 2026",
            "Fri, 20 Jun 2026 15:04:05 GMT",
            "Sat, 20-Jun-2026 15:04:05 GMT",
            "20 Jun 2026 15:04:05 UTC",
            "sat, 20 jun 2026 15:04:05 gmt",
            "Sat, 20 Jun 2026 15:04:05",
            "Sat, 20 Jun 2026 17:04:05 +0200",
            "Sat, 20 Jun 2026 10:04:05 -05:00",
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        assert_eq!(
            parse("Mon Jun  1 00:00:00 2026"),
            Some("2026-06-01T00:00:00Z".parse().unwrap())
        );
        for text in [
            "",
            "0",
            "-1",
            "yesterday",
            "Sat, 31 Feb 2026 15:04:05 GMT",
            "Sat, 20 Jun 2026",
            "Sat, 20 Jun 2026 25:04:05 GMT",
            "2026-06-20T15:04:05Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn years_of_two_digits_are_at_most_fifty_years_ahead() {
        let now = "2026-11-26T00:00:00Z".parse().unwrap();
        assert_eq!(full_year(26, now), 2026);
        assert_eq!(full_year(76, now), 2076);
        assert_eq!(full_year(77, now), 1977);
        assert_eq!(full_year(94, now), 1994);
    }

    #[test]
    fn a_wait_until_a_date_is_told_by_the_servers_clock() {
        let date = parse("Sat, 20 Jun 2026 15:04:05 GMT");
        let seconds = |text| wait(text, date).map(|wait| wait.as_secs());
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds("1.5"), Some(2));
        assert_eq!(seconds("-1"), None);
        assert_eq!(seconds("inf"), None);
        assert_eq!(seconds("Sat, 20 Jun 2026 15:04:09 GMT"), Some(4));
        assert_eq!(seconds("Saturday, 20-Jun-26 15:05:05 GMT"), Some(60));
        assert_eq!(seconds("Sat, 20 Jun 2026 15:04:00 GMT"), Some(-5));
        assert_eq!(seconds("soon"), None);
        let ours = wait("Sat, 20 Jun 2020 15:04:00 GMT", None).unwrap();
        assert!(ours.is_negative());
    }

    proptest! {
        #[test]
        fn every_date_is_read_as_it_was_written(seconds in 0..253_402_207_200i64) {
            let time = Timestamp::from_second(seconds).unwrap();
            for format in ["%a, %d %b %Y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"] {
                let text = time.strftime(format).to_string();
                prop_assert_eq!(parse(&text), Some(time), "{}", text);
            }
        }

        #[test]
        fn any_text_is_read(text in "\\PC*") {
            let _ = (parse(&text), wait(&text, None));
        }
    }
}
