//! What hostile input is tried on: one function for each kind of input. They take any bytes, and fail by a
//! panic.
//!
//! `ci/fuzz` hunts with them (libFuzzer); the unit test below tries every input of `tests/fuzz/corpus`, those
//! that once were wrong among them.

use std::fmt::Write as _;
use std::io::Cursor;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::job::{JobKey, Message, State, Subscriber};
use crate::manifest::rules::host_pattern;
use crate::manifest::{Defaults, Described, Manifest, PhotoUrl, SourceRules};
use crate::plan::{Fate, MissingReason, Plan};
use crate::settings::Settings;
use crate::source::gcs::Credentials;
use crate::source::http::{fuzz_answer, guard};
use crate::{mail_address, redact, text, verify};

/// A kind of input: its name, which is that of its corpus, and what is tried.
pub type Target = (&'static str, fn(&[u8]));

/// Every kind of input.
pub const TARGETS: [Target; 8] = [
    ("manifest", manifest),
    ("plan", plan),
    ("message", message),
    ("state", state),
    ("url", url),
    ("answer", answer),
    ("zip", zip),
    ("settings", settings),
];

/// A manifest, as somebody hands it in; and that a manifest which is good names every photo differently.
pub fn manifest(data: &[u8]) {
    for rules in [SourceRules::default(), SourceRules::anything()] {
        match Manifest::parse_given(data, &Defaults::default(), &rules) {
            Ok((manifest, given)) => {
                let names = manifest.entry_names(|_| None);
                let mut seen: Vec<String> = names
                    .iter()
                    .map(|name| name.as_str().to_lowercase())
                    .collect();
                seen.sort();
                seen.dedup();
                assert_eq!(seen.len(), names.len(), "two photos have one name");
                let _ = (manifest.archive_file_name(), given);
            }
            Err(violations) => assert!(!violations.to_string().is_empty()),
        }
    }
}

/// Lengths and names, as servers tell them: a plan of them is the same each time, and its parts are as long as
/// its archives.
pub fn plan(data: &[u8]) {
    let (head, names) = data.split_at(data.len().min(8));
    let mut bytes = head.iter().copied().cycle();
    let mut next = || u64::from(bytes.next().unwrap_or_default());
    let mut json = "{\"event_id\": \"e\", \"photos\": [".to_owned();
    let names = String::from_utf8_lossy(names);
    let names: Vec<&str> = names.lines().take(50).collect();
    for (index, name) in names.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let name = serde_json::Value::from(*name);
        let _ = write!(
            json,
            "{comma}{{\"url\": \"https://a.example/{index}\", \"name\": {name}}}"
        );
    }
    let _ = write!(
        json,
        "], \"max_archive_bytes\": {}}}",
        (1 << 20) + next() * next()
    );
    let rules = SourceRules::anything();
    let Ok(manifest) = Manifest::parse(json.as_bytes(), &Defaults::default(), &rules) else {
        return;
    };
    let fates: Vec<Fate> = (manifest.photos.iter())
        .map(|_| match next() {
            0 => Fate::Missing(MissingReason::NotFound),
            size => Fate::Present {
                size: size.pow(3) * next(),
                modified: None,
                described: Described::default(),
            },
        })
        .collect();
    let Ok(plan) = Plan::new(&manifest, &fates) else {
        return;
    };
    let again = Plan::new(&manifest, &fates).map(|again| format!("{again:?}"));
    assert_eq!(
        Ok(format!("{plan:?}")),
        again.map_err(|error| error.to_string())
    );
    for volume in &plan.volumes {
        let parts: u64 = volume.parts().map(|part| part.length).sum();
        assert_eq!(parts, volume.length);
    }
}

/// A message of the queue, and the names of jobs.
pub fn message(data: &[u8]) {
    let Ok(said) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(message) = Message::from_body(said) {
        assert_eq!(Message::from_body(&message.to_body()).ok(), Some(message));
    }
    if let Ok(job) = said.parse::<JobKey>() {
        assert_eq!(job.to_string(), said);
    }
}

/// Objects of the bucket: states and subscribers.
pub fn state(data: &[u8]) {
    if let Ok(state) = State::from_json(data) {
        assert_eq!(State::from_json(&state.to_json()).ok(), Some(state));
    }
    let _ = serde_json::from_slice::<Subscriber>(data);
}

/// An address of a photo: what is shown of it holds no secret, and no address is let through that leads to
/// this machine. Rules for hosts and addresses of e-mail too.
pub fn url(data: &[u8]) {
    let Ok(said) = std::str::from_utf8(data) else {
        return;
    };
    let _ = (
        host_pattern(said),
        mail_address::parse(said),
        redact::text(said),
        text::tidy(said),
    );
    let _ = Credentials::parse(said);
    let Ok(PhotoUrl::Web(url)) = PhotoUrl::parse(said, &SourceRules::https()) else {
        return;
    };
    let shown = url.to_string();
    let query = shown.split_once('?').map(|(_, query)| query);
    assert!(query.is_none_or(|query| query == "…"), "a query is shown");
    assert_eq!(url.expose().scheme(), "https");
    assert!(url.expose().password().is_none() && url.expose().username().is_empty());
    let _ = (
        url.file_name(),
        url.request_uri(),
        url.join(said, &SourceRules::https()),
    );
    let private = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback() || address.is_link_local(),
        Some(url::Host::Ipv6(address)) => {
            let mapped = address.to_ipv4_mapped();
            address.is_loopback() || mapped.is_some_and(|address| address.is_loopback())
        }
        _ => false,
    };
    let address = url.host().and_then(|host| match host {
        url::Host::Ipv4(address) => Some(address.into()),
        url::Host::Ipv6(address) => Some(address.into()),
        url::Host::Domain(_) => None,
    });
    if let (true, Some(address)) = (private, address) {
        assert!(!guard::allowed(address, false), "{address}");
    }
}

/// The head of an answer, a header a line.
pub fn answer(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(100) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    fuzz_answer(&headers);
}

/// An archive that somebody wants verified.
pub fn zip(data: &[u8]) {
    let _ = verify::inspect(Cursor::new(data));
}

/// A file of settings, and what is in the setting of Google's credentials.
pub fn settings(data: &[u8]) {
    let Ok(said) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(settings) = toml::from_str::<Settings>(said) {
        settings.check();
        let _ = (settings.source_rules(), settings.s3_options().is_ok());
        let shown = format!("{settings:?}");
        let secret = settings
            .r2
            .secret_key
            .as_ref()
            .map(crate::settings::Secret::expose);
        if let Some(secret) = secret.filter(|secret| secret.len() > 12 && secret.is_ascii()) {
            assert!(
                !shown.contains(secret) || said.matches(secret).count() > 1,
                "a secret is shown"
            );
        }
    }
    crate::source::gcs::fuzz_key(said);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_input_of_the_corpus_is_taken_or_refused() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
        for (name, target) in TARGETS {
            let folder = fs::read_dir(corpus.join(name)).unwrap_or_else(|_| panic!("no {name}"));
            let mut inputs = 0;
            for input in folder {
                let input = input.unwrap().path();
                let data = fs::read(&input).unwrap();
                let tried = std::panic::catch_unwind(|| target(&data));
                assert!(tried.is_ok(), "{} fails", input.display());
                inputs += 1;
            }
            assert!(inputs > 0, "{name} has no corpus");
        }
    }
}
