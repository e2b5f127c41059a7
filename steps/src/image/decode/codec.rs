//! The decompressors behind one call.

use std::fmt::Display;

use super::Compression;
use super::window::{self, Limit, TooLarge};

/// The longest header of a zstd frame.
const ZSTD_HEADER_BYTES: usize = 18;
/// What `ZSTD_error_frameParameter_windowTooLarge` looks like as a size (zstd_errors.h).
const ZSTD_WINDOW_TOO_LARGE: usize = 16_usize.wrapping_neg();

/// What one call did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// Bytes taken from the input.
    pub(crate) consumed: usize,
    /// Bytes put into the output.
    pub(crate) produced: usize,
    /// Whether a member (stream, frame) ended.
    pub(crate) ended: bool,
}

/// A decompressor of one member at a time.
pub(super) trait Codec: Send {
    /// Goes on as far as input and output allow.
    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Box<dyn Display>>;
    /// Ready for the next member.
    fn reset(&mut self) -> Result<(), Box<dyn Display>>;
}

/// A fresh decompressor, one of so many that work at the same time.
pub(super) fn open(compression: Compression, decoders: usize) -> Result<Box<dyn Codec>, Box<dyn Display>> {
    let limit = || Limit::of_machine(decoders);
    Ok(match compression {
        Compression::Gzip => Box::new(Gzip(gzip())),
        Compression::Zstd => Box::new(Zstd::new(limit())?),
        Compression::Xz => Box::new(Xz::new(limit())?),
        Compression::Bzip2 => Box::new(Bzip2(bzip2::Decompress::new(false))),
        Compression::Deflate => Box::new(Deflate(None)),
    })
}

struct Gzip(flate2::Decompress);

fn gzip() -> flate2::Decompress {
    // The largest window there is; the header and the checksum of the format are handled inside.
    flate2::Decompress::new_gzip(15)
}

impl Codec for Gzip {
    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Box<dyn Display>> {
        inflate(&mut self.0, input, output)
    }

    fn reset(&mut self) -> Result<(), Box<dyn Display>> {
        self.0 = gzip();
        Ok(())
    }
}

/// Opened when the first byte has come.
struct Deflate(Option<flate2::Decompress>);

impl Codec for Deflate {
    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Box<dyn Display>> {
        let decompress = match (&mut self.0, input.first()) {
            (Some(open), _) => open,
            (none, Some(first)) => {
                // The method of the zlib format. Bare data hardly begin so: that would be a block of a kind whose
                // unused bits every encoder leaves empty.
                let is_zlib = first & 0x0f == 8;
                none.insert(flate2::Decompress::new(is_zlib))
            }
            (None, None) => return Ok(Step { consumed: 0, produced: 0, ended: false }),
        };
        inflate(decompress, input, output)
    }

    fn reset(&mut self) -> Result<(), Box<dyn Display>> {
        self.0 = None;
        Ok(())
    }
}

fn inflate(decompress: &mut flate2::Decompress, input: &[u8], output: &mut [u8]) -> Result<Step, Box<dyn Display>> {
    let before = (decompress.total_in(), decompress.total_out());
    let status = decompress.decompress(input, output, flate2::FlushDecompress::None).map_err(boxed)?;
    Ok(Step {
        consumed: (decompress.total_in() - before.0) as usize,
        produced: (decompress.total_out() - before.1) as usize,
        ended: status == flate2::Status::StreamEnd,
    })
}

struct Zstd {
    context: zstd::zstd_safe::DCtx<'static>,
    limit: Limit,
    /// The first bytes of the frame.
    header: Vec<u8>,
}

impl Zstd {
    fn new(limit: Limit) -> Result<Self, Box<dyn Display>> {
        let mut context = zstd::zstd_safe::DCtx::create();
        let largest = zstd::zstd_safe::DParameter::WindowLogMax(limit.zstd_log());
        context.set_parameter(largest).map_err(|code| boxed(zstd::zstd_safe::get_error_name(code)))?;
        Ok(Self { context, limit, header: Vec::new() })
    }

    fn error(&self, code: usize) -> Box<dyn Display> {
        match window::of_zstd_frame(&self.header).filter(|_| code == ZSTD_WINDOW_TOO_LARGE) {
            Some(needed) => {
                boxed(TooLarge { needed, limit: self.limit.bytes, remedy: "zstd without --long or --ultra" })
            }
            None => boxed(zstd::zstd_safe::get_error_name(code)),
        }
    }
}

