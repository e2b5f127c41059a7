//! The EFI system partition of a disk, read through the disk itself: no partition node and no mount is needed.

mod error;
mod format;
mod range;

use std::io::{self, Read};

use ferric_hardware::efi::{HardDrive, Signature};
use ferric_hardware::gpt::{self, GptPartition};
use ferric_hardware::mbr;
use ferric_hardware::open_device::OpenDevice;
use ferric_hardware::partition_table::PartitionTable;
use ferric_hardware::units::Lba;

pub(super) use self::error::EspError;
pub(super) use self::format::format_like;
pub(super) use self::range::Place;
use self::range::Range;

/// Files that firmware or a distribution's installer put there, in lower case.
const CSV_NAMES: [&str; 3] = ["bootx64.csv", "bootaa64.csv", "boot.csv"];
const LOADER_NAMES: [&str; 10] = [
    "bootia32.efi",
    "bootx64.efi",
    "bootia64.efi",
    "bootarm.efi",
    "bootaa64.efi",
    "bootriscv32.efi",
    "bootriscv64.efi",
    "bootriscv128.efi",
    "grubaa64.efi",
    "winload.efi",
];
/// Directories are followed this deep: `\EFI\<vendor>` is 2.
const DEPTH: usize = 6;
/// More files and directories no system partition has.
const MOST_ENTRIES: usize = 20_000;
/// More loaders than that are a trap for the firmware's few KiB of variables.
const MOST_LOADERS: usize = 16;
/// A label is shown in a menu.
const MOST_LABEL_CHARACTERS: usize = 64;
/// What is read to find the loaders.
const MOST_READ_BYTES: u64 = 32 << 20;
/// A CSV file is a line or two.
const MOST_CSV_BYTES: u64 = 64 << 10;

/// Where the system partition is, for us and for the firmware.
#[derive(Debug, Clone, Copy)]
pub(super) struct SystemPartition {
    pub(super) place: Place,
    pub(super) drive: HardDrive,
}

/// A boot loader on the partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loader {
    /// Absolute, with backslashes.
    pub(super) path: String,
    /// The name its own installer wants for it.
    pub(super) label: Option<String>,
}

/// The partition of the system partition type, else the one whose own identifier is `uuid`.
pub(super) fn find(disk: &OpenDevice, uuid: Option<&str>) -> Result<Option<SystemPartition>, EspError> {
    let block = disk.block_size();
    let found = match PartitionTable::read(disk.file(), disk.size(), block)? {
        None => None,
        Some(PartitionTable::Gpt(table)) => {
            let partitions = table.partitions();
            let named = |text: &str| partitions.iter().find(|p| p.guid.to_string().eq_ignore_ascii_case(text));
            let typed = partitions.iter().find(|partition| partition.type_guid == gpt::EFI_SYSTEM);
            typed.or_else(|| uuid.and_then(named)).map(drive)
        }
        Some(PartitionTable::Mbr(table)) => {
            let partition = table.primaries().into_iter().find(|partition| partition.kind == mbr::EFI_SYSTEM);
            partition.map(|partition| HardDrive {
                number: partition.number,
                start: partition.first,
                blocks: partition.blocks,
                signature: Signature::Mbr(table.disk_id()),
            })
        }
    };
    Ok(found.map(|drive| {
        let place = Place { start: drive.start.to_bytes(block), size: Lba(drive.blocks).to_bytes(block) };
        SystemPartition { place, drive }
    }))
}

/// The partition of this number of a disk with a GUID partition table, as the firmware finds it.
pub(super) fn by_number(disk: &OpenDevice, number: u32) -> Result<HardDrive, EspError> {
    let table = PartitionTable::read(disk.file(), disk.size(), disk.block_size())?;
    let partitions = match table {
        Some(PartitionTable::Gpt(table)) => table.partitions(),
        _ => Vec::new(),
    };
    let found = partitions.iter().find(|partition| partition.number == number);
    found.map(drive).ok_or_else(|| EspError::NoPartition { device: disk.name().to_string(), number })
}

fn drive(partition: &GptPartition) -> HardDrive {
    HardDrive {
        number: partition.number,
        start: partition.first,
        blocks: partition.blocks(),
        signature: Signature::Gpt(partition.guid),
    }
}

/// The loaders to make entries for: the one that a distribution's CSV file names, else all that are known by name.
pub(super) fn loaders(disk: &OpenDevice, place: Place) -> Result<Vec<Loader>, EspError> {
    let range = Range::new(disk.file(), place, MOST_READ_BYTES);
    let volume = fatfs::FileSystem::new(range, fatfs::FsOptions::new())?;
    let mut found = Found::default();
    walk(&volume.root_dir(), "", DEPTH, &mut found)?;
    Ok(found.chosen())
}

#[derive(Default)]
struct Found {
    by_csv: Option<Loader>,
    by_name: Vec<Loader>,
    entries: usize,
}

impl Found {
    fn chosen(mut self) -> Vec<Loader> {
        if let Some(loader) = self.by_csv {
            return vec![loader];
        }
        if self.by_name.len() > MOST_LOADERS {
            tracing::warn!(found = self.by_name.len(), "only {MOST_LOADERS} of the loaders get boot entries");
            self.by_name.truncate(MOST_LOADERS);
        }
        self.by_name
    }
}

