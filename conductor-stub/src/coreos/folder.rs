//! Where releases are kept: a folder for each, and links under the names that ipa-downloader gives its files, all of which
//! change to another release at one instant.
//!
//! ```text
//! coreos-x86_64-41.20250101.3.0/fedora-coreos-…   the files, and links kernel, initramfs, …
//! coreos-x86_64 -> coreos-x86_64-41.20250101.3.0
//! ironic-python-agent.kernel -> coreos-x86_64/kernel
//! ```

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::stream::Release;

/// Machines whose files need no architecture in their name.
const USUAL: &str = "x86_64";

/// The folder of one release.
#[derive(Debug)]
pub struct ReleaseFolder {
    root: PathBuf,
    current: String,
    name: String,
    suffix: String,
}

impl ReleaseFolder {
    /// Below `root`, made where it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(root: &Path, release: &Release) -> io::Result<Self> {
        let current = format!("coreos-{}", release.architecture);
        let name = format!("{current}-{}", release.version);
        fs::create_dir_all(root.join(&name))?;
        let suffix = match release.architecture.as_str() {
            USUAL => String::new(),
            other => format!("_{other}"),
        };
        Ok(Self { root: root.to_owned(), current, name, suffix })
    }

    /// Where a file belongs.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(&self.name).join(name)
    }

    /// Makes the release the current one: all of its files are there.
    ///
    /// # Errors
    /// When a link cannot be made.
    pub fn switch(&self, release: &Release) -> io::Result<()> {
        for file in &release.files {
            replace_link(&file.name, &self.file(file.kind))?;
        }
        replace_link(&self.name, &self.root.join(&self.current))?;
        for file in &release.files {
            let link = self.root.join(format!("ironic-python-agent{}.{}", self.suffix, file.kind));
            replace_link(&format!("{}/{}", self.current, file.kind), &link)?;
        }
        Ok(())
    }
}

/// A file of the current release for machines of an architecture, if it is there; its real place, which stays when the
/// release becomes another one.
#[must_use]
pub fn current(root: &Path, architecture: &str, kind: &str) -> Option<PathBuf> {
    let suffix = if architecture == USUAL { String::new() } else { format!("_{architecture}") };
    root.join(format!("ironic-python-agent{suffix}.{kind}")).canonicalize().ok()
}

/// Makes a link, in the place of another one; never of anything else.
fn replace_link(target: &str, link: &Path) -> io::Result<()> {
    match fs::symlink_metadata(link) {
        Ok(found) if !found.is_symlink() => {
            return Err(io::Error::new(ErrorKind::AlreadyExists, format!("{} is no link", link.display())));
        }
        Ok(_) if fs::read_link(link)? == Path::new(target) => return Ok(()),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut name = link.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = link.with_file_name(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(target, &new)?;
    fs::rename(&new, link)
}
