//! One pass over the file in order: every table is read as it passes, and every byte goes where the tables
//! that passed before say.
//!
//! In most images a table lies before the clusters it describes, and one pass is enough in little memory. A
//! table that comes after one of its clusters (or finds the memory for waiting runs full) leaves something
//! for a further pass, unless it was read in advance (see `preflight`).

use std::collections::HashMap;
use std::ops::Range;

use sha2::{Digest, Sha256};

use super::claims::{Claims, check_packed_neighbours};
use super::header::{HEADER_BYTES, Header};
use super::layout::{Layout, Table};
use super::queue::{MAX_WAITING, Queue};
use super::tables::{Place, visit_l2};
use super::{Defect, Zeroes};
use crate::image::ImageError;

/// What a pass finds: a part of the virtual disk.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// It reads as zeroes.
    Zeroes {
        /// First byte on the virtual disk.
        guest: u64,
        /// Length in bytes.
        len: u64,
    },
    /// It is this range of the bytes just pushed.
    Plain {
        /// First byte on the virtual disk.
        guest: u64,
        /// Of the bytes just pushed.
        bytes: Range<usize>,
    },
    /// It is a cluster that decodes from these bytes.
    Packed {
        /// First byte on the virtual disk.
        guest: u64,
        /// The compressed cluster and what follows it.
        bytes: Vec<u8>,
    },
}

/// Where a pass puts what it finds.
pub type Found<'a> = &'a mut dyn FnMut(Piece) -> Result<(), ImageError>;

/// The state of reading an image in order.
#[derive(Debug)]
pub struct Pass {
    pub(super) header: Header,
    pub(super) file_bytes: Option<u64>,
    pub(super) layout: Option<Layout>,
    /// Nothing when the tables were checked in advance.
    pub(super) claims: Option<Claims>,
    pub(super) queue: Queue,
    pub(super) zeroes: Zeroes,
    /// Of the tables that were placed in advance, to be compared when they pass.
    pub(super) digests: HashMap<u64, [u8; 32]>,
    head: [u8; HEADER_BYTES],
    at: u64,
    next_table: usize,
    gathered: Vec<u8>,
    open: Vec<Open>,
    /// Offset and length of the compressed cluster that came last.
    last_packed: Option<(u64, u64)>,
    later: Queue,
    /// Something became known in this pass that a further one can build on.
    learned: bool,
}

/// A compressed cluster of which not all bytes have come.
#[derive(Debug)]
struct Open {
    guest: u64,
    missing: u64,
    bytes: Vec<u8>,
}

/// A part of the file that is not content.
#[derive(Debug, Clone, Copy)]
enum Region {
    Header,
    L1,
    L2(Table),
}

impl Pass {
    /// Starts at the first byte of a file that begins with `head` and is `file_bytes` long, if that is known.
    ///
    /// # Errors
    /// Every [`Defect`] that the header shows.
    pub fn new(head: &[u8], file_bytes: Option<u64>) -> Result<Self, Defect> {
        let header = Header::parse(head)?;
        if let Some(total_bytes) = file_bytes.filter(|total| header.l1_offset + header.l1_entries * 8 > *total) {
            return Err(Defect::Truncated { what: "L1 table", total_bytes });
        }
        let claims = Some(Claims::new(&header)?);
        let mut kept = [0; HEADER_BYTES];
        kept.copy_from_slice(&head[..HEADER_BYTES]);
        Ok(Self {
            header,
            file_bytes,
            layout: None,
            claims,
            queue: Queue::default(),
            zeroes: Zeroes::default(),
            digests: HashMap::new(),
            head: kept,
            at: 0,
            next_table: 0,
            gathered: Vec::new(),
            open: Vec::new(),
            last_packed: None,
            later: Queue::default(),
            learned: false,
        })
    }

