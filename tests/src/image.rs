//! Images and disks for tests of image writing.

use std::io::Write;
use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::loop_device::LoopDevice;

/// Length of each end of a disk that must be empty after a failure.
const END: usize = 1 << 20;

/// Length of the parts of an image that are packed one by one.
const PART: usize = 300 << 10;

/// How a test image is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Raw,
    /// gzip, one member.
    Gzip,
    /// zstd, one frame.
    Zstd,
    /// zstd, many frames.
    ZstdFrames,
    /// xz, one block.
    Xz,
    /// xz, many blocks that say how long they are.
    XzBlocks,
    /// bzip2, one stream of many blocks.
    Bzip2,
    /// bzip2, many streams.
    Bzip2Streams,
    /// qcow2, clusters as they are.
    Qcow2,
    /// qcow2, clusters compressed.
    PackedQcow2,
}

impl Packing {
    /// Every packing.
    pub const ALL: [Self; 10] = [
        Self::Raw,
        Self::Gzip,
        Self::Zstd,
        Self::ZstdFrames,
        Self::Xz,
        Self::XzBlocks,
        Self::Bzip2,
        Self::Bzip2Streams,
        Self::Qcow2,
        Self::PackedQcow2,
    ];

    /// The file as a server would have it.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn pack(self, image: &[u8]) -> Result<Vec<u8>> {
        Ok(match self {
            Self::Raw => image.to_vec(),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(image)?;
                encoder.finish()?
            }
            Self::Zstd => zstd::encode_all(image, 1)?,
            Self::ZstdFrames => in_parts(image, |part| Ok(zstd::encode_all(part, 1)?))?,
            Self::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
                encoder.write_all(image)?;
                encoder.finish()?
            }
            Self::XzBlocks => {
                let stream =
                    liblzma::stream::MtStreamBuilder::new().threads(2).preset(0).block_size(PART as u64).encoder()?;
                let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
                encoder.write_all(image)?;
                encoder.finish()?
            }
            Self::Bzip2 => bzip2(image)?,
            Self::Bzip2Streams => in_parts(image, bzip2)?,
            Self::Qcow2 => qcow2(image, &[])?,
            Self::PackedQcow2 => qcow2(image, &["-c"])?,
        })
    }
}

fn bzip2(image: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(image)?;
    Ok(encoder.finish()?)
}

fn in_parts(image: &[u8], pack: impl Fn(&[u8]) -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    Ok(image.chunks(PART).map(pack).collect::<Result<Vec<_>>>()?.concat())
}

fn qcow2(image: &[u8], flags: &[&str]) -> Result<Vec<u8>> {
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join("raw"), image)?;
    let mut command = Command::new("qemu-img");
    command.args(["convert", "-f", "raw", "-O", "qcow2"]).args(flags).args(["raw", "qcow2"]).current_dir(&dir);
    let output = command.output()?;
    ensure!(output.status.success(), "qemu-img: {}", String::from_utf8_lossy(&output.stderr));
    Ok(std::fs::read(dir.path().join("qcow2"))?)
}

/// A disk image of `len` bytes with a partition table: noise, text and zeroes take turns.
pub fn bootable(len: usize) -> Vec<u8> {
    let mut image = vec![0; len];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for (index, piece) in image.chunks_mut(192 << 10).enumerate() {
        match index % 3 {
            0 => piece.iter_mut().for_each(|byte| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *byte = state as u8;
            }),
            1 => piece.iter_mut().enumerate().for_each(|(at, byte)| *byte = b"ferric image "[at % 13]),
            _ => {}
        }
    }
    // A master boot record with one partition of type Linux.
    image[446..462].copy_from_slice(&[0x80, 0, 2, 0, 0x83, 0, 0, 0, 8, 0, 0, 0, 0, 16, 0, 0]);
    image[462..510].fill(0);
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    image
}

/// A loop device full of an older installation.
///
/// # Errors
/// When there is no loop device.
pub fn used_disk(size_bytes: u64) -> Result<LoopDevice> {
    let disk = LoopDevice::new(size_bytes)?;
    fill_with_old(&disk)?;
    Ok(disk)
}

/// Puts the older installation on the disk.
///
/// # Errors
/// When it cannot be written.
pub fn fill_with_old(disk: &LoopDevice) -> Result<()> {
    let mut old = vec![0xa5; std::fs::metadata(disk.file())?.len() as usize];
    old[510..512].copy_from_slice(&[0x55, 0xaa]);
    let mut device = std::fs::File::options().write(true).open(disk.path())?;
    device.write_all(&old)?;
    Ok(device.sync_all()?)
}

/// What a disk holds after an attempt to write `image` to a [`used_disk`].
#[derive(Debug, PartialEq, Eq)]
pub enum State {
    /// The image, all of it.
    Written,
    /// Nothing that boots: both ends are empty.
    Wiped,
    /// As only a writer that was killed leaves it: the first end is empty and the rest as before, or everything is
    /// verified and in place but for a part of the first end.
    BetweenTheEnds,
    /// The older installation, all of it.
    Untouched,
}

/// Looks at the disk.
///
/// # Errors
/// When it is in none of the states that are allowed.
pub fn state(disk: &LoopDevice, image: &[u8]) -> Result<State> {
    let content = disk.read()?;
    let ends = [&content[..END.min(content.len())], &content[content.len().saturating_sub(END)..]];
    if content.starts_with(image) {
        return Ok(State::Written);
    }
    if ends.iter().all(|end| end.iter().all(|byte| *byte == 0)) {
        return Ok(State::Wiped);
    }
    let (head, rest) = content.split_at(END.min(content.len()));
    let committing = image.len() > END
        && rest.starts_with(&image[END..])
        && head.iter().zip(image).all(|(now, then)| *now == 0 || now == then);
    let wiping = head.iter().all(|byte| *byte == 0) && rest.iter().all(|byte| *byte == 0xa5);
    if committing || wiping {
        return Ok(State::BetweenTheEnds);
    }
    let untouched = content.iter().enumerate().all(|(at, byte)| match at {
        510 => *byte == 0x55,
        511 => *byte == 0xaa,
        _ => *byte == 0xa5,
    });
    if untouched {
        return Ok(State::Untouched);
    }
    let first = content.iter().zip(image).position(|(a, b)| a != b);
    bail!("neither written, wiped nor untouched: byte {first:?} is the first that differs from the image")
}
