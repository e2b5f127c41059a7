//! What is written to a disk as its config drive: what arrived, or a FAT file system of its files. Linux mounts ISO 9660
//! only where logical blocks are no larger than its own.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::{self, Cursor, Write};

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use ferric_hardware::units::{BlockSize, Bytes};
use ferric_ignition::iso9660::{Iso9660, IsoError};

use super::LIMIT;

/// Logical blocks of ISO 9660.
const ISO_BLOCK: u32 = 2048;
/// The label by which cloud-init finds the drive, as FAT wants it.
const LABEL: &[u8; 11] = b"CONFIG-2   ";
/// What a file takes at most besides its bytes: the rest of its last cluster, its entry, and its share of the tables.
const FILE_OVERHEAD: u64 = 24 << 10;
/// Boot sector, tables and root directory.
const FAT_OVERHEAD: u64 = 1 << 20;

/// Why there is no file system for this disk.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// What arrived cannot be read.
    #[error("reading its files")]
    Iso(#[from] IsoError),
    /// FAT does not tell them apart.
    #[error("{0} is there twice, in small and capital letters")]
    Twice(String),
    /// Files overlap, or are more than a config drive can hold.
    #[error("its files are larger than the drive")]
    TooLarge,
    /// The files cannot become a file system.
    #[error("making a FAT file system of its files")]
    Fat(#[source] io::Error),
}

/// A config drive for one disk.
pub enum Drive {
    /// As it arrived.
    Image(Vec<u8>),
    /// Paths and contents, for a file system of our own.
    Files(Vec<(String, Vec<u8>)>),
}

impl std::fmt::Debug for Drive {
    /// It holds secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<...>")
    }
}

impl Drive {
    /// Of the file system `image`, for a disk with these logical blocks. When `rebuild` says so its files are taken out
    /// also where that is not needed; a file system that is no ISO 9660 stays as it is, as with the Python agent when it
    /// cannot mount it.
    ///
    /// # Errors
    /// When the files are needed and cannot be read.
    pub fn new(image: Vec<u8>, block: BlockSize, rebuild: bool) -> Result<Self, DriveError> {
        if block.0 <= ISO_BLOCK && !rebuild {
            return Ok(Self::Image(image));
        }
        let limit = image.len() as u64;
        let mut iso = match Iso9660::open(Cursor::new(image.as_slice())) {
            Ok(iso) => iso,
            Err(IsoError::NotIso) => {
                tracing::warn!("the config drive is no ISO 9660 file system, it is written as it is");
                return Ok(Self::Image(image));
            }
            Err(error) => return Err(error.into()),
        };
        let (mut files, mut total, mut seen) = (Vec::new(), 0, HashSet::new());
        for (path, extent) in iso.tree()? {
            total += extent.length;
            if total > limit {
                return Err(DriveError::TooLarge);
            }
            if !seen.insert(path.to_lowercase()) {
                return Err(DriveError::Twice(path));
            }
            files.push((path, iso.read(extent, limit)?));
        }
        Ok(Self::Files(files))
    }

    /// How large its partition must be.
    pub fn needed(&self) -> Bytes {
        match self {
            Self::Image(image) => Bytes(image.len() as u64),
            Self::Files(files) => {
                let files: u64 = files.iter().map(|(_, content)| content.len() as u64 + FILE_OVERHEAD).sum();
                Bytes(FAT_OVERHEAD + files)
            }
        }
    }

    /// The beginning of a partition of size `room` on a disk with these logical blocks; what follows does not matter.
    ///
    /// # Errors
    /// When the files do not fit, or have names that FAT cannot hold.
    pub fn content(&self, room: Bytes, block: BlockSize) -> Result<Cow<'_, [u8]>, DriveError> {
        match self {
            Self::Image(image) => Ok(Cow::Borrowed(image)),
            Self::Files(files) => fat(files, room.min(LIMIT), block).map(Cow::Owned).map_err(DriveError::Fat),
        }
    }
}

fn fat(files: &[(String, Vec<u8>)], room: Bytes, block: BlockSize) -> io::Result<Vec<u8>> {
    let sector = u16::try_from(block.0).map_err(io::Error::other)?;
    let sectors = u32::try_from(room.0 / u64::from(block.0)).map_err(io::Error::other)?;
    let mut volume = Cursor::new(vec![0; sectors as usize * usize::from(sector)]);
    let options = FormatVolumeOptions::new().bytes_per_sector(sector).total_sectors(sectors).volume_label(*LABEL);
    fatfs::format_volume(&mut volume, options)?;
    let system = FileSystem::new(&mut volume, FsOptions::new())?;
    for (path, _) in files {
        for (end, _) in path.match_indices('/') {
            system.root_dir().create_dir(&path[..end])?;
        }
    }
    system.unmount()?;
    shorten_dots(volume.get_mut());
    volume.set_position(0);
    let system = FileSystem::new(&mut volume, FsOptions::new())?;
    for (path, content) in files {
        system.root_dir().create_file(path)?.write_all(content)?;
    }
    system.unmount()?;
    let mut content = volume.into_inner();
    // In what is free nobody looks.
    let used = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    content.truncate(used.next_multiple_of(usize::from(sector)));
    Ok(content)
}

