//! Blank virtual machines with BMCs, and a conductor that knows them: everything that a first hour with Ironic's clients
//! needs. Each machine has two network cards: one in a network of its own, QEMU's, by which it boots and reaches the conductor,
//! and one in a network that all of them share. Both have DHCP; the lab needs neither root nor a bridge, and changes nothing of the
//! host's network. All of it is gone when the lab is.

mod network;

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;
use uuid::Uuid;

use crate::bmc::Definition;
use crate::bmc::server::{BmcServer, Setup};
use crate::config::{Config, IMAGES};
use crate::flow::journey;
use crate::server::Server;
use crate::urls;

use network::Network;
pub use network::SUBNET;

/// The agent's image wants a disk of at least 4 GiB.
const DISK_GIB: u64 = 5;
/// Enough for the ramdisk.
const MEMORY_MIB: u32 = 1024;
/// How guests of QEMU's user network see this host's loopback.
const HOST: &str = "10.0.2.2";
/// Where the agent listens in its machine.
const AGENT_PORT: u16 = 9999;

/// What a lab is to be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many machines.
    pub machines: u8,
    /// The folder of `ferric.efi` and `ferric.iso`; without it machines are switched, but boot no agent.
    pub ramdisk: Option<PathBuf>,
    /// Folder of images that may be deployed.
    pub images: PathBuf,
}

/// One machine, switched off.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The node's name.
    pub name: String,
    /// What it prints on its serial port.
    pub console: PathBuf,
    number: usize,
    uuid: Uuid,
    mac: String,
    disk: PathBuf,
    folder: PathBuf,
    /// Where the agent in it is found, on this host's loopback.
    agent_port: u16,
}

/// A running lab. Dropping it takes everything away.
#[derive(Debug)]
pub struct Lab {
    /// The machines, all enrolled.
    pub machines: Vec<Machine>,
    /// The conductor's URL.
    pub url: String,
    /// The URL of the BMCs' service.
    pub bmc_url: String,
    server: Server,
    bmc: BmcServer,
    _network: Network,
    _folder: tempfile::TempDir,
}

impl Lab {
    /// Makes it.
    ///
    /// # Errors
    /// What cannot be made or started.
    pub async fn start(plan: Plan) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("ferric-lab-").tempdir().context("making the lab's folder")?;
        let ports = free_ports(usize::from(plan.machines))?;
        let machines: Vec<Machine> =
            ports.into_iter().enumerate().map(|(number, port)| Machine::new(number, port, folder.path())).collect();
        let network = Network::start(folder.path().join("network"), machines.len())?;
        let setup = Setup {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            account: None,
            tls: None,
            machines: machines.iter().map(|machine| machine.definition(&network)).collect::<Result<_>>()?,
        };
        let bmc = BmcServer::start(setup.clone()).await?;
        let bmc_url = format!("{}://{}", bmc.scheme, bmc.address);
        let listener = urls::listen()?;
        let address = listener.local_addr()?;
        let ramdisk = plan.ramdisk.map(std::path::absolute).transpose().context("the folder of the ramdisk")?;
        let ramdisk = |name: &str| {
            let file = ramdisk.as_ref().map(|folder| folder.join(name)).filter(|file| file.is_file());
            file.map(|file| file.display().to_string())
        };
        let config = Config {
            public_url: Some(format!("http://{HOST}:{}", address.port())),
            external_http_url: Some(format!("http://{address}")),
            ramdisk_efi: ramdisk("ferric.efi"),
            ramdisk_iso: ramdisk("ferric.iso"),
            file_url_allowed_paths: Some(vec![IMAGES.into(), plan.images]),
            heartbeat_timeout_seconds: 30,
            journal_kib: 8192,
            bmc: Some(setup),
            ..Config::default()
        };
        let server = Server::start_on(config, &folder.path().join("conductor"), listener).await?;
        for machine in &machines {
            let enrolment = serde_json::from_value(machine.node(&bmc_url)).context("a node of the lab")?;
            journey::enrol(&server.conductor, &enrolment)?;
        }
        Ok(Self { machines, url: server.url.clone(), bmc_url, server, bmc, _network: network, _folder: folder })
    }

    /// Takes everything away.
    pub async fn stop(self) {
        self.server.stop().await;
        self.bmc.stop().await;
    }
}

impl Machine {
    fn new(number: usize, agent_port: u16, folder: &Path) -> Self {
        let name = format!("machine-{number}");
        Self {
            console: folder.join(format!("{name}.console")),
            uuid: Uuid::new_v4(),
            mac: format!("52:54:00:fe:45:{number:02x}"),
            disk: folder.join(format!("{name}.disk")),
            folder: folder.join(&name),
            agent_port,
            name,
            number,
        }
    }

    /// As in a machine file of the BMC.
    fn definition(&self, shared: &Network) -> Result<Definition> {
        let network = format!("user,hostfwd=tcp:127.0.0.1:{}-:{AGENT_PORT}", self.agent_port);
        let disk = json!({"file": self.disk, "bus": "nvme", "size_gib": DISK_GIB, "serial": self.name});
        let qemu = json!({"state_dir": self.folder, "console": self.console, "memory_mib": MEMORY_MIB, "disks": [disk],
            "network": network, "arguments": shared.card(self.number, &format!("52:54:00:fe:47:{:02x}", self.number))});
        let machine = json!({"uuid": self.uuid, "name": self.name, "macs": [self.mac], "qemu": qemu});
        serde_json::from_value(machine).context("a machine of the lab")
    }

    /// As `POST /v1/nodes` takes it, with its port.
    fn node(&self, bmc_url: &str) -> serde_json::Value {
        let parameters = format!("ipa-advertise-host=127.0.0.1 ipa-advertise-port={}", self.agent_port);
        json!({"name": self.name, "ports": [self.mac], "driver_info": {
            "redfish_address": bmc_url, "redfish_system_id": format!("/redfish/v1/Systems/{}", self.uuid),
            "kernel_append_params": parameters}})
    }
}

/// What every machine of a lab is.
pub fn described() -> String {
    format!("1 core, {MEMORY_MIB} MiB of memory, a disk of {DISK_GIB} GiB")
}

/// Ports of loopback that nobody uses now.
fn free_ports(count: usize) -> std::io::Result<Vec<u16>> {
    // Held together, so that they are different.
    let held = (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<Vec<_>, _>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}
