//! The header: what it says, and every reason to refuse an image before a table is read.
//!
//! Layout: QEMU `docs/interop/qcow2.txt`, sections "Header" and "Header extensions".

use super::Defect;

/// Bytes at the start of the file within which the header and its fields lie.
pub const HEADER_BYTES: usize = 112;

/// The largest L1 table QEMU accepts.
const MAX_L1_BYTES: u64 = 32 << 20;

const MAGIC: [u8; 4] = *b"QFI\xfb";
const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const DATA_FILE: u64 = 1 << 2;
const COMPRESSION_TYPE: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;

const EXTENSION_END: u32 = 0;
const EXTENSION_DATA_FILE: u32 = 0x4441_5441;
const EXTENSION_ENCRYPTION: u32 = 0x0537_be77;

/// How compressed clusters are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Raw deflate.
    Deflate,
    /// Zstandard frames.
    Zstd,
}

/// A header that passed every check that needs nothing but itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// Size of the virtual disk in bytes, not 0.
    pub virtual_bytes: u64,
    /// Binary logarithm of the cluster size, 9 to 21.
    pub cluster_bits: u32,
    /// Entries of the L1 table.
    pub l1_entries: u64,
    /// Where the L1 table starts in the file.
    pub l1_offset: u64,
    /// L2 entries have two words: allocation can differ within a cluster.
    pub extended_l2: bool,
    /// How compressed clusters are packed.
    pub compression: Compression,
}

impl Header {
    /// Reads the header from the start of the file: at least [`HEADER_BYTES`], and header extensions as far
    /// as `head` goes.
    ///
    /// # Errors
    /// A [`Defect`] when the image is broken, or depends on anything but itself.
    pub fn parse(head: &[u8]) -> Result<Self, Defect> {
        if !head.starts_with(&MAGIC) {
            return Err(Defect::NotQcow2);
        }
        if head.len() < HEADER_BYTES {
            return Err(Defect::Truncated { what: "header", total_bytes: head.len() as u64 });
        }
        let version = u32_at(head, 4);
        if !matches!(version, 2 | 3) {
            return Err(Defect::Version(version));
        }
        if u64_at(head, 8) != 0 {
            return Err(Defect::BackingFile);
        }
        match u32_at(head, 32) {
            0 => {}
            method => return Err(Defect::Encrypted(method)),
        }
        let cluster_bits = u32_at(head, 20);
        if !(9..=21).contains(&cluster_bits) {
            return Err(Defect::Header { field: "cluster_bits", value: cluster_bits.into() });
        }
        // Version 2 has no features, but other readers look there whatever the version.
        let features = if version == 3 { u64_at(head, 72) } else { u64_at(head, 72) & DATA_FILE };
        check_features(features, cluster_bits)?;
        let length = if version == 3 { u32_at(head, 100) } else { 72 };
        if version == 3 && (length < 104 || length % 8 != 0 || u64::from(length) > 1 << cluster_bits) {
            return Err(Defect::Header { field: "header_length", value: length.into() });
        }
        let kind = if version == 3 && length > 104 { head[104] } else { 0 };
        let compression = match (kind, features & COMPRESSION_TYPE != 0) {
            (0, false) => Compression::Deflate,
            (1, true) => Compression::Zstd,
            _ => return Err(Defect::Header { field: "compression_type", value: kind.into() }),
        };
        let header = Self {
            version,
            virtual_bytes: u64_at(head, 24),
            cluster_bits,
            l1_entries: u32_at(head, 36).into(),
            l1_offset: u64_at(head, 40),
            extended_l2: features & EXTENDED_L2 != 0,
            compression,
        };
        header.check_sizes()?;
        check_extensions(&head[..head.len().min(1 << cluster_bits)], length as usize)?;
        Ok(header)
    }

