//! Listening for what the switches say of themselves (IEEE 802.1AB).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use serde::{Deserialize, Serialize};

use crate::packet;

const ETHERTYPE: u16 = 0x88cc;
/// Destination, source, protocol.
const ETHERNET_HEADER_BYTES: usize = 14;

/// One piece of information: its type, and its value in lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tlv(pub u8, pub String);

/// Waits for one frame on each of the `interfaces` and returns what was said; silent interfaces have an empty list.
///
/// `patience` is the time to wait for the next frame, whichever interface it comes from. Interfaces that cannot be
/// listened to are logged and left out.
pub fn listen(interfaces: &[String], patience: Duration) -> BTreeMap<String, Vec<Tlv>> {
    let mut heard: BTreeMap<String, Vec<Tlv>> = BTreeMap::new();
    let mut waiting: BTreeMap<u64, (String, File)> = BTreeMap::new();
    let Ok(epoll) = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC) else { return heard };
    for (key, name) in (0u64..).zip(interfaces) {
        let socket = nix::net::if_::if_nametoindex(name.as_str())
            .map_err(std::io::Error::from)
            .and_then(|index| packet::open(index, ETHERTYPE))
            .and_then(|socket| {
                epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, key)).map_err(std::io::Error::from)?;
                Ok(socket)
            });
        match socket {
            Ok(socket) => {
                heard.insert(name.clone(), Vec::new());
                waiting.insert(key, (name.clone(), socket));
            }
            Err(error) => tracing::warn!(interface = %name, %error, "cannot listen for LLDP"),
        }
    }
    let mut deadline = Instant::now() + patience;
    while !waiting.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut events = [EpollEvent::empty(); 16];
        let timeout = EpollTimeout::try_from(left).unwrap_or(EpollTimeout::MAX);
        let Ok(count) = epoll.wait(&mut events, timeout) else { continue };
        if count == 0 && left.is_zero() {
            break;
        }
        for event in &events[..count] {
            let Some((name, mut socket)) = waiting.remove(&event.data()) else { continue };
            let _ = epoll.delete(&socket);
            let mut frame = [0; 1600];
            let length = socket.read(&mut frame).unwrap_or(0);
            heard.insert(name, parse(frame[..length].get(ETHERNET_HEADER_BYTES..).unwrap_or_default()));
            deadline = Instant::now() + patience;
        }
    }
    heard
}

/// Splits the body of a frame: 7 bits of type, 9 bits of length, value. A last value may be cut short.
pub fn parse(mut body: &[u8]) -> Vec<Tlv> {
    let mut tlvs = Vec::new();
    while let [high, low, rest @ ..] = body {
        let length = usize::from(high & 1) << 8 | usize::from(*low);
        let value = &rest[..length.min(rest.len())];
        tlvs.push(Tlv(high >> 1, value.iter().map(|byte| format!("{byte:02x}")).collect()));
        body = &rest[value.len()..];
    }
    tlvs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_split_into_its_parts() {
        let frame = [2, 7, 4, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0xfe, 4, 0, 0x80, 0xc2, 3, 0, 0, 9];
        let expected = [(1, "04aabbccddeeff"), (127, "0080c203"), (0, "")];
        assert_eq!(parse(&frame), expected.map(|(kind, value)| Tlv(kind, value.to_string())));
        // Cut short: what is there is kept.
        assert_eq!(parse(&[2, 7, 4, 0xaa]), [Tlv(1, "04aa".to_string())]);
        assert!(parse(&[]).is_empty());
    }
}
