//! L1 and L2 tables: from entries to runs of the virtual disk.
//!
//! Layout: QEMU `docs/interop/qcow2.txt`, sections "Cluster mapping" and "Extended L2 Entries".

use super::Defect;
use super::header::{Header, u64_at};

/// Bits of an L1 entry, and of an L2 entry of an ordinary cluster, that are an offset in the file.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// Only for writers: the refcount is one.
const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
/// The cluster reads as zeroes, allocated or not (version 3, ordinary L2 entries).
const ZERO: u64 = 1;
const SUBCLUSTERS: u64 = 32;

/// A stretch of the virtual disk whose content is in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// First byte on the virtual disk.
    pub guest: u64,
    /// Length on the virtual disk in bytes.
    pub len: u64,
    /// Where its content is.
    pub place: Place,
}

/// Where content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: it reads as zeroes.
    Nowhere,
    /// As it is, from this byte of the file on.
    Plain {
        /// First byte in the file.
        host: u64,
    },
    /// Compressed, somewhere within these bytes of the file, from the first on. The run is (what the virtual
    /// disk has of) one cluster.
    Packed {
        /// First byte in the file.
        host: u64,
        /// Bytes that may belong to it.
        len: u64,
    },
}

/// The L2 table that an L1 entry names: its offset in the file, or nothing when the range is unallocated.
///
/// # Errors
/// [`Defect::Entry`] when reserved bits are set or the offset is not that of a cluster;
/// [`Defect::Truncated`] when the table is not in the file (of `file_bytes`, if known).
pub fn l2_offset(header: &Header, index: u64, entry: u64, file_bytes: Option<u64>) -> Result<Option<u64>, Defect> {
    let guest = index * header.l2_span();
    let wrong = |reason| Err(Defect::Entry { table: "L1", guest, entry, reason });
    if entry & !(OFFSET | COPIED) != 0 {
        return wrong("reserved bits are set");
    }
    let offset = entry & OFFSET;
    if offset & (header.cluster_bytes() - 1) != 0 {
        return wrong("the offset is inside a cluster");
    }
    match file_bytes {
        Some(total) if offset + header.cluster_bytes() > total => {
            Err(Defect::Truncated { what: "L2 tables", total_bytes: total })
        }
        _ => Ok((offset != 0).then_some(offset)),
    }
}

/// Calls `visit` with the runs that an L2 table describes: in guest order, without gaps, merged where both the
/// virtual disk and the file continue, clipped to the virtual size.
///
/// # Errors
/// [`Defect::Entry`] for an entry that no valid image holds (of a file of `file_bytes`, if known), and
/// whatever `visit` returns.
pub fn visit_l2(
    header: &Header,
    index: u64,
    table: &[u8],
    file_bytes: Option<u64>,
    visit: &mut dyn FnMut(Run) -> Result<(), Defect>,
) -> Result<(), Defect> {
    let mut merge = Merge { open: None, end: header.virtual_bytes, visit };
    let first = index * header.l2_span();
    for (i, words) in table.chunks_exact(header.l2_entry_bytes() as usize).enumerate() {
        let guest = first + i as u64 * header.cluster_bytes();
        if guest >= header.virtual_bytes {
            break;
        }
        let entry = Entry { header, guest, word: u64_at(words, 0), file_bytes };
        if entry.word & COMPRESSED != 0 {
            if header.extended_l2 && u64_at(words, 8) != 0 {
                return entry.wrong("a compressed cluster has subclusters");
            }
            merge.add(entry.packed()?)?;
        } else if header.extended_l2 {
            entry.subclusters(u64_at(words, 8), &mut merge)?;
        } else {
            let place = entry.plain()?;
            merge.add(Run { guest, len: header.cluster_bytes(), place })?;
        }
    }
    merge.flush()
}

struct Entry<'a> {
    header: &'a Header,
    guest: u64,
    word: u64,
    file_bytes: Option<u64>,
}

