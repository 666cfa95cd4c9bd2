//! From bytes to a [`Manifest`], noting everything that is wrong on the way.
//!
//! The JSON is read field by field instead of through derived types, so that one wrong photo
//! does not hide the next, and borrowed from the input, so that a manifest of 100,000 photos
//! costs little more than itself.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::fields::{Fields, Object};
use super::given::GivenPhoto;
use super::photo::{photo, photo_of_line};
use super::rules::describe;
use super::{
    MAX_EXPIRES_IN, MAX_MANIFEST_BYTES, MAX_PHOTOS, MAX_RECIPIENTS, MAX_SAME_URL, Manifest, Notify,
    OnMissing, Photo, SourceRules, Violations, WebUrl, Zone, zone,
};
use crate::mail_address;

/// What the command line knows that the manifest may leave out.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    /// The event, for manifests that don't name one; also overrides.
    pub event_id: Option<String>,
    /// The event when neither names one: `run` says `event`.
    pub fallback_event_id: Option<String>,
}

/// Reads a manifest; the photos as they were given are noted in `given`, where somebody wants them.
pub(super) fn parse(
    bytes: &[u8],
    defaults: &Defaults,
    rules: &SourceRules,
    given: &mut Option<Vec<GivenPhoto>>,
) -> Result<Manifest, Violations> {
    if bytes.len() > MAX_MANIFEST_BYTES {
        return Err(too_long(bytes.len()));
    }
    let mut found = Violations::default();
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => trim_pasted(text),
        Err(error) => {
            found.add(
                "manifest",
                format!("is not UTF-8 text ({error})"),
                "save it as UTF-8",
            );
            return Err(found);
        }
    };
    let manifest = match text.bytes().next() {
        Some(b'{') => from_object(text, defaults, rules, given, &mut found),
        Some(b'[') => json(text, &mut found).and_then(|photos| {
            let fields = Fields::of_one("photos", photos);
            assemble(fields, defaults, rules, given, &mut found)
        }),
        Some(_) => from_lines(text, defaults, rules, given, &mut found),
        None => {
            found.add(
                "manifest",
                "is empty",
                "give a JSON manifest, or one URL a line",
            );
            None
        }
    };
    found.or(manifest)
}

/// Trims blanks and the marks without width that pages and chats leave at the ends of what is copied from them.
pub(super) fn trim_pasted(text: &str) -> &str {
    text.trim_matches(|c: char| {
        c.is_whitespace() || matches!(c, '\u{200b}' | '\u{2060}' | '\u{feff}')
    })
}

/// A manifest has more bytes than are read.
pub(super) fn too_long(length: usize) -> Violations {
    let mut found = Violations::default();
    found.add(
        "manifest",
        format!("is {length} bytes long"),
        format!("at most {MAX_MANIFEST_BYTES} bytes are read; split the event"),
    );
    found
}

fn json<'a, T: Deserialize<'a>>(text: &'a str, found: &mut Violations) -> Option<T> {
    serde_json::from_str(text)
        .map_err(|error| {
            found.add(
                "manifest",
                format!("is not valid JSON ({error})"),
                "check it with a JSON linter",
            );
        })
        .ok()
}

fn from_object(
    text: &str,
    defaults: &Defaults,
    rules: &SourceRules,
    given: &mut Option<Vec<GivenPhoto>>,
    found: &mut Violations,
) -> Option<Manifest> {
    let object: Object<'_> = json(text, found)?;
    assemble(
        Fields::new(String::new(), object, found),
        defaults,
        rules,
        given,
        found,
    )
}

fn from_lines(
    text: &str,
    defaults: &Defaults,
    rules: &SourceRules,
    given: &mut Option<Vec<GivenPhoto>>,
    found: &mut Violations,
) -> Option<Manifest> {
    let mut photos = Vec::new();
    for (number, line) in with_line_feeds(text).split('\n').enumerate() {
        let line = trim_pasted(line);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = format!("line {}", number + 1);
        photos.push(photo_of_line(line, &place, rules, given, found));
    }
    finish(Fields::default(), photos, defaults, rules, found)
}

/// The text with lines that end as on Unix: on Windows they end in two characters, and Excel for Mac
/// ends them in the other one alone.
fn with_line_feeds(text: &str) -> Cow<'_, str> {
    if text.contains('\r') {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(text)
    }
}

