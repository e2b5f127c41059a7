//! The network that the machines of a lab share: a switch with a DHCP server. It is QEMU without a machine, so it needs no root
//! and is on no interface of the host.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::bmc::start::mortal;

/// Its addresses. There is no way out of it.
pub const SUBNET: &str = "192.168.77.0/24";
/// QEMU has its sockets in a moment.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A running switch; dropping it ends it.
#[derive(Debug)]
pub(super) struct Network {
    child: Child,
    folder: PathBuf,
}

impl Network {
    /// Starts a switch with so many plugs, with its sockets in `folder`, which is made.
    ///
    /// # Errors
    /// When QEMU is missing or does not start.
    pub(super) fn start(folder: PathBuf, plugs: usize) -> Result<Self> {
        std::fs::create_dir(&folder).context("making the folder of the lab's network")?;
        let plain = ["qemu-system-x86_64", "-machine", "none", "-nodefaults", "-display", "none", "-monitor", "none"];
        let mut words: Vec<String> = plain.map(str::to_owned).to_vec();
        let mut add = |netdev: String| words.extend(["-netdev".to_owned(), netdev]);
        add(format!("user,id=dhcp,net={SUBNET},restrict=on"));
        add("hubport,id=port-dhcp,hubid=0,netdev=dhcp".into());
        for plug in 0..plugs {
            let path = folder.join(plug.to_string());
            add(format!("stream,id=plug{plug},server=on,addr.type=unix,addr.path={}", path.display()));
            add(format!("hubport,id=port{plug},hubid=0,netdev=plug{plug}"));
        }
        let log = folder.join("log");
        let output = std::fs::File::create(&log).context("the log of the lab's network")?;
        let mut command = mortal(&words)?;
        let started = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn();
        let mut network = Self { child: started.context("starting QEMU for the lab's network")?, folder };
        let since = Instant::now();
        while !(0..plugs).all(|plug| network.folder.join(plug.to_string()).exists()) {
            if network.child.try_wait()?.is_some() {
                bail!("the lab's network: {}", std::fs::read_to_string(&log).unwrap_or_default().trim());
            }
            ensure!(since.elapsed() < START_LIMIT, "the lab's network did not start in {START_LIMIT:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(network)
    }

    /// Arguments of QEMU for the network card of the machine in that plug.
    pub(super) fn card(&self, plug: usize, mac: &str) -> [String; 4] {
        let socket = self.folder.join(plug.to_string());
        let netdev = format!("stream,id=shared,server=off,addr.type=unix,addr.path={}", socket.display());
        // Without a ROM: nothing boots from there.
        let device = format!("virtio-net-pci,netdev=shared,romfile=,mac={mac}");
        ["-netdev".into(), netdev, "-device".into(), device]
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Both only fail when it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
