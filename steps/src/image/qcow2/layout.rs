//! What is known of the image's tables: the L1 table, and which L2 tables have been placed.

use super::claims::Claims;
use super::header::{Header, u64_at};
use super::tables::l2_offset;
use super::{Defect, Zeroes};

/// The L1 table, and how far its L2 tables have been dealt with.
#[derive(Debug)]
pub struct Layout {
    /// The entries that describe the virtual disk, as in the file.
    bytes: Vec<u8>,
    /// Indexes of the entries that name an L2 table, by the table's offset.
    by_offset: Vec<u32>,
    /// One bit per index: the table's runs were handed on, or wait for their bytes.
    placed: Vec<u64>,
}

/// An L2 table in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Its index in the L1 table.
    pub index: u64,
    /// Where it starts in the file.
    pub offset: u64,
}

impl Layout {
    /// Checks the L1 table `bytes` (of a file of `file_bytes`, if known), claims its tables, and adds the
    /// ranges that no table describes to `zeroes`.
    ///
    /// # Errors
    /// A [`Defect`] when an entry is invalid, or two name the same place.
    pub fn new(
        header: &Header,
        bytes: Vec<u8>,
        file_bytes: Option<u64>,
        claims: &mut Claims,
        zeroes: &mut Zeroes,
    ) -> Result<Self, Defect> {
        let mut by_offset = Vec::new();
        for index in 0..header.l1_needed() {
            match l2_offset(header, index, u64_at(&bytes, index as usize * 8), file_bytes)? {
                Some(offset) => {
                    claims.whole(offset, header.cluster_bytes(), "L2 table")?;
                    by_offset.push(index as u32);
                }
                None => {
                    let guest = index * header.l2_span();
                    zeroes.add(guest, header.l2_span().min(header.virtual_bytes - guest));
                }
            }
        }
        let placed = vec![0; header.l1_needed().div_ceil(64) as usize];
        let mut layout = Self { bytes, by_offset: Vec::new(), placed };
        by_offset.sort_unstable_by_key(|index| layout.offset(*index));
        layout.by_offset = by_offset;
        Ok(layout)
    }

    /// The L1 table as it is in the file.
    pub fn l1_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The `n`th table of the file.
    pub fn table(&self, n: usize) -> Option<Table> {
        let index = *self.by_offset.get(n)?;
        Some(Table { index: index.into(), offset: self.offset(index) })
    }

    /// How many tables start before `offset`.
    pub fn tables_before(&self, offset: u64) -> usize {
        self.by_offset.partition_point(|index| self.offset(*index) < offset)
    }

    /// Whether the runs of a table were handed on, or wait for their bytes.
    pub fn is_placed(&self, table: Table) -> bool {
        self.placed[(table.index / 64) as usize] >> (table.index % 64) & 1 == 1
    }

    /// Notes that they are.
    pub fn set_placed(&mut self, table: Table) {
        self.placed[(table.index / 64) as usize] |= 1 << (table.index % 64);
    }

    /// How many tables are left.
    pub fn unplaced(&self) -> usize {
        let placed: u32 = self.placed.iter().map(|word| word.count_ones()).sum();
        self.by_offset.len() - placed as usize
    }

    fn offset(&self, index: u32) -> u64 {
        // Checked by `l2_offset`; what is left besides the offset is the flag that only writers need.
        u64_at(&self.bytes, index as usize * 8) & (u64::MAX >> 1)
    }
}
