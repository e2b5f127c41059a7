//! What subcommands write. A new file is only for its owner, because secrets are in it, appears when it is whole, and takes
//! the place of no other.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, ensure};
use tempfile::NamedTempFile;

/// Writes to a new file, or to standard output for `-`.
pub(super) fn to(path: &Path, write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>) -> anyhow::Result<()> {
    if path == Path::new("-") {
        ensure!(!io::stdout().is_terminal(), "binary data is not written to a terminal");
        let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
        write(&mut out)?;
        return Ok(out.flush()?);
    }
    let mut file = new_file(path)?;
    let mut out = BufWriter::with_capacity(1 << 20, file.as_file_mut());
    write(&mut out)?;
    out.flush().with_context(|| format!("writing {}", path.display()))?;
    drop(out);
    finish(file, path)
}

/// A file beside `path` that is gone unless it is finished.
pub(super) fn new_file(path: &Path) -> anyhow::Result<NamedTempFile> {
    ensure!(!path.exists(), "{} exists already", path.display());
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let file = tempfile::Builder::new().prefix(".ferric-ignition-").tempfile_in(directory);
    file.with_context(|| format!("creating a file in {}", directory.display()))
}

/// Gives a file its name.
pub(super) fn finish(file: NamedTempFile, path: &Path) -> anyhow::Result<()> {
    file.as_file().sync_all().with_context(|| format!("writing {}", path.display()))?;
    file.persist_noclobber(path).with_context(|| format!("creating {}", path.display()))?;
    Ok(())
}
