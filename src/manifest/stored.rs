//! Addresses in private buckets: `gs://bucket/object` and `s3://bucket/key`, or a folder of them.
//!
//! They are taken as they are written, as `gcloud storage` and `aws s3` do: nothing is
//! percent-encoded, and `?` and `#` are characters like others.

use std::fmt;

use super::rules::{SourceRules, describe};

/// The longest name of an object, in bytes (Cloud Storage and S3 alike).
const MAX_KEY_BYTES: usize = 1024;

/// Which kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Google Cloud Storage, which Firebase's buckets are in.
    Gs,
    /// R2, S3, or any other that speaks S3.
    S3,
}

impl Scheme {
    /// The scheme of an address, and the rest of it.
    pub(super) fn of(text: &str) -> Option<(Self, &str)> {
        let (scheme, rest) = text.split_once("://")?;
        match scheme.to_ascii_lowercase().as_str() {
            "gs" => Some((Self::Gs, rest)),
            "s3" => Some((Self::S3, rest)),
            _ => None,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gs => "gs",
            Self::S3 => "s3",
        })
    }
}

/// An object in a bucket, or, if it ends in `/`, everything in that folder and below.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StoredUrl {
    scheme: Scheme,
    bucket: String,
    key: String,
}

impl StoredUrl {
    /// Reads and checks what follows the scheme; the error is a problem and its remedy.
    pub(super) fn parse(
        scheme: Scheme,
        rest: &str,
        rules: &SourceRules,
    ) -> Result<Self, (String, String)> {
        let Some((bucket, key)) = rest.split_once('/') else {
            return Err((
                "names a bucket, but nothing in it".to_owned(),
                format!(
                    "write `{scheme}://bucket/object`, or `{scheme}://bucket/folder/` for all that is in it"
                ),
            ));
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if bucket.is_empty()
            || bucket.len() > 222
            || !bucket.chars().all(is_name)
            || bucket.chars().all(|c| c == '.')
        {
            return Err((
                if bucket.contains('@') {
                    // It may be a user and a password.
                    "has an `@` in front of the bucket".to_owned()
                } else {
                    format!(
                        "has the bucket `{}`, which cannot be one",
                        bucket.escape_debug()
                    )
                },
                format!("write `{scheme}://bucket/object`"),
            ));
        }
        // Some servers would take these for steps in a path.
        let steps = key.split('/').any(|segment| matches!(segment, "." | ".."));
        if key.len() > MAX_KEY_BYTES || key.chars().any(char::is_control) || steps {
            return Err((
                "has an object name that cannot be one".to_owned(),
                format!(
                    "use at most {MAX_KEY_BYTES} bytes, no control characters, and no `.` and `..`"
                ),
            ));
        }
        let url = Self {
            scheme,
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        };
        rules.check_jobs_apart(&url)?;
        if !rules.allows_stored(&url) {
            return Err((
                format!("is in the bucket `{scheme}://{bucket}`, which is not allowed"),
                format!(
                    "add it to `source.allowed_buckets` (now: {})",
                    describe(&rules.allowed_buckets)
                ),
            ));
        }
        Ok(url)
    }

    /// Which kind of store.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The object's name; of a folder, what the names in it begin with.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether this stands for all objects in a folder.
    pub fn is_folder(&self) -> bool {
        self.key.is_empty() || self.key.ends_with('/')
    }

    /// Another object of the same bucket.
    #[must_use]
    pub fn sibling(&self, key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            ..self.clone()
        }
    }

    /// The last segment of the object's name, or of the folder's.
    pub(super) fn file_name(&self) -> Option<String> {
        let key = self.key.trim_end_matches('/');
        key.rsplit('/')
            .next()
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
    }
}

impl fmt::Display for StoredUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            scheme,
            bucket,
            key,
        } = self;
        write!(f, "{scheme}://{bucket}/{key}")
    }
}