fn assemble(
    mut fields: Fields<'_>,
    defaults: &Defaults,
    rules: &SourceRules,
    given: &mut Option<Vec<GivenPhoto>>,
    found: &mut Violations,
) -> Option<Manifest> {
    match fields.take::<u64>("version", "the number 1", found) {
        None | Some(1) => {}
        Some(version) => found.add(
            "version",
            format!("is {version}, which this program does not know"),
            "use 1, or a newer program",
        ),
    }
    let photos = match fields.raw("photos") {
        None => {
            found.add("photos", "is missing", "list the photos' URLs");
            Vec::new()
        }
        Some(raw) => match serde_json::from_str::<Vec<&RawValue>>(raw.get()) {
            Err(_) => {
                found.add("photos", "is not an array", "list the photos' URLs");
                Vec::new()
            }
            Ok(list) if list.is_empty() => {
                found.add("photos", "is empty", "list at least one photo");
                Vec::new()
            }
            Ok(list) if list.len() > MAX_PHOTOS => {
                too_many(list.len(), found);
                Vec::new()
            }
            Ok(list) => list
                .into_iter()
                .enumerate()
                .map(|(index, raw)| photo(raw, &format!("photos[{index}]"), rules, given, found))
                .collect(),
        },
    };
    finish(fields, photos, defaults, rules, found)
}

/// Notes the first photo whose address is there too often.
fn same_urls(photos: &[Option<Photo>], found: &mut Violations) {
    let mut seen = HashMap::new();
    for (index, photo) in photos.iter().enumerate() {
        let Some(photo) = photo else { continue };
        let times = seen.entry(&photo.url).or_insert(0);
        *times += 1;
        if *times > MAX_SAME_URL {
            found.add(
                format!("photos[{index}].url"),
                format!("is an address that is listed more than {MAX_SAME_URL} times"),
                "list each photo once",
            );
            return;
        }
    }
}

fn too_many(count: usize, found: &mut Violations) {
    found.add(
        "photos",
        format!("has {count} photos"),
        format!("at most {MAX_PHOTOS} fit into one job; split the event"),
    );
}

/// Everything but the photos, which are `None` where a violation was noted.
fn finish(
    mut fields: Fields<'_>,
    photos: Vec<Option<Photo>>,
    defaults: &Defaults,
    rules: &SourceRules,
    found: &mut Violations,
) -> Option<Manifest> {
    if photos.len() > MAX_PHOTOS {
        too_many(photos.len(), found);
    }
    same_urls(&photos, found);
    if photos.is_empty() && found.total() == 0 {
        found.add("photos", "is empty", "list at least one photo");
    }
    let event_id = event_id(&mut fields, defaults, found);
    let archive_name = fields.take("archive_name", "text", found);
    let on_missing = match fields
        .take::<String>("on_missing", "`skip` or `fail`", found)
        .as_deref()
    {
        None | Some("skip") => OnMissing::Skip,
        Some("fail") => OnMissing::Fail,
        Some(other) => {
            found.add(
                "on_missing",
                format!("is `{}`", other.escape_debug()),
                "use `skip` or `fail`",
            );
            OnMissing::Skip
        }
    };
    let max_archive_bytes =
        fields.take::<u64>("max_archive_bytes", "a whole number of bytes", found);
    if max_archive_bytes == Some(0) {
        found.add("max_archive_bytes", "is 0", "leave it out for one archive");
    }
    let time_zone = time_zone(&mut fields, found);
    let title = fields.take("title", "text", found);
    let notify = notify(&mut fields, rules, found);
    let expires_in = expires_in(&mut fields, found);
    fields.refuse_rest(found);
    Some(Manifest {
        event_id: event_id?,
        title,
        archive_name,
        photos: photos.into_iter().collect::<Option<Vec<_>>>()?,
        on_missing,
        max_archive_bytes,
        time_zone,
        notify: notify?,
        expires_in: expires_in?,
    })
}

fn event_id(
    fields: &mut Fields<'_>,
    defaults: &Defaults,
    found: &mut Violations,
) -> Option<String> {
    let given = fields.take::<String>("event_id", "text", found);
    let Some(event_id) = defaults
        .event_id
        .clone()
        .or(given)
        .or_else(|| defaults.fallback_event_id.clone())
    else {
        found.add(
            "event_id",
            "is missing",
            "name the event, here or with `--event-id`",
        );
        return None;
    };
    if !is_event_id(&event_id) {
        found.add(
            "event_id",
            format!("is `{}`", event_id.escape_debug()),
            "use 1 to 128 of the characters A-Z a-z 0-9 . _ - and no dot in front",
        );
        return None;
    }
    Some(event_id)
}

