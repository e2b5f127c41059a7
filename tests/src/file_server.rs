//! A web server for the files of a directory.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::network::{free_port, wait_for_port};
use crate::process::Process;

/// A running server; it is gone when this is dropped.
#[derive(Debug)]
pub struct FileServer {
    process: Process,
    port: u16,
}

impl FileServer {
    /// Serves the files in `directory`, also those that come later.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(directory: &Path) -> Result<Self> {
        let port = free_port()?;
        let mut server = Command::new("python3");
        server.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory"]).arg(directory);
        let process = Process::start(server.arg(port.to_string()))?;
        wait_for_port(port, Duration::from_secs(60))?;
        Ok(Self { process, port })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:PORT/` and `name`.
    pub fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// One line for every request so far.
    pub fn requests(&self) -> String {
        self.process.log()
    }
}
