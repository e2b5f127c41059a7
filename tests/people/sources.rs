//! The project's own sources and documents, as text.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of everything.
pub(super) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// README and all pages, by name.
pub(super) fn pages() -> Vec<(String, String)> {
    let mut files = vec![repository().join("README.md"), repository().join("examples/README.md")];
    let docs = fs::read_dir(repository().join("docs")).unwrap().flatten().map(|entry| entry.path());
    files.extend(docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    files.sort();
    let name = |path: &Path| path.strip_prefix(repository()).unwrap().display().to_string();
    files.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// All that the programs may say: their sources, strings joined over line ends, what is put in as `…`.
pub(super) fn words() -> String {
    let mut text = fs::read_to_string(repository().join(".ci/setup")).unwrap();
    for room in ["hardware", "steps", "agent", "ignition", "terminal", "conductor-stub"] {
        add(&repository().join(room).join("src"), &mut text);
    }
    let mut joined = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("\\\n") {
        joined.push_str(before);
        rest = after.trim_start();
    }
    joined.push_str(rest);
    with_gaps(&joined.replace("${missing[*]}", "{}"))
}

fn add(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => add(&path, text),
            false if path.extension().is_some_and(|extension| extension == "rs") => {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
            false => {}
        }
    }
}

/// `{name}` becomes `…`.
fn with_gaps(text: &str) -> String {
    let mut output = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        output.push_str(before);
        match after.split_once('}') {
            Some((inside, behind)) if !inside.contains(['{', '\n']) && inside.len() < 40 => {
                output.push('…');
                rest = behind;
            }
            _ => {
                output.push('{');
                rest = after;
            }
        }
    }
    output + rest
}
