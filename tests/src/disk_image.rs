//! Disk images for deployments, in every form that users publish.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Runs a program that must succeed; returns what it printed.
///
/// # Errors
/// When it fails; the error holds its error output.
pub fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| format!("running {program}"))?;
    ensure!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Makes a raw GPT image of `size_mib` in `folder`: an EFI system partition and one that holds random bytes in its
/// first half and zeros in its second.
///
/// # Errors
/// When a tool fails or the folder cannot be written.
pub fn gpt_image(folder: &Path, size_mib: u64) -> Result<PathBuf> {
    ensure!(size_mib >= 8, "an image of {size_mib} MiB has no room for two partitions");
    let path = folder.join("image.raw");
    let file = File::create(&path)?;
    file.set_len(size_mib << 20)?;
    let mut random = vec![0; ((size_mib / 2) << 20) as usize];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    file.write_all_at(&random, 4 << 20)?;
    file.sync_all()?;
    let name = path.display().to_string();
    run("sgdisk", &["-n", "1:2048:+2M", "-t", "1:ef00", "-n", "2:8192:0", "-t", "2:8300", &name])?;
    Ok(path)
}

/// Hex digest of `path` by `sha256sum`, `sha512sum` or `md5sum`.
///
/// # Errors
/// When the tool fails.
pub fn digest(tool: &str, path: &Path) -> Result<String> {
    let line = run(tool, &[&path.display().to_string()])?;
    Ok(line.split_whitespace().next().unwrap_or_default().to_string())
}

/// A copy of `path` as qcow2.
///
/// # Errors
/// When qemu-img fails.
pub fn qcow2(path: &Path) -> Result<PathBuf> {
    let target = path.with_extension("qcow2");
    run("qemu-img", &["convert", "-O", "qcow2", &path.display().to_string(), &target.display().to_string()])?;
    Ok(target)
}

/// A copy of `path`, compressed by `tool` (`gzip`, `zstd`, `xz`, `bzip2`), beside it.
///
/// # Errors
/// When the tool fails.
pub fn compressed(path: &Path, tool: &str) -> Result<PathBuf> {
    let output = Command::new(tool).args(["-c", "-1"]).arg(path).output()?;
    ensure!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
    let target = PathBuf::from(format!("{}.{tool}", path.display()));
    File::create(&target)?.write_all(&output.stdout)?;
    Ok(target)
}