impl Codec for Zstd {
    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Box<dyn Display>> {
        let missing = ZSTD_HEADER_BYTES.saturating_sub(self.header.len()).min(input.len());
        self.header.extend_from_slice(&input[..missing]);
        let mut input = zstd::zstd_safe::InBuffer::around(input);
        let mut output = zstd::zstd_safe::OutBuffer::around(output);
        let left = self.context.decompress_stream(&mut output, &mut input).map_err(|code| self.error(code))?;
        Ok(Step { consumed: input.pos(), produced: output.pos(), ended: left == 0 })
    }

    fn reset(&mut self) -> Result<(), Box<dyn Display>> {
        // The next frame begins by itself.
        self.header.clear();
        Ok(())
    }
}

struct Xz {
    stream: liblzma::stream::Stream,
    limit: Limit,
}

impl Xz {
    fn new(limit: Limit) -> Result<Self, Box<dyn Display>> {
        let stream = liblzma::stream::Stream::new_stream_decoder(limit.bytes, 0).map_err(boxed)?;
        Ok(Self { stream, limit })
    }

    fn error(&mut self, error: liblzma::stream::Error) -> Box<dyn Display> {
        if error != liblzma::stream::Error::MemLimit {
            return boxed(error);
        }
        // The library does not tell what it needs, but it accepts no limit below that.
        let (mut too_little, mut enough) = (self.limit.bytes, u64::MAX >> 1);
        while enough - too_little > 1 << 20 {
            let middle = too_little + (enough - too_little) / 2;
            match self.stream.set_memlimit(middle) {
                Ok(()) => enough = middle,
                Err(_) => too_little = middle,
            }
        }
        boxed(TooLarge { needed: enough, limit: self.limit.bytes, remedy: "xz --lzma2=dict=64MiB" })
    }
}

impl Codec for Xz {
    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Box<dyn Display>> {
        let before = (self.stream.total_in(), self.stream.total_out());
        let action = liblzma::stream::Action::Run;
        let status = self.stream.process(input, output, action).map_err(|error| self.error(error))?;
        Ok(Step {
            consumed: (self.stream.total_in() - before.0) as usize,
            produced: (self.stream.total_out() - before.1) as usize,
            ended: status == liblzma::stream::Status::StreamEnd,
        })
    }

    fn reset(&mut self) -> Result<(), Box<dyn Display>> {
        *self = Self::new(self.limit)?;
        Ok(())
    }
}

struct Bzip2(bzip2::Decompress);

impl Codec for Bzip2 {
    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Box<dyn Display>> {
        let before = (self.0.total_in(), self.0.total_out());
        let status = self.0.decompress(input, output).map_err(boxed)?;
        Ok(Step {
            consumed: (self.0.total_in() - before.0) as usize,
            produced: (self.0.total_out() - before.1) as usize,
            ended: status == bzip2::Status::StreamEnd,
        })
    }

    fn reset(&mut self) -> Result<(), Box<dyn Display>> {
        self.0 = bzip2::Decompress::new(false);
        Ok(())
    }
}

fn boxed(error: impl Display + 'static) -> Box<dyn Display> {
    Box::new(error)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn refusal(codec: Result<impl Codec, Box<dyn Display>>, file: &[u8], piece: usize) -> String {
        let Ok(mut codec) = codec else { panic!("not opened") };
        let mut output = vec![0; 1 << 20];
        for piece in file.chunks(piece) {
            if let Err(error) = codec.run(piece, &mut output) {
                return error.to_string();
            }
        }
        panic!("accepted")
    }

    #[test]
    fn a_window_that_is_too_large_is_refused_with_numbers_and_remedy() {
        let limit = Limit { bytes: 32 << 20 };
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(28).unwrap();
        encoder.write_all(&[7; 5000]).unwrap();
        let zstd = encoder.finish().unwrap();
        let mut options = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
        options.dict_size(96 << 20);
        let mut filters = liblzma::stream::Filters::new();
        filters.lzma2(&options);
        let check = liblzma::stream::Check::Crc64;
        let stream = liblzma::stream::Stream::new_stream_encoder(&filters, check).unwrap();
        let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(&[7; 5000]).unwrap();
        let xz = encoder.finish().unwrap();
        for piece in [1, 5000] {
            let text = refusal(Zstd::new(limit), &zstd, piece);
            assert!(text.contains("takes 256 MiB") && text.contains("32 MiB now") && text.contains("--long"), "{text}");
            let text = refusal(Xz::new(limit), &xz, piece);
            assert!(text.contains("takes 97 MiB") && text.contains("32 MiB now") && text.contains("dict="), "{text}");
        }
    }
}
