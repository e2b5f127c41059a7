//! Who claims which part of the file: no part may have two owners, except that compressed clusters share
//! clusters with each other.

use std::collections::BTreeMap;

use super::Defect;
use super::header::Header;
use super::tables::{Place, Run};

/// Words of a page: 32768 units.
const PAGE_WORDS: u64 = 512;
/// 16 MiB of pages, enough for 8 TiB of clusters of 64 KiB.
const MAX_PAGES: usize = 4096;

/// The claimed units of a file. A unit is a cluster, or a subcluster in images that have them.
#[derive(Debug)]
pub struct Claims {
    unit_bits: u32,
    whole: Map,
    packed: Map,
}

impl Claims {
    /// Of a file of which only the header and the L1 table are claimed.
    ///
    /// # Errors
    /// [`Defect::Overlap`] when they overlap each other.
    pub fn new(header: &Header) -> Result<Self, Defect> {
        let unit_bits = if header.extended_l2 { header.cluster_bits - 5 } else { header.cluster_bits };
        let mut claims = Self { unit_bits, whole: Map::default(), packed: Map::default() };
        claims.whole(0, header.cluster_bytes(), "header")?;
        claims.whole(header.l1_offset, header.l1_entries * 8, "L1 table")?;
        Ok(claims)
    }

    /// Claims the units that `len` bytes (not 0) from `host` on touch.
    ///
    /// # Errors
    /// [`Defect::Overlap`] naming `what` when one of them is taken; [`Defect::TooScattered`] when keeping
    /// account would take too much memory.
    pub fn whole(&mut self, host: u64, len: u64, what: &'static str) -> Result<(), Defect> {
        for unit in self.units(host, len) {
            if self.packed.contains(unit) || !self.whole.insert(unit) {
                return Err(Defect::Overlap { host: unit << self.unit_bits, what });
            }
            self.check_memory()?;
        }
        Ok(())
    }

    /// Claims where a run of the virtual disk has its content.
    ///
    /// # Errors
    /// As [`Claims::whole`].
    pub fn run(&mut self, run: &Run) -> Result<(), Defect> {
        match run.place {
            Place::Nowhere => Ok(()),
            Place::Plain { host } => self.whole(host, run.len, "data"),
            Place::Packed { host, len } => {
                for unit in self.units(host, len) {
                    if self.whole.contains(unit) {
                        return Err(Defect::Overlap { host, what: "compressed data" });
                    }
                    self.packed.insert(unit);
                    self.check_memory()?;
                }
                Ok(())
            }
        }
    }

    fn units(&self, host: u64, len: u64) -> std::ops::Range<u64> {
        host >> self.unit_bits..((host + len - 1) >> self.unit_bits) + 1
    }

    fn check_memory(&self) -> Result<(), Defect> {
        if self.whole.0.len() + self.packed.0.len() > MAX_PAGES { Err(Defect::TooScattered) } else { Ok(()) }
    }
}

/// Checks two compressed clusters, each its offset in the file and its length, that follow each other in the
/// file. They may share a sector and no more: else a small file could claim endless copies of itself.
///
/// # Errors
/// [`Defect::Overlap`] when they share more.
pub fn check_packed_neighbours(first: (u64, u64), second: (u64, u64)) -> Result<(), Defect> {
    if second.0 > first.0 && second.0 + 512 > first.0 + first.1 {
        Ok(())
    } else {
        Err(Defect::Overlap { host: second.0, what: "compressed data" })
    }
}

/// A set of numbers that lie together.
#[derive(Debug, Default)]
struct Map(BTreeMap<u64, Box<[u64; PAGE_WORDS as usize]>>);

impl Map {
    fn contains(&self, n: u64) -> bool {
        self.0.get(&page(n)).is_some_and(|words| words[word(n)] & bit(n) != 0)
    }

    /// Whether it was not yet in the set.
    fn insert(&mut self, n: u64) -> bool {
        let words = self.0.entry(page(n)).or_insert_with(|| Box::new([0; PAGE_WORDS as usize]));
        let new = words[word(n)] & bit(n) == 0;
        words[word(n)] |= bit(n);
        new
    }
}

fn page(n: u64) -> u64 {
    n / 64 / PAGE_WORDS
}

fn word(n: u64) -> usize {
    (n / 64 % PAGE_WORDS) as usize
}

fn bit(n: u64) -> u64 {
    1 << (n % 64)
}

#[cfg(test)]
mod tests {
    use super::super::header::Compression;
    use super::*;

    const CLUSTER: u64 = 512;

    fn header() -> Header {
        Header {
            version: 3,
            virtual_bytes: 1 << 20,
            cluster_bits: 9,
            l1_entries: 128,
            l1_offset: 4 * CLUSTER,
            extended_l2: false,
            compression: Compression::Deflate,
        }
    }

    fn packed(host: u64, len: u64) -> Run {
        Run { guest: 0, len: CLUSTER, place: Place::Packed { host, len } }
    }

    #[test]
    fn nothing_is_claimed_twice() {
        let mut claims = Claims::new(&header()).unwrap();
        for (host, len) in [(0, 1), (5 * CLUSTER, CLUSTER), (3 * CLUSTER, 2 * CLUSTER)] {
            assert!(matches!(claims.whole(host, len, "data"), Err(Defect::Overlap { .. })), "{host}");
        }
        claims.whole(100 * CLUSTER, 5 * CLUSTER, "data").unwrap();
        let again = claims.whole(104 * CLUSTER, CLUSTER, "data");
        assert_eq!(again, Err(Defect::Overlap { host: 104 * CLUSTER, what: "data" }));
    }

    #[test]
    fn compressed_clusters_share_clusters_with_each_other_only() {
        let mut claims = Claims::new(&header()).unwrap();
        claims.run(&packed(10 * CLUSTER + 7, CLUSTER)).unwrap();
        claims.run(&packed(11 * CLUSTER + 100, 200)).unwrap();
        assert!(claims.whole(11 * CLUSTER, CLUSTER, "data").is_err());
        claims.whole(12 * CLUSTER, CLUSTER, "data").unwrap();
        assert!(claims.run(&packed(11 * CLUSTER + 300, 300)).is_err());
    }

    #[test]
    fn compressed_clusters_share_at_most_a_sector() {
        assert!(check_packed_neighbours((1000, 24), (1023, 1)).is_ok());
        assert!(check_packed_neighbours((1000, 536), (1030, 506)).is_ok(), "both end in the second sector");
        assert!(check_packed_neighbours((1000, 24), (1000, 24)).is_err());
        assert!(check_packed_neighbours((0, 1024), (512, 512)).is_err());
    }

    #[test]
    fn the_l1_table_lies_outside_the_header() {
        assert!(Claims::new(&Header { l1_offset: 0, ..header() }).is_err());
    }

    #[test]
    fn an_account_that_takes_too_much_memory_is_refused() {
        let mut claims = Claims::new(&header()).unwrap();
        let far_apart = (1..1 << 20).map(|n| claims.whole(n << 28, 1, "data")).find(Result::is_err);
        assert_eq!(far_apart, Some(Err(Defect::TooScattered)));
    }
}
