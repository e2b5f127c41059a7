//! Looking whether an erase did anything: a device that reports success and keeps its data must not pass.

use std::hash::{DefaultHasher, Hasher};

use ferric_hardware::open_device::{DeviceError, OpenDevice};
use ferric_hardware::units::Bytes;
use ferric_hardware::watch::Watch;
use rand::RngExt;

use super::record::{Found, Verified};

/// How many places are looked at when nobody wants more.
const COUNT: u64 = 64;
/// What is read there, and what is remembered of a device.
const BLOCK_BYTES: u64 = 4096;
/// What is read at a place when a part of the device is to be read.
const PART_BYTES: u64 = 1 << 20;
/// As much as is remembered of a device: 4 GiB of blocks in some 24 MiB.
const MOST_REMEMBERED: u64 = 1 << 20;

/// Where a device is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places {
    starts: Vec<u64>,
    length: u64,
}

impl Places {
    /// 64 blocks, or `percent` of the device in larger pieces (100: all of it): the first and the last one, and between
    /// them one at random in each of as many equal parts.
    pub(super) fn of(size: Bytes, percent: u8) -> Self {
        let length = if percent == 0 { BLOCK_BYTES } else { PART_BYTES }.min(size.0.max(1));
        if percent >= 100 {
            return Self { starts: (0..size.0).step_by(length as usize).collect(), length };
        }
        let count = (u128::from(size.0) * u128::from(percent) / 100 / u128::from(length)) as u64;
        let count = count.max(COUNT);
        let last = size.0.saturating_sub(length);
        let mut random = rand::rng();
        let between = (0..count).map(|n| {
            let edge = |n: u64| (u128::from(last) * u128::from(n) / u128::from(count)) as u64;
            let (from, to) = (edge(n), edge(n + 1).max(edge(n) + 1));
            random.random_range(from..to) / BLOCK_BYTES * BLOCK_BYTES
        });
        let mut starts: Vec<u64> = std::iter::once(0).chain(between).chain([last]).collect();
        starts.dedup();
        Self { starts, length }
    }

    /// The place at `start` on a device of that size.
    fn length_at(&self, start: u64, size: Bytes) -> u64 {
        self.length.min(size.0.saturating_sub(start))
    }
}

/// What stood at places spread over a device.
#[derive(Debug)]
pub(super) struct Samples {
    blocks: Vec<(u64, u64)>,
    seen: u64,
}

impl Samples {
    /// Remembers what stands there now.
    ///
    /// # Errors
    /// When the device cannot be read.
    pub(super) fn take(device: &OpenDevice, places: &Places, watch: &dyn Watch) -> Result<Self, DeviceError> {
        let mut samples = Self { blocks: Vec::new(), seen: 0 };
        for start in &places.starts {
            let length = places.length_at(*start, device.size());
            for at in (*start..*start + length).step_by(BLOCK_BYTES as usize) {
                if samples.seen == MOST_REMEMBERED {
                    return Ok(samples);
                }
                samples.seen += 1;
                let block = read(device, at, watch)?;
                // Blocks that hold the same byte throughout prove nothing.
                if block.iter().any(|byte| *byte != block[0]) {
                    samples.blocks.push((at, digest(&block)));
                }
            }
        }
        Ok(samples)
    }

    /// Makes sure that none of it is still there.
    ///
    /// # Errors
    /// [`DeviceError::Refused`] names the first place that kept its data.
    pub(super) fn verify_gone(&self, device: &OpenDevice, watch: &dyn Watch) -> Result<Verified, DeviceError> {
        for (at, before) in self.blocks.iter().filter(|(at, _)| *at < device.size().0) {
            if digest(&read(device, *at, watch)?) == *before {
                let reason = format!("the device reported that it is erased, but byte {at} still has its data");
                return Err(DeviceError::Refused { device: device.name().to_string(), reason });
            }
        }
        let samples = self.blocks.len() as u64;
        let found = if samples == 0 { Found::NothingToCompare } else { Found::NoOldData };
        Ok(Verified { samples, bytes: samples * BLOCK_BYTES, found })
    }
}

/// Makes sure that the device reads as zeros at these places.
///
/// # Errors
/// [`DeviceError::NotZero`] names the first byte that does not.
pub(super) fn verify_zero(device: &OpenDevice, places: &Places, watch: &dyn Watch) -> Result<Verified, DeviceError> {
    let mut bytes = 0;
    for start in &places.starts {
        if watch.cancelled() {
            return Err(DeviceError::Cancelled { device: device.name().to_string() });
        }
        let length = places.length_at(*start, device.size());
        device.verify_zero(Bytes(*start), Bytes(length))?;
        watch.advance(0);
        bytes += length;
    }
    Ok(Verified { samples: places.starts.len() as u64, bytes, found: Found::Zeros })
}

fn digest(block: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(block);
    hasher.finish()
}

fn read(device: &OpenDevice, at: u64, watch: &dyn Watch) -> Result<Vec<u8>, DeviceError> {
    if watch.cancelled() {
        return Err(DeviceError::Cancelled { device: device.name().to_string() });
    }
    let mut bytes = vec![0; BLOCK_BYTES.min(device.size().0 - at) as usize];
    device.read(&mut bytes, Bytes(at))?;
    watch.advance(0);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_reach_from_the_first_to_the_last_block() {
        for size in [1, 4096, 10_000, 1 << 20, 1 << 44] {
            let places = Places::of(Bytes(size), 0);
            assert_eq!(places.starts[0], 0);
            let last = *places.starts.last().unwrap();
            assert_eq!(last + places.length_at(last, Bytes(size)), size);
            assert!(places.starts.is_sorted());
        }
        assert_eq!(Places::of(Bytes(1 << 44), 0).starts.len(), 66);
    }

    #[test]
    fn a_part_of_the_device_is_that_part_and_all_of_it_is_all() {
        let size = Bytes::gib(100);
        let tenth = Places::of(size, 10);
        assert_eq!(tenth.starts.len() as u64 - 2, 10 * 1024);
        let all = Places::of(Bytes((3 << 20) + 512), 100);
        assert_eq!(all.starts, [0, 1 << 20, 2 << 20, 3 << 20]);
        assert_eq!(all.length_at(3 << 20, Bytes((3 << 20) + 512)), 512);
    }
}