/// Whether this may name an event: it becomes part of keys and of paths.
pub fn is_event_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with('.')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

fn time_zone(fields: &mut Fields<'_>, found: &mut Violations) -> Option<Zone> {
    let name = fields.take::<String>("time_zone", "text such as `Europe/Berlin`", found)?;
    let shown: String = name.chars().take(40).flat_map(char::escape_debug).collect();
    zone::parse(&name)
        .map_err(|remedy| {
            found.add(
                "time_zone",
                format!("is `{shown}`, which is not known"),
                remedy,
            );
        })
        .ok()
}

fn expires_in(fields: &mut Fields<'_>, found: &mut Violations) -> Option<Duration> {
    let Some(text) = fields.take::<String>("expires_in", "text such as `7d`", found) else {
        return Some(MAX_EXPIRES_IN);
    };
    match humantime::parse_duration(&text) {
        Ok(duration) if !duration.is_zero() && duration <= MAX_EXPIRES_IN => Some(duration),
        _ => {
            found.add(
                "expires_in",
                format!("is `{}`", text.escape_debug()),
                "use a time such as `12h` or `3d`, at most `7d`",
            );
            None
        }
    }
}

/// Reads a webhook's address. Not the whole of it is shown, since it may hold a secret.
fn webhook(text: &str, rules: &SourceRules, found: &mut Violations) -> Option<WebUrl> {
    let url = WebUrl::parse(text, &SourceRules::https()).map_err(|(problem, _)| {
        found.add("notify.webhook", problem, "give an `https://` address");
    });
    let url = url.ok()?;
    let rules = rules.for_webhooks();
    if !url.is_allowed(&rules) {
        found.add(
            "notify.webhook",
            "is at a host, or in a folder, that is not allowed",
            format!(
                "add it to `deliver.webhook_hosts` (now: {})",
                describe(&rules.allowed_hosts)
            ),
        );
        return None;
    }
    Some(url)
}

