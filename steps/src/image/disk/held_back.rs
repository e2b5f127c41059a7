//! What is held back: both ends of the disk, where partition tables, boot sectors and their copies are.

use ferric_hardware::aligned::{ALIGNMENT, AlignedBuffer};
use ferric_hardware::units::Bytes;

use crate::image::{Content, Extent};

/// Length of each end.
const END: u64 = 1 << 20;

/// Both ends of a disk, in memory until they may reach it.
#[derive(Debug)]
pub(crate) struct HeldBack {
    head: AlignedBuffer,
    tail: AlignedBuffer,
    tail_at: u64,
    size: u64,
}

impl HeldBack {
    /// The ends of a disk of `size`, all zero.
    pub(crate) fn new(size: Bytes) -> Self {
        let size = size.0;
        let tail_at = size.saturating_sub(END).max(END.min(size)) / ALIGNMENT as u64 * ALIGNMENT as u64;
        Self {
            head: AlignedBuffer::new(END as usize),
            tail: AlignedBuffer::new((size - tail_at) as usize),
            tail_at,
            size,
        }
    }

    /// The ranges that are held back, with the content that came for them up to `image_end`.
    pub(crate) fn pieces(&self, image_end: Bytes) -> [(u64, &[u8]); 2] {
        let head = image_end.0.min(END).min(self.size) as usize;
        let tail = image_end.0.clamp(self.tail_at, self.size) - self.tail_at;
        [(0, &self.head[..head]), (self.tail_at, &self.tail[..tail as usize])]
    }

    /// The ranges that are held back, to their ends.
    pub(crate) fn ranges(&self) -> [std::ops::Range<u64>; 2] {
        [0..END.min(self.size), self.tail_at..self.size]
    }

    /// Keeps what of `extent` belongs to the ends; the rest comes back.
    pub(crate) fn keep(&mut self, extent: Extent) -> Option<Extent> {
        let (start, end) = (extent.at.0, extent.end().0);
        let [head, tail] = self.ranges();
        if start < head.end {
            put(&mut self.head, 0, &extent, start..end.min(head.end));
        }
        if end > tail.start {
            put(&mut self.tail, tail.start, &extent, start.max(tail.start)..end);
        }
        let (from, to) = (start.max(head.end), end.min(tail.start));
        if from >= to {
            return None;
        }
        let content = match extent.content {
            Content::Zeroes => Content::Zeroes,
            Content::Data(chunk) => Content::Data(chunk.slice((from - start) as usize..(to - start) as usize)),
        };
        Some(Extent { at: Bytes(from), len: Bytes(to - from), content })
    }
}

/// Copies the part `range` (of the disk) of `extent` into `buffer`, which begins at `origin`.
fn put(buffer: &mut AlignedBuffer, origin: u64, extent: &Extent, range: std::ops::Range<u64>) {
    let into = &mut buffer[(range.start - origin) as usize..(range.end - origin) as usize];
    match &extent.content {
        Content::Zeroes => into.fill(0),
        Content::Data(chunk) => {
            let from = (range.start - extent.at.0) as usize;
            into.copy_from_slice(&chunk[from..from + into.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Pool;

    fn data(at: u64, len: usize) -> Extent {
        let mut buffer = Pool::new(Bytes::mib(8), 4 << 20).take_blocking();
        for (index, byte) in buffer.iter_mut().enumerate() {
            *byte = ((at as usize + index) % 251) as u8;
        }
        Extent::data(Bytes(at), buffer.freeze(len))
    }

    fn expected(range: std::ops::Range<u64>) -> Vec<u8> {
        range.map(|at| (at % 251) as u8).collect()
    }

    #[test]
    fn the_ends_are_kept_and_the_middle_passes() {
        let mut held_back = HeldBack::new(Bytes::mib(4));
        let middle = held_back.keep(data(0, 4 << 20)).unwrap();
        assert_eq!((middle.at, middle.len), (Bytes::mib(1), Bytes::mib(2)));
        let [(head_at, head), (tail_at, tail)] = held_back.pieces(Bytes::mib(4));
        assert_eq!((head_at, head), (0, &expected(0..1 << 20)[..]));
        assert_eq!((tail_at, tail), (3 << 20, &expected(3 << 20..4 << 20)[..]));
    }

    #[test]
    fn an_image_that_ends_early_leaves_the_tail_alone() {
        let mut held_back = HeldBack::new(Bytes::mib(64));
        assert!(held_back.keep(data(512, 1000)).is_none());
        let [(_, head), (_, tail)] = held_back.pieces(Bytes(1512));
        assert_eq!(&head[512..], expected(512..1512));
        assert!(tail.is_empty());
    }

    #[test]
    fn tiny_and_odd_disks_are_held_back_whole() {
        for size in [4096_u64, 1 << 20, (1 << 20) + 512, (2 << 20) - 512] {
            let mut held_back = HeldBack::new(Bytes(size));
            assert!(held_back.keep(data(0, size as usize)).is_none(), "{size}");
            let together: Vec<u8> = held_back.pieces(Bytes(size)).iter().flat_map(|(_, data)| data.to_vec()).collect();
            assert_eq!(together, expected(0..size), "{size}");
        }
    }
}
