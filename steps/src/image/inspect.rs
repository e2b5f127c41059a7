//! What the first bytes of an image are, with the names and the refusals of the Python agent
//! (`oslo_utils.imageutils.format_inspector`).

mod foreign;
mod format;
mod mbr;
mod refusal;
pub mod table;
mod vmdk;

pub use self::format::ImageFormat;
pub use self::refusal::{Permitted, Refusal};
use super::FormatChoice;
use super::qcow2::header::Header;

/// Bytes from the start within which every sign of a format lies (the last is that of ISO 9660).
pub const HEAD_BYTES: usize = 64 << 10;

/// What an image has to be.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// The format that it was said to have.
    pub choice: FormatChoice,
    /// The formats that may be written, whatever was said.
    pub permitted: Permitted,
    /// Whether it is to be one file system, and no whole disk.
    pub is_partition: bool,
}

/// The format of an image that starts with `head`: [`HEAD_BYTES`], or all of a smaller image.
///
/// # Errors
/// [`Refusal::Ambiguous`] when it is several at once.
pub fn detect(head: &[u8]) -> Result<ImageFormat, Refusal> {
    let mut found = ImageFormat::matches(head);
    match (found.pop(), found.is_empty()) {
        (None, _) => Ok(ImageFormat::Raw),
        (Some(format), true) => Ok(format),
        (Some(format), false) => {
            found.push(format);
            Err(Refusal::Ambiguous(found))
        }
    }
}

/// Checks what `head` shows of an image of `format`.
///
/// # Errors
/// [`Refusal::Unsafe`] when it is broken or depends on anything but itself.
pub fn check(format: ImageFormat, head: &[u8]) -> Result<(), Refusal> {
    let result = match format {
        ImageFormat::Qcow2 => Header::parse(head).map(drop).map_err(|defect| defect.to_string()),
        ImageFormat::Gpt => mbr::check(head).map_err(|reason| reason.to_string()),
        ImageFormat::Vmdk => vmdk::check(head).map_err(String::from),
        ImageFormat::Qed => Err("this format is banned".to_string()),
        ImageFormat::Luks if head.get(6..8) != Some(&[0, 1]) => Err("only version 1 is known".to_string()),
        _ => Ok(()),
    };
    result.map_err(|reason| Refusal::Unsafe(format, reason))
}

/// Whether an image that starts with `head` may be written as what it was said to be, and what it is.
///
/// A partition table makes it a disk, whatever else its first bytes look like. A declared raw image is written as it is,
/// unless it can only be a mistake.
///
/// # Errors
/// A [`Refusal`].
pub fn judge(expected: &Expected, head: &[u8]) -> Result<ImageFormat, Refusal> {
    use ImageFormat::{Gpt, Iso, Luks, Qcow2, Raw};
    let found = ImageFormat::matches(head);
    let is_disk = has_partitions(head);
    let may_be_file_system = |name: &str| expected.is_partition && name.ends_with(" file system");
    if !is_disk
        && found.iter().all(|format| *format == Gpt)
        && let Some(name) = foreign::name(head).filter(|name| !may_be_file_system(name))
    {
        return Err(Refusal::NoDisk(name));
    }
    if expected.choice == FormatChoice::Raw {
        let other = found.into_iter().find(|found| !is_disk && !matches!(found, Gpt | Iso | Luks));
        return other.map_or(Ok(Raw), |other| Err(Refusal::Unexpected(Raw, other)));
    }
    let format = detect(head)?;
    check(format, head)?;
    if !expected.permitted.has(format.name()) {
        return Err(Refusal::Forbidden(format, expected.permitted.clone()));
    }
    match (expected.choice, format) {
        (FormatChoice::Qcow2, Qcow2) | (FormatChoice::Auto, Qcow2 | Raw | Gpt) => Ok(format),
        (FormatChoice::Auto, other) => Err(Refusal::Unsupported(other)),
        (_, other) => Err(Refusal::Unexpected(Qcow2, other)),
    }
}

/// Whether `head` starts with a partition table that every reader understands alike.
pub fn has_partitions(head: &[u8]) -> bool {
    mbr::matches(head) && mbr::check(head).is_ok()
}

