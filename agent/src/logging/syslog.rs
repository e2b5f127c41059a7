//! The system's log (syslog(3)): one datagram per event to `/dev/log`. When nobody listens there, events are lost
//! silently, as with the C library.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Facilities by name, at their numbers (RFC 5424, table 1; those without a name here have none in syslog(3)).
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "", "", "",
    "", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
/// Taken when none is named.
const DEFAULT_FACILITY: &str = "user";

/// Where events go, and from whom.
#[derive(Debug)]
pub(super) struct Syslog {
    socket: UnixDatagram,
    path: PathBuf,
    facility: u8,
}

impl Syslog {
    /// The log behind the socket `path` for a facility like `daemon` or `LOG_DAEMON`.
    ///
    /// # Errors
    /// There is no such facility.
    pub(super) fn new(path: PathBuf, facility: Option<&str>) -> io::Result<Self> {
        let name = facility.unwrap_or(DEFAULT_FACILITY).to_ascii_lowercase();
        let name = name.strip_prefix("log_").unwrap_or(&name);
        let number = FACILITIES.iter().position(|known| *known == name && !name.is_empty());
        let number =
            number.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no such syslog_log_facility"))?;
        Ok(Self { socket: UnixDatagram::unbound()?, path, facility: number as u8 })
    }
}

/// The writer of one event.
#[derive(Debug)]
pub(super) struct Event<'a> {
    log: &'a Syslog,
    severity: u8,
}

impl io::Write for Event<'_> {
    /// `text` is a whole event.
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let priority = self.log.facility * 8 + self.severity;
        let header = format!("<{priority}>ferric-agent[{}]: ", std::process::id());
        let message = [header.as_bytes(), text.trim_ascii_end()].concat();
        // Logging must not stop the work.
        let _ = self.log.socket.send_to(&message, &self.log.path);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Syslog {
    type Writer = Event<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Event { log: self, severity: severity(&Level::INFO) }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Self::Writer {
        Event { log: self, severity: severity(meta.level()) }
    }
}

/// RFC 5424, table 2.
fn severity(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_datagram_with_its_priority() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let server = UnixDatagram::bind(&path).unwrap();
        let log = Syslog::new(path, Some("LOG_DAEMON")).unwrap();
        let subscriber = tracing_subscriber::fmt().with_writer(log).with_ansi(false).without_time().finish();
        tracing::subscriber::with_default(subscriber, || tracing::warn!(disk = "sda", "it is full"));
        let mut datagram = [0; 1000];
        let length = server.recv(&mut datagram).unwrap();
        let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
        assert!(text.starts_with(&format!("<28>ferric-agent[{}]: ", std::process::id())), "{text}");
        assert!(text.ends_with("it is full disk=\"sda\""), "{text}");
    }

    #[test]
    fn facilities_go_by_name_and_a_missing_server_is_no_error() {
        assert!(Syslog::new("/nonexistent".into(), Some("nothing")).is_err());
        assert!(Syslog::new("/nonexistent".into(), Some("")).is_err());
        let log = Syslog::new("/nonexistent/log".into(), None).unwrap();
        assert_eq!(log.facility, 1);
        io::Write::write_all(&mut log.make_writer(), b"lost").unwrap();
    }
}
