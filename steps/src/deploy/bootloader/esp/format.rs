//! A new EFI system partition in the place of another, whose identifier and label it gets: what names the old one by them
//! finds the new one.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};

use ferric_hardware::open_device::OpenDevice;
use ferric_hardware::signature;

use super::error::EspError;
use super::range::{self, Place, Range};

/// Directories are followed this deep, to as many files and directories as no system partition has.
const DEPTH: usize = 16;
const MOST_ENTRIES: usize = 20_000;
/// What a system partition without a label is called.
const LABEL: &str = "esp";

/// Formats `to` for the content of the file system at `place` of `from`, which stays as it is.
pub(crate) fn format_like(from: &OpenDevice, place: Place, to: &OpenDevice) -> Result<(), EspError> {
    let label = signature::label(from, place.start, place.size)?.filter(|label| !label.is_empty());
    let uuid = signature::uuid(from, place.start, place.size)?;
    let content = content_bytes(from.file(), place)?;
    format(to.file(), content, to.block_size().0, label.as_deref().unwrap_or(LABEL), uuid.as_deref())?;
    Ok(to.flush()?)
}

/// The bytes of all files of a file system.
fn content_bytes(file: &File, place: Place) -> Result<u64, EspError> {
    let volume = Range::new(file, place, place.size.0);
    let volume = fatfs::FileSystem::new(volume, fatfs::FsOptions::new())?;
    let mut entries = 0;
    let bytes = measure(&volume.root_dir(), DEPTH, &mut entries)?;
    Ok(bytes)
}

fn measure(directory: &fatfs::Dir<'_, Range<'_>>, depth: usize, entries: &mut usize) -> io::Result<u64> {
    let mut bytes: u64 = 0;
    for entry in directory.iter() {
        let entry = entry?;
        let name = entry.file_name();
        *entries += 1;
        if *entries > MOST_ENTRIES || depth == 0 {
            return Err(range::endless());
        }
        if name != "." && name != ".." {
            let within = if entry.is_dir() { measure(&entry.to_dir(), depth - 1, entries)? } else { entry.len() };
            bytes = bytes.saturating_add(within);
        }
    }
    Ok(bytes)
}

fn format(mut to: &File, content: u64, block: u32, label: &str, uuid: Option<&str>) -> Result<(), EspError> {
    let room = to.seek(SeekFrom::End(0))?;
    if content > room {
        return Err(EspError::TooLarge { content, room });
    }
    to.rewind()?;
    let mut options = fatfs::FormatVolumeOptions::new().volume_label(padded(label));
    // FAT allows no larger sectors.
    options = options.bytes_per_sector(u16::try_from(block).unwrap_or(512).clamp(512, 4096));
    if let Some(id) = uuid.and_then(volume_id) {
        options = options.volume_id(id);
    }
    Ok(fatfs::format_volume(to, options)?)
}

/// The number behind `ABCD-1234`.
fn volume_id(uuid: &str) -> Option<u32> {
    u32::from_str_radix(&uuid.replace('-', ""), 16).ok()
}

/// A label as FAT keeps it.
fn padded(label: &str) -> [u8; 11] {
    let mut bytes = [b' '; 11];
    for (place, byte) in bytes.iter_mut().zip(label.bytes()) {
        *place = byte;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use ferric_hardware::units::Bytes;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn run(program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).output().unwrap();
        let [told, failed] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        assert!(output.status.success(), "{program}: {told}{failed}");
        told
    }

    #[test]
    fn a_new_file_system_has_the_label_and_the_identifier_of_the_old_one() {
        for (block, mib) in [(512, 300), (512, 550), (4096, 550)] {
            let file = tempfile::NamedTempFile::new().unwrap();
            file.as_file().set_len(mib * MIB).unwrap();
            format(file.as_file(), 1, block, "EFI-SYSTEM", Some("ABCD-1234")).unwrap();
            let path = file.path().to_str().unwrap();
            assert_eq!(run("blkid", &["-p", "-o", "value", "-s", "UUID", path]).trim(), "ABCD-1234");
            assert_eq!(run("blkid", &["-p", "-o", "value", "-s", "LABEL", path]).trim(), "EFI-SYSTEM");
            run("fsck.vfat", &["-n", path]);
        }
    }

    #[test]
    fn content_without_room_is_refused_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk");
        File::create(&disk).unwrap().set_len(65 * MIB).unwrap();
        let volume = format!("{}@@1M", disk.display());
        run("mformat", &["-i", &volume, "-T", "131072", "::"]);
        run("mmd", &["-i", &volume, "::/EFI", "::/EFI/BOOT"]);
        let file = folder.path().join("file");
        std::fs::write(&file, "loader ".repeat(300_000)).unwrap();
        for name in ["::/EFI/BOOT/BOOTX64.EFI", "::/EFI/a long name.efi"] {
            run("mcopy", &["-i", &volume, file.to_str().unwrap(), name]);
        }
        let place = Place { start: Bytes::mib(1), size: Bytes::mib(64) };
        let content = content_bytes(&File::open(disk).unwrap(), place).unwrap();
        assert_eq!(content, 2 * 7 * 300_000);
        let to = tempfile::tempfile().unwrap();
        to.set_len(MIB).unwrap();
        let refused = format(&to, content, 512, "esp", None);
        assert!(matches!(refused, Err(EspError::TooLarge { content: 4_200_000, room: MIB })), "{refused:?}");
        let mut written = Vec::new();
        (&to).rewind().unwrap();
        io::Read::read_to_end(&mut &to, &mut written).unwrap();
        assert!(written.iter().all(|byte| *byte == 0));
    }
}
