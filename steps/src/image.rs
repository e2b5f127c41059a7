//! The hot path: an image from a URL or file to a disk, verified, in bounded memory.
//!
//! [`write()`] tries; `pipeline` joins the stages; in order of flow they are `source` → [`digest`] (beside) → `decode` →
//! `format` (`raw`, `qcow2`) → `disk`.
//! - [`request`]: what is to be written, and what came of it
//! - [`buffer`]: the fixed pool of aligned buffers that all stages share
//! - [`extent`]: the word all stages speak, and what a format is
//! - [`digest`]: checksums of what passed
//! - [`checksum`]: checksum files
//! - [`inspect`]: what the first bytes of an image are, and whether that may be written
//! - [`qcow2`]: qcow2 images as a format
//! - [`find()`]: where the bytes of an image are; [`oci`]: images in container registries
//! - `stream`: the same bytes for a program that writes them itself
//! - [`error`]: why an image could not be written

pub mod buffer;
mod bzip2_block;
pub mod checksum;
mod decode;
pub mod digest;
mod disk;
pub mod error;
pub mod extent;
mod find;
mod format;
pub mod inspect;
pub mod oci;
mod pipeline;
pub mod qcow2;
mod raw;
pub mod request;
mod source;
mod stream;
mod write;

pub use crate::options::Retries;
pub use buffer::{Chunk, Pool};
#[cfg(fuzzing)]
pub use bzip2_block::compare as compare_bzip2_block;
#[cfg(fuzzing)]
pub use decode::compare as compare_decoders;
pub use digest::{Algorithm, Digest};
pub use error::ImageError;
pub use extent::{Content, Emit, Extent, Finished, Format, RandomAccess};
pub use find::{Found, find};
pub use qcow2::Qcow2;
pub use request::{Decoded, FormatChoice, Location, ReadBack, Region, Seconds, Verify, WriteRequest, WriteSummary};
pub(crate) use source::Terms;
pub(crate) use stream::Stream;
pub use write::write;
