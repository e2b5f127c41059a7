//! Where the log goes: standard error, a file, or both, and the system's log; lines for people or JSON.

mod syslog;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Context;
use ferric_steps::url_secrets;
use tracing::Metadata;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt};

use crate::config::settings::Log;
use crate::private_file;
use syslog::Syslog;

/// The socket of the system's log.
const SYSLOG: &str = "/dev/log";

/// Sets up the log after the options `debug`, `log_file`, `log_dir`, `use_stderr`, `use_json`, `use_syslog` and
/// `syslog_log_facility`.
///
/// # Errors
/// The log file cannot be written, or there is no such facility.
pub fn init(wanted: &Log) -> anyhow::Result<()> {
    let writer = match log_file(wanted) {
        None => BoxMakeWriter::new(std::io::stderr),
        Some(path) => {
            let file = open(&path).with_context(|| format!("cannot log to {}", path.display()))?;
            if wanted.stderr {
                BoxMakeWriter::new(Mutex::new(file).and(std::io::stderr))
            } else {
                BoxMakeWriter::new(Mutex::new(file))
            }
        }
    };
    let writer = match wanted.syslog {
        true => {
            let facility = wanted.syslog_facility.as_deref();
            let syslog = Syslog::new(PathBuf::from(SYSLOG), facility).context("cannot log to syslog")?;
            BoxMakeWriter::new(writer.and(syslog))
        }
        false => writer,
    };
    let level = if wanted.debug { "info,ferric_agent=debug,ferric_steps=debug,ferric_hardware=debug" } else { "info" };
    let filter = EnvFilter::try_from_env("FERRIC_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(WithoutSecrets(writer)).with_ansi(false);
    let set_up = if wanted.json { log.json().try_init() } else { log.try_init() };
    set_up.map_err(|error| anyhow::anyhow!("cannot set up the log: {error}"))
}

fn log_file(wanted: &Log) -> Option<PathBuf> {
    let file = wanted.file.clone();
    match &wanted.directory {
        Some(directory) => Some(directory.join(file.unwrap_or_else(|| PathBuf::from("ferric-agent.log")))),
        None => file,
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory)?;
    }
    private_file::append(path)
}

/// Hides what must not be read in a log, wherever it came from: the command line of a program that failed, an error of a
/// server.
struct WithoutSecrets<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for WithoutSecrets<W> {
    type Writer = WithoutSecrets<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        WithoutSecrets(self.0.make_writer())
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Self::Writer {
        WithoutSecrets(self.0.make_writer_for(event))
    }
}

impl<W: Write> Write for WithoutSecrets<W> {
    /// Events come whole.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.write_all(url_secrets::hide(&String::from_utf8_lossy(event)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
