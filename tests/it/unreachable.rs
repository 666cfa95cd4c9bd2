//! Photos that cannot be reached or are refused: which are left out, which are asked for again, and
//! when it is their server. Time is simulated, so that the patience is that of the defaults.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use wedding_photo_processor::engine::{self, EngineError, EngineOptions, Progress, Report};
use wedding_photo_processor::exit_code::ExitCode;
use wedding_photo_processor::manifest::{EntryName, Manifest, OnMissing, Photo};
use wedding_photo_processor::plan::MissingReason;
use wedding_photo_processor::retry::RetryPolicy;
use wedding_photo_processor::settings::Settings;
use wedding_photo_processor::sink::memory::MemorySink;
use wedding_photo_processor::source::memory::{MemoryBody, MemorySource};
use wedding_photo_processor::source::{
    Opened, Page, PhotoSource, Probe, SourceError, Transient, Validators, Want,
};

use crate::support::{manifest, names, text_of};

const SECOND: Duration = Duration::from_secs(1);
/// How long a request takes.
const LATENCY: Duration = Duration::from_millis(20);

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Probe,
    Open,
}

/// What goes wrong with a request for a path, if anything does.
type Trouble = Box<dyn Fn(Ask, &str) -> Option<SourceError> + Send + Sync>;

/// Photos in memory, on hosts with moods.
struct Moody {
    photos: MemorySource,
    trouble: Trouble,
    /// Requests that are served at once; the others are refused.
    places: Option<Semaphore>,
    /// No photo has a length before it is opened.
    to_spool: bool,
    asked: Mutex<HashMap<String, usize>>,
}

impl Moody {
    fn new(
        count: usize,
        trouble: impl Fn(Ask, &str) -> Option<SourceError> + Send + Sync + 'static,
    ) -> Self {
        let photos = MemorySource::default();
        for index in 0..count {
            photos.insert(format!("/{index}.jpg"), format!("photo {index}"));
        }
        Self {
            photos,
            trouble: Box::new(trouble),
            places: None,
            to_spool: false,
            asked: Mutex::default(),
        }
    }

    /// How often a photo was asked for.
    fn asked(&self, path: &str) -> usize {
        self.asked.lock().unwrap().get(path).copied().unwrap_or(0)
    }

    fn all_asked(&self) -> usize {
        self.asked.lock().unwrap().values().sum()
    }

    async fn answer(&self, ask: Ask, photo: &Photo) -> Result<(), SourceError> {
        let address = photo.url.to_string();
        let path = address.trim_start_matches("https://photos.example");
        *self
            .asked
            .lock()
            .unwrap()
            .entry(path.to_owned())
            .or_default() += 1;
        if let Some(trouble) = (self.trouble)(ask, path) {
            return Err(trouble);
        }
        let place = match &self.places {
            Some(places) => Some(places.try_acquire().map_err(|_| forbidden())?),
            None => None,
        };
        sleep(LATENCY).await;
        drop(place);
        Ok(())
    }
}

impl PhotoSource for Moody {
    type Body = MemoryBody;

    async fn probe(&self, photo: &Photo, thorough: bool) -> Result<Probe, SourceError> {
        self.answer(Ask::Probe, photo).await?;
        let mut probe = self.photos.probe(photo, thorough).await?;
        if self.to_spool {
            probe.length = None;
        }
        Ok(probe)
    }

    async fn list(&self, folder: &Photo, after: Option<&str>) -> Result<Page, SourceError> {
        self.photos.list(folder, after).await
    }

    async fn open(
        &self,
        photo: &Photo,
        want: Want,
        version: &Validators,
    ) -> Result<Opened<MemoryBody>, SourceError> {
        self.answer(Ask::Open, photo).await?;
        self.photos.open(photo, want, version).await
    }
}

fn forbidden() -> SourceError {
    SourceError::Missing(MissingReason::Forbidden)
}

fn out_of_order() -> SourceError {
    SourceError::transient("it is out of order")
}

fn number(path: &str) -> usize {
    path.trim_matches(|letter: char| !letter.is_ascii_digit())
        .parse()
        .unwrap()
}

/// The options that programs have by default.
fn options() -> EngineOptions {
    EngineOptions {
        memory_budget: 64 << 20,
        ..Settings::default().engine_options()
    }
}

/// A manifest of so many photos.
fn photos(count: usize) -> Value {
    let urls: Vec<String> = (0..count)
        .map(|index| format!("https://photos.example/{index}.jpg"))
        .collect();
    json!({"event_id": "event", "photos": urls})
}

struct Ran {
    report: Result<Report, EngineError>,
    sink: MemorySink,
    took: Duration,
}

impl Ran {
    fn report(&self) -> &Report {
        self.report.as_ref().unwrap()
    }

