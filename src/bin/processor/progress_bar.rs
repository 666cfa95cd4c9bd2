//! How far the run is, on a terminal.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;
use wedding_photo_processor::engine::{Phase, Progress};
use wedding_photo_processor::plan::count_of;

/// How often it is drawn.
const REDRAW: Duration = Duration::from_millis(100);

/// A bar that follows a run until it is dropped.
pub(crate) struct Bar {
    bar: ProgressBar,
    follower: Option<JoinHandle<()>>,
}

impl Bar {
    /// Shows a bar if people are watching.
    pub(crate) fn follow(progress: Arc<Progress>) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self {
                bar: ProgressBar::hidden(),
                follower: None,
            };
        }
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let drawn = bar.clone();
        let follower = tokio::spawn(async move {
            let mut tick = tokio::time::interval(REDRAW);
            loop {
                tick.tick().await;
                draw(&drawn, &progress);
            }
        });
        Self {
            bar,
            follower: Some(follower),
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(follower) = &self.follower {
            follower.abort();
        }
        self.bar.finish_and_clear();
    }
}

fn draw(bar: &ProgressBar, progress: &Progress) {
    let photos = progress.photos_total.get();
    match progress.phase() {
        Phase::Probing => {
            bar.set_style(style("{msg} {wide_bar} {pos}/{len}"));
            bar.set_message("probing photos");
            bar.set_length(photos);
            bar.set_position(progress.probed.get());
        }
        Phase::Transferring => {
            bar.set_style(style(
                "{wide_bar} {decimal_bytes}/{decimal_total_bytes}  {msg}  \
                 {decimal_bytes_per_sec}  {eta} left",
            ));
            let count = usize::try_from(photos).unwrap_or(usize::MAX);
            let photos = count_of(count, "photo");
            bar.set_message(format!("{}/{photos}", progress.photos_done.get()));
            bar.set_length(progress.bytes_total.get());
            // What has arrived and not what is stored: parts are stored whole, and with slow
            // downloads many become whole only at the end.
            bar.set_position(progress.bytes_fetched.get());
        }
        Phase::Verifying => bar.set_message("checking the archive"),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
