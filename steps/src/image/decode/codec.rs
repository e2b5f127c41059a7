//! The decompressors behind one call.

use std::fmt::Display;

use super::Compression;

/// The most memory that the window of an xz file may take: twice that of the largest preset.
const XZ_MEMORY_BYTES: u64 = 160 << 20;
/// The largest window of a zstd file, as a power of two: what `zstd -d` accepts without being asked.
const ZSTD_WINDOW_LOG: u32 = 27;

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

/// A fresh decompressor.
pub(super) fn open(compression: Compression) -> Result<Box<dyn Codec>, Box<dyn Display>> {
    Ok(match compression {
        Compression::Gzip => Box::new(Gzip(gzip())),
        Compression::Zstd => Box::new(Zstd::new()?),
        Compression::Xz => Box::new(Xz(xz()?)),
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

struct Zstd(zstd::zstd_safe::DCtx<'static>);

impl Zstd {
    fn new() -> Result<Self, Box<dyn Display>> {
        let mut context = zstd::zstd_safe::DCtx::create();
        context.set_parameter(zstd::zstd_safe::DParameter::WindowLogMax(ZSTD_WINDOW_LOG)).map_err(zstd_error)?;
        Ok(Self(context))
    }
}

impl Codec for Zstd {
    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Box<dyn Display>> {
        let mut input = zstd::zstd_safe::InBuffer::around(input);
        let mut output = zstd::zstd_safe::OutBuffer::around(output);
        let left = self.0.decompress_stream(&mut output, &mut input).map_err(zstd_error)?;
        Ok(Step { consumed: input.pos(), produced: output.pos(), ended: left == 0 })
    }

    fn reset(&mut self) -> Result<(), Box<dyn Display>> {
        // The next frame begins by itself.
        Ok(())
    }
}

fn zstd_error(code: usize) -> Box<dyn Display> {
    Box::new(zstd::zstd_safe::get_error_name(code))
}

struct Xz(liblzma::stream::Stream);

fn xz() -> Result<liblzma::stream::Stream, Box<dyn Display>> {
    liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_BYTES, 0).map_err(boxed)
}

impl Codec for Xz {
    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Box<dyn Display>> {
        let before = (self.0.total_in(), self.0.total_out());
        let status = self.0.process(input, output, liblzma::stream::Action::Run).map_err(boxed)?;
        Ok(Step {
            consumed: (self.0.total_in() - before.0) as usize,
            produced: (self.0.total_out() - before.1) as usize,
            ended: status == liblzma::stream::Status::StreamEnd,
        })
    }

    fn reset(&mut self) -> Result<(), Box<dyn Display>> {
        self.0 = xz()?;
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
