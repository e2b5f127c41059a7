//! Networks of one test: namespaces with links between them, apart from the machine's own network.

use std::ffi::OsStr;
use std::fs::File;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, anyhow, ensure};
use nix::sched::{CloneFlags, setns};

/// The bridge of [`Namespace::bridged`], and its address: where a server in the namespace listens.
pub const BRIDGE: &str = "br0";
/// See [`BRIDGE`].
pub const BRIDGE_ADDRESS: &str = "172.31.77.1";

/// A network namespace; it and its links are gone when this is dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// A namespace with nothing but loopback.
    ///
    /// # Errors
    /// When this is not root.
    pub fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ferric-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        ip(&["netns", "add", &name])?;
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Two namespaces with a cable between them: `eth0` in both, with the addresses `192.0.2.1/24` and `192.0.2.2/24`.
    ///
    /// # Errors
    /// As [`Namespace::new`].
    pub fn pair() -> Result<(Self, Self)> {
        let (here, there) = (Self::new()?, Self::new()?);
        here.ip(&["link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", &there.name])?;
        for (namespace, address) in [(&here, "192.0.2.1/24"), (&there, "192.0.2.2/24")] {
            namespace.ip(&["address", "add", address, "dev", "eth0"])?;
            namespace.ip(&["link", "set", "eth0", "up"])?;
        }
        Ok((here, there))
    }

    /// A namespace with a bridge, to which machines and clients are attached.
    ///
    /// # Errors
    /// As [`Namespace::new`].
    pub fn bridged() -> Result<Self> {
        let namespace = Self::new()?;
        namespace.ip(&["link", "add", BRIDGE, "type", "bridge"])?;
        namespace.ip(&["address", "add", &format!("{BRIDGE_ADDRESS}/24"), "dev", BRIDGE])?;
        namespace.ip(&["link", "set", BRIDGE, "up"])?;
        Ok(namespace)
    }

    /// Attaches a tap for a virtual machine to the bridge.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn add_tap(&self, tap: &str) -> Result<()> {
        self.ip(&["tuntap", "add", "dev", tap, "mode", "tap"])?;
        self.ip(&["link", "set", tap, "master", BRIDGE, "up"]).map(drop)
    }

    /// Attaches a network card with this MAC address to the bridge.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn add_card(&self, card: &str, mac: &str) -> Result<()> {
        let plug = format!("{card}-plug");
        self.ip(&["link", "add", card, "address", mac, "type", "veth", "peer", "name", &plug])?;
        self.ip(&["link", "set", &plug, "master", BRIDGE, "up"])?;
        self.ip(&["link", "set", card, "up"]).map(drop)
    }

    /// Its name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` with these arguments inside and returns what it prints.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn ip(&self, arguments: &[&str]) -> Result<String> {
        ip(&[&["-netns", &self.name], arguments].concat())
    }

    /// A program that will run inside, with the namespace's own `/sys`.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Does `work` on a thread that lives inside, as do the threads that it starts and the sockets that it opens.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let namespace = File::open(format!("/run/netns/{}", self.name))?;
        let enter = || {
            setns(&namespace, CloneFlags::CLONE_NEWNET)?;
            work()
        };
        std::thread::scope(|scope| scope.spawn(enter).join())
            .map_err(|_| anyhow!("a thread in {} panicked", self.name))?
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Fails only when somebody else has removed it.
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> Result<String> {
    let output = Command::new("ip").args(arguments).output()?;
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
