//! docs/troubleshooting.md quotes what the programs say.

use super::sources::{pages, words};

/// The message in a row's first cell, without its ends that differ.
fn message(row: &str) -> Option<&str> {
    let cell = row.strip_prefix("| `")?.split(" |").next()?;
    Some(cell.strip_suffix('`')?.trim_matches(['…', ' ', ':']))
}

#[test]
fn every_message_is_one_of_the_programs() {
    let (_, page) = pages().into_iter().find(|(name, _)| name.ends_with("troubleshooting.md")).unwrap();
    let words = words();
    let messages: Vec<&str> = page.lines().filter_map(message).collect();
    assert!(messages.len() > 35, "{}", messages.len());
    let unknown: Vec<_> = messages.iter().filter(|message| !words.contains(**message)).collect();
    assert!(unknown.is_empty(), "nobody says {unknown:#?}");
}
