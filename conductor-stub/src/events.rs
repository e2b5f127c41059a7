//! What changes, as it happens: a bounded log that any number of readers follow, each at its own pace.
//!
//! A reader is a position in the log and no queue: one that is slow, or comes back later, reads on from there. What a
//! machine is like is in the log once, as it is now; what happened is there in order. Whoever was away for too long is
//! told that something is missing, and asks for everything again.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard};

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use uuid::Uuid;

/// Entries that are kept.
const ENTRIES: usize = 16 * 1024;
/// Bytes of them that are kept.
const BYTES: usize = 8 << 20;
/// Entries handed out at once.
const BATCH: usize = 512;
/// Readers that there may be.
const READERS: usize = 256;

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A machine, as it is now.
    Node,
    /// How far its running step is; `null` when none runs.
    Progress,
    /// Something happened to it.
    History,
    /// It is no longer known.
    Gone,
}

impl Kind {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Progress => "progress",
            Self::History => "history",
            Self::Gone => "gone",
        }
    }

    /// Whether only the last entry of each machine is of interest.
    fn is_state(self) -> bool {
        matches!(self, Self::Node | Self::Progress)
    }
}

/// One entry.
#[derive(Debug)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// What it is about.
    pub kind: Kind,
    /// Which machine.
    pub node: Uuid,
    /// What there is to say, JSON in one line.
    pub json: String,
}

/// A place in the log of one run of the conductor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Which run.
    run: u32,
    number: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.run, self.number)
    }
}

/// Not a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of an event")]
pub struct NoPosition;

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let (run, number) = text.split_once('-').ok_or(NoPosition)?;
        let run = u32::from_str_radix(run, 16).map_err(|_| NoPosition)?;
        Ok(Self { run, number: number.parse().map_err(|_| NoPosition)? })
    }
}

/// What stood at this position, or soon after it, is not known any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("events after this one are forgotten")]
pub struct Forgotten;

/// The log.
#[derive(Debug)]
pub struct Events {
    run: u32,
    log: Mutex<Log>,
    /// The number of the newest entry; `u64::MAX` at the end.
    newest: watch::Sender<u64>,
    places: Arc<Semaphore>,
}

/// The right to read, until it is dropped.
pub type Place = OwnedSemaphorePermit;

#[derive(Debug, Default)]
struct Log {
    entries: BTreeMap<u64, Arc<Entry>>,
    /// The last entry of each machine, of the kinds of which only that counts.
    states: HashMap<(Kind, Uuid), u64>,
    bytes: usize,
    newest: u64,
    /// The newest entry that had to go.
    forgotten: u64,
}

impl Default for Events {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(READERS));
        Self { run: rand::random(), log: Mutex::default(), newest: watch::Sender::new(0), places }
    }
}

impl Events {
    /// Adds what there is to say about a machine; nothing, if that was said before.
    pub fn add(&self, kind: Kind, node: Uuid, what: &impl Serialize) {
        let Ok(json) = serde_json::to_string(what) else { return };
        let mut log = self.log();
        if !log.says_anew(kind, node, &json) {
            return;
        }
        log.newest += 1;
        let number = log.newest;
        log.insert(number, Entry { position: Position { run: self.run, number }, kind, node, json });
        drop(log);
        // Nobody listens as long as there is no reader.
        self.newest.send_if_modified(|newest| {
            let is_newer = *newest < number;
            *newest = (*newest).max(number);
            is_newer
        });
    }

    /// Where the log is now.
    pub fn position(&self) -> Position {
        Position { run: self.run, number: self.log().newest }
    }

    /// What follows after `position`, as far as it is handed out at once, and the position after that.
    ///
    /// # Errors
    /// When something that followed is not there any more.
    pub fn after(&self, position: Position) -> Result<(Vec<Arc<Entry>>, Position), Forgotten> {
        let log = self.log();
        if position.run != self.run || position.number < log.forgotten || position.number > log.newest {
            return Err(Forgotten);
        }
        let entries: Vec<_> =
            log.entries.range(position.number + 1..).take(BATCH).map(|(_, entry)| Arc::clone(entry)).collect();
        let number = if entries.len() < BATCH { log.newest } else { entries[BATCH - 1].position.number };
        Ok((entries, Position { run: self.run, number }))
    }

    /// A place for one more reader, if there is one.
    pub fn place(&self) -> Option<Place> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// How many read.
    pub fn readers(&self) -> usize {
        READERS - self.places.available_permits()
    }

