//! Who may change which node.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use uuid::Uuid;

/// The locked nodes.
#[derive(Debug)]
pub struct Locks {
    /// Locked nodes, and whether a heartbeat came meanwhile.
    taken: Mutex<HashMap<Uuid, bool>>,
    released: UnboundedSender<Uuid>,
}

/// Nodes whose heartbeat came while they were locked, as soon as they no longer are.
pub type Released = UnboundedReceiver<Uuid>;

/// The right to change one node, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    locks: Arc<Locks>,
    node: Uuid,
}

impl Locks {
    /// No locks, and where those that are released with a heartbeat waiting turn up.
    pub fn new() -> (Arc<Self>, Released) {
        let (released, receiver) = unbounded_channel();
        (Arc::new(Self { taken: Mutex::default(), released }), receiver)
    }

    /// Takes the lock of a node, or nothing when another operation has it.
    pub fn take(self: &Arc<Self>, node: Uuid) -> Option<Lock> {
        match self.taken().entry(node) {
            Entry::Occupied(_) => None,
            Entry::Vacant(free) => {
                free.insert(false);
                Some(Lock { locks: Arc::clone(self), node })
            }
        }
    }

    /// As [`Locks::take`]; when another operation has it, the heartbeat is remembered until its end.
    pub fn take_for_heartbeat(self: &Arc<Self>, node: Uuid) -> Option<Lock> {
        match self.taken().entry(node) {
            Entry::Occupied(mut taken) => {
                taken.insert(true);
                None
            }
            Entry::Vacant(free) => {
                free.insert(false);
                Some(Lock { locks: Arc::clone(self), node })
            }
        }
    }

    /// Whether an operation has the node's lock.
    pub fn is_taken(&self, node: Uuid) -> bool {
        self.taken().contains_key(&node)
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Uuid, bool>> {
        self.taken.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Lock {
    /// Whose it is.
    pub fn node(&self) -> Uuid {
        self.node
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let heartbeat_waits = self.locks.taken().remove(&self.node).unwrap_or_default();
        if heartbeat_waits {
            // Fails at the end of everything, when nobody handles heartbeats any more.
            let _ = self.locks.released.send(self.node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_that_met_a_lock_comes_back() {
        let (locks, mut released) = Locks::new();
        let node = Uuid::new_v4();
        let lock = locks.take(node).unwrap();
        assert!(locks.take(node).is_none() && locks.is_taken(node));
        drop(lock);
        assert!(released.try_recv().is_err(), "no heartbeat came");
        let lock = locks.take_for_heartbeat(node).unwrap();
        assert!(locks.take_for_heartbeat(node).is_none());
        drop(lock);
        assert_eq!(released.try_recv(), Ok(node));
        assert!(!locks.is_taken(node));
    }
}
