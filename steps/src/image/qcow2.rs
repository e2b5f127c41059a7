//! qcow2 images, versions 2 and 3, straight to the extents of the virtual disk.
//!
//! In order of flow:
//! - [`header`]: what the header says, and the reasons to refuse an image
//! - [`layout`], [`tables`]: which parts of the file are which parts of the virtual disk
//! - [`claims`]: that no part of the file has two owners
//! - [`preflight`]: the tables read and checked before the file, where the source can be read at any place
//! - `peek`: the beginning of the virtual disk before the file
//! - [`pass`], [`queue`], [`zeroes`]: the file in order, every byte to its place
//! - [`unpack`]: compressed clusters on every core
//!
//! Refcounts, snapshots and bitmaps are of no use to a reader and are ignored.

pub mod claims;
pub mod defect;
pub mod header;
pub mod layout;
pub mod pass;
mod peek;
pub mod preflight;
pub mod queue;
pub mod tables;
pub mod unpack;
pub mod zeroes;

use ferric_hardware::units::Bytes;

pub use defect::Defect;
use pass::{Pass, Piece};
use unpack::Unpacker;
use zeroes::Zeroes;

use super::{Chunk, Emit, Extent, Finished, Format, ImageError, RandomAccess, inspect, raw};

/// Passes over one file before an image counts as too scattered.
const MAX_PASSES: u32 = 8;

/// Reads a qcow2 image in stream order.
#[derive(Debug)]
pub struct Qcow2 {
    pass: Pass,
    unpacker: Option<Unpacker>,
    passes: u32,
    head: Option<Vec<u8>>,
    notes: Vec<String>,
}

impl Qcow2 {
    /// Checks the start of the file (`head`, at least 512 bytes) and, where `source` can be read at any place,
    /// all tables. `file_bytes` is the file's length, if known. A source that turns out not to serve every place is
    /// read in order, as one that serves none.
    ///
    /// # Errors
    /// [`ImageError::Invalid`] when the image is broken, encrypted or depends on another file.
    pub fn open(head: &[u8], file_bytes: Option<Bytes>, source: Option<&dyn RandomAccess>) -> Result<Self, ImageError> {
        let file_bytes = file_bytes.map(|bytes| bytes.0);
        let mut pass = Pass::new(head, file_bytes)?;
        let mut notes = Vec::new();
        if let Some(source) = source {
            match preflight::read_ahead(&mut pass, source) {
                Ok(_) => {}
                Err(error @ (ImageError::Invalid(_) | ImageError::Cancelled)) => return Err(error),
                Err(error) => {
                    let text = format!("The tables of the image could not be read in advance: {}", error.chain());
                    tracing::warn!("{text}");
                    notes.push(text);
                    pass = Pass::new(head, file_bytes)?;
                }
            }
        }
        let source = source.filter(|_| notes.is_empty());
        let head = peek::guest_head(pass.header(), head, source, inspect::HEAD_BYTES);
        Ok(Self { pass, unpacker: None, passes: 0, head, notes })
    }

    /// The beginning of the virtual disk, where it could be had already.
    pub fn head(&self) -> Option<&[u8]> {
        self.head.as_deref()
    }

    /// What was out of the ordinary, in sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Size of the virtual disk.
    pub fn virtual_size(&self) -> Bytes {
        Bytes(self.pass.header().virtual_bytes)
    }
}

impl Format for Qcow2 {
    fn push(&mut self, chunk: Chunk, out: Emit<'_>) -> Result<(), ImageError> {
        let Self { pass, unpacker, .. } = self;
        let header = pass.header().clone();
        pass.push(&chunk, &mut |piece| match piece {
            Piece::Plain { guest, bytes } => raw::split(Bytes(guest), &chunk.slice(bytes), out),
            piece => emit(piece, unpacker, &header, out),
        })
    }

    fn finish(&mut self, out: Emit<'_>) -> Result<Finished, ImageError> {
        let Self { pass, unpacker, .. } = self;
        let header = pass.header().clone();
        let again = pass.finish(&mut |piece| emit(piece, unpacker, &header, out))?;
        if let Some(unpacker) = unpacker {
            unpacker.finish(out)?;
        }
        self.passes += 1;
        match again {
            false => Ok(Finished::Complete(self.virtual_size())),
            true if self.passes == MAX_PASSES => Err(Defect::TooScattered.into()),
            true => Ok(Finished::Again),
        }
    }
}

