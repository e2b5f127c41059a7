//! Whether the partition table at the beginning of an image fits the image and the disk: what would be found only when
//! everything is written is known here before anything is.

use ferric_hardware::gpt::Gpt;
use ferric_hardware::mbr::Mbr;
use ferric_hardware::units::{BlockSize, Bytes, Lba};

/// Sizes of blocks that tables are made for.
const BLOCK_SIZES: [u32; 2] = [512, 4096];
/// Old tools end DOS partitions with a cylinder (255 heads of 63 sectors), which the image need not fill.
const CYLINDER: u64 = 255 * 63 * 512;

/// The disk that an image is to go to.
#[derive(Debug, Clone)]
pub struct Disk {
    /// Its path.
    pub name: String,
    /// Its size.
    pub size: Bytes,
    /// Its logical block size.
    pub block: BlockSize,
}

/// Why a partition table cannot be right. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Misfit {
    /// The table counts in blocks of another size than the disk's.
    #[error(
        "The image is for disks with sectors of {made_for} bytes, as its partition table shows, but {disk} has sectors of \
         {has} bytes"
    )]
    BlockSize {
        /// Of the image.
        made_for: u32,
        /// The disk.
        disk: String,
        /// Of the disk.
        has: u32,
    },
    /// It is not intact.
    #[error("The image is damaged")]
    Damaged(#[source] ferric_hardware::table_error::TableError),
    /// A master boot record protects a table that is not there.
    #[error("The image is damaged: its master boot record announces a GUID partition table that is not there")]
    Missing,
    /// A partition is not, or not all, in the image.
    #[error("The image is cut short: partition {number} reaches to byte {end}, the image only to {image}")]
    Cut {
        /// Number of the partition.
        number: u32,
        /// The first byte behind it.
        end: u64,
        /// Size of the image.
        image: u64,
    },
    /// A partition has no place on the disk.
    #[error(
        "The image does not fit: partition {number} reaches to byte {end}, but partitions on {disk} can only reach to {usable}"
    )]
    TooLarge {
        /// Number of the partition.
        number: u32,
        /// The first byte behind it.
        end: u64,
        /// The disk.
        disk: String,
        /// The first byte that no partition can have.
        usable: u64,
    },
}

/// Checks the table of an image that starts with `head` and is `image` long, if that is known. An image without a table,
/// or with one that `head` does not show all of, is somebody else's to judge.
///
/// # Errors
/// A [`Misfit`].
pub fn check(head: &[u8], image: Option<Bytes>, disk: &Disk) -> Result<(), Misfit> {
    let Some(mbr) = Mbr::of(head) else { return Ok(()) };
    if !mbr.is_protective() {
        return check_mbr(&mbr, image, disk);
    }
    let gpt = match Gpt::primary(head, disk.block).map_err(Misfit::Damaged)? {
        Some(gpt) => gpt,
        None => return explain_absence(head, disk),
    };
    let usable = Lba(gpt.last_usable_on(disk.size).0 + 1).to_bytes(disk.block).0;
    gpt.partitions().iter().try_for_each(|partition| {
        let end = partition.last.0.saturating_add(1).saturating_mul(u64::from(disk.block.0));
        not_cut(partition.number, end, image.map(|image| image.0))?;
        if end > usable { Err(too_large(partition.number, end, disk, usable)) } else { Ok(()) }
    })
}

/// A DOS partition table says nothing of the blocks it counts in: those of another size may be what makes it fit.
fn check_mbr(mbr: &Mbr, image: Option<Bytes>, disk: &Disk) -> Result<(), Misfit> {
    let partitions = mbr.primaries();
    let image = image.map(|image| image.0.saturating_add(CYLINDER));
    let fits = |block: BlockSize| {
        partitions.iter().try_for_each(|partition| {
            let end = Lba(partition.first.0 + partition.blocks).to_bytes(block).0;
            not_cut(partition.number, end, image)?;
            match end > disk.size.0 {
                true => Err(too_large(partition.number, end, disk, disk.size.0)),
                false => Ok(()),
            }
        })
    };
    let other = BLOCK_SIZES.into_iter().find(|size| *size < disk.block.0);
    match (fits(disk.block), other) {
        (Err(_), Some(made_for)) if fits(BlockSize(made_for)).is_ok() => {
            Err(Misfit::BlockSize { made_for, disk: disk.name.clone(), has: disk.block.0 })
        }
        (result, _) => result,
    }
}

/// There is no table where it should be: perhaps where it would be on other disks.
fn explain_absence(head: &[u8], disk: &Disk) -> Result<(), Misfit> {
    let has = disk.block.0;
    let other = BLOCK_SIZES.into_iter().filter(|size| *size != has).find(|size| has_header(head, *size));
    match other {
        Some(made_for) => Err(Misfit::BlockSize { made_for, disk: disk.name.clone(), has }),
        // Its entries lie elsewhere.
        None if has_header(head, has) => Ok(()),
        None => Err(Misfit::Missing),
    }
}

fn has_header(head: &[u8], block_bytes: u32) -> bool {
    head.get(block_bytes as usize..).is_some_and(|rest| rest.starts_with(b"EFI PART"))
}

fn not_cut(number: u32, end: u64, image: Option<u64>) -> Result<(), Misfit> {
    match image {
        Some(image) if end > image => Err(Misfit::Cut { number, end, image }),
        _ => Ok(()),
    }
}

