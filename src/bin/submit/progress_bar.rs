//! How far a job is, on a terminal.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use wedding_photo_processor::job::{State, Status};
use wedding_photo_processor::submit::view;

/// A bar that goes away when it is dropped.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// Shows a bar if people are watching.
    pub(crate) fn show() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_bar} {msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    pub(crate) fn draw(&self, state: &State) {
        let progress = &state.progress;
        let (done, total) = match state.status {
            Status::Queued => (0, 1),
            Status::Probing => (progress.photos_probed, state.photos as u64),
            _ => (progress.bytes_done, progress.bytes_total),
        };
        self.0.set_prefix(state.status.name());
        self.0.set_length(total.max(1));
        self.0.set_position(done.min(total));
        self.0
            .set_message(view::progress(state).unwrap_or_default());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