impl Entry<'_> {
    fn wrong<T>(&self, reason: &'static str) -> Result<T, Defect> {
        Err(Defect::Entry { table: "L2", guest: self.guest, entry: self.word, reason })
    }

    /// The host cluster, 0 for none.
    fn host(&self) -> Result<u64, Defect> {
        let zero = if self.header.extended_l2 { 0 } else { ZERO };
        if self.word & !(OFFSET | COPIED | zero) != 0 {
            return self.wrong("reserved bits are set");
        }
        let host = self.word & OFFSET;
        if host & (self.header.cluster_bytes() - 1) != 0 {
            return self.wrong("the offset is inside a cluster");
        }
        // A last cluster may be cut short: what is missing reads as zeroes.
        match self.file_bytes {
            Some(total) if host >= total => self.wrong("the offset is behind the end of the file"),
            _ => Ok(host),
        }
    }

    fn plain(&self) -> Result<Place, Defect> {
        let host = self.host()?;
        let zero = self.word & ZERO != 0;
        if zero && self.header.version < 3 {
            return self.wrong("version 2 knows no zero clusters");
        }
        Ok(if zero || host == 0 { Place::Nowhere } else { Place::Plain { host } })
    }

    fn packed(&self) -> Result<Run, Defect> {
        let offset_bits = 62 - (self.header.cluster_bits - 8);
        let host = self.word & ((1 << offset_bits) - 1);
        let sectors = ((self.word & !(COPIED | COMPRESSED)) >> offset_bits) + 1;
        if self.word & COPIED != 0 {
            return self.wrong("a compressed cluster is marked as written in place");
        }
        if host == 0 || self.file_bytes.is_some_and(|total| host >= total) {
            return self.wrong("the offset is behind the end of the file");
        }
        let len = sectors * 512 - (host & 511);
        Ok(Run { guest: self.guest, len: self.header.cluster_bytes(), place: Place::Packed { host, len } })
    }

    fn subclusters(&self, bitmap: u64, merge: &mut Merge<'_>) -> Result<(), Defect> {
        let host = self.host()?;
        let (allocated, zero) = (bitmap & 0xffff_ffff, bitmap >> 32);
        if allocated & zero != 0 {
            return self.wrong("a subcluster is both allocated and zero");
        }
        if allocated != 0 && host == 0 {
            return self.wrong("a subcluster is allocated in no cluster");
        }
        let len = self.header.cluster_bytes() / SUBCLUSTERS;
        for n in 0..SUBCLUSTERS {
            let place = match (allocated >> n) & 1 {
                1 => Place::Plain { host: host + n * len },
                _ => Place::Nowhere,
            };
            merge.add(Run { guest: self.guest + n * len, len, place })?;
        }
        Ok(())
    }
}

/// Joins runs that continue each other.
struct Merge<'a> {
    open: Option<Run>,
    end: u64,
    visit: &'a mut dyn FnMut(Run) -> Result<(), Defect>,
}