/// Gives directories the beginning that they have everywhere else: fatfs makes long names for `.` and `..`, too, and what checks
/// file systems expects none. Only for a file system without files, whose content could look the same.
fn shorten_dots(volume: &mut [u8]) {
    const ENTRY: usize = 32;
    const LONG_DOT: &[u8] = b"\x41.\0\0\0";
    const DELETED: u8 = 0xe5;
    // Clusters are whole sectors.
    for at in (0..volume.len()).step_by(512) {
        if let Some(entries) = volume[at..].get_mut(..4 * ENTRY)
            && entries.starts_with(LONG_DOT)
        {
            // Long, short, long, short.
            entries.copy_within(ENTRY..2 * ENTRY, 0);
            entries.copy_within(3 * ENTRY..4 * ENTRY, ENTRY);
            entries[2 * ENTRY] = DELETED;
            entries[3 * ENTRY] = DELETED;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::Command;

    use super::*;

    fn files() -> Vec<(String, Vec<u8>)> {
        let content = |len: usize| (0..len).map(|at| (at % 251) as u8 + 1).collect();
        vec![
            ("openstack/latest/meta_data.json".to_string(), content(3000)),
            ("openstack/latest/user_data".to_string(), content(200_000)),
            ("openstack/2018-08-27/vendor_data2.json".to_string(), Vec::new()),
            ("openstack/content/deeper still/than most/0000".to_string(), content(5)),
            ("a long Name with blanks.txt".to_string(), content(1)),
        ]
    }

    /// What dosfstools has to say against a file system.
    fn faults(content: &[u8]) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let output = Command::new("fsck.vfat").arg("-n").arg(file.path()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // A version, and how much there is.
        if output.status.success() && text.lines().count() == 2 { String::new() } else { text }
    }

    #[test]
    fn what_looks_like_a_directory_in_a_file_stays_as_it_is() {
        let content = b"\x41.\0\0\0 and so on".repeat(100);
        let files = vec![("folder/file".to_string(), content.clone())];
        let mut made = Drive::Files(files).content(Bytes::mib(8), BlockSize(512)).unwrap().into_owned();
        made.resize(8 << 20, 0);
        assert_eq!(faults(&made), "");
        let system = FileSystem::new(Cursor::new(made), FsOptions::new()).unwrap();
        let mut found = Vec::new();
        system.root_dir().open_file("folder/file").unwrap().read_to_end(&mut found).unwrap();
        assert_eq!(found, content);
    }

    #[test]
    fn a_directory_of_many_files_is_sound() {
        let folders = ["openstack/content", "openstack"].into_iter();
        let names =
            folders.flat_map(|folder| (0..400).map(move |number| format!("{folder}/file number {number}.json")));
        let files = names.map(|name| (name, vec![1; 10])).collect();
        let mut made = Drive::Files(files).content(Bytes::mib(64), BlockSize(512)).unwrap().into_owned();
        made.resize(64 << 20, 0);
        assert_eq!(faults(&made), "");
    }

    #[test]
    fn files_become_fat_on_every_sector_size_and_in_every_room() {
        let files = files();
        let drive = Drive::Files(files.clone());
        for block in [512, 2048, 4096] {
            for room in [drive.needed(), Bytes::mib(8), Bytes::mib(64), Bytes::mib(4096)] {
                let mut content = drive.content(room, BlockSize(block)).unwrap().into_owned();
                assert!(content.len() as u64 <= drive.needed().0, "{block} {room}: {}", content.len());
                assert_eq!(content[11..13], (block as u16).to_le_bytes());
                content.resize(room.min(LIMIT).0 as usize, 0);
                assert_eq!(faults(&content), "", "{block} {room}");
                let system = FileSystem::new(Cursor::new(content), FsOptions::new()).unwrap();
                assert_eq!(system.read_volume_label_from_root_dir().unwrap().unwrap().trim(), "CONFIG-2");
                for (path, expected) in &files {
                    let mut found = Vec::new();
                    system.root_dir().open_file(path).unwrap().read_to_end(&mut found).unwrap();
                    assert_eq!(&found, expected, "{path}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let drive = Drive::Files(vec![("x".into(), vec![1; 3 << 20])]);
        assert!(matches!(drive.content(Bytes::mib(2), BlockSize(512)), Err(DriveError::Fat(_))));
        let drive = Drive::Files(vec![("a:b?".into(), vec![1])]);
        assert!(matches!(drive.content(Bytes::mib(2), BlockSize(512)), Err(DriveError::Fat(_))));
    }

    #[test]
    fn only_iso_9660_is_taken_apart_and_only_when_needed() {
        let is_image =
            |block, rebuild| matches!(Drive::new(vec![7; 9000], BlockSize(block), rebuild), Ok(Drive::Image(_)));
        assert!(is_image(512, false) && is_image(512, true) && is_image(4096, false));
        let mut iso = vec![0; 0x9000];
        iso[0x8000..0x8006].copy_from_slice(b"\x01CD001");
        assert!(matches!(Drive::new(iso.clone(), BlockSize(512), false), Ok(Drive::Image(_))));
        assert!(matches!(Drive::new(iso, BlockSize(4096), false), Ok(Drive::Files(files)) if files.is_empty()));
    }
}
