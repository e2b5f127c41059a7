//! Standard output of the subcommands.

use std::io::{self, ErrorKind, Write};

/// Writes `text` and a line's end, if it has none, to standard output. A reader that has seen enough is no error.
///
/// # Errors
/// When it cannot be written for another reason.
pub(super) fn text(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    match write!(out, "{text}{end}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
