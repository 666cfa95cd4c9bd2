//! From the photos' fates to a plan, or to the reason why there is none.
//!
//! A photo that cannot be reached is left out like any other that is missing. Only where too many
//! are, it is their server that is to blame, and another run may bring them.

use std::collections::BTreeSet;

use super::hosts::host_of;
use super::{EngineError, EngineOptions};
use crate::manifest::{Manifest, OnMissing};
use crate::plan::{Fate, Missing, MissingReason, Plan};

/// Photos that may be unreachable.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    photos: usize,
    share: f64,
}

impl Allowance {
    /// Returns `None` where the first unreachable photo ends the run.
    pub(super) fn of(manifest: &Manifest, options: &EngineOptions) -> Option<Self> {
        let goes_on =
            manifest.on_missing == OnMissing::Skip && options.on_unreachable == OnMissing::Skip;
        goes_on.then_some(Self {
            photos: manifest.photos.len(),
            share: options.max_unreachable,
        })
    }

    /// Returns true if so many are too many.
    pub(super) fn is_exceeded_by(self, unreachable: usize) -> bool {
        // A share such as 0.29 is a little less than that.
        unreachable as f64 > self.photos as f64 * self.share + 1e-6
    }
}

/// Plans the archives, if enough photos are there.
pub(super) fn settle(
    manifest: &Manifest,
    fates: &[Fate],
    options: &EngineOptions,
) -> Result<Plan, EngineError> {
    let missing = Missing::among(manifest, fates);
    let photos = fates.len();
    let is_unreachable =
        |photo: &Missing| matches!(photo.reason, MissingReason::Unreachable { .. });
    let unreachable = missing.iter().any(is_unreachable);
    if missing.len() == photos || manifest.on_missing == OnMissing::Fail && !missing.is_empty() {
        return Err(if unreachable {
            too_many(manifest, missing, None)
        } else {
            EngineError::Missing { missing, photos }
        });
    }
    let doubtful = (missing.iter())
        .filter(|photo| photo.reason.may_be_the_origin())
        .count();
    match Allowance::of(manifest, options) {
        Some(allowance) if allowance.is_exceeded_by(doubtful) => {
            let missing = (missing.into_iter())
                .filter(|photo| photo.reason.may_be_the_origin())
                .collect();
            Err(too_many(manifest, missing, Some(options.max_unreachable)))
        }
        None if unreachable => Err(too_many(manifest, missing, None)),
        _ => {
            let sizes = fates.iter().map(|fate| match fate {
                Fate::Present { size, .. } => *size,
                Fate::Missing(_) => 0,
            });
            let bytes = sizes.fold(0, u64::saturating_add);
            if bytes > options.max_bytes {
                return Err(EngineError::TooManyBytes {
                    bytes,
                    limit: options.max_bytes,
                });
            }
            Plan::new(manifest, fates).map_err(EngineError::Plan)
        }
    }
}

