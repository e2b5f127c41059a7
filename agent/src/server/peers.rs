//! How many connections there are, and to whom: a peer that opens many must not keep the conductor out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

/// Connections at once; well below the open files that the agent may have.
const MOST: usize = 512;
/// Connections at once with one peer.
const MOST_PER_PEER: usize = 64;

/// The open connections by peer.
#[derive(Debug, Clone, Default)]
pub(super) struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection that counts until this is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    peers: Peers,
    peer: IpAddr,
}

impl Peers {
    /// Counts a connection with `address`; nothing when there are too many.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Counted> {
        let peer = network(address);
        let mut open = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let all: usize = open.values().sum();
        let own = open.entry(peer).or_default();
        if all >= MOST || *own >= MOST_PER_PEER {
            return None;
        }
        *own += 1;
        Some(Counted { peers: self.clone(), peer })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.peers.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(own) = open.get_mut(&self.peer) {
            *own -= 1;
        }
        open.retain(|_, own| *own > 0);
    }
}

/// A host has one IPv4 address, and as many as it likes of an IPv6 network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        canonical => canonical,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_peer_does_not_keep_another_out() {
        let peers = Peers::default();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut open: Vec<Counted> =
            (0..MOST_PER_PEER).map(|number| peers.admit(address(&format!("2001:db8::{number:x}"))).unwrap()).collect();
        assert!(peers.admit(address("2001:db8::ffff")).is_none());
        assert!(peers.admit(address("2001:db8:0:1::1")).is_some());
        open.pop();
        assert!(peers.admit(address("2001:db8::ffff")).is_some());
        assert_eq!(network(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }

    #[test]
    fn all_together_have_a_limit() {
        let peers = Peers::default();
        let open: Vec<Counted> = (0..1000)
            .filter_map(|number| peers.admit([10, 0, (number / 250) as u8, (number % 250) as u8].into()))
            .collect();
        assert_eq!(open.len(), MOST);
    }
}
