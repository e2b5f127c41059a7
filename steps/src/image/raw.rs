//! Raw images: the stream is the disk. Runs of zeroes are found on the way.

use ferric_hardware::units::Bytes;

use super::{Chunk, Emit, Extent, Finished, Format, ImageError};

/// The grain in which zeroes are looked for: shorter runs cost more calls than they save.
const GRAIN: usize = 64 << 10;

static ZEROES: [u8; GRAIN] = [0; GRAIN];

/// The disk, byte for byte.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    at: u64,
}

impl Format for Raw {
    fn push(&mut self, chunk: Chunk, out: Emit<'_>) -> Result<(), ImageError> {
        let bytes = chunk.len() as u64;
        split(Bytes(self.at), &chunk, out)?;
        self.at += bytes;
        Ok(())
    }

    fn finish(&mut self, _out: Emit<'_>) -> Result<Finished, ImageError> {
        Ok(Finished::Complete(Bytes(self.at)))
    }
}

/// Emits `chunk`, which belongs at `at`, as data and the zeroes between them.
pub(crate) fn split(at: Bytes, chunk: &Chunk, out: Emit<'_>) -> Result<(), ImageError> {
    let mut start = 0;
    while start < chunk.len() {
        let zero = is_zero(&chunk[start..grain_end(start, chunk.len())]);
        let mut end = grain_end(start, chunk.len());
        while end < chunk.len() && is_zero(&chunk[end..grain_end(end, chunk.len())]) == zero {
            end = grain_end(end, chunk.len());
        }
        let at = at + Bytes(start as u64);
        out(if zero {
            Extent::zeroes(at, Bytes((end - start) as u64))
        } else {
            Extent::data(at, chunk.slice(start..end))
        })?;
        start = end;
    }
    Ok(())
}

fn grain_end(start: usize, len: usize) -> usize {
    (start + GRAIN).min(len)
}

/// Whether a grain is all zero.
fn is_zero(grain: &[u8]) -> bool {
    ZEROES.get(..grain.len()) == Some(grain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Content, Pool};

    #[test]
    fn data_and_zeroes_alternate_and_cover_everything() {
        let pool = Pool::new(Bytes::mib(2), 1 << 20);
        let mut raw = Raw::default();
        let mut extents = Vec::new();
        for fill in [1, 0] {
            let mut buffer = pool.take_blocking();
            buffer.fill(fill);
            buffer[3 * GRAIN..5 * GRAIN].fill(0);
            buffer[9 * GRAIN + 5] = 9;
            raw.push(buffer.freeze((1 << 20) - 100), &mut |extent| {
                extents.push((extent.at.0, extent.len.0, matches!(extent.content, Content::Zeroes)));
                Ok(())
            })
            .unwrap();
        }
        let grain = GRAIN as u64;
        let second = (1 << 20) - 100;
        assert_eq!(
            extents,
            [
                (0, 3 * grain, false),
                (3 * grain, 2 * grain, true),
                (5 * grain, 11 * grain - 100, false),
                (second, 9 * grain, true),
                (second + 9 * grain, grain, false),
                (second + 10 * grain, 6 * grain - 100, true),
            ]
        );
        assert_eq!(raw.finish(&mut |_| Ok(())).unwrap(), Finished::Complete(Bytes(2 * second)));
    }
}