impl Merge<'_> {
    fn add(&mut self, next: Run) -> Result<(), Defect> {
        if let Some(open) = &mut self.open {
            let continues = match (open.place, next.place) {
                (Place::Nowhere, Place::Nowhere) => true,
                (Place::Plain { host: a }, Place::Plain { host: b }) => a + open.len == b,
                _ => false,
            };
            if continues {
                open.len += next.len;
                return Ok(());
            }
        }
        self.flush()?;
        self.open = Some(next);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Defect> {
        match self.open.take() {
            Some(run) if run.guest < self.end => (self.visit)(Run { len: run.len.min(self.end - run.guest), ..run }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::header::Compression;
    use super::*;

    const CLUSTER: u64 = 65536;

    fn at(cluster: u64) -> u64 {
        cluster * CLUSTER
    }

    fn header() -> Header {
        Header {
            version: 3,
            virtual_bytes: 10 * CLUSTER,
            cluster_bits: 16,
            l1_entries: 1,
            l1_offset: 0x30000,
            extended_l2: false,
            compression: Compression::Deflate,
        }
    }

    fn runs(header: &Header, words: &[u64], file_bytes: Option<u64>) -> Result<Vec<Run>, Defect> {
        let mut table = vec![0; header.cluster_bytes() as usize];
        for (i, word) in words.iter().enumerate() {
            table[i * 8..][..8].copy_from_slice(&word.to_be_bytes());
        }
        let mut runs = Vec::new();
        visit_l2(header, 0, &table, file_bytes, &mut |run| {
            runs.push(run);
            Ok(())
        })?;
        Ok(runs)
    }

    fn reason(result: Result<Vec<Run>, Defect>) -> &'static str {
        match result {
            Err(Defect::Entry { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn runs_merge_where_both_sides_continue_and_end_with_the_disk() {
        let words = [COPIED | at(5), COPIED | at(6), 0, at(7) | ZERO, at(9), at(8)];
        let header = Header { virtual_bytes: 10 * CLUSTER - 512, ..header() };
        let plain = |guest: u64, len: u64, host: u64| Run {
            guest: guest * CLUSTER,
            len: len * CLUSTER,
            place: Place::Plain { host: host * CLUSTER },
        };
        let nowhere = |guest: u64, len: u64| Run { guest: guest * CLUSTER, len, place: Place::Nowhere };
        assert_eq!(
            runs(&header, &words, None).unwrap(),
            [plain(0, 2, 5), nowhere(2, 2 * CLUSTER), plain(4, 1, 9), plain(5, 1, 8), nowhere(6, 4 * CLUSTER - 512)]
        );
    }

    #[test]
    fn a_compressed_entry_counts_sectors_beyond_its_first() {
        let (host, more_sectors) = (0x5_0123, 3);
        let words = [COMPRESSED | (more_sectors << 54) | host];
        let place = Place::Packed { host, len: 4 * 512 - 0x123 };
        assert_eq!(runs(&header(), &words, None).unwrap()[0], Run { guest: 0, len: CLUSTER, place });
    }

    #[test]
    fn subclusters_differ_within_a_cluster() {
        let header = Header { extended_l2: true, virtual_bytes: CLUSTER, ..header() };
        let sub = CLUSTER / 32;
        let got = runs(&header, &[5 * CLUSTER, (0b1110 << 32) | 0b10001], None).unwrap();
        let lens: Vec<_> = got.iter().map(|r| (r.len / sub, r.place)).collect();
        assert_eq!(
            lens,
            [
                (1, Place::Plain { host: 5 * CLUSTER }),
                (3, Place::Nowhere),
                (1, Place::Plain { host: 5 * CLUSTER + 4 * sub }),
                (27, Place::Nowhere)
            ]
        );
        assert_eq!(
            reason(runs(&header, &[5 * CLUSTER, (1 << 32) | 1], None)),
            "a subcluster is both allocated and zero"
        );
        assert_eq!(reason(runs(&header, &[0, 1], None)), "a subcluster is allocated in no cluster");
        let packed = [COMPRESSED | 0x50000, 1];
        assert_eq!(reason(runs(&header, &packed, None)), "a compressed cluster has subclusters");
    }

    #[test]
    fn entries_no_valid_image_holds_are_refused() {
        let refused = |word: u64| reason(runs(&header(), &[word], Some(20 * CLUSTER)));
        assert_eq!(refused(5 * CLUSTER + 512), "the offset is inside a cluster");
        assert_eq!(refused(at(5) | 2), "reserved bits are set");
        assert_eq!(refused(at(5) | (1 << 61)), "reserved bits are set");
        assert_eq!(refused(20 * CLUSTER), "the offset is behind the end of the file");
        assert_eq!(refused(COMPRESSED | at(20)), "the offset is behind the end of the file");
        assert_eq!(refused(COMPRESSED), "the offset is behind the end of the file");
        let old = Header { version: 2, ..header() };
        assert_eq!(reason(runs(&old, &[ZERO], None)), "version 2 knows no zero clusters");
    }

    #[test]
    fn a_last_cluster_may_be_cut_short() {
        assert!(runs(&header(), &[5 * CLUSTER], Some(5 * CLUSTER + 1)).is_ok());
    }

    #[test]
    fn l1_entries_name_whole_clusters_of_the_file() {
        let total = Some(9 * CLUSTER);
        assert_eq!(l2_offset(&header(), 0, 0, total), Ok(None));
        assert_eq!(l2_offset(&header(), 0, COPIED | at(8), total), Ok(Some(8 * CLUSTER)));
        for entry in [CLUSTER + 512, CLUSTER | 1, CLUSTER | COMPRESSED] {
            assert!(matches!(l2_offset(&header(), 0, entry, total), Err(Defect::Entry { table: "L1", .. })));
        }
        assert!(matches!(l2_offset(&header(), 0, 9 * CLUSTER, total), Err(Defect::Truncated { .. })));
    }
}