    /// What the header says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// [`ImageError::Invalid`] for a [`Defect`], and what `found` returns.
    pub fn push(&mut self, bytes: &[u8], found: Found<'_>) -> Result<(), ImageError> {
        let start = self.at;
        let end = start + bytes.len() as u64;
        while self.at < end {
            let region = self.next_region();
            let stop = region.as_ref().map_or(end, |(range, _)| range.end.min(end));
            self.place(bytes, start, stop, found)?;
            if let Some((range, region)) = region {
                if stop > range.start {
                    let from = (range.start.max(self.at) - start) as usize;
                    self.gathered.extend_from_slice(&bytes[from..(stop - start) as usize]);
                }
                self.at = stop;
                if stop == range.end {
                    let gathered = std::mem::take(&mut self.gathered);
                    self.gathered = self.complete(region, gathered)?;
                    self.gathered.clear();
                }
            }
            self.at = stop;
        }
        self.zeroes.drain(|guest, len| found(Piece::Zeroes { guest, len }))
    }

    /// The file is complete. Returns whether a further pass is needed; then the next push starts it.
    ///
    /// # Errors
    /// [`ImageError::Invalid`] when the tables name what the file does not have, or when a further pass would
    /// find nothing more; and what `found` returns.
    pub fn finish(&mut self, found: Found<'_>) -> Result<bool, ImageError> {
        let total_bytes = self.at;
        let truncated = |what| Defect::Truncated { what, total_bytes };
        let unplaced = match (&self.layout, self.next_region()) {
            (None, _) => return Err(truncated("L1 table").into()),
            (_, Some(_)) => return Err(truncated("L2 tables").into()),
            (Some(layout), None) => layout.unplaced(),
        };
        for open in std::mem::take(&mut self.open) {
            found(Piece::Packed { guest: open.guest, bytes: open.bytes })?;
        }
        // A last cluster may be cut short: what is missing reads as zeroes.
        let padded_end = total_bytes.next_multiple_of(self.header.cluster_bytes());
        while let Some(next) = self.queue.pop_before(u64::MAX) {
            if next.packed || next.host + next.len > padded_end {
                return Err(truncated("data").into());
            }
            found(Piece::Zeroes { guest: next.guest, len: next.len })?;
        }
        if unplaced == 0 && self.later.is_empty() {
            return Ok(false);
        }
        if !self.learned && self.later.is_empty() {
            return Err(Defect::TooScattered.into());
        }
        self.queue = std::mem::take(&mut self.later);
        (self.at, self.next_table, self.last_packed, self.learned) = (0, 0, None, false);
        Ok(true)
    }

    /// The first part of the file from here on that is not content, and is not yet complete.
    fn next_region(&self) -> Option<(Range<u64>, Region)> {
        if self.at < HEADER_BYTES as u64 {
            return Some((0..HEADER_BYTES as u64, Region::Header));
        }
        let l1_end = self.header.l1_offset + self.header.l1_needed() * 8;
        let l1 = (self.at < l1_end).then_some((self.header.l1_offset..l1_end, Region::L1));
        let l2 = self
            .layout
            .as_ref()
            .and_then(|layout| layout.table(self.next_table))
            .map(|table| (table.offset..table.offset + self.header.cluster_bytes(), Region::L2(table)));
        [l1, l2].into_iter().flatten().min_by_key(|(range, _)| range.start)
    }

    /// Hands on the content in the file's bytes from here up to `stop`; `bytes` start at `start`.
    fn place(&mut self, bytes: &[u8], start: u64, stop: u64, found: Found<'_>) -> Result<(), ImageError> {
        let within = |from: u64, to: u64| (from - start) as usize..(to - start) as usize;
        let here = &bytes[within(self.at, stop)];
        for open in &mut self.open {
            open.take(here);
        }
        while let Some(next) = self.queue.pop_before(stop) {
            if next.packed {
                if let Some(last) = self.last_packed.replace((next.host, next.len)) {
                    check_packed_neighbours(last, (next.host, next.len))?;
                }
                let mut open = Open { guest: next.guest, missing: next.len, bytes: Vec::new() };
                open.take(&bytes[within(next.host, stop)]);
                self.open.push(open);
            } else {
                let end = (next.host + next.len).min(stop);
                found(Piece::Plain { guest: next.guest, bytes: within(next.host, end) })?;
                if end < next.host + next.len {
                    self.queue.put_back(next, end - next.host);
                }
            }
        }
        while let Some(complete) = self.open.iter().position(|open| open.missing == 0) {
            let open = self.open.remove(complete);
            found(Piece::Packed { guest: open.guest, bytes: open.bytes })?;
        }
        Ok(())
    }

