//! Reading the tables before the file, where the source can be read at any place: a broken image is refused
//! before anything is written, and tables that come after their clusters need no second pass.

use ferric_hardware::units::Bytes;
use sha2::{Digest, Sha256};

use super::Defect;
use super::claims::{Claims, check_packed_neighbours};
use super::layout::{Layout, Table};
use super::pass::Pass;
use super::tables::{Place, visit_l2};
use crate::image::{ImageError, RandomAccess};

/// What may be read in advance.
const MAX_BYTES: u64 = 64 << 20;
/// Tables closer to each other than this are read at once.
const MAX_GAP: u64 = 256 << 10;
/// The most to be read at once, unless it is one table.
const MAX_READ: u64 = 1 << 20;
/// Requests under way at one time.
const PARALLEL: usize = 4;

/// Reads and checks every table and prepares `pass` for those that come late. Returns whether it did: tables
/// that are too many or too far apart are left to the pass.
///
/// # Errors
/// [`ImageError::Invalid`] for a [`Defect`], and what the source fails with.
pub fn read_ahead(pass: &mut Pass, source: &dyn RandomAccess) -> Result<bool, ImageError> {
    let l1_bytes = pass.header.l1_needed() * 8;
    pass.set_l1(source.read_at(Bytes(pass.header.l1_offset), l1_bytes as usize)?)?;
    let reads = pass.layout.as_ref().map(|layout| plan(layout, pass.header.cluster_bytes())).unwrap_or_default();
    let total: u64 = reads.iter().map(|read| read.len).sum();
    if total > MAX_BYTES {
        return Ok(false);
    }
    let Some(mut claims) = pass.claims.take() else { return Ok(false) };
    for some in reads.chunks(PARALLEL) {
        let answers: Vec<_> = std::thread::scope(|scope| {
            let fetch = |read: &Read| source.read_at(Bytes(read.start), read.len as usize);
            let threads: Vec<_> = some.iter().map(|read| scope.spawn(move || fetch(read))).collect();
            threads.into_iter().map(|thread| thread.join()).collect()
        });
        for (read, answer) in some.iter().zip(answers) {
            let bytes = answer.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            for table in &read.tables {
                let at = (table.offset - read.start) as usize;
                check(pass, &mut claims, *table, &bytes[at..at + pass.header.cluster_bytes() as usize])?;
            }
        }
    }
    Ok(true)
}

/// One request and the tables in it.
#[derive(Debug)]
struct Read {
    start: u64,
    len: u64,
    tables: Vec<Table>,
}

fn plan(layout: &Layout, cluster_bytes: u64) -> Vec<Read> {
    let mut reads: Vec<Read> = Vec::new();
    for table in (0..).map_while(|n| layout.table(n)) {
        let end = table.offset + cluster_bytes;
        match reads.last_mut() {
            Some(read) if table.offset - (read.start + read.len) < MAX_GAP && end - read.start <= MAX_READ => {
                read.len = end - read.start;
                read.tables.push(table);
            }
            _ => reads.push(Read { start: table.offset, len: cluster_bytes, tables: vec![table] }),
        }
    }
    reads
}

/// Checks one table, and places it when some of its clusters come before it in the file.
fn check(pass: &mut Pass, claims: &mut Claims, table: Table, bytes: &[u8]) -> Result<(), Defect> {
    let mut late = false;
    let mut packed = Vec::new();
    visit_l2(&pass.header, table.index, bytes, pass.file_bytes, &mut |run| {
        claims.run(&run)?;
        match run.place {
            Place::Nowhere => {}
            Place::Plain { host } => late |= host < table.offset,
            Place::Packed { host, len } => {
                late |= host < table.offset;
                packed.push((host, len));
            }
        }
        Ok(())
    })?;
    packed.sort_unstable();
    for pair in packed.windows(2) {
        check_packed_neighbours(pair[0], pair[1])?;
    }
    if late {
        pass.place_table(table, bytes, 0)?;
        // Only compared if there was room to place it.
        pass.digests.insert(table.index, Sha256::digest(bytes).into());
    }
    Ok(())
}