    /// The numbers of the photos that are missing, all for the same reason.
    fn missing(&self) -> (Vec<usize>, Option<MissingReason>) {
        let missing = &self.report().missing;
        let reason = missing.first().map(|photo| photo.reason.clone());
        let same = (missing.iter()).all(|photo| Some(&photo.reason) == reason.as_ref());
        assert!(same, "{missing:?}");
        (missing.iter().map(|photo| photo.photo).collect(), reason)
    }

    fn code(&self) -> ExitCode {
        assert_eq!(self.sink.names(), [""; 0]);
        assert_eq!(self.sink.open_uploads(), 0);
        ExitCode::from(self.report.as_ref().unwrap_err())
    }
}

async fn run(source: &Arc<Moody>, photos: &Value) -> Ran {
    run_with(source, manifest(photos), &options()).await
}

async fn run_with(source: &Arc<Moody>, manifest: Manifest, options: &EngineOptions) -> Ran {
    let sink = MemorySink::default();
    let started = Instant::now();
    let report = engine::run(
        Arc::new(manifest),
        Arc::clone(source),
        &sink,
        options,
        Arc::new(Progress::default()),
        &CancellationToken::new(),
    )
    .await;
    Ran {
        report,
        sink,
        took: started.elapsed(),
    }
}

// Unreachable photos are left out.