    /// A part that is not content has passed. Gives the memory of its bytes back, if it has no use for it.
    fn complete(&mut self, region: Region, bytes: Vec<u8>) -> Result<Vec<u8>, Defect> {
        match (region, &mut self.layout) {
            (Region::Header, _) if bytes != self.head => Err(Defect::Changed { what: "header" }),
            (Region::Header, _) => Ok(bytes),
            (Region::L1, Some(layout)) if bytes != layout.l1_bytes() => Err(Defect::Changed { what: "L1 table" }),
            (Region::L1, Some(_)) => Ok(bytes),
            (Region::L1, None) => {
                self.set_l1(bytes)?;
                Ok(Vec::new())
            }
            (Region::L2(table), _) => {
                self.next_table += 1;
                self.complete_l2(table, &bytes)?;
                Ok(bytes)
            }
        }
    }

    /// The L1 table is known.
    pub(super) fn set_l1(&mut self, bytes: Vec<u8>) -> Result<(), Defect> {
        // Only the first time, and nothing gives the claims up before.
        let Some(claims) = &mut self.claims else { return Ok(()) };
        let layout = Layout::new(&self.header, bytes, self.file_bytes, claims, &mut self.zeroes)?;
        self.next_table = layout.tables_before(self.at);
        self.layout = Some(layout);
        self.learned = true;
        Ok(())
    }

    fn complete_l2(&mut self, table: Table, bytes: &[u8]) -> Result<(), Defect> {
        let Some(layout) = &self.layout else { return Ok(()) };
        if !layout.is_placed(table) {
            self.place_table(table, bytes, self.at)?;
        } else if let Some(digest) = self.digests.get(&table.index)
            && *digest != <[u8; 32]>::from(Sha256::digest(bytes))
        {
            return Err(Defect::Changed { what: "L2 table" });
        }
        Ok(())
    }

    /// Queues the runs of a table whose bytes are still to come after `passed`, and keeps the others for a
    /// further pass. Does nothing when there is no room for them.
    pub(super) fn place_table(&mut self, table: Table, bytes: &[u8], passed: u64) -> Result<(), Defect> {
        let room = MAX_WAITING.saturating_sub(self.queue.len() + self.later.len());
        let mut count = 0;
        visit_l2(&self.header, table.index, bytes, self.file_bytes, &mut |run| {
            count += usize::from(run.place != Place::Nowhere);
            Ok(())
        })?;
        if count > room {
            return Ok(());
        }
        visit_l2(&self.header, table.index, bytes, self.file_bytes, &mut |run| {
            if let Some(claims) = &mut self.claims {
                claims.run(&run)?;
            }
            match run.place {
                Place::Nowhere => self.zeroes.add(run.guest, run.len),
                Place::Plain { host } | Place::Packed { host, .. } if host < passed => self.later.push(&run),
                Place::Plain { .. } | Place::Packed { .. } => self.queue.push(&run),
            }
            Ok(())
        })?;
        if let Some(layout) = &mut self.layout {
            layout.set_placed(table);
        }
        self.learned = true;
        Ok(())
    }
}

impl Open {
    fn take(&mut self, bytes: &[u8]) {
        let len = self.missing.min(bytes.len() as u64);
        self.bytes.extend_from_slice(&bytes[..len as usize]);
        self.missing -= len;
    }
}