/// The error of too many photos that cannot be reached.
pub(super) fn too_many(
    manifest: &Manifest,
    mut missing: Vec<Missing>,
    limit: Option<f64>,
) -> EngineError {
    missing.sort_by_key(|photo| !matches!(photo.reason, MissingReason::Unreachable { .. }));
    let hosts: BTreeSet<String> = (missing.iter())
        .filter(|photo| photo.reason.may_be_the_origin())
        .map(|photo| host_of(&manifest.photos[photo.photo].url).to_string())
        .collect();
    EngineError::Unreachable {
        missing,
        photos: manifest.photos.len(),
        hosts: hosts.into_iter().collect(),
        limit,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::exit_code::ExitCode;
    use crate::manifest::{Defaults, Described, SourceRules};
    use crate::retry::RetryPolicy;

    fn options(max_unreachable: f64, on_unreachable: OnMissing) -> EngineOptions {
        EngineOptions {
            memory_budget: 0,
            max_connections: 1,
            spool_dir: "/".into(),
            spool_limit: 0,
            retry: RetryPolicy {
                attempts: 1,
                delay: Duration::ZERO,
            },
            stall_timeout: Duration::ZERO,
            max_unreachable,
            on_unreachable,
            max_photo_bytes: u64::MAX,
            max_bytes: u64::MAX,
            refusal_patience: Duration::ZERO,
        }
    }

    /// Settles photos that are there (`.`), unreachable (`u`), forbidden (`f`), or gone (`g`).
    fn settled(
        photos: &str,
        on_missing: &str,
        options: &EngineOptions,
    ) -> Result<usize, EngineError> {
        let urls: Vec<String> = (0..photos.len())
            .map(|index| format!("\"https://{}.example/{index}.jpg\"", ["a", "b"][index % 2]))
            .collect();
        let json = format!(
            "{{\"event_id\": \"event\", \"on_missing\": \"{on_missing}\", \"photos\": [{}]}}",
            urls.join(",")
        );
        let rules = SourceRules::anything();
        let manifest = Manifest::parse(json.as_bytes(), &Defaults::default(), &rules).unwrap();
        let fates: Vec<Fate> = (photos.chars())
            .map(|photo| match photo {
                'u' => Fate::Missing(MissingReason::Unreachable {
                    what: "the server answered 503".to_owned(),
                }),
                'f' => Fate::Missing(MissingReason::Forbidden),
                'g' => Fate::Missing(MissingReason::NotFound),
                _ => Fate::Present {
                    size: 1,
                    modified: None,
                    described: Described::default(),
                },
            })
            .collect();
        settle(&manifest, &fates, options).map(|plan| plan.photo_count())
    }

    #[test]
    fn unreachable_photos_are_left_out_unless_they_are_too_many() {
        let half = options(0.5, OnMissing::Skip);
        for (photos, outcome) in [
            ("....", Ok(4)),
            (".u..", Ok(3)),
            ("uu..", Ok(2)),
            ("uuu..", Err(ExitCode::TryAgain)),
            ("uff..", Err(ExitCode::TryAgain)),
            ("fff..", Err(ExitCode::TryAgain)),
            // What is gone says nothing about its server.
            ("ggg.u", Ok(1)),
            ("u", Err(ExitCode::TryAgain)),
            ("gggu", Err(ExitCode::TryAgain)),
            ("ffff", Err(ExitCode::Missing)),
            ("gggg", Err(ExitCode::Missing)),
        ] {
            let found = settled(photos, "skip", &half).map_err(|error| ExitCode::from(&error));
            assert_eq!(found, outcome, "{photos}");
        }
    }

    #[test]
    fn the_share_is_a_setting() {
        let with = |share, photos| settled(photos, "skip", &options(share, OnMissing::Skip));
        assert!(with(0.0, ".........u").is_err());
        assert!(with(0.0, ".........g").is_ok());
        assert!(with(1.0, "uuuuuuuuu.").is_ok());
        assert!(with(1.0, "uuuuuuuuuu").is_err());
        let photos = format!("{}{}", "u".repeat(29), ".".repeat(71));
        assert!(with(0.29, &photos).is_ok());
        assert!(with(0.28, &photos).is_err());
    }

    #[test]
    fn where_all_must_be_there_what_may_pass_is_worth_another_try() {
        let half = options(0.5, OnMissing::Skip);
        let code = |photos| settled(photos, "fail", &half).map_err(|error| ExitCode::from(&error));
        assert_eq!(code("...u"), Err(ExitCode::TryAgain));
        assert_eq!(code("..gu"), Err(ExitCode::TryAgain));
        assert_eq!(code("...g"), Err(ExitCode::Missing));
        assert_eq!(code("...f"), Err(ExitCode::Missing));
        // Another attempt follows.
        let later = options(0.5, OnMissing::Fail);
        assert!(matches!(
            settled("...u", "skip", &later),
            Err(EngineError::Unreachable { .. })
        ));
        assert_eq!(settled("..gf", "skip", &later).unwrap(), 2);
    }

    #[test]
    fn a_job_has_at_most_so_many_bytes() {
        let mut most = options(0.5, OnMissing::Skip);
        most.max_bytes = 3;
        assert_eq!(settled("...g", "skip", &most).unwrap(), 3);
        let error = settled("....", "skip", &most).unwrap_err();
        assert_eq!(ExitCode::from(&error), ExitCode::BadData);
        assert_eq!(
            error.to_string(),
            "the photos have 4 bytes, more than `job.max_bytes` (3); split the event, or raise it"
        );
    }

    #[test]
    fn the_error_says_how_many_where_and_why() {
        let half = options(0.5, OnMissing::Skip);
        let errors: Vec<String> = ["uuu..", "u", "gu", &"f".repeat(13)]
            .iter()
            .map(|photos| settled(photos, "skip", &half).unwrap_err().to_string())
            .collect();
        insta::assert_snapshot!(errors.join("\n\n"));
    }
}