impl fmt::Debug for StoredUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::PhotoUrl;

    fn rules(buckets: &[&str]) -> SourceRules {
        SourceRules {
            allowed_buckets: buckets.iter().map(|bucket| (*bucket).to_owned()).collect(),
            ..SourceRules::default()
        }
    }

    fn allowed(url: &str, buckets: &[&str]) -> bool {
        PhotoUrl::parse(url, &rules(buckets)).is_ok()
    }

    #[test]
    fn objects_and_folders_are_taken_as_they_are_written() {
        let parse = |text| PhotoUrl::parse(text, &SourceRules::anything()).unwrap();
        let object = parse("gs://photos.appspot.com/events/7/IMG 1%20#2?.jpg");
        assert_eq!(
            object.to_string(),
            "gs://photos.appspot.com/events/7/IMG 1%20#2?.jpg"
        );
        assert_eq!(object.file_name().as_deref(), Some("IMG 1%20#2?.jpg"));
        assert!(!object.is_folder());
        let folder = parse("S3://photos/events/7/");
        assert_eq!(folder.to_string(), "s3://photos/events/7/");
        assert_eq!(folder.file_name().as_deref(), Some("7"));
        assert!(folder.is_folder());
        assert!(parse("gs://photos/").is_folder());
        assert_eq!(parse("gs://photos/").file_name(), None);
    }

    #[test]
    fn what_cannot_be_an_address_is_refused_with_a_remedy() {
        let long = format!("gs://photos/{}", "x".repeat(1025));
        let refused: Vec<String> = [
            "gs://photos",
            "gs:///a.jpg",
            "s3://a b/c",
            "s3://user@x/c",
            "gs://photos/a\u{7}",
            &long,
            "gs://../a",
            "s3://photos/e/../jobs/x",
        ]
        .iter()
        .map(|text| {
            let (problem, remedy) = PhotoUrl::parse(text, &SourceRules::anything()).unwrap_err();
            format!("{problem}; {remedy}")
        })
        .collect();
        insta::assert_snapshot!(refused.join("\n"));
    }

    #[test]
    fn what_belongs_to_jobs_is_no_photo() {
        let rules = SourceRules {
            job_buckets: vec!["photos".to_owned(), "archived".to_owned()],
            ..SourceRules::anything()
        };
        for (url, allowed) in [
            ("s3://photos/", false),
            ("s3://photos/jobs/", false),
            ("s3://photos/jobs/e/1/manifest.json", false),
            ("s3://photos/archives/", false),
            ("s3://photos/mail/unsubscribed/", false),
            ("s3://photos/archives/e/1-5ec/Smith.zip", false),
            ("s3://photos/builds/1/index.json", false),
            // MinIO and others take all of these for `jobs/e/1/manifest.json`.
            ("s3://photos//jobs/e/1/manifest.json", false),
            ("s3://photos//", false),
            ("s3://photos/jobs//e/1/manifest.json", false),
            ("s3://photos/events//7/a.jpg", false),
            ("s3://photos/events/7//", false),
            ("s3://photos/events/7/", true),
            ("s3://photos/events/jobs/", true),
            ("s3://photos/jobs.jpg", true),
            ("s3://photos/archives.jpg", true),
            ("s3://archived/archives/5ec/Smith.zip", false),
            ("s3://archived/", false),
            ("s3://others/jobs/", true),
            ("s3://others/events//7/a.jpg", true),
            ("gs://photos/jobs/", true),
        ] {
            assert_eq!(PhotoUrl::parse(url, &rules).is_ok(), allowed, "{url}");
        }
    }

    #[test]
    fn buckets_and_folders_must_be_allowed() {
        assert!(!allowed("gs://photos/a.jpg", &[]));
        assert!(allowed("gs://photos/a.jpg", &["gs://photos"]));
        assert!(allowed("gs://photos/a.jpg", &["gs://photos/"]));
        assert!(!allowed("s3://photos/a.jpg", &["gs://photos"]));
        assert!(!allowed("gs://photos2/a.jpg", &["gs://photos"]));
        assert!(allowed("gs://photos/events/7/", &["gs://photos/events"]));
        assert!(allowed("gs://photos/events/", &["gs://photos/events/"]));
        assert!(!allowed(
            "gs://photos/events2/a.jpg",
            &["gs://photos/events"]
        ));
        assert!(!allowed("gs://photos/jobs/a.json", &["gs://photos/events"]));
        assert!(allowed("gs://photos/a.jpg", &["gs://*"]));
        assert!(!allowed("s3://photos/a.jpg", &["gs://*"]));
        assert!(allowed("s3://photos/a.jpg", &["*"]));
        assert!(!allowed("https://photos.example/a.jpg", &["*"]));
    }
}
