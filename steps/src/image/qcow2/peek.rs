//! The beginning of the virtual disk before the file is read, where that is cheap: whoever judges partition tables need
//! not wait until all is written.

use ferric_hardware::units::Bytes;

use super::header::{Header, u64_at};
use super::tables::{Place, Run, l2_offset, visit_l2};
use super::unpack::Decoder;
use crate::image::RandomAccess;

/// The first `len` bytes of the virtual disk, of an image that starts with `head` and can perhaps be read at any place.
/// Nothing when they cannot be had or are broken, which is found out again when the image is read.
pub(super) fn guest_head(
    header: &Header,
    head: &[u8],
    source: Option<&dyn RandomAccess>,
    len: usize,
) -> Option<Vec<u8>> {
    let file = File { head, source };
    let mut guest = vec![0; len.min(usize::try_from(header.virtual_bytes).ok()?)];
    let entry = file.read(header.l1_offset, 8)?;
    let Some(offset) = l2_offset(header, 0, u64_at(&entry, 0), None).ok()? else { return Some(guest) };
    let table = file.read(offset, header.cluster_bytes())?;
    let mut runs = Vec::new();
    let end = guest.len() as u64;
    let keep = &mut |run: Run| {
        runs.extend((run.guest < end).then_some(run));
        Ok(())
    };
    visit_l2(header, 0, &table, None, keep).ok()?;
    for run in runs {
        let place = &mut guest[run.guest as usize..(run.guest + run.len).min(end) as usize];
        match run.place {
            Place::Nowhere => {}
            Place::Plain { host } => place.copy_from_slice(&file.read(host, place.len() as u64)?),
            Place::Packed { host, len } => {
                let mut cluster = vec![0; header.cluster_bytes() as usize];
                let packed = file.read(host, len)?;
                if !Decoder::new(header.compression).decode(&packed, &mut cluster) {
                    return None;
                }
                place.copy_from_slice(&cluster[..place.len()]);
            }
        }
    }
    Some(guest)
}

struct File<'a> {
    head: &'a [u8],
    source: Option<&'a dyn RandomAccess>,
}

impl File<'_> {
    /// `len` bytes at `at`, or those before the end of the file, and then zeroes.
    fn read(&self, at: u64, len: u64) -> Option<Vec<u8>> {
        let end = at.checked_add(len)?;
        if let Some(bytes) = self.head.get(usize::try_from(at).ok()?..usize::try_from(end).ok()?) {
            return Some(bytes.to_vec());
        }
        let source = self.source?;
        let there = source.total_bytes().0.min(end).checked_sub(at)?;
        let mut bytes = source.read_at(Bytes(at), usize::try_from(there).ok()?).ok()?;
        bytes.resize(usize::try_from(len).ok()?, 0);
        Some(bytes)
    }
}
