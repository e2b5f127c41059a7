//! The real container registry.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::disk_image::run;
use crate::network::wait_for_port;
use crate::process::Process;

/// A running registry; its process is gone when this is dropped, its content is kept.
#[derive(Debug)]
pub struct Registry {
    process: Process,
    port: u16,
}

/// Who may pull from [`Registry::start_secure`].
pub const USER: &str = "user";
/// By this word.
pub const PASSWORD: &str = "open sesame";
/// [`PASSWORD`] for the registry.
const HASH: &str = "$2b$05$sGwrjogF34BH2QFTfvyIs.N0HQLyklxd9e2Xn1aWvodgj9XAYR02i";

impl Registry {
    /// Serves the images in `directory` on `port` of 127.0.0.1.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(directory: &Path, port: u16) -> Result<Self> {
        Self::start_with(directory, port, "", "")
    }

    /// The same by TLS, to this user, who knows the password.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_secure(directory: &Path, port: u16, certificate: &Path, key: &Path, user: &str) -> Result<Self> {
        let users = directory.join("htpasswd");
        std::fs::write(&users, format!("{user}:{HASH}\n"))?;
        let tls = format!(", tls: {{certificate: {}, key: {}}}", certificate.display(), key.display());
        let auth = format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", users.display());
        Self::start_with(directory, port, &tls, &auth)
    }

    fn start_with(directory: &Path, port: u16, tls: &str, auth: &str) -> Result<Self> {
        let storage = directory.join("storage");
        let config = directory.join("registry.yml");
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:{port}'{tls}}}\n{auth}",
            storage.display()
        );
        std::fs::write(&config, text)?;
        let process = Process::start(Command::new("docker-registry").arg("serve").arg(config))?;
        wait_for_port(port, Duration::from_secs(60))?;
        Ok(Self { process, port })
    }

    /// Copies an image of podman's storage here, under the name `name`.
    ///
    /// # Errors
    /// When podman fails.
    pub fn push(&self, image: &str, name: &str) -> Result<()> {
        let target = format!("127.0.0.1:{}/{name}", self.port);
        run("podman", &["push", "--quiet", "--tls-verify=false", image, &target]).map(|_| ())
    }

    /// One line for every request so far, among others.
    pub fn log(&self) -> String {
        self.process.log()
    }
}
