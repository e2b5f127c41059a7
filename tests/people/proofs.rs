//! The documents name sources and tests as proofs: they are there, and those of docs/compatibility.md test something.

use std::fs;
use std::path::{Path, PathBuf};

use super::sources::{pages, repository};

/// Where modules of tests are looked for: `image::kill`, `attacks::limits`.
const GROUPS: [&str; 3] = ["tests/end_to_end", "conductor-stub/tests/flows", "agent/tests/protocol"];

/// Every page, and what stands beside the README.
fn documents() -> Vec<(String, String)> {
    let mut all = pages();
    for name in ["CONTRIBUTING.md", "SECURITY.md"] {
        all.push((name.to_string(), fs::read_to_string(repository().join(name)).unwrap()));
    }
    all
}

/// What stands between backticks in a text.
fn quoted(text: &str) -> Vec<&str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// All sources of Rust, from the top of the repository.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let rooms = ["agent", "hardware", "steps", "ignition", "terminal", "conductor-stub", "manual", "tests", "fuzz"];
    let mut open: Vec<PathBuf> = rooms.map(|room| repository().join(room)).to_vec();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            match path.extension() {
                // Links of captured machines lead in circles.
                _ if entry.file_type().unwrap().is_dir() => open.push(path),
                Some(extension) if extension == "rs" => {
                    found.push(path.strip_prefix(repository()).unwrap().to_path_buf());
                }
                _ => {}
            }
        }
    }
    found
}

/// Whether it is a file of tests, or has tests in it or below it.
fn is_tested(source: &Path, all: &[PathBuf]) -> bool {
    let below = source.with_extension("");
    source.iter().any(|part| part == "tests")
        || all.iter().filter(|other| *other == source || other.starts_with(&below)).any(|other| {
            let text = fs::read_to_string(repository().join(other)).unwrap();
            ["#[test]", "#[tokio::test", "proptest!"].iter().any(|mark| text.contains(mark))
        })
}

#[test]
fn every_source_that_a_document_names_is_there() {
    let all = sources();
    let mut wrong = Vec::new();
    let mut count = 0;
    for (page, text) in documents() {
        for name in quoted(&text).into_iter().filter(|name| name.ends_with(".rs") && !name.contains([' ', '*'])) {
            count += 1;
            let mut meant = all.iter().filter(|source| source.ends_with(name)).peekable();
            if meant.peek().is_none() {
                wrong.push(format!("{page}: there is no {name}"));
            } else if page.ends_with("compatibility.md") && !meant.any(|source| is_tested(source, &all)) {
                wrong.push(format!("{page}: {name} proves nothing, there is no test in it"));
            }
        }
    }
    assert!(count > 100, "{count}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_test_that_a_document_names_is_there() {
    let is_path = |text: &&str| {
        let plain = |part: &str| part.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit());
        text.contains("::") && text.split("::").all(plain) && !text.starts_with("ferric_")
    };
    let is_there = |name: &str| {
        GROUPS.iter().any(|group| {
            let path = name.trim_end_matches("::").replace("::", "/");
            let module = |path: &str| repository().join(group).join(format!("{path}.rs"));
            let of_function = path.rsplit_once('/').is_some_and(|(parent, function)| {
                fs::read_to_string(module(parent)).is_ok_and(|text| text.contains(&format!("fn {function}(")))
            });
            of_function || module(&path).is_file()
        })
    };
    let mut wrong = Vec::new();
    let mut count = 0;
    for (page, text) in documents() {
        for name in quoted(&text).into_iter().filter(is_path) {
            count += 1;
            if !is_there(name) {
                wrong.push(format!("{page}: there is no test {name}"));
            }
        }
    }
    assert!(count > 20, "{count}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
