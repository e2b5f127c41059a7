//! A disk image that boots, made from the Debian packages of this machine: no mounts, no root needed to build.
//!
//! GPT with an EFI system partition, on which `\EFI\BOOT\BOOTX64.EFI` is a unified kernel image: systemd's EFI
//! stub, the newest kernel in `/boot`, and an initramfs whose init prints [`BootImage::line`] on the serial
//! console and switches off. A second partition holds pseudo-random data, so that writing it takes real time.
//! The image is kept and used again until the kernel changes.

mod initramfs;

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::media::uki;
use crate::program::{ProgramError, at, run};

const MIB: u64 = 1 << 20;
const ESP_BYTES: u64 = 64 * MIB;
const DATA_BYTES: u64 = 384 * MIB;
const IMAGE_BYTES: u64 = 512 * MIB;
/// Where partitions begin: sgdisk's alignment.
const ALIGNMENT_BYTES: u64 = MIB;
/// Changes when the recipe does, so that an older image is not used again.
const RECIPE: u32 = 1;

const BUSYBOX: &str = "/bin/busybox";

/// A bootable image in a file.
#[derive(Debug, Clone)]
pub struct BootImage {
    /// The raw image.
    pub path: PathBuf,
    /// Its size, bytes.
    pub size_bytes: u64,
    /// What it prints on the first serial port when it has booted.
    pub line: String,
}

impl BootImage {
    /// Finds the image in `cache` or builds it there.
    ///
    /// # Errors
    /// Names the package that is missing, or what went wrong.
    pub fn get(cache: &Path) -> Result<Self, ProgramError> {
        let (kernel, version) = newest_kernel()?;
        let path = cache.join(format!("bootable-{version}-{RECIPE}.raw"));
        let line = format!("FERRIC-BOOTED kernel {version} recipe {RECIPE}");
        if !path.is_file() {
            std::fs::create_dir_all(cache).map_err(at(cache))?;
            let work = tempfile::tempdir_in(cache).map_err(at(cache))?;
            let image = work.path().join("image.raw");
            build(&image, work.path(), &kernel, &line)?;
            // Renamed when complete: an interrupted build leaves nothing that looks like an image.
            std::fs::rename(&image, &path).map_err(at(&path))?;
        }
        Ok(Self { path, size_bytes: IMAGE_BYTES, line })
    }
}

fn build(image: &Path, work: &Path, kernel: &Path, line: &str) -> Result<(), ProgramError> {
    let uki = work.join("bootx64.efi");
    unified_kernel(&uki, work, kernel, line)?;
    let esp = work.join("esp.img");
    sized(&esp, ESP_BYTES)?;
    run("mkfs.vfat", "dosfstools", &["-F".as_ref(), "32".as_ref(), "-n".as_ref(), "ESP".as_ref(), esp.as_os_str()])?;
    run("mmd", "mtools", &["-i".as_ref(), esp.as_os_str(), "::/EFI".as_ref(), "::/EFI/BOOT".as_ref()])?;
    run("mcopy", "mtools", &["-i".as_ref(), esp.as_os_str(), uki.as_os_str(), "::/EFI/BOOT/BOOTX64.EFI".as_ref()])?;
    sized(image, IMAGE_BYTES)?;
    let partition = |number: u32, bytes: u64| format!("--new={number}:0:+{}M", bytes / MIB);
    let (first, second) = (partition(1, ESP_BYTES), partition(2, DATA_BYTES));
    let words = [
        first.as_str(),
        "--typecode=1:EF00",
        "--change-name=1:ESP",
        second.as_str(),
        "--typecode=2:8300",
        "--change-name=2:data",
    ];
    let mut arguments: Vec<&std::ffi::OsStr> = words.iter().map(AsRef::as_ref).collect();
    arguments.push(image.as_os_str());
    run("sgdisk", "gdisk", &arguments)?;
    fill(image, &esp).map_err(at(image))
}

/// Copies the file system of the first partition and makes up the data of the second.
fn fill(image: &Path, esp: &Path) -> std::io::Result<()> {
    let mut file = File::options().write(true).open(image)?;
    file.seek(SeekFrom::Start(ALIGNMENT_BYTES))?;
    std::io::copy(&mut File::open(esp)?, &mut file)?;
    file.seek(SeekFrom::Start(ALIGNMENT_BYTES + ESP_BYTES))?;
    let mut writer = BufWriter::with_capacity(MIB as usize, file);
    // Marsaglia's xorshift64: the same bytes every time, and nothing that compresses.
    let mut word: u64 = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..DATA_BYTES / 8 {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        writer.write_all(&word.to_le_bytes())?;
    }
    writer.into_inner()?.sync_all()
}

/// The program that the image boots.
fn unified_kernel(uki: &Path, work: &Path, kernel: &Path, line: &str) -> Result<(), ProgramError> {
    let busybox = std::fs::read(BUSYBOX)
        .map_err(|_| ProgramError::Missing { what: BUSYBOX.into(), package: "busybox-static" })?;
    let initrd = work.join("initrd");
    std::fs::write(&initrd, initramfs::build(&busybox, line).map_err(at(uki))?).map_err(at(&initrd))?;
    uki::unify(uki, kernel, &initrd, b"console=ttyS0 quiet panic=-1")
}

/// The newest kernel in `/boot` and its version.
fn newest_kernel() -> Result<(PathBuf, String), ProgramError> {
    let missing = || ProgramError::Missing { what: "a kernel in /boot".into(), package: "linux-image-amd64" };
    let mut found: Vec<(Vec<u64>, String)> = std::fs::read_dir("/boot")
        .map_err(|_| missing())?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_prefix("vmlinuz-")?.to_owned()))
        .map(|version| {
            (version.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect(), version)
        })
        .collect();
    found.sort();
    let (_, version) = found.pop().ok_or_else(missing)?;
    Ok((PathBuf::from(format!("/boot/vmlinuz-{version}")), version))
}

fn sized(path: &Path, bytes: u64) -> Result<(), ProgramError> {
    File::create(path).and_then(|file| file.set_len(bytes)).map_err(at(path))
}
