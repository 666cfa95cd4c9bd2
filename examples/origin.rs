//! A photo server for `ci/limited` and `ci/memory`: serves photos of a pattern that takes no
//! memory, as slowly as it is told, and prints the manifest for them on stdout.
//!
//! `origin --photos 25 --size 8000000 --rate 2000000` listens on a free loopback port until its
//! stdin is closed.

use std::io::Write as _;
use std::time::Duration;

use clap::Parser;

#[path = "../tests/it/support/origin.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod origin;

use origin::{Origin, Photo};

#[derive(Parser)]
struct Args {
    /// How many photos there are
    #[arg(long, default_value_t = 25)]
    photos: usize,
    /// Bytes of each
    #[arg(long, default_value_t = 8_000_000)]
    size: u64,
    /// Bytes per second of each connection
    #[arg(long)]
    rate: Option<u64>,
    /// Milliseconds before the first byte of each answer
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let args = Args::parse();
    let origin = Origin::start().await;
    let mut manifest = String::new();
    for index in 0..args.photos {
        let path = format!("/IMG_{index:05}.jpg");
        let mut photo = Photo::pattern(args.size);
        photo.rate = args.rate;
        photo.delay = Duration::from_millis(args.delay_ms);
        origin.add(&path, photo);
        manifest.push_str(&origin.url(&path));
        manifest.push('\n');
    }
    let mut stdout = std::io::stdout();
    stdout.write_all(manifest.as_bytes())?;
    stdout.write_all(b"\n")?;
    stdout.flush()?;
    // Until whoever started us goes away.
    let waiting = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    tokio::task::spawn_blocking(waiting).await??;
    Ok(())
}
