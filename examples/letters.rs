//! Writes letters of every kind as HTML, to look at: `letters FOLDER`. `ci/letters` looks at them in
//! a browser.

use std::path::PathBuf;

use clap::Parser;
use wedding_photo_processor::letter::samples;

#[derive(Parser)]
struct Args {
    /// Where to; made where it does not exist
    folder: PathBuf,
}

fn main() -> std::io::Result<()> {
    let args = Args::parse();
    std::fs::create_dir_all(&args.folder)?;
    for (name, letter) in samples::all() {
        std::fs::write(args.folder.join(format!("{name}.html")), letter.html)?;
        std::fs::write(args.folder.join(format!("{name}.txt")), letter.text)?;
    }
    Ok(())
}
