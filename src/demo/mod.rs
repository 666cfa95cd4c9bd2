//! A wedding in a box: sample photos and a server for them on loopback, so that the whole job can
//! be seen with nothing installed but this program.

mod jpeg;
mod origin;

pub use jpeg::sample_photo;
pub use origin::{DemoOrigin, DemoPhoto};

use crate::manifest::name;

/// Photos of the demo.
pub const PHOTOS: usize = 40;

/// The demo's photos: generated pictures in a few folders, with dates of one day.
pub fn photos() -> Vec<DemoPhoto> {
    const CHAPTERS: [&str; 4] = ["Getting ready", "Ceremony", "Portraits", "Party"];
    (0..PHOTOS)
        .map(|index| {
            let chapter = CHAPTERS[index * CHAPTERS.len() / PHOTOS];
            DemoPhoto {
                name: format!("{chapter}/IMG_{:04}.jpg", index + 1),
                modified: format!(
                    "2026-06-20T{:02}:{:02}:00Z",
                    9 + index * 12 / PHOTOS,
                    index * 7 % 60
                ),
                bytes: sample_photo(index).into(),
            }
        })
        .collect()
}

/// The manifest for photos that `origin` serves, as JSON.
pub fn manifest(origin: &DemoOrigin) -> String {
    let photos: Vec<serde_json::Value> = origin
        .photos()
        .iter()
        .enumerate()
        .map(|(index, photo)| {
            serde_json::json!({
                "url": origin.url(index),
                "name": photo.name,
                "modified": photo.modified,
            })
        })
        .collect();
    serde_json::json!({
        "version": 1,
        "event_id": "demo-wedding",
        "title": "A demo wedding",
        "archive_name": name::archive_file_name("wedding-demo", "demo"),
        "photos": photos,
    })
    .to_string()
}
