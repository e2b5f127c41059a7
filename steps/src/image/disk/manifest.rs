//! What must be on the disk, in a few bytes, whatever the order in which it came.
//!
//! The sum, modulo 2^256, of SHA-256 over (number, content) of every block of 512 bytes that is not zero. A zero
//! block adds nothing, so a range that must be zero and is not shows as well as data that are lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use ferric_hardware::aligned::AlignedBuffer;
use ferric_hardware::units::Bytes;
use sha2::{Digest as _, Sha256};

use super::target::Target;

/// The grain; all extents start at a multiple of it.
const BLOCK: usize = 512;
/// The piece in which a disk is read.
const PIECE: u64 = 1 << 20;
/// Reads in flight at one time.
const DEPTH: u64 = 4;

/// A sum over blocks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manifest([u64; 4]);

impl Manifest {
    /// Adds `data` at byte `at`; a last piece of a block counts as filled up with zeroes.
    pub(crate) fn add(&mut self, at: u64, data: &[u8]) {
        for (index, block) in data.chunks(BLOCK).enumerate() {
            if block.iter().all(|byte| *byte == 0) {
                continue;
            }
            let mut hasher = Sha256::new();
            hasher.update((at / BLOCK as u64 + index as u64).to_le_bytes());
            hasher.update(block);
            hasher.update(&[0; BLOCK][block.len()..]);
            let digest = hasher.finalize();
            let mut words = [0; 4];
            for (word, bytes) in words.iter_mut().zip(digest.as_chunks::<8>().0) {
                *word = u64::from_le_bytes(*bytes);
            }
            self.merge(Self(words));
        }
    }

    /// Adds the sum over other blocks.
    pub(crate) fn merge(&mut self, other: Self) {
        let mut carry = false;
        for (word, more) in self.0.iter_mut().zip(other.0) {
            let (sum, first) = word.overflowing_add(more);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            *word = sum;
            carry = first || second;
        }
    }

    /// The sum over what the medium holds up to `end`.
    ///
    /// # Errors
    /// Where reading failed, and why.
    pub(crate) fn read(target: &dyn Target, end: Bytes) -> Result<Self, (u64, std::io::Error)> {
        let next = AtomicU64::new(0);
        let failed = AtomicBool::new(false);
        let all = Mutex::new(Ok(Self::default()));
        std::thread::scope(|scope| {
            for _ in 0..DEPTH {
                scope.spawn(|| {
                    let mut buffer = AlignedBuffer::new(PIECE as usize);
                    let mut sum = Self::default();
                    let result = loop {
                        let at = next.fetch_add(PIECE, Ordering::Relaxed);
                        if at >= end.0 || failed.load(Ordering::Relaxed) {
                            break Ok(());
                        }
                        // Whole pages where the disk has them, so that direct I/O can be used.
                        let want = PIECE.min(end.0 - at);
                        let read = want.next_multiple_of(4096).min(target.size().0 - at);
                        if let Err(error) = target.read(at, &mut buffer[..read as usize]) {
                            failed.store(true, Ordering::Relaxed);
                            break Err((at, error));
                        }
                        sum.add(at, &buffer[..want as usize]);
                    };
                    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                    match (result, &mut *all) {
                        (Ok(()), Ok(total)) => total.merge(sum),
                        (Err(error), Ok(_)) => *all = Err(error),
                        (_, Err(_)) => {}
                    }
                });
            }
        });
        all.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(pieces: &[(u64, &[u8])]) -> Manifest {
        let mut manifest = Manifest::default();
        for (at, data) in pieces {
            manifest.add(*at, data);
        }
        manifest
    }

    #[test]
    fn order_and_division_do_not_matter() {
        let data: Vec<u8> = (0..4096_u32).map(|i| (i % 251) as u8).collect();
        let whole = sum(&[(0, &data)]);
        assert_eq!(sum(&[(1024, &data[1024..]), (0, &data[..1024])]), whole);
        assert_eq!(sum(&[(0, &data), (4096, &[0; 2048])]), whole, "zeroes add nothing");
        assert_eq!(sum(&[(0, &data[..4000])]), sum(&[(0, &[&data[..4000], &[0; 96]].concat())]));
    }

    #[test]
    fn place_and_content_matter() {
        let data = [7; 512];
        assert_ne!(sum(&[(0, &data)]), sum(&[(512, &data)]));
        assert_ne!(sum(&[(0, &data)]), sum(&[(0, &data), (512, &data)]));
        assert_ne!(sum(&[(0, &data)]), sum(&[(0, &[8; 512])]));
        assert_ne!(sum(&[(0, &data), (0, &data)]), sum(&[]), "equal terms do not cancel");
    }
}