    /// Bytes of a cluster.
    pub fn cluster_bytes(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Bytes of an L2 entry: 8, or 16 with extended L2 entries.
    pub fn l2_entry_bytes(&self) -> u64 {
        if self.extended_l2 { 16 } else { 8 }
    }

    /// Guest bytes that one L2 table, so one L1 entry, describes.
    pub fn l2_span(&self) -> u64 {
        self.cluster_bytes() / self.l2_entry_bytes() * self.cluster_bytes()
    }

    /// L1 entries that describe the virtual disk; the table may have more.
    pub fn l1_needed(&self) -> u64 {
        self.virtual_bytes.div_ceil(self.l2_span())
    }

    fn check_sizes(&self) -> Result<(), Defect> {
        if self.virtual_bytes == 0 || self.virtual_bytes > i64::MAX as u64 {
            return Err(Defect::Header { field: "size", value: self.virtual_bytes });
        }
        let needed = self.l1_needed();
        if self.l1_entries * 8 > MAX_L1_BYTES || needed * 8 > MAX_L1_BYTES {
            return Err(Defect::Header { field: "l1_size", value: self.l1_entries });
        }
        if self.l1_entries < needed {
            return Err(Defect::SmallL1 { entries: self.l1_entries, needed });
        }
        let aligned = self.l1_offset & (self.cluster_bytes() - 1) == 0;
        if self.l1_offset == 0 || !aligned || self.l1_offset > i64::MAX as u64 {
            return Err(Defect::Header { field: "l1_table_offset", value: self.l1_offset });
        }
        Ok(())
    }
}

fn check_features(features: u64, cluster_bits: u32) -> Result<(), Defect> {
    if features & DATA_FILE != 0 {
        return Err(Defect::DataFile);
    }
    if features & CORRUPT != 0 {
        return Err(Defect::MarkedCorrupt);
    }
    let unknown = features & !(DIRTY | CORRUPT | DATA_FILE | COMPRESSION_TYPE | EXTENDED_L2);
    if unknown != 0 {
        return Err(Defect::UnknownFeatures(unknown));
    }
    // A cluster has 32 subclusters of at least one sector.
    if features & EXTENDED_L2 != 0 && cluster_bits < 14 {
        return Err(Defect::Header { field: "cluster_bits", value: cluster_bits.into() });
    }
    Ok(())
}

/// Refuses extensions that name content outside the image, whatever the feature bits say.
fn check_extensions(first_cluster: &[u8], header_length: usize) -> Result<(), Defect> {
    let mut rest = first_cluster.get(header_length..).unwrap_or_default();
    while rest.len() >= 8 {
        let length = u32_at(rest, 4) as usize;
        match u32_at(rest, 0) {
            EXTENSION_END => break,
            EXTENSION_DATA_FILE => return Err(Defect::DataFile),
            EXTENSION_ENCRYPTION => return Err(Defect::Encrypted(2)),
            _ => {}
        }
        rest = rest.get(8 + length.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok(())
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(word)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_be_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A version 3 header of a 1 GiB disk with 64 KiB clusters.
    fn head() -> Vec<u8> {
        let mut head = vec![0; 512];
        head[..4].copy_from_slice(&MAGIC);
        put32(&mut head, 4, 3);
        put32(&mut head, 20, 16);
        put64(&mut head, 24, 1024 * MIB);
        put32(&mut head, 36, 2);
        put64(&mut head, 40, 0x30000);
        put32(&mut head, 100, 112);
        head
    }

    fn put32(bytes: &mut [u8], at: usize, value: u32) {
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }

    fn put64(bytes: &mut [u8], at: usize, value: u64) {
        bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
    }

    fn parse(change: impl FnOnce(&mut Vec<u8>)) -> Result<Header, Defect> {
        let mut head = head();
        change(&mut head);
        Header::parse(&head)
    }

    #[test]
    fn a_plain_header_is_read() {
        let header = parse(|_| {}).unwrap();
        assert_eq!((header.virtual_bytes, header.cluster_bytes()), (1024 * MIB, 65536));
        assert_eq!((header.l1_needed(), header.l2_span()), (2, 512 * MIB));
        assert_eq!(header.compression, Compression::Deflate);
    }

    #[test]
    fn version_2_has_no_features() {
        let header = parse(|h| {
            put32(h, 4, 2);
            put64(h, 72, 0xffff_ffff & !DATA_FILE);
        })
        .unwrap();
        assert!(!header.extended_l2);
    }

    #[test]
    fn what_depends_on_anything_else_is_refused() {
        assert_eq!(parse(|h| put64(h, 8, 0x70)), Err(Defect::BackingFile));
        assert_eq!(parse(|h| put64(h, 72, 4)), Err(Defect::DataFile));
        assert_eq!(parse(|h| put32(h, 32, 1)), Err(Defect::Encrypted(1)));
        assert_eq!(parse(|h| put32(h, 32, 2)), Err(Defect::Encrypted(2)));
        assert_eq!(parse(|h| put32(h, 112, EXTENSION_DATA_FILE)), Err(Defect::DataFile));
        let second_extension = parse(|h| {
            put32(h, 112, 0xe279_2aca);
            put32(h, 116, 5);
            put32(h, 128, EXTENSION_ENCRYPTION);
        });
        assert_eq!(second_extension, Err(Defect::Encrypted(2)));
    }

    #[test]
    fn unknown_and_corrupt_features_are_refused_and_dirty_is_not() {
        assert!(parse(|h| put64(h, 72, 1)).is_ok());
        assert_eq!(parse(|h| put64(h, 72, 2)), Err(Defect::MarkedCorrupt));
        assert_eq!(parse(|h| put64(h, 72, 0x20)), Err(Defect::UnknownFeatures(0x20)));
        assert_eq!(parse(|h| put64(h, 72, 1 << 63)), Err(Defect::UnknownFeatures(1 << 63)));
        assert!(parse(|h| put64(h, 80, u64::MAX)).is_ok(), "compatible features may be ignored");
        assert!(parse(|h| put64(h, 88, 1)).is_ok(), "autoclear features may be ignored");
    }

    #[test]
    fn compression_type_and_its_feature_go_together() {
        assert_eq!(
            parse(|h| {
                put64(h, 72, 8);
                h[104] = 1
            })
            .unwrap()
            .compression,
            Compression::Zstd
        );
        for (feature, kind) in [(8, 0), (0, 1), (8, 2)] {
            let got = parse(|h| {
                put64(h, 72, feature);
                h[104] = kind
            });
            assert!(matches!(got, Err(Defect::Header { field: "compression_type", .. })), "{feature} {kind}");
        }
    }

    #[test]
    fn fields_out_of_range_are_refused() {
        let field = |change: fn(&mut Vec<u8>)| match parse(change) {
            Err(Defect::Header { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(field(|h| put32(h, 20, 8)), "cluster_bits");
        assert_eq!(field(|h| put32(h, 20, 22)), "cluster_bits");
        assert_eq!(
            field(|h| {
                put64(h, 72, 16);
                put32(h, 20, 13)
            }),
            "cluster_bits"
        );
        assert_eq!(field(|h| put64(h, 24, 0)), "size");
        assert_eq!(field(|h| put64(h, 24, u64::MAX)), "size");
        assert_eq!(field(|h| put32(h, 36, u32::MAX)), "l1_size");
        assert_eq!(field(|h| put64(h, 24, 1 << 60)), "l1_size");
        assert_eq!(field(|h| put64(h, 40, 0)), "l1_table_offset");
        assert_eq!(field(|h| put64(h, 40, 0x30001)), "l1_table_offset");
        assert_eq!(field(|h| put64(h, 40, 0xffff_ffff_ffff_0000)), "l1_table_offset");
    }

    #[test]
    fn odd_header_lengths_are_refused() {
        for length in [0, 72, 103, 105, 65544] {
            let got = parse(|h| put32(h, 100, length));
            assert!(matches!(got, Err(Defect::Header { field: "header_length", .. })), "{length}");
        }
        assert!(parse(|h| put32(h, 100, 104)).is_ok());
    }

    #[test]
    fn a_short_l1_table_is_refused() {
        assert_eq!(parse(|h| put32(h, 36, 1)), Err(Defect::SmallL1 { entries: 1, needed: 2 }));
    }
}