fn too_large(number: u32, end: u64, disk: &Disk, usable: u64) -> Misfit {
    Misfit::TooLarge { number, end, disk: disk.name.clone(), usable }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use ferric_hardware::gpt::LINUX_FILE_SYSTEM;
    use uuid::Uuid;

    use super::*;

    const IMAGE: Bytes = Bytes::mib(32);

    fn disk(size: Bytes, block: u32) -> Disk {
        Disk { name: "/dev/disk".into(), size, block: BlockSize(block) }
    }

    /// The beginning of an image of 32 MiB with a partition from 1 MiB to the end.
    fn gpt(block: u32) -> Vec<u8> {
        let file = tempfile::tempfile().unwrap();
        file.set_len(IMAGE.0).unwrap();
        let mut table = Gpt::create(IMAGE, BlockSize(block), Uuid::from_u128(1)).unwrap();
        let (_, last) = table.usable();
        table.add(LINUX_FILE_SYSTEM, Uuid::from_u128(2), Lba((1 << 20) / u64::from(block)), last).unwrap();
        table.write(&file).unwrap();
        head(&file)
    }

    fn mbr(blocks: u64) -> Vec<u8> {
        let file = tempfile::tempfile().unwrap();
        file.set_len(IMAGE.0).unwrap();
        let mut table = Mbr::create(1);
        table.add(0x83, Lba(2048), blocks, BlockSize(512)).unwrap();
        table.write(&file).unwrap();
        head(&file)
    }

    fn head(file: &std::fs::File) -> Vec<u8> {
        let mut head = vec![0; 64 << 10];
        file.read_exact_at(&mut head, 0).unwrap();
        head
    }

    fn verdict(head: &[u8], image: Bytes, disk: &Disk) -> String {
        let text = |result: Result<(), Misfit>| result.map_or_else(|misfit| misfit.to_string(), |()| "fits".into());
        let (known, unknown) = (text(check(head, Some(image), disk)), text(check(head, None, disk)));
        assert!(unknown == known || known.contains("cut short"), "{known} but {unknown}");
        known
    }

    #[test]
    fn a_table_that_fits_image_and_disk_is_good() {
        for block in [512, 4096] {
            for size in [IMAGE, Bytes::mib(64)] {
                assert_eq!(verdict(&gpt(block), IMAGE, &disk(size, block)), "fits");
            }
        }
        assert_eq!(verdict(&mbr(63_488), IMAGE, &disk(IMAGE, 512)), "fits");
        assert_eq!(verdict(&mbr(63_488 + 8000), IMAGE, &disk(Bytes::mib(64), 512)), "fits");
        assert_eq!(verdict(&[0; 4096], IMAGE, &disk(IMAGE, 512)), "fits");
        assert_eq!(verdict(&[], IMAGE, &disk(IMAGE, 512)), "fits");
    }

    #[test]
    fn a_table_for_other_sectors_is_named() {
        for (made_for, has) in [(512, 4096), (4096, 512)] {
            let text = verdict(&gpt(made_for), IMAGE, &disk(Bytes::mib(64), has));
            assert!(text.contains(&format!("sectors of {made_for} bytes")), "{text}");
            assert!(text.contains(&format!("/dev/disk has sectors of {has} bytes")), "{text}");
        }
        let text = verdict(&mbr(20_000), IMAGE, &disk(Bytes::mib(64), 4096));
        assert!(text.contains("sectors of 512 bytes"), "{text}");
    }

    #[test]
    fn partitions_behind_the_end_of_the_image_or_of_the_disk_are_named() {
        let cut = IMAGE - Bytes::mib(1);
        for head in [gpt(512), mbr(63_488)] {
            let text = verdict(&head, Bytes::mib(8), &disk(Bytes::mib(64), 512));
            assert!(text.contains("cut short: partition 1 reaches to byte"), "{text}");
        }
        assert!(verdict(&gpt(512), cut, &disk(Bytes::mib(64), 512)).contains("cut short"));
        // Only the backup is missing.
        assert_eq!(verdict(&gpt(512), IMAGE - Bytes(512), &disk(Bytes::mib(64), 512)), "fits");
        for head in [gpt(512), mbr(63_488)] {
            let result = check(&head, None, &disk(Bytes::mib(16), 512));
            assert!(matches!(result, Err(Misfit::TooLarge { number: 1, .. })), "{result:?}");
        }
        // Its own end would be enough, but not with the backup behind it.
        let result = check(&gpt(512), None, &disk(IMAGE - Bytes(512), 512));
        assert!(matches!(result, Err(Misfit::TooLarge { .. })), "{result:?}");
    }

    #[test]
    fn damage_is_named() {
        let mut entries = gpt(512);
        entries[1024] ^= 1;
        let mut header = gpt(512);
        header[512 + 60] ^= 1;
        let mut absent = gpt(512);
        absent[512..1024].fill(0);
        for (head, expected) in [(entries, "damaged"), (header, "damaged"), (absent, "is not there")] {
            assert!(verdict(&head, IMAGE, &disk(IMAGE, 512)).contains(expected));
        }
    }

    #[test]
    fn entries_that_lie_elsewhere_are_not_judged() {
        assert_eq!(verdict(&gpt(512)[..2048], IMAGE, &disk(IMAGE, 512)), "fits");
    }
}
