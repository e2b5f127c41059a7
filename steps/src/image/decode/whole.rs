//! Whole files in memory, decoded as the pipeline does it: for tests and fuzzing.

use ferric_hardware::units::Bytes;

use super::{Compression, Decoder, Parallel};
use crate::image::source::Event;
use crate::image::{Chunk, ImageError, Pool};

/// More is not collected: a few bytes may stand for very many.
const MAX_DECODED: usize = 16 << 20;

/// Decodes `file`, which comes in pieces of `piece` bytes, on this thread.
pub(super) fn decode(compression: Compression, file: &[u8], piece: usize) -> Result<Vec<u8>, ImageError> {
    let mut decoded = Vec::new();
    let mut out = |chunk: Chunk| collect(&mut decoded, &chunk);
    let pool = Pool::new(Bytes::kib(128), 64 << 10);
    let take = || pool.take_blocking();
    let mut decoder = Decoder::new(compression)?;
    for piece in file.chunks(piece) {
        decoder.push(piece, &take, &mut out)?;
    }
    decoder.finish(&take, &mut out)?;
    Ok(decoded)
}

/// As [`decode`], on several threads; nothing when the file cannot be divided.
pub(super) fn decode_parallel(
    compression: Compression,
    file: &[u8],
    piece: usize,
) -> Option<Result<Vec<u8>, ImageError>> {
    let (events, received) = std::sync::mpsc::channel();
    let (served, pool) = (Pool::new(Bytes::mib(1), piece), Pool::new(Bytes::kib(512), 64 << 10));
    let mut decoder = Parallel::new(compression, file, &pool, &events)?;
    let pieces: Vec<Vec<u8>> = file.chunks(piece).map(<[u8]>::to_vec).collect();
    std::thread::spawn(move || {
        for piece in pieces {
            let mut buffer = served.take_blocking();
            buffer[..piece.len()].copy_from_slice(&piece);
            if events.send(Event::Bytes(buffer.freeze(piece.len()))).is_err() {
                return;
            }
        }
        let _ = events.send(Event::End);
    });
    let mut decoded = Vec::new();
    let mut out = |chunk: Chunk| collect(&mut decoded, &chunk);
    for event in received {
        let result = match event {
            Event::Bytes(chunk) => decoder.push(&chunk, &mut out),
            Event::Ready => decoder.ready(&mut out),
            Event::End => break,
        };
        if let Err(error) = result {
            return Some(Err(error));
        }
    }
    Some(decoder.finish(&mut out).map(|()| decoded))
}

fn collect(decoded: &mut Vec<u8>, chunk: &[u8]) -> Result<(), ImageError> {
    if decoded.len() + chunk.len() > MAX_DECODED {
        return Err(ImageError::Invalid("too much to compare".to_string()));
    }
    decoded.extend_from_slice(chunk);
    Ok(())
}

/// Decodes a file of any compression on one thread and on several.
///
/// # Panics
/// When both make something of it, and not the same; or when our decoder of bzip2 accepts what the library does not.
#[cfg(fuzzing)]
pub fn compare(file: &[u8]) {
    const PIECE: usize = 1000;
    let Some(compression) = Compression::detect(file) else { return };
    let Some(beside) = decode_parallel(compression, file, PIECE) else { return };
    match (decode(compression, file, PIECE), beside) {
        (Ok(here), Ok(beside)) => assert!(here == beside, "{} depends on the threads", compression.name()),
        (Err(error), Ok(_)) if compression == Compression::Bzip2 => panic!("accepted, though {error}"),
        _ => {}
    }
}
