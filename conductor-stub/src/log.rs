//! The log on standard error: one event, one line, whatever is in it, and no secrets.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;

use crate::mask;

/// Starts to log what `RUST_LOG` says, `info` by default.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(|| Lines).init();
}

/// `text` as part of a line: what would end it, or command a terminal, is spelled out.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() { shown.extend(character.escape_default()) } else { shown.push(character) }
    }
    shown
}

/// Every write to it is one event.
struct Lines;

impl Write for Lines {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        writeln!(io::stderr().lock(), "{}", printable(&mask::text(text.trim_end_matches('\n'))))?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_writes_a_line_of_their_own() {
        let text = "node n1: failed\n2026-01-01T00:00:00Z  INFO node n2: fine\u{1b}[2J\u{7f}\u{85}";
        assert_eq!(printable(text), r"node n1: failed\n2026-01-01T00:00:00Z  INFO node n2: fine\u{1b}[2J\u{7f}\u{85}");
        assert_eq!(printable("größer → 1"), "größer → 1");
    }
}
