//! Every command line of ours in README and the pages is one that our programs take.

use clap::error::ErrorKind;

use super::blocks::{Block, blocks};
use super::sources::pages;

const PROGRAMS: [&str; 3] = ["ferric-agent", "ferric-ignition", "conductor-stub"];

/// The command lines in blocks of code, and those that are a cell of a table.
fn command_lines(page: &str) -> Vec<String> {
    let blocks: Vec<Block> = blocks(page).into_iter().filter(Block::is_commands).collect();
    let in_blocks = blocks.iter().flat_map(Block::lines).map(|line| line.replace("\\\n", " "));
    // What is fed to a command stands on lines of its own.
    let in_blocks = in_blocks.filter_map(|line| line.lines().next().map(str::to_owned));
    let cells = page.lines().filter(|line| line.starts_with('|')).flat_map(|row| row.split(" | "));
    let in_cells = cells.filter_map(|cell| {
        let line = cell.trim().strip_prefix('`')?.strip_suffix('`')?;
        let is_ours = PROGRAMS.contains(&line.split(' ').next()?) && line.contains(" -");
        (is_ours && !line.contains(['`', '|', '…'])).then(|| line.to_owned())
    });
    in_blocks.chain(in_cells).collect()
}

/// The words of a simple command line; quotes hold words together, a comment or an operator of the shell ends it.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote, mut depth) = (String::new(), None, 0);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, quote) {
            ('$', _) if characters.peek() == Some(&'(') => {
                depth += 1;
                word.push('$');
            }
            (')', _) if depth > 0 => depth -= 1,
            (c, _) if depth > 0 => word.push(if c.is_whitespace() { '_' } else { c }),
            ('"' | '\'', None) => quote = Some(character),
            (c, Some(open)) if c == open => quote = None,
            ('#', None) if word.is_empty() => break,
            ('|' | '&' | ';' | '>' | '<', None) => break,
            (c, None) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            (c, _) => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// From the first word on that names one of our programs.
fn ours(words: &[String]) -> Option<(String, Vec<String>)> {
    let name = |word: &String| word.rsplit('/').next().unwrap_or_default().to_owned();
    let at = words.iter().position(|word| PROGRAMS.contains(&name(word).as_str()))?;
    // Words before it are what runs it: a prompt, variables, `ip netns exec NAME`, `sudo`.
    let program = name(&words[at]);
    let runs = |word: &String| {
        word.contains('=') || ["#", "$", "sudo", "ip", "netns", "exec", "lab", "podman", "run"].contains(&word.as_str())
    };
    words[..at].iter().all(runs).then(|| (program, words[at + 1..].to_vec()))
}

#[test]
fn every_command_line_is_one_that_the_program_takes() {
    let programs = ferric_manual::programs();
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (page, text) in pages() {
        for line in command_lines(&text) {
            let Some((name, arguments)) = ours(&words(&line)) else { continue };
            // `...` and DIAGRAMS are no command lines.
            if arguments.is_empty() || arguments[0].starts_with('-') && arguments[0].ends_with('>') {
                continue;
            }
            seen += 1;
            let program = programs.iter().find(|program| program.get_name() == name).unwrap().clone();
            let arguments = arguments.into_iter().filter(|word| word != "...").map(|word| word.replace('…', "X"));
            let words = std::iter::once(name).chain(arguments);
            if let Err(error) = program.try_get_matches_from(words)
                && ![ErrorKind::DisplayHelp, ErrorKind::DisplayVersion].contains(&error.kind())
            {
                wrong.push(format!(
                    "{page}: {}\n    {}",
                    line.trim(),
                    error.to_string().lines().next().unwrap_or_default()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 20, "{seen} command lines");
}

#[test]
fn every_target_of_make_exists() {
    let makefile = std::fs::read_to_string(super::sources::repository().join("Makefile")).unwrap();
    for (page, text) in pages() {
        for line in command_lines(&text) {
            // Tables of targets go on behind wide gaps.
            let words = words(line.trim().split("  ").next().unwrap_or_default());
            if words.first().map(String::as_str) != Some("make") {
                continue;
            }
            for target in words[1..].iter().filter(|word| !word.contains('=') && !word.starts_with('-')) {
                let rule = format!("\n{target}:");
                assert!(makefile.contains(&rule), "{page}: {}", line.trim());
            }
        }
    }
}

#[test]
fn every_link_leads_to_a_file() {
    for (page, text) in pages() {
        let folder = super::sources::repository().join(&page).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") {
                assert!(folder.join(file).exists(), "{page}: {link}");
            }
        }
    }
}
