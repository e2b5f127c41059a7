//! Decompression, recognised by magic; every output buffer is filled before it is handed on.

mod codec;
mod parallel;
mod split;
#[cfg(test)]
mod tests;
#[cfg(any(test, fuzzing))]
mod whole;
mod window;

use std::time::{Duration, Instant};

use self::codec::Codec;
pub(crate) use self::codec::Step;
pub(crate) use self::parallel::Parallel;
#[cfg(fuzzing)]
pub use self::whole::compare;
use super::buffer::Buffer;
use super::{Chunk, ImageError};

/// Where empty buffers come from.
pub(crate) type Take<'a> = &'a dyn Fn() -> Buffer;

/// Where decoded bytes go.
pub(crate) type Output<'a> = &'a mut dyn FnMut(Chunk) -> Result<(), ImageError>;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Zstd,
    Xz,
    Bzip2,
    /// With or without the frame of zlib (RFC 1950, RFC 1951): a coding of HTTP, not of files.
    Deflate,
}

impl Compression {
    /// What the first bytes of a file say (RFC 1952, RFC 8878, the xz and bzip2 formats).
    pub(crate) fn detect(start: &[u8]) -> Option<Self> {
        match start {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            // A skippable frame comes first in files of parallel compressors.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => Some(Self::Bzip2),
            // A stream without blocks.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => Some(Self::Bzip2),
            _ => None,
        }
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
            Self::Deflate => "deflate",
        }
    }
}

/// Decompresses a stream of any number of members, one after the other.
pub(crate) struct Members {
    compression: Compression,
    codec: Box<dyn Codec>,
    /// Where the stream is: inside a member, or between two.
    inside: bool,
}

impl Members {
    pub(crate) fn new(compression: Compression) -> Result<Self, ImageError> {
        Self::among(1, compression)
    }

    /// One of so many that work at the same time.
    fn among(decoders: usize, compression: Compression) -> Result<Self, ImageError> {
        let codec = codec::open(compression, decoders).map_err(|e| broken(compression, &e))?;
        // A zero may be the first byte of deflated data; nothing else begins with one.
        Ok(Self { compression, codec, inside: compression == Compression::Deflate })
    }

    /// Goes on as far as `input` and `output` allow.
    pub(crate) fn run(&mut self, mut input: &[u8], output: &mut [u8]) -> Result<Step, ImageError> {
        let mut padding = 0;
        if !self.inside {
            // Files may be padded with zeroes behind a member.
            padding = input.iter().take_while(|byte| **byte == 0).count();
            input = &input[padding..];
            self.inside = !input.is_empty();
            if !self.inside {
                return Ok(Step { consumed: padding, produced: 0, ended: false });
            }
        }
        let step = self.codec.run(input, output).map_err(|e| broken(self.compression, &e))?;
        if step.consumed == 0 && step.produced == 0 && !step.ended && !input.is_empty() {
            return Err(broken(self.compression, &"the decoder is stuck"));
        }
        if step.ended {
            self.inside = false;
            self.codec.reset().map_err(|e| broken(self.compression, &e))?;
        }
        Ok(Step { consumed: padding + step.consumed, ..step })
    }

    /// The stream is complete.
    pub(crate) fn end(&self) -> Result<(), ImageError> {
        match self.inside {
            true => Err(broken(self.compression, &"the data end before their end mark")),
            false => Ok(()),
        }
    }
}

/// Decompresses a stream into buffers.
pub(crate) struct Decoder {
    members: Members,
    buffer: Option<(Buffer, usize)>,
    /// Time spent waiting for free buffers.
    waited: Duration,
}

impl Decoder {
    pub(crate) fn new(compression: Compression) -> Result<Self, ImageError> {
        Self::among(1, compression)
    }

    /// One of so many that work at the same time.
    fn among(decoders: usize, compression: Compression) -> Result<Self, ImageError> {
        Ok(Self { members: Members::among(decoders, compression)?, buffer: None, waited: Duration::ZERO })
    }

    /// Takes the next piece of the file.
    pub(crate) fn push(&mut self, mut input: &[u8], take: Take<'_>, out: Output<'_>) -> Result<(), ImageError> {
        while !input.is_empty() {
            input = &input[self.step(input, take, out)?.consumed..];
        }
        Ok(())
    }

    /// The file is complete: what is left comes out.
    pub(crate) fn finish(&mut self, take: Take<'_>, out: Output<'_>) -> Result<(), ImageError> {
        self.finish_part(take, out)?;
        self.members.end()
    }

    /// As [`Decoder::finish`], for a part whose end somebody else has seen.
    fn finish_part(&mut self, take: Take<'_>, out: Output<'_>) -> Result<(), ImageError> {
        // A codec may still hold output that did not fit.
        while self.members.inside && self.step(&[], take, out)?.produced > 0 {}
        match self.buffer.take() {
            Some((buffer, filled)) if filled > 0 => out(buffer.freeze(filled)),
            _ => Ok(()),
        }
    }

    /// Time spent waiting for the stages behind.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }

    fn step(&mut self, input: &[u8], take: Take<'_>, out: Output<'_>) -> Result<Step, ImageError> {
        let (mut buffer, filled) = match self.buffer.take() {
            Some(begun) => begun,
            None => {
                let started = Instant::now();
                let buffer = take();
                self.waited += started.elapsed();
                (buffer, 0)
            }
        };
        let step = self.members.run(input, &mut buffer[filled..])?;
        let filled = filled + step.produced;
        if filled == buffer.len() {
            out(buffer.freeze(filled))?;
        } else {
            self.buffer = Some((buffer, filled));
        }
        Ok(step)
    }
}

fn broken(compression: Compression, error: &dyn std::fmt::Display) -> ImageError {
    ImageError::Invalid(format!("The image cannot be decompressed as {}: {error}", compression.name()))
}
