//! The initramfs of a live system for network boot, and what is appended to it.

use std::io::{self, BufRead, Read, Write};

use thiserror::Error;

use crate::archive::{Archive, ArchiveError};
use crate::customization::{Customization, CustomizationError, Features};
use crate::keyfile;

/// By these the initramfs of a live system is known (coreos-assembler).
const STAMP: &str = "etc/coreos-live-initramfs";
const FEATURES: &str = "etc/coreos/features.json";
/// The kernel looks for the next archive at a multiple of this.
const ALIGNMENT: u64 = 4;

/// Why an initramfs cannot be customized.
#[derive(Debug, Error)]
pub enum LiveInitramfsError {
    /// It cannot be read.
    #[error("the initramfs: {0}")]
    Archive(#[from] ArchiveError),
    /// It is another system's.
    #[error("not the initramfs of a CoreOS live system")]
    NotLive,
    /// It has a config or network configuration already.
    #[error("the initramfs is customized already")]
    Customized,
    /// Its description is not as it should be.
    #[error("{FEATURES} of the initramfs: {0}")]
    Features(#[source] serde_json::Error),
    /// The customization does not fit it.
    #[error(transparent)]
    Customization(#[from] CustomizationError),
    /// It cannot be copied.
    #[error("writing the initramfs: {0}")]
    Write(#[source] io::Error),
}

/// Copies an initramfs from `base` to `output`, front to back, with the customization behind it.
///
/// # Errors
/// When it is not that of a live system or the customization does not fit; what was written by then is of no use.
pub fn customize(
    base: impl BufRead,
    output: &mut impl Write,
    customization: &Customization,
) -> Result<(), LiveInitramfsError> {
    let mut copying = Copying { source: base, output, copied_bytes: 0 };
    let wanted = |path: &str| matches!(path, STAMP | FEATURES | Customization::CONFIG) || keyfile::is_embedded(path);
    let found = Archive::read(io::BufReader::with_capacity(1 << 20, &mut copying), wanted)?;
    if found.get(STAMP).is_none() {
        return Err(LiveInitramfsError::NotLive);
    }
    if found.get(Customization::CONFIG).is_some() || keyfile::embedded(&found).next().is_some() {
        return Err(LiveInitramfsError::Customized);
    }
    let features = match found.get(FEATURES) {
        Some(json) => serde_json::from_slice(json).map_err(LiveInitramfsError::Features)?,
        None => Features::default(),
    };
    let added = customization.archive(features)?.encode();
    let padding = copying.copied_bytes.next_multiple_of(ALIGNMENT) - copying.copied_bytes;
    output
        .write_all(&[0; ALIGNMENT as usize][..padding as usize])
        .and_then(|()| output.write_all(&added))
        .and_then(|()| output.flush())
        .map_err(LiveInitramfsError::Write)
}

/// What is read is written, too.
struct Copying<'a, R, W> {
    source: R,
    output: &'a mut W,
    copied_bytes: u64,
}

impl<R: Read, W: Write> Read for Copying<'_, R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.output.write_all(&buffer[..count])?;
        self.copied_bytes += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::user_config::UserConfig;

    fn base(files: &[(&str, &str)]) -> Vec<u8> {
        let mut archive = Archive::default();
        for (path, contents) in files {
            archive.insert(*path, contents.as_bytes());
        }
        archive.encode()
    }

    fn customized(base: &[u8]) -> Result<Vec<u8>, LiveInitramfsError> {
        let config = UserConfig::read(&json!({"ignition": {"version": "3.2.0"}}), None).unwrap();
        let customization = Customization { configs: vec![config], ..Customization::default() };
        let mut output = Vec::new();
        customize(base, &mut output, &customization).map(|()| output)
    }

    #[test]
    fn the_customization_stands_behind_the_unchanged_base() {
        let base = [base(&[("init", "x"), (STAMP, "")]), vec![0; 3]].concat();
        let output = customized(&base).unwrap();
        assert!(output.starts_with(&base));
        assert_eq!(
            Archive::decode(&output).unwrap().get(Customization::CONFIG).unwrap(),
            br#"{"ignition":{"version":"3.2.0"}}"#
        );
        assert!(matches!(customized(&output), Err(LiveInitramfsError::Customized)));
    }

    #[test]
    fn other_initramfs_are_refused() {
        assert!(matches!(customized(&base(&[("init", "x")])), Err(LiveInitramfsError::NotLive)));
        assert!(matches!(customized(b"not an initramfs"), Err(LiveInitramfsError::Archive(_))));
        assert!(matches!(customized(&base(&[(STAMP, ""), (FEATURES, "{")])), Err(LiveInitramfsError::Features(_))));
    }
}