fn notify(fields: &mut Fields<'_>, rules: &SourceRules, found: &mut Violations) -> Option<Notify> {
    let Some(raw) = fields.raw("notify") else {
        return Some(Notify::default());
    };
    let Ok(object) = serde_json::from_str::<Object<'_>>(raw.get()) else {
        found.add("notify", "is not an object", "write `{\"email\": […]}`");
        return None;
    };
    let before = found.total();
    let mut fields = Fields::new("notify.".to_owned(), object, found);
    let email: Vec<String> = fields
        .take("email", "an array of addresses", found)
        .unwrap_or_default();
    if email.len() > MAX_RECIPIENTS {
        found.add(
            "notify.email",
            format!("has {} addresses", email.len()),
            format!(
                "give at most {MAX_RECIPIENTS}, such as those of the couple, who hand the link on"
            ),
        );
    }
    for (index, address) in email.iter().take(MAX_RECIPIENTS).enumerate() {
        if let Err((problem, remedy)) = mail_address::parse(address) {
            found.add(format!("notify.email[{index}]"), problem, remedy);
        }
    }
    let webhook = fields
        .take::<String>("webhook", "an `https` address", found)
        .and_then(|text| webhook(&text, rules, found));
    let locale = fields.take("locale", "text such as `en`", found);
    let tell_about_failure = fields
        .take("tell_about_failure", "true or false", found)
        .unwrap_or_default();
    fields.refuse_rest(found);
    (found.total() == before).then_some(Notify {
        email,
        locale,
        tell_about_failure,
        webhook,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::PhotoUrl;

    fn read(text: &str) -> Result<Manifest, Violations> {
        let hosts = SourceRules {
            allowed_hosts: vec!["photos.example".to_owned()],
            allowed_buckets: vec!["gs://photos".to_owned()],
            webhook_hosts: vec!["hooks.example".to_owned(), "*/for-us/".to_owned()],
            ..SourceRules::default()
        };
        Manifest::parse(text.as_bytes(), &Defaults::default(), &hosts)
    }

    #[test]
    fn a_full_manifest_is_read() {
        let manifest = read(
            r#"{"version": 1, "event_id": "smith-jones-2026", "title": "Smith & Jones",
                "archive_name": "Smith & Jones.zip", "on_missing": "fail",
                "photos": ["https://photos.example/a.jpg?token=x",
                  {"url": "https://photos.example/b", "name": "Ceremony/IMG_0001.jpg", "size": 8123456,
                   "modified": "2026-06-20T15:04:05Z", "crc32c": "n03x6A==", "md5": "Ojk9c3dhfxgoKVVHYwFbHQ=="}],
                "max_archive_bytes": 4000000000, "expires_in": "3d",
                "notify": {"email": ["couple@example.com"], "locale": "en", "webhook": "https://hooks.example/x"}}"#,
        )
        .unwrap();
        insta::assert_debug_snapshot!(manifest);
    }

    #[test]
    fn camel_case_and_nulls_are_what_javascript_writes() {
        let manifest = read(
            r#"{"eventId": "e1", "maxArchiveBytes": null, "onMissing": "fail",
                "photos": [{"url": "https://photos.example/b", "fileName": "b.jpg"}]}"#,
        )
        .unwrap();
        assert_eq!(manifest.event_id, "e1");
        assert_eq!(manifest.on_missing, OnMissing::Fail);
        assert_eq!(manifest.photos[0].name.as_deref(), Some("b.jpg"));
    }

    #[test]
    fn lists_of_urls_are_manifests_too() {
        let defaults = Defaults {
            event_id: Some("party".to_owned()),
            fallback_event_id: None,
        };
        let hosts = SourceRules::anything();
        let json = br#"["https://a.example/1.jpg", "https://a.example/2.jpg"]"#;
        let text =
            b"\xef\xbb\xbf# photos\r\nhttps://a.example/1.jpg\r\n\r\nhttps://a.example/2.jpg\r\n";
        for bytes in [json.as_slice(), text.as_slice()] {
            let manifest = Manifest::parse(bytes, &defaults, &hosts).unwrap();
            assert_eq!(manifest.photos.len(), 2);
            assert_eq!(manifest.archive_file_name(), "party.zip");
        }
    }

    /// Returns what a list comes to: addresses and names, or what is wrong with it.
    fn listed(text: &str) -> Result<Vec<String>, String> {
        let defaults = Defaults {
            event_id: Some("party".to_owned()),
            fallback_event_id: None,
        };
        let photos = Manifest::parse(text.as_bytes(), &defaults, &SourceRules::anything())
            .map_err(|wrong| wrong.to_string())?
            .photos;
        let shown = photos.iter().map(|photo| match &photo.name {
            Some(name) => format!("{} called {name}", photo.url),
            None => photo.url.to_string(),
        });
        Ok(shown.collect())
    }

    #[test]
    fn lines_end_as_on_every_system() {
        let lines = [
            "# one",
            "https://a.example/1.jpg",
            "",
            "https://a.example/2.jpg",
        ];
        for end in ["\n", "\r\n", "\r"] {
            let text = lines.join(end);
            let both = ["https://a.example/1.jpg", "https://a.example/2.jpg"];
            assert_eq!(listed(&text).unwrap(), both, "{end:?}");
            assert_eq!(listed(&format!("{text}{end}")).unwrap(), both, "{end:?}");
            let wrong = listed(&format!("{text}{end}ftp://x")).unwrap_err();
            assert!(wrong.contains("line 5: "), "{end:?}: {wrong}");
        }
    }

    #[test]
    fn names_may_follow_a_tab() {
        let named =
            listed("gs://b/1.jpg\thttps.jpg\nhttps://a.example/2 \t Ceremony/IMG 2.HEIC \n");
        assert_eq!(
            named.unwrap(),
            [
                "gs://b/1.jpg called https.jpg",
                "https://a.example/2 called Ceremony/IMG 2.HEIC"
            ]
        );
        let url = "https://a.example/1.jpg";
        let wrong: Vec<String> = [
            // Google's Storage Transfer Service: length and checksum.
            format!("{url}\t1357\twHENa08V36iPYAsOa2JAdw=="),
            format!("{url}\t1357"),
            format!("{url}\tthe first dance"),
            format!("{url}\t{url}"),
            format!("IMG_1.jpg\t{url}"),
            format!("{url}, {url}"),
            format!("{url} {url}"),
            format!("{url}\u{b}"),
            format!("{url}\u{b}x"),
        ]
        .iter()
        .map(|line| {
            listed(line)
                .unwrap_or_else(|wrong| vec![wrong])
                .join(" and ")
        })
        .collect();
        insta::assert_snapshot!(wrong.join("\n"));
    }

    #[test]
    fn zones_and_globs_are_checked() {
        let error = read(
            r#"{"event_id": "e", "time_zone": "Berlin", "photos": [
                {"url": "gs://photos/e/", "include": ["**/*.jpg", "[a"], "exclude": [7]},
                {"url": "gs://photos/a.jpg", "include": ["*"]},
                {"url": "https://photos.example/", "exclude": []},
                {"url": "gs://photos/e/", "include": "*.jpg"}
            ]}"#,
        );
        insta::assert_snapshot!(error.unwrap_err());
        let manifest = read(
            r#"{"event_id": "e", "timeZone": "Europe/Berlin", "photos": [
                {"url": "gs://photos/e/", "exclude": ["thumbs/**"], "include": null}]}"#,
        )
        .unwrap();
        assert_eq!(manifest.time_zone.unwrap().name(), "Europe/Berlin");
        let photo = |key: &str| {
            let folder = &manifest.photos[0];
            let PhotoUrl::Stored(url) = &folder.url else {
                panic!("{folder:?}")
            };
            folder.inside(url.sibling(key)).map(|photo| photo.listed_as)
        };
        assert_eq!(photo("e/a/b.jpg"), Some(Some("a/b.jpg".to_owned())));
        assert_eq!(photo("e/thumbs/b.jpg"), None);
        assert_eq!(photo("e/.DS_Store"), None);
    }

    #[test]
    fn webhooks_of_other_hosts_are_refused_without_showing_their_secrets() {
        let with = |url: &str| {
            read(&format!(
                r#"{{"event_id": "e", "photos": ["https://photos.example/a.jpg"], "notify": {{"webhook": "{url}"}}}}"#
            ))
        };
        assert!(with("https://HOOKS.example:8443/x?key=s3cret").is_ok());
        assert!(with("https://any.example/for-us/x").is_ok());
        let wrong = [
            "https://photos.example/?key=s3cret",
            "https://any.example/for-us/../s3cret",
            "https://hooks.example.evil.example/s3cret",
        ];
        for url in wrong {
            insta::allow_duplicates! {
                insta::assert_snapshot!(with(url).unwrap_err(), @"
                the manifest has 1 problem
                  notify.webhook: is at a host, or in a folder, that is not allowed; add it to `deliver.webhook_hosts` (now: hooks.example, */for-us/)
                ");
            }
        }
    }

    #[test]
    fn everything_wrong_is_reported_at_once() {
        let error = read(
            r#"{"version": 2, "eventId": "../x", "event_id": "y", "photoz": [], "on_missing": "maybe",
                "max_archive_bytes": -1, "expires_in": "8d",
                "notify": {"email": ["nobody", "a@b.example\nBcc: c@d.example"], "webhook": "http://hooks.example", "sms": 1},
                "photos": [
                  "http://photos.example/a.jpg", "https://evil.example/a.jpg", "gs://bucket/a.jpg", "/a.jpg", 7,
                  {"url": "gs://photos/e/", "size": 1, "crc32c": "n03x6A=="},
                  {"name": "x"}, {"url": "https://user:pw@photos.example/a.jpg"},
                  {"url": "https://photos.example/a", "size": "8", "modified": "yesterday", "crc32c": "zz", "md5": "n03x6A==", "colour": 1}
                ]}"#,
        )
        .unwrap_err();
        insta::assert_snapshot!(error);
    }

    /// The Worker refuses them too, in the same places. It does not know which hosts are allowed.
    #[test]
    fn wrong_manifests_are_wrong_as_in_the_shared_vectors() {
        #[derive(Deserialize)]
        struct Vector<'a> {
            about: &'a str,
            /// As written: half a character cannot be kept in a value.
            #[serde(borrow)]
            manifest: &'a RawValue,
            places: Vec<String>,
        }
        let vectors: Vec<Vector<'_>> =
            serde_json::from_str(include_str!("../../tests/data/wrong-manifests.json")).unwrap();
        let rules = SourceRules {
            allowed_buckets: vec!["*".to_owned()],
            ..SourceRules::https()
        };
        for vector in vectors {
            let text = vector.manifest.get().as_bytes();
            let error = Manifest::parse(text, &Defaults::default(), &rules).unwrap_err();
            let mut places: Vec<&str> = (error.first().iter())
                .map(|violation| violation.place.as_str())
                .collect();
            places.sort_unstable();
            // One place may be wrong in two ways.
            places.dedup();
            assert_eq!(places, vector.places, "{}: {error}", vector.about);
        }
    }

    #[test]
    fn only_twenty_problems_are_spelled_out() {
        let urls: Vec<String> = (0..30).map(|n| format!("\"ftp://x/{n}\"")).collect();
        let error = read(&format!(
            "{{\"event_id\": \"e\", \"photos\": [{}]}}",
            urls.join(",")
        ))
        .unwrap_err();
        assert_eq!((error.first().len(), error.total()), (20, 30));
        assert!(error.to_string().ends_with("and 10 more"));
    }

    #[test]
    fn empty_and_broken_manifests_say_so() {
        let cases = [
            "",
            "  \n",
            "{",
            "[]",
            "{}",
            r#"{"event_id": "e", "photos": []}"#,
            r#"{"event_id": "e", "photos": "x"}"#,
            "# only a comment",
        ];
        let table: Vec<String> = cases
            .iter()
            .map(|case| format!("{case:?}\n{}", read(case).unwrap_err()))
            .collect();
        insta::assert_snapshot!(table.join("\n\n"));
    }

    #[test]
    fn tokens_of_misplaced_addresses_are_not_shown() {
        let error = read(
            r#"{"event_id": "e", "photos": [{"url": ["https://photos.example/a?token=secret"]},
                {"url": "https://photos.example/a", "size": "https://photos.example/a?token=secret"}]}"#,
        )
        .unwrap_err()
        .to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn a_job_is_no_way_to_write_to_everybody() {
        let many: Vec<String> = (0..51)
            .map(|n| format!("\"guest{n}@example.com\""))
            .collect();
        let error = read(&format!(
            "{{\"event_id\": \"e\", \"photos\": [\"https://photos.example/a\"], \"notify\": {{\"email\": [{}]}}}}",
            many.join(",")
        ));
        insta::assert_snapshot!(error.unwrap_err(), @r"
        the manifest has 1 problem
          notify.email: has 51 addresses; give at most 50, such as those of the couple, who hand the link on
        ");
    }

    #[test]
    fn objects_with_a_hundred_thousand_fields_are_quick() {
        let fields: Vec<String> = (0..100_000).map(|n| format!("\"f{n}\": 1")).collect();
        let error = read(&format!("{{{}}}", fields.join(","))).unwrap_err();
        assert_eq!(error.first()[0].problem, "has 100000 fields");
    }

    /// Each of them is fetched and stored again.
    #[test]
    fn one_address_is_not_listed_without_end() {
        let listed = |times: usize| {
            let photos = vec!["\"https://photos.example/a.jpg?token=s3cret\""; times].join(",");
            let text = format!("{{\"event_id\": \"e\", \"photos\": [{photos}]}}");
            let rules = SourceRules::anything();
            Manifest::parse(text.as_bytes(), &Defaults::default(), &rules)
        };
        assert_eq!(listed(100).unwrap().photos.len(), 100);
        let error = listed(101).unwrap_err().to_string();
        insta::assert_snapshot!(error, @r"
        the manifest has 1 problem
          photos[100].url: is an address that is listed more than 100 times; list each photo once
        ");
    }

    #[test]
    fn two_hundred_thousand_photos_are_too_many() {
        let line = "https://photos.example/a.jpg\n".repeat(200_000);
        let error = read(&line).unwrap_err();
        assert!(error.to_string().contains("has 200000 photos"));
        let json = format!(
            "{{\"event_id\": \"e\", \"photos\": [{}\"https://photos.example/a\"]}}",
            "\"https://photos.example/a\",".repeat(199_999)
        );
        let error = read(&json).unwrap_err();
        insta::assert_snapshot!(error, @"
        the manifest has 1 problem
          photos: has 200000 photos; at most 100000 fit into one job; split the event
        ");
    }
}
