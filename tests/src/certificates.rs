//! A certificate authority of one test, by OpenSSL.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

/// An authority, a server of this machine (also by the address that guests of QEMU's user network know), and a client; gone when this is dropped.
#[derive(Debug)]
pub struct Certificates {
    directory: tempfile::TempDir,
}

impl Certificates {
    /// Makes them.
    ///
    /// # Errors
    /// When `openssl` fails.
    pub fn new() -> Result<Self> {
        let this = Self { directory: tempfile::tempdir()? };
        let key = "openssl req -newkey rsa:2048 -nodes -days 2 -sha256";
        this.shell(&format!(
            "{key} -x509 -keyout ca.key -out ca.pem -subj '/CN=Ferric test authority' && \
             echo 'subjectAltName=IP:127.0.0.1,IP:10.0.2.2,DNS:localhost' > server.ext && echo 'extendedKeyUsage=clientAuth' > client.ext && \
             for who in server client; do \
               {key} -keyout $who.key -out $who.csr -subj /CN=$who && \
               openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile $who.ext -out $who.pem || exit; \
             done"
        ))?;
        Ok(this)
    }

    /// One of `ca.pem`, `ca.key`, `server.pem`, `server.key`, `client.pem`, `client.key`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The directory of all of them.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Runs a script beside the files; returns what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub fn shell(&self, script: &str) -> Result<String> {
        let output = Command::new("sh").args(["-e", "-c", script]).current_dir(&self.directory).output()?;
        ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }
}