#[tokio::test(start_paused = true)]
async fn an_unreachable_photo_is_left_out_wherever_that_shows() {
    for (ask, to_spool) in [(Ask::Probe, false), (Ask::Open, true), (Ask::Open, false)] {
        let mut source = Moody::new(10, move |asked, path| {
            (asked == ask && path == "/3.jpg").then(out_of_order)
        });
        source.to_spool = to_spool;
        let ran = run(&Arc::new(source), &photos(10)).await;
        let what = "it is out of order".to_owned();
        let reason = MissingReason::Unreachable { what };
        assert_eq!(ran.missing(), (vec![3], Some(reason)), "{ask:?} {to_spool}");
        assert_eq!(ran.report().photos, 9);
        let note = text_of(&ran.sink.archive("event.zip").unwrap(), "MISSING.txt");
        assert_eq!(
            note.replace('\r', ""),
            "1 of 10 photos could not be included in this archive:\n\n\
             - 3.jpg: it couldn't be downloaded: it is out of order\n"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn where_all_must_be_there_an_unreachable_photo_is_worth_another_try() {
    for ask in [Ask::Probe, Ask::Open] {
        let source = Arc::new(Moody::new(10, move |asked, path| {
            (asked == ask && path == "/3.jpg").then(out_of_order)
        }));
        let mut all = photos(10);
        all["on_missing"] = json!("fail");
        let ran = run(&source, &all).await;
        assert_eq!(ran.code(), ExitCode::TryAgain);
        let error = ran.report.unwrap_err().to_string();
        assert!(error.contains("3.jpg"), "{error}");
        // So it is where another attempt follows.
        let mut options = options();
        options.on_unreachable = OnMissing::Fail;
        let ran = run_with(&source, manifest(&photos(10)), &options).await;
        assert_eq!(ran.code(), ExitCode::TryAgain);
    }
}

#[tokio::test(start_paused = true)]
async fn many_photos_that_become_unreachable_are_found_in_few_restarts() {
    let source = Moody::new(300, |ask, path| {
        (ask == Ask::Open && number(path) % 3 == 1).then(out_of_order)
    });
    let ran = run(&Arc::new(source), &photos(300)).await;
    assert_eq!((ran.report().photos, ran.missing().0.len()), (200, 100));
    assert!(ran.report().restarts <= 2, "{}", ran.report().restarts);
}

#[tokio::test(start_paused = true)]
async fn more_than_half_is_the_origin() {
    for ask in [Ask::Probe, Ask::Open] {
        for (bad, code) in [(5, ExitCode::Done), (6, ExitCode::TryAgain)] {
            let source = Moody::new(10, move |asked, path| {
                (asked == ask && number(path) < bad).then(out_of_order)
            });
            let ran = run(&Arc::new(source), &photos(10)).await;
            if code == ExitCode::Done {
                assert_eq!(ran.missing().0, [0, 1, 2, 3, 4]);
                continue;
            }
            assert_eq!(ran.code(), code, "{ask:?}");
            let error = ran.report.unwrap_err().to_string();
            assert!(error.contains("`photos.example`"), "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_is_down_is_given_up_long_before_each_photo_is() {
    // Nothing answers, and each attempt takes ten seconds to find out.
    let source = SlowToFail(Moody::new(5000, |_, _| Some(out_of_order())));
    let sink = MemorySink::default();
    let started = Instant::now();
    let report = engine::run(
        Arc::new(manifest(&photos(5000))),
        Arc::new(source),
        &sink,
        &options(),
        Arc::new(Progress::default()),
        &CancellationToken::new(),
    )
    .await;
    assert!(matches!(report, Err(EngineError::Unreachable { .. })));
    // Nine attempts with every photo would take an hour.
    assert!(started.elapsed() < 900 * SECOND, "{:?}", started.elapsed());
}

/// Fails after ten seconds.
struct SlowToFail(Moody);

impl PhotoSource for SlowToFail {
    type Body = MemoryBody;

    async fn probe(&self, photo: &Photo, thorough: bool) -> Result<Probe, SourceError> {
        sleep(10 * SECOND).await;
        self.0.probe(photo, thorough).await
    }

    async fn list(&self, folder: &Photo, after: Option<&str>) -> Result<Page, SourceError> {
        self.0.list(folder, after).await
    }

    async fn open(
        &self,
        photo: &Photo,
        want: Want,
        version: &Validators,
    ) -> Result<Opened<MemoryBody>, SourceError> {
        self.0.open(photo, want, version).await
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_unlikely_to_pass_gets_three_attempts() {
    let unknown_host = || {
        SourceError::Transient(Transient {
            lasting: true,
            ..Transient::new("its host is not known")
        })
    };
    for (ask, to_spool) in [(Ask::Probe, false), (Ask::Open, true), (Ask::Open, false)] {
        let mut source = Moody::new(10, move |asked, path| {
            (asked == ask && path == "/3.jpg").then(unknown_host)
        });
        source.to_spool = to_spool;
        let source = Arc::new(source);
        let ran = run(&source, &photos(10)).await;
        assert_eq!(ran.missing().0, [3]);
        let probes = usize::from(ask == Ask::Open);
        assert_eq!(source.asked("/3.jpg"), 3 + probes, "{ask:?} {to_spool}");
        assert!(ran.took < 3 * SECOND, "{:?}", ran.took);
    }
}

// Refusals that mean "slower".

/// Refuses everybody for `pause` after more than `most` requests within a second.
fn rate_limit(most: usize, pause: Duration) -> Trouble {
    let state: Mutex<(VecDeque<Instant>, Option<Instant>)> = Mutex::default();
    Box::new(move |_, _| {
        let (recent, until) = &mut *state.lock().unwrap();
        let now = Instant::now();
        if until.is_some_and(|until| now < until) {
            return Some(forbidden());
        }
        recent.retain(|request| now - *request < SECOND);
        recent.push_back(now);
        if recent.len() > most {
            *until = Some(now + pause);
            recent.clear();
        }
        None
    })
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_whoever_asks_too_often_gives_all_photos() {
    let limits = [(150, 50, 3, 60), (400, 20, 5, 300), (100, 10, 8, 300)];
    // Who is served is chance, so that one round would not tell.
    for (count, most, pause, within) in limits.into_iter().cycle().take(150) {
        let source = Moody::new(count, rate_limit(most, pause * SECOND));
        let ran = run(&Arc::new(source), &photos(count)).await;
        assert_eq!(ran.missing().0, [0; 0], "{most} a second");
        assert_eq!(ran.report().photos, count);
        assert!(ran.took < within * SECOND, "{:?}", ran.took);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_serves_few_at_once_gives_all_photos() {
    for at_once in [2, 4, 10] {
        for to_spool in [false, true] {
            let mut source = Moody::new(300, |_, _| None);
            source.places = Some(Semaphore::new(at_once));
            source.to_spool = to_spool;
            let ran = run(&Arc::new(source), &photos(300)).await;
            assert_eq!(ran.missing().0, [0; 0], "{at_once} {to_spool}");
            assert!(ran.took < 110 * SECOND, "{at_once}: {:?}", ran.took);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_only_downloads_meet_is_respected_too() {
    // With the sizes given, the first requests are the downloads.
    let mut source = Moody::new(300, |_, _| None);
    source.places = Some(Semaphore::new(4));
    let source = Arc::new(source);
    let sized: Vec<Value> = (0..300)
        .map(|index| {
            let size = format!("photo {index}").len();
            json!({"url": format!("https://photos.example/{index}.jpg"), "size": size})
        })
        .collect();
    let ran = run(&source, &json!({"event_id": "event", "photos": sized})).await;
    assert_eq!(ran.missing().0, [0; 0]);
    assert_eq!(ran.report().restarts, 0);
    assert!(ran.took < 60 * SECOND, "{:?}", ran.took);
}

// Refusals that mean what they say.

#[tokio::test(start_paused = true)]
async fn what_is_refused_again_is_missing() {
    let source = Arc::new(Moody::new(100, |_, path| {
        (number(path) >= 60).then(forbidden)
    }));
    let ran = run(&source, &photos(100)).await;
    let (missing, reason) = ran.missing();
    assert_eq!(missing, (60..100).collect::<Vec<_>>());
    assert_eq!(reason, Some(MissingReason::Forbidden));
    for photo in 60..100 {
        let looks = source.asked(&format!("/{photo}.jpg"));
        assert!((2..=4).contains(&looks), "{photo}: {looks}");
    }
    assert!(ran.took >= 10 * SECOND, "{:?}", ran.took);
    assert!(ran.took < 15 * SECOND, "{:?}", ran.took);
}

#[tokio::test(start_paused = true)]
async fn one_refused_photo_among_others_takes_a_second() {
    let source = Arc::new(Moody::new(10, |_, path| {
        (path == "/3.jpg").then_some(SourceError::Missing(MissingReason::Refused { status: 418 }))
    }));
    let ran = run(&source, &photos(10)).await;
    let reason = MissingReason::Refused { status: 418 };
    assert_eq!(ran.missing(), (vec![3], Some(reason)));
    assert_eq!(source.asked("/3.jpg"), 2);
    assert!(ran.took < 2 * SECOND, "{:?}", ran.took);
}

#[tokio::test(start_paused = true)]
async fn photos_that_are_gone_get_no_second_look() {
    let source = Arc::new(Moody::new(10, |_, path| {
        (number(path) < 5).then_some(SourceError::Missing(MissingReason::NotFound))
    }));
    let ran = run(&source, &photos(10)).await;
    assert_eq!(ran.missing().0.len(), 5);
    assert_eq!(source.asked("/3.jpg"), 1);
    assert!(ran.took < SECOND, "{:?}", ran.took);
}

#[tokio::test(start_paused = true)]
async fn the_expired_links_of_a_whole_event_take_ten_seconds() {
    let source = Arc::new(Moody::new(10_000, |_, _| Some(forbidden())));
    let ran = run(&source, &photos(10_000)).await;
    assert_eq!(ran.code(), ExitCode::Missing);
    assert!(ran.took < 15 * SECOND, "{:?}", ran.took);
    assert!(source.all_asked() < 10_100, "{}", source.all_asked());
}

#[tokio::test(start_paused = true)]
async fn thousands_of_expired_links_among_good_ones_take_no_minutes() {
    let source = Arc::new(Moody::new(10_000, |_, path| {
        (number(path) % 5 < 2).then(forbidden)
    }));
    let ran = run(&source, &photos(10_000)).await;
    assert_eq!(ran.report().photos, 6000);
    assert!(ran.took < 40 * SECOND, "{:?}", ran.took);
}

#[tokio::test(start_paused = true)]
async fn links_that_expire_after_they_were_probed_are_left_out() {
    for expired in [1, 20] {
        let source = Arc::new(Moody::new(100, move |ask, path| {
            (ask == Ask::Open && number(path) < expired).then(forbidden)
        }));
        let ran = run(&source, &photos(100)).await;
        let (missing, reason) = ran.missing();
        assert_eq!(missing.len(), expired);
        assert_eq!(reason, Some(MissingReason::Forbidden));
        assert!(ran.report().restarts <= 2, "{}", ran.report().restarts);
        assert!(ran.took < 60 * SECOND, "{expired}: {:?}", ran.took);
    }
}

#[tokio::test(start_paused = true)]
async fn more_than_half_refused_is_the_origin_unless_nothing_is_there() {
    let source = Arc::new(Moody::new(10, |_, path| (number(path) < 6).then(forbidden)));
    let ran = run(&source, &photos(10)).await;
    assert_eq!(ran.code(), ExitCode::TryAgain);
    insta::assert_snapshot!(ran.report.unwrap_err());
    let mut options = options();
    options.max_unreachable = 0.6;
    let ran = run_with(&source, manifest(&photos(10)), &options).await;
    assert_eq!(ran.report().photos, 4);
}

// Empty photos.

#[tokio::test(start_paused = true)]
async fn empty_photos_are_kept_and_named() {
    let source = Moody::new(3, |_, _| None);
    source.photos.insert("/1.jpg", "");
    let ran = run(&Arc::new(source), &photos(3)).await;
    assert_eq!(
        names(&ran.sink.archive("event.zip").unwrap()),
        ["0.jpg", "1.jpg", "2.jpg"]
    );
    let empty: Vec<&str> = (ran.report().empty.iter()).map(EntryName::as_str).collect();
    assert_eq!(empty, ["1.jpg"]);
    assert!(
        ran.report()
            .to_string()
            .contains("1 photo is empty (0 bytes):\n    1.jpg")
    );
}

#[tokio::test(start_paused = true)]
async fn settings_that_never_retry_still_leave_out() {
    let source = Moody::new(3, |_, path| (path == "/1.jpg").then(out_of_order));
    let mut options = options();
    options.retry = RetryPolicy {
        attempts: 1,
        delay: Duration::ZERO,
    };
    let ran = run_with(&Arc::new(source), manifest(&photos(3)), &options).await;
    assert_eq!(ran.missing().0, [1]);
}