    /// Whoever waits on this sees how far the log is.
    pub fn watch(&self) -> Watch {
        Watch(self.newest.subscribe())
    }

    /// No more entries: readers go home.
    pub fn end(&self) {
        self.newest.send_replace(u64::MAX);
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The end of a log that grows.
#[derive(Debug)]
pub struct Watch(watch::Receiver<u64>);

impl Watch {
    /// Whether the log has ended.
    pub fn is_over(&self) -> bool {
        *self.0.borrow() == u64::MAX
    }

    /// Returns when there is more than `position`; false at the end of the log.
    pub async fn more_than(&mut self, position: Position) -> bool {
        self.0.wait_for(|newest| *newest > position.number).await.is_ok_and(|newest| *newest != u64::MAX)
    }
}

impl Log {
    fn says_anew(&self, kind: Kind, node: Uuid, json: &str) -> bool {
        let last = self.states.get(&(kind, node)).and_then(|number| self.entries.get(number));
        last.is_none_or(|last| last.json != json)
    }

    fn insert(&mut self, number: u64, entry: Entry) {
        if entry.kind.is_state() {
            let before = self.states.insert((entry.kind, entry.node), number);
            self.remove(before);
        }
        if entry.kind == Kind::Gone {
            for kind in [Kind::Node, Kind::Progress] {
                let last = self.states.remove(&(kind, entry.node));
                self.remove(last);
            }
        }
        self.bytes += entry.json.len();
        self.entries.insert(number, Arc::new(entry));
        while self.entries.len() > ENTRIES || self.bytes > BYTES {
            let Some((number, oldest)) = self.entries.pop_first() else { break };
            self.bytes -= oldest.json.len();
            self.forgotten = number;
            if self.states.get(&(oldest.kind, oldest.node)) == Some(&number) {
                self.states.remove(&(oldest.kind, oldest.node));
            }
        }
    }

    fn remove(&mut self, number: Option<u64>) {
        if let Some(entry) = number.and_then(|number| self.entries.remove(&number)) {
            self.bytes -= entry.json.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(events: &Events, position: Position) -> Vec<String> {
        events.after(position).unwrap().0.iter().map(|entry| entry.json.clone()).collect()
    }

    #[test]
    fn a_machine_is_in_the_log_once_and_what_happened_stays() {
        let (events, node) = (Events::default(), Uuid::new_v4());
        let start = events.position();
        for number in 0..3 {
            events.add(Kind::Node, node, &number);
            events.add(Kind::History, node, &"x");
        }
        assert_eq!(texts(&events, start), ["\"x\"", "\"x\"", "2", "\"x\""]);
        let now = events.position();
        events.add(Kind::Node, node, &2);
        assert_eq!(events.position(), now, "nothing new");
        events.add(Kind::Gone, node, &"gone");
        assert_eq!(texts(&events, start), ["\"x\"", "\"x\"", "\"x\"", "\"gone\""]);
    }

    #[test]
    fn who_was_away_for_too_long_is_told() {
        let events = Events::default();
        let start = events.position();
        for _ in 0..=ENTRIES {
            events.add(Kind::History, Uuid::nil(), &"x");
        }
        assert_eq!(events.after(start).unwrap_err(), Forgotten);
        let next = Position { number: 1, ..start };
        let (entries, position) = events.after(next).unwrap();
        assert_eq!((entries.len(), position.number), (BATCH, 1 + BATCH as u64));
        assert_eq!(Events::default().after(start).unwrap_err(), Forgotten, "another run");
        for _ in 0..10 {
            events.add(Kind::History, Uuid::nil(), &"x".repeat(BYTES / 4));
        }
        assert!(events.log().bytes <= BYTES && events.log().entries.len() < 5);
    }

    #[test]
    fn positions_are_read_as_they_are_written() {
        let position = Events::default().position();
        assert_eq!(position.to_string().parse(), Ok(position));
        for text in ["", "7", "x-1", "1-x", "-"] {
            assert_eq!(text.parse::<Position>(), Err(NoPosition), "{text}");
        }
    }

    #[tokio::test]
    async fn readers_wait_for_more_and_go_home_at_the_end() {
        let events = Events::default();
        let (mut watch, start) = (events.watch(), events.position());
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), watch.more_than(start)).await.is_err());
        events.add(Kind::History, Uuid::nil(), &"x");
        assert!(watch.more_than(start).await);
        events.end();
        assert!(!watch.more_than(events.position()).await);
    }
}
