//! The log of a database (WAL) is taken over into its file: the one moment at which a disk has to be waited for.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::StoreError;

/// Between two of them.
const PAUSE: Duration = Duration::from_secs(1);
/// A log of so many pages (4 KiB each) is begun anew when all of it has been taken over.
const USUAL_LOG_PAGES: i64 = 1 << 10;
/// One of so many is begun anew while whoever wants to write waits: it would not end otherwise where there is always somebody
/// who writes.
const LONGEST_LOG_PAGES: i64 = 16 << 10;
/// How long a reader of the log is waited for, and with it those who want to write.
const BUSY: Duration = Duration::from_millis(100);

/// A thread that takes the log over, until this is dropped.
#[derive(Debug)]
pub(super) struct Checkpoints {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// Starts it, with a connection of its own.
    pub(super) fn start(connection: Connection) -> Result<Self, StoreError> {
        let (end, ended) = channel::<()>();
        connection.busy_timeout(BUSY)?;
        let thread = std::thread::Builder::new().name("checkpoints".into()).spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(PAUSE) {
                if let Err(error) = take_over(&connection) {
                    tracing::warn!("the log of the database stays: {error}");
                }
            }
        })?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn take_over(connection: &Connection) -> rusqlite::Result<()> {
    let (pages, taken_over): (i64, i64) =
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))?;
    if (pages == taken_over && pages > USUAL_LOG_PAGES) || pages > LONGEST_LOG_PAGES {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_log_gets_into_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("db");
        let writer = Connection::open(&file).unwrap();
        writer.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x);").unwrap();
        let checkpoints = Checkpoints::start(Connection::open(&file).unwrap()).unwrap();
        let size = || std::fs::metadata(&file).unwrap().len();
        let log = || std::fs::metadata(folder.path().join("db-wal")).unwrap().len();
        writer.execute("INSERT INTO t VALUES (zeroblob(8000000))", []).unwrap();
        assert!(log() > 8_000_000, "{}", log());
        for _ in 0..600 {
            if size() > 8_000_000 && log() == 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(size() > 8_000_000 && log() == 0, "{} {}", size(), log());
        drop(checkpoints);
    }
}
