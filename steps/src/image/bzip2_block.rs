//! One block of a bzip2 file, in memory. Our own decoder, as bzip2 is the slowest stage of such images and the library takes
//! thrice as long; what ours does not know (randomised blocks) the library decodes.

mod codes;
mod text;

pub(super) use self::text::{Sum, Text};

/// What a block begins with.
pub(super) const BLOCK_MARK: u64 = 0x3141_5926_5359;
/// What a stream ends with.
pub(super) const END_MARK: u64 = 0x1772_4538_5090;

/// Decodes what follows the mark of a block, with our decoder and with the library's.
///
/// # Panics
/// When ours makes something of it, and the library not the same.
#[cfg(fuzzing)]
pub fn compare(block: &[u8]) {
    const MOST_TEXT: usize = 900_000;
    let mut text = Text::default();
    if text.read(block, 0, MOST_TEXT).is_none() {
        return;
    }
    let mut ours = Vec::new();
    let all: Result<(), std::convert::Infallible> = text.data(|piece| {
        ours.extend_from_slice(piece);
        Ok(())
    });
    let Ok(()) = all;
    let file = [b"BZh9", &BLOCK_MARK.to_be_bytes()[2..], block].concat();
    // The sum of the data is looked at when they are all there: an error comes behind them.
    let mut library = Vec::with_capacity(ours.len() + (64 << 10));
    let _ = bzip2::Decompress::new(false).decompress_vec(&file, &mut library);
    assert!(library.starts_with(&ours), "{} bytes are not as the library has them", ours.len());
}
