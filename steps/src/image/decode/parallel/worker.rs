//! The other threads: each takes a part, decodes it, and takes the next.

use std::sync::mpsc::Receiver;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::bzip2;
use super::shared::{Decoded, Part, Shared};
use crate::image::ImageError;
use crate::image::decode::{Compression, Decoder};
use crate::image::source::Event;

pub(super) fn work(shared: &Shared, parts: &Mutex<Receiver<Part>>) {
    let mut memory = bzip2::Memory::default();
    loop {
        let next = parts.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(part) = next else { return };
        let result = match shared.compression {
            Compression::Bzip2 => bzip2::decode(shared, &part, &mut memory),
            _ => decode(shared, &part).map(|()| None),
        };
        let _ = part.output.send(Decoded::End(result));
        let _ = shared.events.send(Event::Ready);
    }
}

/// Decodes a part while it comes in.
fn decode(shared: &Shared, part: &Part) -> Result<(), ImageError> {
    let (take, mut out) = (|| shared.take(part), |chunk| shared.hand_back(part, chunk));
    let mut decoder = Decoder::among(shared.workers, shared.compression)?;
    decoder.push(&part.header, &take, &mut out)?;
    for input in &part.input {
        let (started, waited) = (Instant::now(), decoder.waited());
        decoder.push(&input, &take, &mut out)?;
        shared.was_busy(started.elapsed().saturating_sub(decoder.waited().saturating_sub(waited)));
    }
    match shared.compression {
        // The index and the end mark of the stream are not part of a block; the length of the block was known.
        Compression::Xz => decoder.finish_part(&take, &mut out),
        _ => decoder.finish(&take, &mut out),
    }
}
