//! What `make` builds before the tests run: the ramdisk, the live system, the container. They lie in cargo's target
//! folder, wherever that is.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// A file that `make ramdisk` made.
///
/// # Errors
/// It has not been made yet.
pub fn ramdisk(name: &str) -> Result<PathBuf> {
    made_by("ramdisk", &Path::new("ramdisk").join(name))
}

/// A file that `make live-system` made.
///
/// # Errors
/// It has not been made yet.
pub fn live_system(name: &str) -> Result<PathBuf> {
    made_by("live-system", &Path::new("live-system").join(name))
}

/// A file that `make grub-image` made.
///
/// # Errors
/// It has not been made yet.
pub fn grub_image(name: &str) -> Result<PathBuf> {
    made_by("grub-image", &Path::new("grub-image").join(name))
}

/// The archive of the container image that `make container` made.
///
/// # Errors
/// It has not been made yet.
pub fn container() -> Result<PathBuf> {
    made_by("container", Path::new("container/ferric-agent.oci.tar"))
}

/// The agent that needs no shared libraries, as `make static` made it.
///
/// # Errors
/// It has not been made yet.
pub fn static_agent() -> Result<PathBuf> {
    made_by("static", Path::new("x86_64-unknown-linux-gnu/release/ferric-agent"))
}

fn made_by(make_target: &str, file: &Path) -> Result<PathBuf> {
    let path = target_directory()?.join(file);
    ensure!(path.exists(), "{} is missing: run `make {make_target}` first", path.display());
    Ok(path)
}

/// Cargo's target folder: this test is `<target>/<profile>/deps/<test>`.
fn target_directory() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let Some(directory) = test.ancestors().nth(3) else {
        anyhow::bail!("{} does not lie in a target folder", test.display())
    };
    Ok(directory.to_path_buf())
}
