//! What the driver of a network interface knows: SIOCETHTOOL (`include/uapi/linux/ethtool.h`).
#![expect(unsafe_code, reason = "SIOCETHTOOL takes a pointer inside a struct")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const SIOCETHTOOL: libc::Ioctl = 0x8946;
const ETHTOOL_GPERMADDR: u32 = 0x20;
const ETHTOOL_GLINKSETTINGS: u32 = 0x4c;

/// Size of `struct ethtool_link_settings` before its masks, in bytes.
const LINK_SETTINGS_BYTES: usize = 48;
/// Offset of `link_mode_masks_nwords` in it.
const MASK_WORDS_AT: usize = 15;

/// Speed in Mbit/s of the link modes by bit number (`enum ethtool_link_mode_bit_indices`); ranges of bits.
const SPEEDS: [(std::ops::RangeInclusive<usize>, u64); 34] = [
    (0..=1, 10),
    (2..=3, 100),
    (4..=5, 1_000),
    (12..=12, 10_000),
    (15..=15, 2_500),
    (17..=17, 1_000),
    (18..=20, 10_000),
    (21..=22, 20_000),
    (23..=26, 40_000),
    (27..=30, 56_000),
    (31..=33, 25_000),
    (34..=35, 50_000),
    (36..=39, 100_000),
    (40..=40, 50_000),
    (41..=41, 1_000),
    (42..=46, 10_000),
    (47..=47, 2_500),
    (48..=48, 5_000),
    (52..=56, 50_000),
    (57..=61, 100_000),
    (62..=66, 200_000),
    (67..=67, 100),
    (68..=68, 1_000),
    (69..=73, 400_000),
    (75..=79, 100_000),
    (80..=84, 200_000),
    (85..=89, 400_000),
    (90..=91, 100),
    (92..=92, 10),
    (93..=98, 800_000),
    (99..=102, 10),
    (103..=108, 200_000),
    (109..=114, 400_000),
    (115..=120, 800_000),
];

/// A socket to ask network drivers through.
#[derive(Debug)]
pub struct Ethtool(File);

impl Ethtool {
    /// Opens the socket.
    ///
    /// # Errors
    /// When no socket can be made.
    pub fn open() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked.
        let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and belongs to nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }.into()))
    }

    /// The burnt-in hardware address; nothing when the driver does not tell or it is all zeroes.
    pub fn permanent_address(&self, interface: &str) -> Option<Vec<u8>> {
        let mut buffer = [0u32; 2 + 8];
        buffer[0] = ETHTOOL_GPERMADDR;
        buffer[1] = 32;
        self.call(interface, &mut buffer).ok()?;
        let length = usize::try_from(buffer[1]).ok()?.min(32);
        let address: Vec<u8> = buffer[2..].iter().flat_map(|word| word.to_ne_bytes()).take(length).collect();
        address.iter().any(|byte| *byte != 0).then_some(address)
    }

    /// The highest speed that the interface supports, in Mbit/s.
    pub fn highest_speed_mbps(&self, interface: &str) -> Option<u64> {
        let mut buffer = [0u32; (LINK_SETTINGS_BYTES + 3 * 4 * 127) / 4];
        buffer[0] = ETHTOOL_GLINKSETTINGS;
        self.call(interface, &mut buffer).ok()?;
        // The kernel answers the first call with the number of words it wants, negated.
        let words = -(mask_words(&buffer));
        buffer.fill(0);
        buffer[0] = ETHTOOL_GLINKSETTINGS;
        let mut bytes = buffer[MASK_WORDS_AT / 4].to_ne_bytes();
        bytes[MASK_WORDS_AT % 4] = u8::try_from(words).ok()?;
        buffer[MASK_WORDS_AT / 4] = u32::from_ne_bytes(bytes);
        self.call(interface, &mut buffer).ok()?;
        let words = usize::try_from(mask_words(&buffer)).ok()?;
        highest_speed(buffer.get(LINK_SETTINGS_BYTES / 4..LINK_SETTINGS_BYTES / 4 + words)?)
    }

    fn call(&self, interface: &str, buffer: &mut [u32]) -> io::Result<()> {
        // SAFETY: all zeroes is a valid ifreq.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        if interface.len() >= request.ifr_name.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_data = buffer.as_mut_ptr().cast();
        // SAFETY: the request points to a buffer that outlives the call and is large enough for both commands:
        // 32 bytes of address, or masks of at most 127 words.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), SIOCETHTOOL, &mut request) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// `link_mode_masks_nwords`, a signed byte.
fn mask_words(settings: &[u32]) -> i8 {
    i8::from_ne_bytes([settings[MASK_WORDS_AT / 4].to_ne_bytes()[MASK_WORDS_AT % 4]])
}

fn highest_speed(supported: &[u32]) -> Option<u64> {
    let is_set = |bit: usize| supported.get(bit / 32).is_some_and(|word| word & (1 << (bit % 32)) != 0);
    let known = SPEEDS.iter().filter(|(bits, _)| bits.clone().any(is_set));
    known.map(|(_, speed)| *speed).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_supported_mode_counts() {
        // Intel 82574L: 10 to 1000 full and half, autonegotiation, twisted pair.
        assert_eq!(highest_speed(&[0b1110_1111, 0]), Some(1_000));
        // Bits without a speed: autonegotiation, pause, forward error correction.
        assert_eq!(highest_speed(&[1 << 6 | 1 << 13, 1 << 17 | 1 << 18]), None);
        assert_eq!(highest_speed(&[1 << 12, 1 << 31]), Some(200_000));
    }
}
