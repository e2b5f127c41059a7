//! A file with other bytes in a few places: what one machine is given of a file that all of them share. It is never
//! written out; whoever reads a piece of the file has the bytes laid over it.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use ferric_ignition::patch::Patch;
use sha2::{Digest, Sha256};

/// The same file, as long as nobody replaces or writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    inode: u64,
    modified_ns: i64,
    length: u64,
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            modified_ns: metadata.mtime().wrapping_mul(1_000_000_000).wrapping_add(metadata.mtime_nsec()),
            length: metadata.len(),
        }
    }
}

/// Bytes to lay over one file, and over no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    base: Identity,
    /// By offset, none empty, none into the next.
    patches: Vec<Patch>,
}

impl Overlay {
    /// Keeps of the patches what `base` does not have there anyway.
    ///
    /// # Errors
    /// When they overlap or lie beyond the end of the file, or it cannot be read.
    pub fn new(base: &File, mut patches: Vec<Patch>) -> io::Result<Self> {
        let identity = Identity::of(&base.metadata()?);
        patches.sort_by_key(|patch| patch.offset);
        let mut end = 0;
        for patch in &patches {
            if patch.offset < end {
                return Err(io::Error::other("patches overlap"));
            }
            end = patch.offset + patch.bytes.len() as u64;
        }
        if end > identity.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut kept = Vec::new();
        for patch in patches {
            let mut there = vec![0; patch.bytes.len()];
            base.read_exact_at(&mut there, patch.offset)?;
            let differs = |(old, new): (&u8, &u8)| old != new;
            let Some(first) = there.iter().zip(&patch.bytes).position(differs) else { continue };
            let last = there.iter().zip(&patch.bytes).rposition(differs).unwrap_or(first);
            kept.push(Patch { offset: patch.offset + first as u64, bytes: patch.bytes[first..=last].to_vec() });
        }
        Ok(Self { base: identity, patches: kept })
    }

    /// Whether it was made for the file that has these metadata.
    pub fn fits(&self, base: &Metadata) -> bool {
        self.base == Identity::of(base)
    }

    /// Changes `bytes`, which stand at `offset` of the file, into what they are with the overlay.
    pub fn lay_over(&self, offset: u64, bytes: &mut [u8]) {
        let end = offset + bytes.len() as u64;
        let first = self.patches.partition_point(|patch| patch.offset + patch.bytes.len() as u64 <= offset);
        for patch in self.patches[first..].iter().take_while(|patch| patch.offset < end) {
            let from = offset.max(patch.offset);
            let to = end.min(patch.offset + patch.bytes.len() as u64);
            let new = &patch.bytes[(from - patch.offset) as usize..(to - patch.offset) as usize];
            bytes[(from - offset) as usize..(to - offset) as usize].copy_from_slice(new);
        }
    }

    /// A digest of what is different, for entity tags.
    pub fn digest(&self) -> String {
        hex::encode(&Sha256::digest(self.encode())[..16])
    }

    /// To be kept: inode, time and length of the file, then offset, length and bytes of each patch; all numbers are
    /// little-endian and of eight bytes.
    pub fn encode(&self) -> Vec<u8> {
        let Identity { inode, modified_ns, length } = self.base;
        let mut encoded: Vec<u8> = [inode, modified_ns as u64, length].iter().flat_map(|n| n.to_le_bytes()).collect();
        for Patch { offset, bytes } in &self.patches {
            encoded.extend(offset.to_le_bytes());
            encoded.extend((bytes.len() as u64).to_le_bytes());
            encoded.extend(bytes);
        }
        encoded
    }

    /// Reads what [`Overlay::encode`] wrote; nothing when it is something else.
    pub fn decode(encoded: &[u8]) -> Option<Self> {
        let mut rest = encoded;
        let base =
            Identity { inode: number(&mut rest)?, modified_ns: number(&mut rest)? as i64, length: number(&mut rest)? };
        let mut patches = Vec::new();
        while !rest.is_empty() {
            let (offset, length) = (number(&mut rest)?, number(&mut rest)?);
            let (bytes, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            patches.push(Patch { offset, bytes: bytes.to_vec() });
            rest = behind;
        }
        Some(Self { base, patches })
    }
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let (number, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use ferric_ignition::patch;

    use super::*;

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file
    }

    fn patch(offset: u64, bytes: &[u8]) -> Patch {
        Patch { offset, bytes: bytes.to_vec() }
    }

    #[test]
    fn any_piece_is_what_a_written_copy_has_there() {
        let base: Vec<u8> = (0..200).collect();
        let patches = [patch(150, &[7; 20]), patch(0, b"abc"), patch(40, &[40, 41, 1, 43, 2, 45]), patch(46, b"x")];
        let overlay = Overlay::new(&file(&base), patches.to_vec()).unwrap();
        let mut copy = Vec::new();
        patch::copy(&mut std::io::Cursor::new(&base), &mut copy, &patches).unwrap();
        for start in 0..base.len() {
            for end in start..=base.len() {
                let mut piece = base[start..end].to_vec();
                overlay.lay_over(start as u64, &mut piece);
                assert_eq!(piece, copy[start..end], "{start}..{end}");
            }
        }
        assert_eq!(Overlay::decode(&overlay.encode()), Some(overlay));
    }

    #[test]
    fn what_is_there_already_is_not_kept() {
        let base = file(&[0; 1 << 20]);
        let mut area = vec![0; 256 << 10];
        area[3..6].copy_from_slice(b"new");
        let overlay = Overlay::new(&base, vec![patch(4096, &area), patch(9, &[0; 9])]).unwrap();
        assert_eq!(overlay.patches, [patch(4099, b"new")]);
        assert!(overlay.encode().len() < 64);
    }

    #[test]
    fn an_overlay_is_of_one_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&path, "hello").unwrap();
        std::fs::write(&other, "hello").unwrap();
        let overlay = Overlay::new(&File::open(&path).unwrap(), vec![patch(0, b"J")]).unwrap();
        assert!(overlay.fits(&path.metadata().unwrap()) && !overlay.fits(&other.metadata().unwrap()));
        std::fs::rename(&other, &path).unwrap();
        assert!(!overlay.fits(&path.metadata().unwrap()));
    }

    #[test]
    fn what_cannot_be_laid_over_is_refused() {
        let base = file(b"short");
        for patches in [vec![patch(3, b"abc")], vec![patch(0, b"ab"), patch(1, b"c")]] {
            assert!(Overlay::new(&base, patches).is_err());
        }
        for bytes in [&b"x"[..], &[0; 25], &[&[0; 24][..], &[1; 16]].concat()] {
            assert_eq!(Overlay::decode(bytes), None);
        }
    }
}