/// What a disk becomes onto which an image with this beginning is written as it is, where that is not what images are for.
pub fn remark(head: &[u8]) -> Option<&'static str> {
    ImageFormat::matches(head).contains(&ImageFormat::Iso).then(|| match has_partitions(head) {
        true => "The image is a hybrid ISO: the disk starts what a stick with it starts, a live system or an installer",
        false => "The image is an ISO without a partition table: firmware starts nothing from a disk with it",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head of zeroes with `parts` at their offsets.
    fn head(parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut head = vec![0; 1 << 20];
        for (at, bytes) in parts {
            head[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        head
    }

    /// A version 3 image of 1 GiB, with `parts` over its header.
    fn qcow2(parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut head = head(&[
            (0, b"QFI\xfb\0\0\0\x03"),
            (20, &16_u32.to_be_bytes()),
            (24, &(1_u64 << 30).to_be_bytes()),
            (36, &4_u32.to_be_bytes()),
            (40, &0x30000_u64.to_be_bytes()),
            (100, &104_u32.to_be_bytes()),
        ]);
        for (at, bytes) in parts {
            head[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        head
    }

    /// A sector with the boot signature and these entries.
    fn mbr(entries: &[[u8; 16]]) -> Vec<u8> {
        let mut head = head(&[(510, &[0x55, 0xaa])]);
        for (n, entry) in entries.iter().enumerate() {
            head[446 + n * 16..][..16].copy_from_slice(entry);
        }
        head
    }

    const LINUX: [u8; 16] = [0x80, 0, 2, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0];
    const PROTECTIVE: [u8; 16] = [0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0xff, 0xff, 0, 0];

    fn with(mut entry: [u8; 16], at: usize, byte: u8) -> [u8; 16] {
        entry[at] = byte;
        entry
    }

    fn vmdk(descriptor: &str) -> Vec<u8> {
        let header = [(0, &b"KDMV\x01\0\0\0"[..]), (28, &[1]), (36, &[2])];
        head(&[&header[..], &[(512, descriptor.as_bytes())]].concat())
    }

    /// The format and, after a colon, what is unsafe about it.
    fn outcome(head: &[u8]) -> String {
        match detect(head) {
            Err(refusal) => refusal.to_string(),
            Ok(format) => match check(format, head) {
                Ok(()) => format!("{format} safe"),
                Err(Refusal::Unsafe(format, reason)) => format!("{format}: {reason}"),
                Err(other) => panic!("{other}"),
            },
        }
    }

    #[test]
    fn disks_and_file_systems() {
        for (row, head, expected) in [
            ("H1", head(&[]), "raw safe"),
            ("H2", Vec::new(), "raw safe"),
            ("H14", mbr(&[LINUX]), "gpt safe"),
            ("H15", mbr(&[]), "gpt: GPT MBR has no partitions defined"),
            ("H16", mbr(&[PROTECTIVE]), "gpt safe"),
            ("H17 CHS", mbr(&[with(PROTECTIVE, 2, 1)]), "gpt: GPT protective MBR has an invalid start CHS"),
            ("H17 LBA", mbr(&[with(PROTECTIVE, 8, 2)]), "gpt: GPT protective MBR does not start at LBA 1"),
            ("H17 hybrid", mbr(&[PROTECTIVE, LINUX]), "gpt: GPT protective MBR has further partitions"),
            ("H18", mbr(&[with(LINUX, 0, 0x55)]), "gpt: MBR PTE 0 has invalid boot flag"),
            ("H19", head(&[(0x10, &[2]), (0x15, &[0xf8]), (510, &[0x55, 0xaa])]), "raw safe"),
            ("H20 gzip", head(&[(0, &[0x1f, 0x8b, 8])]), "raw safe"),
            ("H20 squashfs", head(&[(0, b"hsqs")]), "raw safe"),
            ("H20 ext4", head(&[(1080, &[0x53, 0xef])]), "raw safe"),
            ("H20 4K GPT", head(&[(4096, b"EFI PART")]), "raw safe"),
            ("H21", head(&[(0x8001, b"CD001")]), "iso safe"),
            ("H24", head(&[(0, b"QED\0")]), "qed: this format is banned"),
            ("H25", head(&[(0, b"LUKS\xba\xbe\0\x01")]), "luks safe"),
            ("H25", head(&[(0, b"LUKS\xba\xbe\0\x02")]), "luks: only version 1 is known"),
        ] {
            assert_eq!(outcome(&head), expected, "{row}");
        }
    }

    #[test]
    fn several_formats_at_once_are_refused() {
        let mut hybrid = mbr(&[LINUX]);
        hybrid[0x8001..0x8006].copy_from_slice(b"CD001");
        assert_eq!(outcome(&hybrid), "Security: Image matched multiple potential formats: iso, gpt", "H22");
        let said = crate::image::ImageError::from(detect(&hybrid).unwrap_err()).to_string();
        assert!(said.starts_with("Security: ") && said.contains("--format raw"), "{said}");
        assert!(remark(&hybrid).unwrap().contains("a stick") && remark(&mbr(&[LINUX])).is_none());
        for parts in [(510, &[0x55, 0xaa][..]), (0x8001, b"CD001")] {
            assert!(matches!(detect(&qcow2(&[parts])), Err(Refusal::Ambiguous(_))), "H23");
        }
    }

    #[test]
    fn qcow2_headers() {
        let version_2 = (4, &2_u32.to_be_bytes()[..]);
        for (row, head, expected) in [
            ("H3", qcow2(&[])[..511].to_vec(), "raw safe"),
            ("H4", qcow2(&[])[..512].to_vec(), "qcow2 safe"),
            ("H5", qcow2(&[version_2]), "qcow2 safe"),
            ("H6", qcow2(&[(4, &[0, 0, 0, 1])]), "qcow2: qcow2 version 1 is unknown"),
            ("H6", qcow2(&[(4, &[0, 0, 0, 4])]), "qcow2: qcow2 version 4 is unknown"),
            ("H7", qcow2(&[(15, &[0x70])]), "qcow2: the image has a backing file"),
            ("H8 dirty", qcow2(&[(79, &[1])]), "qcow2 safe"),
            ("H8 corrupt, stricter", qcow2(&[(79, &[2])]), "qcow2: the image is marked corrupt"),
            ("H8 compression", qcow2(&[(79, &[8]), (103, &[112]), (104, &[1])]), "qcow2 safe"),
            ("H9", qcow2(&[(79, &[4])]), "qcow2: the image has an external data file"),
            ("H10 extended L2, ours to read", qcow2(&[(79, &[0x10])]), "qcow2 safe"),
            ("H10", qcow2(&[(79, &[0x20])]), "qcow2: unknown incompatible features 0x20"),
            ("H10", qcow2(&[(78, &[1])]), "qcow2: unknown incompatible features 0x100"),
            ("H10", qcow2(&[(72, &[0x80])]), "qcow2: unknown incompatible features 0x8000000000000000"),
            ("H11", qcow2(&[version_2, (79, &[4])]), "qcow2: the image has an external data file"),
            ("H12, stricter", qcow2(&[(35, &[1])]), "qcow2: the image is encrypted (method 1)"),
            ("H12, stricter", qcow2(&[(35, &[2])]), "qcow2: the image is encrypted (method 2)"),
            ("H13", qcow2(&[(80, &[0xff; 16])]), "qcow2 safe"),
            ("cluster bits, stricter", qcow2(&[(23, &[22])]), "qcow2: header field cluster_bits is 22"),
            ("size, stricter", qcow2(&[(24, &[0; 8])]), "qcow2: header field size is 0"),
        ] {
            assert_eq!(outcome(&head), expected, "{row}");
        }
    }

    #[test]
    fn vmware_disks() {
        let descriptor =
            |kind: &str, file: &str| format!("# Disk DescriptorFile\ncreateType=\"{kind}\"\nRW 8 SPARSE \"{file}\"\n");
        let text = format!("{:600}", descriptor("monolithicSparse", "a.vmdk"));
        let mut padded = text.clone().into_bytes();
        padded.resize(1024, 0);
        for (row, head, expected) in [
            ("H26", vmdk(&descriptor("monolithicSparse", "a.vmdk")), "vmdk safe"),
            ("H26", vmdk(&descriptor("monolithicSparse", "/etc/shadow")), "vmdk: Invalid extent filenames found"),
            ("H26", vmdk(&descriptor("monolithicFlat", "a.vmdk")), "vmdk: Unsupported subformat"),
            ("no extent", vmdk("createType=\"streamOptimized\"\n"), "vmdk: No extents found"),
            ("H27", text.into_bytes(), "vmdk: a descriptor without data names other files"),
            ("H27", padded, "raw safe"),
        ] {
            assert_eq!(outcome(&head), expected, "{row}");
        }
    }

    fn expected(choice: FormatChoice) -> Expected {
        Expected { choice, ..Expected::default() }
    }

    #[test]
    fn what_is_written_is_what_was_said() {
        use FormatChoice::{Auto, Qcow2, Raw};
        let judge = |choice, head: &[u8]| judge(&expected(choice), head);
        let disk = mbr(&[PROTECTIVE]);
        assert_eq!(judge(Auto, &disk), Ok(ImageFormat::Gpt));
        assert_eq!(judge(Auto, &qcow2(&[])), Ok(ImageFormat::Qcow2));
        assert_eq!(judge(Qcow2, &qcow2(&[])), Ok(ImageFormat::Qcow2));
        let text = |choice, head: &[u8]| judge(choice, head).unwrap_err().to_string();
        assert_eq!(text(Qcow2, &disk), "Security: Expected format was qcow2, but image was actually gpt");
        assert_eq!(text(Raw, &qcow2(&[])), "Security: Expected format was raw, but image was actually qcow2");
        let mut hybrid = mbr(&[PROTECTIVE, LINUX]);
        hybrid[0x8001..0x8006].copy_from_slice(b"CD001");
        assert_eq!(judge(Raw, &hybrid), Ok(ImageFormat::Raw), "a declared raw image is not looked into");
    }

    #[test]
    fn what_is_written_is_permitted_and_known() {
        use FormatChoice::{Auto, Qcow2, Raw};
        let iso = head(&[(0x8001, b"CD001")]);
        let (disk, blank) = (mbr(&[LINUX]), head(&[]));
        let text = |choice, head: &[u8], permitted: &[&str]| {
            let permitted = Permitted(permitted.iter().map(ToString::to_string).collect());
            judge(&Expected { permitted, ..expected(choice) }, head).map_err(|refusal| refusal.to_string())
        };
        let default = ["raw", "gpt", "qcow2"];
        let refused =
            |format, list| Err(format!("Security: Detected image format was {format}, but only {list} are allowed"));
        assert_eq!(text(Auto, &iso, &default), refused("iso", "raw, gpt, qcow2"));
        assert_eq!(text(Qcow2, &iso, &default), refused("iso", "raw, gpt, qcow2"));
        assert_eq!(text(Auto, &disk, &["raw", "qcow2"]), refused("gpt", "raw, qcow2"));
        assert_eq!(text(Auto, &blank, &["gpt", "qcow2"]), refused("raw", "gpt, qcow2"));
        assert_eq!(text(Auto, &qcow2(&[]), &["raw", "gpt"]), refused("qcow2", "raw, gpt"));
        assert_eq!(text(Qcow2, &qcow2(&[]), &["raw"]), refused("qcow2", "raw"));
        assert_eq!(text(Raw, &disk, &["qcow2"]), Ok(ImageFormat::Raw), "raw is taken at its word");
        let unknown = text(Auto, &iso, &["iso", "raw"]).unwrap_err();
        assert!(unknown.contains("iso, which is permitted, but this agent writes only raw, gpt, qcow2"), "{unknown}");
    }

    #[test]
    fn what_is_no_disk_is_refused_by_its_name() {
        use FormatChoice::{Auto, Qcow2, Raw};
        for choice in [Auto, Qcow2, Raw] {
            let refusal = judge(&expected(choice), &head(&[(0, b"PK\x03\x04")])).unwrap_err();
            assert_eq!(refusal, Refusal::NoDisk("a zip archive"), "{choice:?}");
        }
        // A Linux kernel ends its first sector as a master boot record does.
        let kernel = head(&[(0, b"MZ"), (446, &[0x7f]), (510, &[0x55, 0xaa]), (0x202, b"HdrS")]);
        assert_eq!(judge(&expected(Auto), &kernel), Err(Refusal::NoDisk("a Linux kernel")));
        let squashfs = head(&[(0, b"hsqs")]);
        assert_eq!(judge(&expected(Raw), &squashfs), Err(Refusal::NoDisk("a squashfs file system")));
        let partition = Expected { is_partition: true, ..expected(Raw) };
        assert_eq!(judge(&partition, &squashfs), Ok(ImageFormat::Raw));
        assert!(judge(&partition, &head(&[(0, b"PK\x03\x04")])).is_err());
    }

    #[test]
    fn a_partition_table_makes_it_a_disk_whatever_it_begins_with() {
        for sign in [&b"PK\x03\x04"[..], b"QFI\xfb\0\0\0\x03", b"vhdxfile", b"\x1f\x8b\x08"] {
            let mut disk = mbr(&[LINUX]);
            disk[..sign.len()].copy_from_slice(sign);
            assert_eq!(judge(&expected(FormatChoice::Raw), &disk), Ok(ImageFormat::Raw), "{sign:?}");
        }
        let mut qcow2 = mbr(&[LINUX]);
        qcow2[..4].copy_from_slice(b"QFI\xfb");
        assert!(matches!(judge(&expected(FormatChoice::Auto), &qcow2), Err(Refusal::Ambiguous(_))));
    }
}
