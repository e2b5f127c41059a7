//! A disk that is gone afterwards: a loop device over a sparse file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A loop device. The kernel takes it away when the last process that has it open is gone, also when that was killed.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    /// Keeps the device alive, and only this does.
    _open: File,
}

impl Disk {
    /// A disk of `size_bytes` zero bytes over a file in `directory`, which is unlinked at once.
    ///
    /// # Errors
    /// When there is no free loop device or this is not root.
    pub fn new(directory: &Path, size_bytes: u64) -> Result<Self> {
        let file = directory.join("disk.raw");
        File::create(&file)?.set_len(size_bytes)?;
        let output = Command::new("losetup")
            .args(["--find", "--show", "--partscan"])
            .arg(&file)
            .output()
            .context("running losetup")?;
        std::fs::remove_file(&file)?;
        ensure!(
            output.status.success(),
            "losetup (this needs root): {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let path = PathBuf::from(String::from_utf8(output.stdout)?.trim());
        let open = File::open(&path);
        // Detaching a device that is open makes the kernel detach it at its last close.
        let detached = Command::new("losetup").arg("--detach").arg(&path).status();
        let open = open.with_context(|| format!("opening {}", path.display()))?;
        ensure!(detached.context("running losetup")?.success(), "losetup --detach {}", path.display());
        Ok(Self { path, _open: open })
    }

    /// `/dev/loopN`.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
