//! What subcommands read.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use crate::keyfile::Keyfile;
use crate::user_config::UserConfig;
use anyhow::{Context, anyhow};
use serde_json::Value;

/// The text of a file; `-` is standard input.
pub(super) fn text(path: &Path) -> anyhow::Result<String> {
    let read = if path == Path::new("-") { io::read_to_string(io::stdin()) } else { fs::read_to_string(path) };
    read.with_context(|| format!("reading {}", path.display()))
}

/// The bytes of a file; `-` is standard input.
pub(super) fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read =
        if path == Path::new("-") { io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes) } else { fs::read(path) };
    read.with_context(|| format!("reading {}", path.display()))
}

/// An Ignition config that Ignition would take, as it is written and as it was understood.
pub(super) fn ignition_config(path: &Path) -> anyhow::Result<(String, UserConfig)> {
    let text = text(path)?;
    let config = UserConfig::read(&Value::from(text.as_str()), None);
    let config = config.map_err(|error| anyhow!("{} {error}", path.display()))?;
    Ok((text, config))
}

/// Says what Ignition would ignore: when all is done, so that an error is the first line.
pub(super) fn warn_about(path: &Path, config: &UserConfig) {
    for warning in config.warnings() {
        eprintln!("ferric-ignition: {}: {warning}", path.display());
    }
}

/// A keyfile under its own name.
pub(super) fn keyfile(path: &Path) -> anyhow::Result<Keyfile> {
    let name = path.file_name().with_context(|| format!("{} has no file name", path.display()))?;
    Ok(Keyfile::new(name.to_string_lossy(), bytes(path)?)?)
}

/// The keyfiles in a directory, sorted by name.
pub(super) fn keyfiles(directory: &Path) -> anyhow::Result<Vec<Keyfile>> {
    let reading = || format!("reading {}", directory.display());
    let mut keyfiles = Vec::new();
    for entry in fs::read_dir(directory).with_context(reading)? {
        keyfiles.push(keyfile(&entry.with_context(reading)?.path())?);
    }
    keyfiles.sort_by(|one, other| one.name().cmp(other.name()));
    anyhow::ensure!(!keyfiles.is_empty(), "{} has no network configuration in it", directory.display());
    Ok(keyfiles)
}
