//! Time zones by their IANA names.
//!
//! They come with the program, so that the same manifest makes the same archive on every machine,
//! whatever zones that has.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};

/// A time zone, with its name as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// The name as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what clocks showed there.
    pub fn local(&self, time: Timestamp) -> DateTime {
        self.zone.to_datetime(time)
    }
}

/// Reads the name of a time zone; the error is a remedy.
pub(super) fn parse(name: &str) -> Result<Zone, String> {
    let zones = TimeZoneDatabase::bundled();
    if let Ok(zone) = zones.get(name) {
        let name = name.to_owned();
        return Ok(Zone { name, zone });
    }
    // People give the city alone.
    let city = name.trim().replace(' ', "_");
    let meant = zones.available().find(|known| {
        let known = known.as_str();
        let last = known.rsplit('/').next().unwrap_or(known);
        !city.is_empty() && (last.eq_ignore_ascii_case(&city) || known.eq_ignore_ascii_case(&city))
    });
    Err(match meant {
        Some(zone) => format!("did you mean `{zone}`?"),
        None => "use a name of the IANA time zone database, such as `Europe/Berlin`".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_change_in_summer() {
        let berlin = parse("europe/berlin").unwrap();
        let local = |time: &str| berlin.local(time.parse().unwrap()).to_string();
        assert_eq!(local("2026-06-20T22:30:00Z"), "2026-06-21T00:30:00");
        assert_eq!(local("2026-01-20T22:30:00Z"), "2026-01-20T23:30:00");
    }

    #[test]
    fn zones_are_known_by_their_iana_names() {
        for name in [
            "Europe/Berlin",
            "Asia/Jerusalem",
            "UTC",
            "Asia/Kolkata",
            "Asia/Calcutta",
        ] {
            assert_eq!(parse(name).unwrap().name(), name);
        }
        let refused: Vec<String> = [
            "Berlin",
            "new york",
            "Europe/Paris ",
            "CEST",
            "+02:00",
            "Mars/Olympus",
            "",
        ]
        .iter()
        .map(|name| format!("{name:?}: {}", parse(name).unwrap_err()))
        .collect();
        insta::assert_snapshot!(refused.join("\n"));
    }
}
