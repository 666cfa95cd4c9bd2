//! The threat model is held against the tests that it names.

use std::fs;
use std::path::Path;

fn text_below(folder: &str) -> String {
    let mut pending = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    let mut text = String::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            pending.extend(entries.map(|entry| entry.unwrap().path()));
        } else if path
            .extension()
            .is_some_and(|end| end == "rs" || end == "mjs")
        {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
    text
}

#[test]
fn every_threat_has_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/threat-model.md")).unwrap();
    let rust = text_below("src") + &text_below("tests/it");
    let worker = text_below("worker/test");
    let mut rows = 0;
    for row in page.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        if cells.len() < 5 || cells[0].parse::<u32>().is_err() {
            continue;
        }
        rows += 1;
        let mut tests = 0;
        for (index, name) in cells[4].split('`').enumerate() {
            if index % 2 == 0 {
                for sentence in name.split('"').skip(1).step_by(2) {
                    assert!(worker.contains(sentence), "row {}: {sentence}", cells[0]);
                    tests += 1;
                }
            } else if name.starts_with("ci/") {
                assert!(root.join(name).exists(), "row {}: {name}", cells[0]);
                tests += 1;
            } else {
                assert!(
                    rust.contains(&format!("fn {name}(")),
                    "row {}: {name}",
                    cells[0]
                );
                tests += 1;
            }
        }
        let is_told = cells[4] == "needs a real account";
        assert!(tests > 0 || is_told, "row {} has no test", cells[0]);
    }
    assert!(rows >= 25, "{rows} rows");
}
