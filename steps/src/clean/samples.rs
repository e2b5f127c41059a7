//! Looking whether an erase did anything: a device that reports success and keeps its data must not pass.

use std::os::unix::fs::FileExt;

use ferric_hardware::open_device::{DeviceError, OpenDevice};
use ferric_hardware::units::Bytes;

const COUNT: u64 = 64;
const SAMPLE_BYTES: u64 = 4096;

/// What stood at places spread over a device, first and last block included.
#[derive(Debug)]
pub(super) struct Samples(Vec<(u64, Vec<u8>)>);

/// The places that are looked at.
fn places(size: Bytes) -> Vec<u64> {
    let last = size.0.saturating_sub(SAMPLE_BYTES);
    let mut places: Vec<u64> = (0..COUNT)
        .map(|n| (u128::from(last) * u128::from(n) / u128::from(COUNT - 1)) as u64 / SAMPLE_BYTES * SAMPLE_BYTES)
        .collect();
    places.push(last);
    places.dedup();
    places
}

impl Samples {
    /// Remembers what stands there now.
    ///
    /// # Errors
    /// When the device cannot be read.
    pub(super) fn take(device: &OpenDevice) -> Result<Self, DeviceError> {
        places(device.size()).into_iter().map(|at| Ok((at, read(device, at)?))).collect::<Result<_, _>>().map(Self)
    }

    /// Makes sure that none of it is still there. Blocks that held the same byte throughout prove nothing.
    ///
    /// # Errors
    /// [`DeviceError::Refused`] names the first place that kept its data.
    pub(super) fn verify_gone(&self, device: &OpenDevice) -> Result<(), DeviceError> {
        for (at, before) in &self.0 {
            let telling = before.iter().any(|byte| *byte != before[0]);
            if telling && *at + before.len() as u64 <= device.size().0 && read(device, *at)? == *before {
                let reason = format!("the device reported that it is erased, but byte {at} still has its data");
                return Err(DeviceError::Refused { device: device.name().to_string(), reason });
            }
        }
        Ok(())
    }
}

/// Makes sure that the device reads as zeros at all sampled places.
///
/// # Errors
/// [`DeviceError::NotZero`] names the first byte that does not.
pub(super) fn verify_zero(device: &OpenDevice) -> Result<(), DeviceError> {
    let length = Bytes(SAMPLE_BYTES.min(device.size().0));
    places(device.size()).into_iter().try_for_each(|at| device.verify_zero(Bytes(at), length))
}

fn read(device: &OpenDevice, at: u64) -> Result<Vec<u8>, DeviceError> {
    let mut bytes = vec![0; SAMPLE_BYTES.min(device.size().0) as usize];
    device.file().read_exact_at(&mut bytes, at).map_err(|cause| DeviceError::Io {
        device: device.name().to_string(),
        action: "reading a sample",
        cause,
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_reach_from_the_first_to_the_last_block() {
        for size in [1, 4096, 10_000, 1 << 20, 1 << 44] {
            let places = places(Bytes(size));
            assert_eq!(places[0], 0);
            assert_eq!(places.last().unwrap() + SAMPLE_BYTES.min(size), size);
        }
    }
}
