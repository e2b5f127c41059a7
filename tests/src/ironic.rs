//! The real Ironic and its official client, each as a process of one test.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::namespace::Namespace;
use crate::network::free_port;
use crate::peers;
use crate::process::Process;

/// A real Ironic: API and conductor in one process, on loopback.
#[derive(Debug)]
pub struct Ironic {
    process: Process,
    state: tempfile::TempDir,
    program: PathBuf,
    url: String,
}

/// What differs between the Ironics of tests.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Refuse agents without TLS, as Ironic does by default.
    pub require_tls: bool,
    /// Further sections of its configuration; what they name again wins.
    pub sections: String,
}

impl Ironic {
    /// Starts an Ironic with an empty database and waits until its conductor is alive (about 20 s).
    ///
    /// # Errors
    /// When it does not start; the error holds its output.
    pub fn start(settings: &Settings) -> Result<Self> {
        let programs = peers::folder()?.join("venv/bin");
        let state = tempfile::Builder::new().prefix("ferric-ironic-").tempdir()?;
        for folder in ["tmp", "locks", "certs", "deploy-logs", "tftpboot/master", "images", "master_images", "http"] {
            std::fs::create_dir_all(state.path().join(folder))?;
        }
        for file in ["kernel", "ramdisk", "tftpboot/bootx64.efi"] {
            std::fs::write(state.path().join(file), "the machine of this test boots without it\n")?;
        }
        let port = free_port()?;
        let url = format!("http://127.0.0.1:{port}");
        let configuration = (include_str!("../peers/ironic.conf").to_string() + &settings.sections)
            .replace("@STATE@", &state.path().display().to_string())
            .replace("@API_PORT@", &port.to_string())
            .replace("@API_URL@", &url)
            .replace("@REQUIRE_TLS@", if settings.require_tls { "True" } else { "False" });
        std::fs::write(state.path().join("ironic.conf"), configuration)?;
        let created = Self::command(&programs.join("ironic-dbsync"), state.path()).arg("create_schema").output()?;
        ensure!(created.status.success(), "ironic-dbsync: {}", String::from_utf8_lossy(&created.stderr));
        let program = programs.join("ironic");
        let process = Process::start(&mut Self::command(&program, state.path()))?;
        let mut ironic = Self { process, state, program, url };
        ironic.wait_until_alive()?;
        Ok(ironic)
    }

    fn command(program: &Path, state: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("--config-file").arg(state.join("ironic.conf"));
        let folder = program.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
        command.env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap_or_default()));
        command
    }

    /// The API answers before the conductor is registered, so the conductor is what is waited for.
    fn wait_until_alive(&mut self) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(90) {
            let answer = Command::new("curl")
                .args(["-sf", "-H", "X-OpenStack-Ironic-API-Version: 1.49"])
                .arg(format!("{}/v1/conductors", self.url))
                .output()?;
            if String::from_utf8_lossy(&answer.stdout).contains("\"alive\": true") {
                return Ok(());
            }
            if let Some(status) = self.process.ended() {
                bail!("Ironic ended ({status}); it printed:\n{}\n{}", self.process.log(), self.log());
            }
            std::thread::sleep(Duration::from_millis(250));
        }
        bail!("Ironic did not start; it printed:\n{}\n{}", self.process.log(), self.log())
    }

    /// Ends the conductor at once and starts it again on the same database.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill();
        self.process = Process::start(&mut Self::command(&self.program, self.state.path()))?;
        self.wait_until_alive()
    }

    /// The API's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A file that exists, as kernel or ramdisk of a node.
    pub fn dummy_file(&self, name: &str) -> String {
        format!("file://{}", self.state.path().join(name).display())
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.state.path().join("ironic.log")).unwrap_or_default()
    }
}

/// openstacksdk, driven by JSON lines (`tests/peers/client.py`).
#[derive(Debug)]
pub struct Client {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Client {
    /// A client of the Ironic API at `url`, be it Ironic's or the conductor-stub's.
    ///
    /// # Errors
    /// When Python cannot be started.
    pub fn connect(url: &str) -> Result<Self> {
        Self::start(Command::new(Self::python()?), url)
    }

    /// The same, from inside `namespace`.
    ///
    /// # Errors
    /// When Python cannot be started.
    pub fn connect_in(namespace: &Namespace, url: &str) -> Result<Self> {
        Self::start(namespace.command(Self::python()?), url)
    }

    fn python() -> Result<PathBuf> {
        Ok(peers::folder()?.join("venv/bin/python"))
    }

    fn start(mut python: Command, url: &str) -> Result<Self> {
        let mut child = python
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/client.py"))
            .arg(url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let requests = child.stdin.take().context("the client's standard input")?;
        let answers = BufReader::new(child.stdout.take().context("the client's standard output")?);
        Ok(Self { child, requests, answers })
    }

    /// Calls the client's method `name` with named `arguments`.
    ///
    /// # Errors
    /// With the client's exception.
    pub fn call(&mut self, name: &str, arguments: Value) -> Result<Value> {
        let mut request = arguments;
        request["call"] = name.into();
        writeln!(self.requests, "{request}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line).with_context(|| format!("the client answered `{line}`"))?;
        match answer.get("error") {
            Some(error) => bail!("{name}: {error}"),
            None => Ok(answer["ok"].clone()),
        }
    }

    /// Moves `node` by the verb `target` and waits for the state that belongs to it.
    ///
    /// # Errors
    /// When the node ends in another state; the error holds its `last_error`.
    pub fn provision(&mut self, node: &str, target: &str, arguments: Value) -> Result<()> {
        let mut request = arguments;
        request["node"] = node.into();
        request["target"] = target.into();
        request["wait"] = json!(240);
        let end = self.call("provision", request)?;
        let reached = end["provision_state"].as_str().unwrap_or_default();
        let good = ["manageable", "available", "active", "rescue"].contains(&reached);
        ensure!(good && end["last_error"].is_null(), "{target} ended {reached}: {}", end["last_error"]);
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Both only fail when it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
