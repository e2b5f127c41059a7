//! CoreOS' live system as one EFI program.

use std::fs::File;
use std::io;
use std::path::Path;

use ferric_ignition::iso9660::Extent;

use crate::media::uki;

/// Room for files of the initramfs, as in CoreOS' live ISO.
const ARCHIVE_BYTES: u64 = 256 << 10;
/// What makes CoreOS' initramfs a live system with Ignition.
pub(super) const ARGUMENTS: &str = "ignition.firstboot ignition.platform.id=metal";
/// Room for kernel arguments.
const ROOM_BYTES: usize = 2048;

/// An EFI program of CoreOS' live system, and where files of its initramfs have room: zeroes behind it, which the kernel
/// passes over.
pub(super) fn write(program: &Path, kernel: &Path, initramfs: &Path) -> Result<Extent, String> {
    let work = || -> io::Result<tempfile::NamedTempFile> {
        let mut all = tempfile::NamedTempFile::new_in(program.parent().unwrap_or(Path::new(".")))?;
        let length = io::copy(&mut File::open(initramfs)?, &mut all)?;
        // The next archive begins at a multiple of four.
        all.as_file().set_len(length.next_multiple_of(4) + ARCHIVE_BYTES)?;
        Ok(all)
    };
    let all = work().map_err(|error| format!("{}: {error}", initramfs.display()))?;
    let mut line = ARGUMENTS.as_bytes().to_vec();
    line.resize(ROOM_BYTES, b' ');
    uki::unify(program, kernel, all.path(), &line).map_err(|error| error.to_string())?;
    let length = all.as_file().metadata().map_err(|error| error.to_string())?.len();
    let mut made = File::open(program).map_err(|error| error.to_string())?;
    let section = ferric_ignition::uki::section(&mut made, b".initrd").map_err(|error| error.to_string())?;
    let section = section.filter(|section| section.length >= length).ok_or("the EFI program has no initramfs")?;
    Ok(Extent { offset: section.offset + length - ARCHIVE_BYTES, length: ARCHIVE_BYTES })
}
