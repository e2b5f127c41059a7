//! Listening for what the switches say of themselves (IEEE 802.1AB).

pub(crate) mod tlv;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

pub use self::tlv::{Tlv, parse};
use crate::machine::Machine;
use crate::{nic, packet};

const ETHERTYPE: u16 = 0x88cc;
/// Destination, source, protocol.
const ETHERNET_HEADER_BYTES: usize = 14;
/// The longest frame that fits jumbo networks.
const FRAME_BYTES: usize = 9216;
/// How often interfaces and their links are looked at.
const POLL: Duration = Duration::from_millis(250);
/// What the standard recommends between two transmissions (msgTxInterval): where one switch speaks, the others have
/// spoken by then.
const INTERVAL: Duration = Duration::from_secs(30);

/// What was said on each interface; empty for silent ones.
pub type Heard = BTreeMap<String, Vec<Tlv>>;

/// A capture that runs beside everything else. Copies are the same capture.
///
/// It ends when every interface that has a link has heard its switch: one frame each is enough. In a silent network it
/// ends after its limit; once any switch has spoken the others get the 30 s that may lie between two of their frames.
#[derive(Debug, Clone)]
pub struct Capture(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    heard: Heard,
    ended: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Capture {
    /// Starts to listen on the interfaces of the machine that the inventory shows; `limit` is for silent networks.
    pub fn start(machine: &Machine, limit: Duration) -> Self {
        let capture = Self(Arc::default());
        let (shared, machine) = (capture.0.clone(), machine.clone());
        std::thread::spawn(move || {
            listen(&machine, limit, &shared);
            shared.state().ended = true;
            shared.changed.notify_all();
        });
        capture
    }

    /// Waits for the end of the capture, and returns what was said. An interface that could not be listened to is missing.
    pub fn wait(&self) -> Heard {
        let state = self.0.changed.wait_while(self.0.state(), |state| !state.ended);
        state.unwrap_or_else(|poisoned| poisoned.into_inner()).heard.clone()
    }
}

/// Sockets by interface, and which of them have not heard anything.
struct Listener {
    epoll: Epoll,
    sockets: BTreeMap<u64, (String, File)>,
    /// Interfaces that cannot be listened to.
    failed: BTreeSet<String>,
    next: u64,
}

fn listen(machine: &Machine, limit: Duration, shared: &Shared) {
    let started = Instant::now();
    let epoll = match Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC) {
        Ok(epoll) => epoll,
        Err(error) => return tracing::warn!(%error, "cannot listen for LLDP"),
    };
    let mut listener = Listener { epoll, sockets: BTreeMap::new(), failed: BTreeSet::new(), next: 0 };
    loop {
        for name in nic::names(machine) {
            let is_new = !shared.state().heard.contains_key(&name) && !listener.failed.contains(&name);
            if is_new && listener.open(&name) {
                shared.state().heard.insert(name, Vec::new());
            }
        }
        let any = shared.state().heard.values().any(|tlvs| !tlvs.is_empty());
        let limit = if any { limit.max(INTERVAL) } else { limit };
        let left = limit.saturating_sub(started.elapsed());
        if left.is_zero() || any && !listener.waits_for_a_link(machine) {
            return;
        }
        for (name, tlvs) in listener.receive(left.min(POLL)) {
            tracing::info!(interface = name, tlvs = tlvs.len(), "heard LLDP");
            shared.state().heard.insert(name, tlvs);
        }
    }
}

impl Listener {
    fn open(&mut self, name: &str) -> bool {
        let opened = nix::net::if_::if_nametoindex(name)
            .map_err(std::io::Error::from)
            .and_then(|index| packet::open(index, ETHERTYPE))
            .and_then(|socket| {
                let event = EpollEvent::new(EpollFlags::EPOLLIN, self.next);
                self.epoll.add(socket.as_fd(), event).map_err(std::io::Error::from)?;
                Ok(socket)
            });
        match opened {
            Ok(socket) => {
                self.sockets.insert(self.next, (name.to_string(), socket));
                self.next += 1;
                true
            }
            Err(error) => {
                tracing::warn!(interface = name, %error, "cannot listen for LLDP");
                self.failed.insert(name.to_string());
                false
            }
        }
    }

    /// Whether an interface that has a link has not heard anything.
    fn waits_for_a_link(&self, machine: &Machine) -> bool {
        let has_link = |name: &str| machine.read(format!("/sys/class/net/{name}/carrier")).as_deref() == Some("1");
        self.sockets.values().any(|(name, _)| has_link(name))
    }

    /// Waits for frames, and closes the sockets of interfaces that have got one.
    fn receive(&mut self, limit: Duration) -> Vec<(String, Vec<Tlv>)> {
        let mut events = [EpollEvent::empty(); 16];
        let timeout = EpollTimeout::try_from(limit).unwrap_or(EpollTimeout::MAX);
        let count = self.epoll.wait(&mut events, timeout).unwrap_or(0);
        let mut heard = Vec::new();
        for event in &events[..count] {
            let key = event.data();
            let Some((name, socket)) = self.sockets.get_mut(&key) else { continue };
            let mut frame = [0; FRAME_BYTES];
            let tlvs = match socket.read(&mut frame) {
                Ok(length) => parse(frame[..length].get(ETHERNET_HEADER_BYTES..).unwrap_or_default()),
                // The link went down: it may come up again.
                Err(_) => Vec::new(),
            };
            // What says nothing is no word of a switch.
            if tlvs.is_empty() {
                continue;
            }
            heard.push((name.clone(), tlvs));
            if let Some((_, socket)) = self.sockets.remove(&key) {
                self.epoll.delete(&socket).ok();
            }
        }
        heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_interfaces_ends_with_its_limit() {
        let empty = tempfile::tempdir().unwrap();
        let capture = Capture::start(&Machine::at(empty.path()), Duration::from_millis(20));
        assert!(capture.clone().wait().is_empty());
        assert!(capture.wait().is_empty(), "a second time at once");
    }
}