fn walk(directory: &fatfs::Dir<'_, Range<'_>>, path: &str, depth: usize, found: &mut Found) -> io::Result<()> {
    for entry in directory.iter() {
        let entry = entry?;
        found.entries += 1;
        if found.entries > MOST_ENTRIES {
            return Err(range::endless());
        }
        let name = entry.file_name();
        let lower = name.to_ascii_lowercase();
        let full = format!("{path}\\{name}");
        if name == "." || name == ".." {
            continue;
        }
        if entry.is_dir() {
            if depth > 0 {
                walk(&entry.to_dir(), &full, depth - 1, found)?;
            }
        } else if CSV_NAMES.contains(&lower.as_str()) && found.by_csv.is_none() {
            let mut content = Vec::new();
            entry.to_file().take(MOST_CSV_BYTES).read_to_end(&mut content)?;
            found.by_csv = parse_csv(&content)
                .filter(|(file, _)| directory.open_file(file).is_ok())
                .map(|(file, label)| Loader { path: format!("{path}\\{file}"), label: Some(label) });
            if found.by_csv.is_none() {
                tracing::warn!(file = full, "not understood: the loader is chosen by its name");
            }
        } else if LOADER_NAMES.contains(&lower.as_str()) {
            found.by_name.push(Loader { path: full, label: None });
        }
    }
    Ok(())
}

/// File and label of the first line: `shimx64.efi,Fedora,,text`, in UTF-16 with or without byte order mark.
fn parse_csv(content: &[u8]) -> Option<(String, String)> {
    let big_endian = content.starts_with(&[0xfe, 0xff]);
    let units = content.chunks_exact(2).map(|pair| match big_endian {
        true => u16::from_be_bytes([pair[0], pair[1]]),
        false => u16::from_le_bytes([pair[0], pair[1]]),
    });
    let text: String = char::decode_utf16(units).collect::<Result<_, _>>().ok()?;
    let line = text.trim_start_matches('\u{feff}').lines().next()?;
    let mut fields = line.splitn(4, ',').map(str::trim);
    let (file, label) = (fields.next()?, fields.next()?);
    let is_name = !file.is_empty() && !file.contains(['\\', '/', '\0']);
    let is_label = (1..=MOST_LABEL_CHARACTERS).contains(&label.chars().count()) && !label.contains(char::is_control);
    (is_name && is_label).then(|| (file.to_string(), label.to_string()))
}

#[cfg(test)]
mod tests {
    use ferric_hardware::units::Bytes;

    use super::*;

    fn utf16(text: &str, mark: bool) -> Vec<u8> {
        let mark = if mark { vec![0xff, 0xfe] } else { Vec::new() };
        mark.into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
    }

    #[test]
    fn csv_files_name_loader_and_label() {
        let expected = Some(("shimx64.efi".to_string(), "Fedora".to_string()));
        for text in ["shimx64.efi,Fedora,,This is the boot entry", "shimx64.efi,Fedora\n", "shimx64.efi,Fedora,\r\nx,y"]
        {
            assert_eq!(parse_csv(&utf16(text, true)), expected, "{text}");
            assert_eq!(parse_csv(&utf16(text, false)), expected, "{text}");
        }
    }

    #[test]
    fn csv_files_that_say_nothing_are_not_believed() {
        for content in [
            b"".to_vec(),
            b"shimx64.efi,Fedora,,x".to_vec(),
            utf16("shimx64.efi", true),
            utf16(",Fedora,,", true),
            utf16(r"..\shimx64.efi,Fedora,,", true),
            utf16("shimx64.efi,Fed\u{1b}[2Jora,,", true),
            utf16(&format!("shimx64.efi,{},,", "F".repeat(65)), true),
            vec![0x00, 0xd8, 0x00, 0xd8],
        ] {
            assert_eq!(parse_csv(&content), None, "{content:?}");
        }
    }

    /// A FAT file system in a file, with as many loaders as `directories`.
    fn volume(directories: usize) -> std::fs::File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8 << 20).unwrap();
        fatfs::format_volume(&file, fatfs::FormatVolumeOptions::new()).unwrap();
        std::io::Seek::rewind(&mut &file).unwrap();
        let made = fatfs::FileSystem::new(&file, fatfs::FsOptions::new()).unwrap();
        let top = made.root_dir().create_dir("EFI").unwrap();
        for number in 0..directories {
            top.create_dir(&format!("{number}")).unwrap().create_file("BOOTX64.EFI").unwrap();
        }
        drop(top);
        made.unmount().unwrap();
        file
    }

    fn found(file: &std::fs::File) -> io::Result<Vec<Loader>> {
        let place = Place { start: Bytes(0), size: Bytes::mib(8) };
        let range = Range::new(file, place, MOST_READ_BYTES);
        let volume = fatfs::FileSystem::new(range, fatfs::FsOptions::new())?;
        let mut found = Found::default();
        walk(&volume.root_dir(), "", DEPTH, &mut found).map(|()| found.chosen())
    }

    #[test]
    fn many_loaders_do_not_fill_the_firmware() {
        assert_eq!(found(&volume(3)).unwrap().len(), 3);
        assert_eq!(found(&volume(200)).unwrap().len(), MOST_LOADERS);
    }

    #[test]
    fn a_directory_whose_clusters_lead_in_a_circle_has_an_end() {
        use std::os::unix::fs::FileExt;
        let file = volume(200);
        // Of FAT16: every chain goes on at its own first cluster.
        let word = |at| {
            let mut bytes = [0; 2];
            file.read_exact_at(&mut bytes, at).unwrap();
            u64::from(u16::from_le_bytes(bytes))
        };
        let (sector, reserved, fats, length) = (word(11), word(14), word(16) & 0xff, word(22));
        for copy in 0..fats {
            let fat = (reserved + copy * length) * sector;
            for cluster in 2..length * sector / 2 {
                let at = fat + cluster * 2;
                if word(at) != 0 {
                    file.write_all_at(&(cluster as u16).to_le_bytes(), at).unwrap();
                }
            }
        }
        let error = found(&file).unwrap_err();
        assert!(error.to_string().contains("no end"), "{error}");
    }
}