/// Emits a piece that is not part of the chunk just pushed.
fn emit(
    piece: Piece,
    unpacker: &mut Option<Unpacker>,
    header: &header::Header,
    out: Emit<'_>,
) -> Result<(), ImageError> {
    match piece {
        Piece::Zeroes { guest, len } => out(Extent::zeroes(Bytes(guest), Bytes(len))),
        Piece::Packed { guest, bytes } => unpacker.get_or_insert_with(|| Unpacker::new(header)).push(guest, bytes, out),
        // Only `push` brings bytes.
        Piece::Plain { .. } => Ok(()),
    }
}

impl From<Defect> for ImageError {
    fn from(defect: Defect) -> Self {
        Self::Invalid(format!("Security: Image failed safety check: {defect}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Content, Pool};
    use super::*;

    const CLUSTER: u64 = 512;
    const GUEST_CLUSTERS: u64 = 64;

    /// An image of 64 clusters of 512 bytes: header, L1 table (cluster 1), L2 table (cluster 2), and data whose
    /// every byte is the number of its cluster.
    fn image(clusters: u64, l2: &[(usize, u64)]) -> Vec<u8> {
        let mut file: Vec<u8> = (0..clusters).flat_map(|n| [n as u8; CLUSTER as usize]).collect();
        file[..3 * CLUSTER as usize].fill(0);
        file[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
        put(&mut file, 16, 9); // also the cluster bits, the low half of the word
        put(&mut file, 24, GUEST_CLUSTERS * CLUSTER);
        put(&mut file, 32, 1);
        put(&mut file, 40, CLUSTER);
        put(&mut file, 96, 104);
        put(&mut file, CLUSTER as usize, 2 * CLUSTER);
        for (index, entry) in l2 {
            put(&mut file, 2 * CLUSTER as usize + index * 8, *entry);
        }
        file
    }

    fn put(file: &mut [u8], at: usize, word: u64) {
        file[at..at + 8].copy_from_slice(&word.to_be_bytes());
    }

    struct Source(Vec<u8>);

    impl RandomAccess for Source {
        fn total_bytes(&self) -> Bytes {
            Bytes(self.0.len() as u64)
        }

        fn read_at(&self, at: Bytes, len: usize) -> Result<Vec<u8>, ImageError> {
            Ok(self.0[at.0 as usize..at.0 as usize + len].to_vec())
        }
    }

    fn write(format: &mut Qcow2, file: &[u8]) -> Result<(Vec<u8>, u32), ImageError> {
        let pool = Pool::new(Bytes(8192), 4096);
        let mut disk = vec![0xee; format.virtual_size().0 as usize];
        let mut out = |extent: Extent| {
            let place = &mut disk[extent.at.0 as usize..extent.end().0 as usize];
            match &extent.content {
                Content::Data(chunk) => place.copy_from_slice(chunk),
                Content::Zeroes => place.fill(0),
            }
            Ok(())
        };
        for passes in 1.. {
            for piece in file.chunks(700) {
                let mut buffer = pool.take_blocking();
                buffer[..piece.len()].copy_from_slice(piece);
                format.push(buffer.freeze(piece.len()), &mut out)?;
            }
            if let Finished::Complete(_) = format.finish(&mut out)? {
                return Ok((disk, passes));
            }
        }
        unreachable!()
    }

    fn ahead(file: &[u8]) -> Result<Qcow2, ImageError> {
        let source = Source(file.to_vec());
        Qcow2::open(file, Some(source.total_bytes()), Some(&source))
    }

    fn streamed(file: &[u8]) -> Result<(Vec<u8>, u32), ImageError> {
        write(&mut Qcow2::open(file, None, None)?, file)
    }

    /// The disk with these clusters of the file, zeroes elsewhere.
    fn disk(clusters: &[(usize, u8)]) -> Vec<u8> {
        let mut disk = vec![0; (GUEST_CLUSTERS * CLUSTER) as usize];
        for (guest, fill) in clusters {
            disk[guest * CLUSTER as usize..][..CLUSTER as usize].fill(*fill);
        }
        disk
    }

    #[test]
    fn clusters_reach_their_places_in_one_pass() {
        let file = image(8, &[(0, 5 * CLUSTER), (63, 4 * CLUSTER), (7, 6 * CLUSTER)]);
        let expected = disk(&[(0, 5), (63, 4), (7, 6)]);
        assert!(streamed(&file).unwrap() == (expected.clone(), 1));
        assert!(write(&mut ahead(&file).unwrap(), &file).unwrap() == (expected, 1));
    }

    #[test]
    fn tables_behind_their_clusters_take_further_passes_unless_read_in_advance() {
        let mut file = image(12, &[]);
        let (l1, l2) = (11 * CLUSTER, 9 * CLUSTER);
        put(&mut file, 40, l1);
        file[l1 as usize..].fill(0);
        put(&mut file, l1 as usize, l2);
        file[l2 as usize..][..CLUSTER as usize].fill(0);
        put(&mut file, l2 as usize + 8, 5 * CLUSTER);
        put(&mut file, l2 as usize + 16, 10 * CLUSTER);
        let expected = disk(&[(1, 5), (2, 10)]);
        assert!(streamed(&file).unwrap() == (expected.clone(), 3));
        assert!(write(&mut ahead(&file).unwrap(), &file).unwrap() == (expected, 1));
    }

    #[test]
    fn parts_of_the_file_with_two_owners_are_refused_before_anything_is_written() {
        let packed = |host: u64| (1 << 62) | host;
        for (what, entries) in [
            ("two guest clusters", [(0, 5 * CLUSTER), (1, 5 * CLUSTER)]),
            ("the header", [(0, 0), (1, packed(8))]),
            ("the L1 table", [(0, 0), (1, CLUSTER)]),
            ("the L2 table", [(0, 0), (1, 2 * CLUSTER)]),
            ("data and compressed data", [(0, 5 * CLUSTER), (1, packed(5 * CLUSTER + 9))]),
            ("the same compressed data", [(0, packed(5 * CLUSTER + 9)), (1, packed(5 * CLUSTER + 9))]),
        ] {
            let file = image(8, &entries);
            for result in [ahead(&file).map(drop), streamed(&file).map(drop)] {
                let Err(ImageError::Invalid(text)) = result else { panic!("{what}: {result:?}") };
                assert!(text.contains("used twice"), "{what}: {text}");
            }
        }
    }

    #[test]
    fn entries_outside_the_file_are_refused() {
        let file = image(8, &[(3, 8 * CLUSTER)]);
        assert!(matches!(ahead(&file), Err(ImageError::Invalid(_))), "before anything is written");
        assert!(matches!(streamed(&file), Err(ImageError::Invalid(_))), "at the end, when the length is known");
        let cut = image(8, &[(3, 7 * CLUSTER)]);
        let cut = &cut[..cut.len() - 100];
        let (disk, _) = streamed(cut).unwrap();
        assert_eq!(disk[4 * CLUSTER as usize - 101..][..2], [7, 0], "what a last cluster lacks reads as zeroes");
    }

    #[test]
    fn tables_that_were_not_those_of_the_file_are_noticed() {
        let file = image(8, &[(0, 5 * CLUSTER)]);
        let mut late = image(12, &[]);
        put(&mut late, CLUSTER as usize, 9 * CLUSTER);
        late[9 * CLUSTER as usize..][..CLUSTER as usize].fill(0);
        put(&mut late, 9 * CLUSTER as usize, 5 * CLUSTER);
        for (file, at) in [(&file, 60), (&file, CLUSTER + 7), (&late, 9 * CLUSTER + 6)] {
            let mut other = file.clone();
            other[at as usize] ^= 0x10;
            let result = write(&mut ahead(file).unwrap(), &other);
            let Err(ImageError::Invalid(text)) = result else { panic!("{at}: accepted") };
            assert!(text.contains("differs from the file's"), "{at}: {text}");
        }
    }
}
