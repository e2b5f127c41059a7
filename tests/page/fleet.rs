//! A conductor with many machines that are records only: what the page and the figures are shown with.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use conductor_stub::clock;
use conductor_stub::config::Config;
use conductor_stub::node::{Node, Operation, Plan, Port, Progress, Spec, Step};
use conductor_stub::server::Server;
use conductor_stub::state::{PowerState, ProvisionState as S};
use conductor_stub::store::history::HistoryEntry;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

/// A running conductor and its machines.
#[derive(Debug)]
pub(crate) struct Fleet {
    /// The conductor.
    pub(crate) server: Server,
    /// The machines, in their order.
    pub(crate) nodes: Vec<Node>,
    state: TempDir,
}

/// Where machines are, by and large.
const STATES: [S; 20] = [
    S::Active,
    S::Active,
    S::Available,
    S::WaitCallBack,
    S::Active,
    S::Available,
    S::Active,
    S::CleanWait,
    S::Active,
    S::Manageable,
    S::Active,
    S::DeployFailed,
    S::Available,
    S::Active,
    S::InspectWait,
    S::Active,
    S::Available,
    S::Deploying,
    S::Enroll,
    S::Active,
];

impl Fleet {
    /// A conductor with `count` machines in various states.
    ///
    /// # Errors
    /// When it cannot start.
    pub(crate) async fn start(count: usize) -> Result<Self> {
        Self::start_with(count, Config::default()).await
    }

    /// The same with options.
    ///
    /// # Errors
    /// When it cannot start.
    pub(crate) async fn start_with(count: usize, config: Config) -> Result<Self> {
        Self::start_at(([127, 0, 0, 1], 0).into(), count, config).await
    }

    /// The same at an address.
    ///
    /// # Errors
    /// When it cannot start.
    pub(crate) async fn start_at(address: SocketAddr, count: usize, config: Config) -> Result<Self> {
        let state = tempfile::Builder::new().prefix("ferric-fleet-").tempdir()?;
        // Nobody is to ask agents that there are not, or to give machines up.
        let config = Config {
            progress_interval_seconds: 0.0,
            check_interval_seconds: 3600.0,
            file_url_allowed_paths: Some(vec![state.path().canonicalize()?]),
            ..config
        };
        let server = Server::start(config, &state.path().join("state"), address).await?;
        let mut fleet = Self { server, nodes: Vec::new(), state };
        for number in 0..count {
            fleet.add(number)?;
        }
        Ok(fleet)
    }

    /// A folder that is gone with the fleet.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.state.path()
    }

    /// The URL of a path of the conductor.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address)
    }

    /// The machine of this number.
    ///
    /// # Errors
    /// When there are not so many.
    pub(crate) fn node(&mut self, number: usize) -> Result<&mut Node> {
        self.nodes.get_mut(number).context("no such machine")
    }

    /// Moves a machine to `state` by the way of flows: noted and told.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) fn enter(&mut self, number: usize, state: S) -> Result<()> {
        let node = self.nodes.get_mut(number).context("no such machine")?;
        let from = node.provision_state;
        node.enter(state);
        self.happens(number, "state", &format!("{from} -> {state}"), Value::Null)
    }

    /// Something happens to a machine.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) fn happens(&self, number: usize, kind: &str, text: &str, detail: Value) -> Result<()> {
        let node = self.nodes.get(number).context("no such machine")?;
        Ok(self.server.conductor.store.save_node(node, &[HistoryEntry::now(node, kind, text, detail)])?)
    }

    /// Writes a machine that the test has changed.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) fn save(&mut self, number: usize) -> Result<()> {
        let node = self.nodes.get_mut(number).context("no such machine")?;
        Ok(self.server.conductor.store.save_node(node, &[])?)
    }

    /// A machine's running step has done so much of 4 GiB.
    pub(crate) fn progress(&self, number: usize, done_bytes: u64) {
        let said = json!({"activity": "writing /dev/nvme0n1", "done_bytes": done_bytes, "total_bytes": 4_u64 << 30,
            "rate_bytes_per_second": 512_u64 << 20, "eta_seconds": ((4_u64 << 30).saturating_sub(done_bytes)) >> 29});
        if let Some(node) = self.nodes.get(number) {
            let progress = Progress::read("execute_deploy_step", "RUNNING", &said);
            self.server.conductor.running.set(node.uuid, Some(progress));
        }
    }

    /// Something holds a machine's running step up, which works on two disks.
    pub(crate) fn struggles(&self, number: usize) {
        let said = json!({"activity": "erasing 2 devices", "trouble": "connection refused, attempt 3 of 10, next in 4 s",
            "devices": [{"device": "/dev/sda", "activity": "erasing", "done_bytes": 1 << 30, "total_bytes": 4_u64 << 30, "eta_seconds": 3},
                {"device": "/dev/sdb", "activity": "waiting"}]});
        if let Some(node) = self.nodes.get(number) {
            let progress = Progress::read("execute_clean_step", "RUNNING", &said);
            self.server.conductor.running.set(node.uuid, Some(progress));
        }
    }

    /// Gives a machine a past, from enrolment to a running deployment, and an inventory.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) fn live_through(&mut self, number: usize) -> Result<()> {
        let node = self.nodes.get_mut(number).context("no such machine")?;
        let begin = clock::seconds() - 1_268.0;
        let ways: [(f64, S); 16] = [
            (0.0, S::Enroll),
            (2.0, S::Verifying),
            (3.4, S::Manageable),
            (9.0, S::Inspecting),
            (15.0, S::InspectWait),
            (141.0, S::Inspecting),
            (149.0, S::Manageable),
            (160.0, S::Cleaning),
            (172.0, S::CleanWait),
            (300.0, S::Cleaning),
            (300.3, S::CleanWait),
            (852.0, S::Cleaning),
            (861.0, S::Available),
            (1_100.0, S::Deploying),
            (1_112.0, S::WaitCallBack),
            (1_231.0, S::Deploying),
        ];
        let steps =
            [(303.5, "erase_devices_metadata", 3.1, None), (851.0, "erase_devices", 547.0, Some(960_197_124_096_u64))];
        let mut past: Vec<(f64, S, &str, String, Value)> = Vec::new();
        let mut from = None;
        for (at, state) in ways {
            let text = from.map_or_else(|| "enrolled".to_owned(), |from: S| format!("{from} -> {state}"));
            past.push((at, state, "state", text, Value::Null));
            from = Some(state);
        }
        past.push((1_231.4, S::WaitCallBack, "state", "deploying -> wait call-back".into(), Value::Null));
        for (at, name, seconds, done) in steps {
            let detail = json!({"seconds": seconds, "progress": {"done_bytes": done}});
            past.push((at, S::CleanWait, "step", name.into(), detail));
        }
        past.sort_by(|a, b| a.0.total_cmp(&b.0));
        let past: Vec<HistoryEntry> = past
            .into_iter()
            .map(|(at, state, kind, text, detail)| HistoryEntry {
                at: begin + at,
                state: state.to_string(),
                kind: kind.into(),
                text,
                detail,
            })
            .collect();
        node.provision_state = S::WaitCallBack;
        node.target_provision_state = S::WaitCallBack.target();
        node.entered = begin + 1_231.4;
        node.operation = Some(Operation { flow: conductor_stub::state::Flow::Deploy, began: begin + 1_100.0 });
        node.power_state = Some(PowerState::On);
        node.last_error = None;
        node.spec.maintenance = false;
        node.spec.resource_class = Some("baremetal".into());
        node.spec.properties.insert("capabilities".into(), "boot_mode:uefi".into());
        node.spec.instance_info.insert("image_source".into(), "https://images.example.com/debian-12.qcow2".into());
        node.inspection_finished_at = Some(clock::now());
        node.internal.agent_url = Some("https://10.1.0.23:9999".into());
        node.internal.agent_version = Some("0.1.0".into());
        node.internal.agent_last_heartbeat = Some(clock::now());
        if let Some(plan) = &mut node.internal.plan {
            plan.started = Some(begin + 1_231.2);
        }
        let console = self.state.path().join("console");
        let lines = [
            "UEFI firmware (version 1.14.2)",
            "BdsDxe: starting Boot0003 \"UEFI Virtual CD\"",
            "EFI stub: Loaded initrd from LINUX_EFI_INITRD_MEDIA_GUID device path",
            "[    0.000000] Linux version 6.1.0-37-amd64",
            "[    2.318220] nvme nvme0: 64/0/0 default/read/poll queues",
            "[    3.904411] mlx5_core 0000:c1:00.0 eno1: Link up",
            "\u{1b}[32mferric-agent\u{1b}[0m listening on https://10.1.0.23:9999",
            "ferric-agent: look-up: node 4 of rack 1, heartbeat every 300 s",
            "ferric-agent: deploy.write_image: https://images.example.com/debian-12.qcow2",
            "ferric-agent: writing /dev/nvme0n1, sha256 is checked on the way",
        ];
        std::fs::write(&console, lines.join("\n"))?;
        node.spec.driver_info.insert("console_log".into(), console.display().to_string().into());
        Ok(self.server.conductor.store.save_inspected(node, &past, &inventory())?)
    }

    fn add(&mut self, number: usize) -> Result<()> {
        let spec = Spec {
            name: Some(format!("r{:02}-n{:02}", number / 20 + 1, number % 20 + 1)),
            driver: "redfish".into(),
            boot_interface: Some("redfish-virtual-media".into()),
            ..Spec::default()
        };
        let mut node = Node::new(Uuid::new_v4(), spec);
        let bmc = format!("https://10.1.{}.{}", number / 20 + 1, number % 20 + 1);
        node.spec.driver_info.insert("redfish_address".into(), bmc.into());
        let store = &self.server.conductor.store;
        store.save_node(&node, &[])?;
        let (high, low) = (number / 256, number % 256);
        store.save_port(&Port::new(node.uuid, format!("52:54:00:00:{high:02x}:{low:02x}").parse()?))?;
        let state = STATES[number % STATES.len()];
        let age = 37.0 + (number % 17) as f64 * 211.0;
        node.provision_state = state;
        node.target_provision_state = state.target();
        node.entered = clock::seconds() - age;
        node.operation = state.flow().map(|flow| Operation { flow, began: node.entered });
        let is_on = !matches!(state, S::Enroll | S::Manageable | S::Available | S::DeployFailed);
        node.power_state = Some(if is_on { PowerState::On } else { PowerState::Off });
        if state == S::DeployFailed {
            node.last_error = Some(
                "Agent returned error for deploy step write_image: the image's sha256 is 9f86d081…, expected 60303ae2…"
                    .into(),
            );
        }
        if number % 37 == 5 {
            node.spec.maintenance = true;
            node.maintenance_reason = Some("a fan is being replaced".into());
        }
        if matches!(state, S::WaitCallBack | S::CleanWait | S::Deploying) {
            let (family, step) = match state {
                S::CleanWait => (conductor_stub::node::Family::Clean, "erase_devices"),
                _ => (conductor_stub::node::Family::Deploy, "write_image"),
            };
            let steps = [step, "prepare_instance_boot", "tear_down_agent", "boot_instance"];
            let steps: Vec<Step> =
                steps.iter().zip([80, 60, 40, 20]).map(|(step, at)| Step::of_conductor(step, at)).collect();
            let mut plan = Plan::new(family, None);
            plan.current = steps.first().cloned();
            plan.steps = Some(steps);
            node.internal.plan = Some(plan);
        }
        store.save_node(&node, &[])?;
        self.nodes.push(node);
        if state == S::WaitCallBack || state == S::CleanWait {
            self.progress(number, (number as u64 % 7 + 1) << 29);
        }
        Ok(())
    }
}

fn inventory() -> Value {
    let disk = |name: &str, model: &str, serial: &str, size: u64| json!({"name": name, "model": model, "size": size, "rotational": false, "serial": serial, "wwn": format!("eui.0025385{serial}"), "vendor": null});
    let nic = |name: &str, mac: &str, address: Option<&str>, speed: u32| {
        json!({"name": name, "mac_address": mac, "ipv4_address": address, "has_carrier": address.is_some(), "speed_mbps": speed,
               "product": "0x1017", "vendor": "0x15b3"})
    };
    json!({"inventory": {
        "system_vendor": {"manufacturer": "Ferric", "product_name": "Rack server R2", "serial_number": "FR2-00417",
                          "firmware": {"version": "1.14.2", "vendor": "EDK II"}},
        "cpu": {"count": 64, "architecture": "x86_64", "model_name": "Example 64-core processor"},
        "memory": {"physical_mb": 262_144, "total": 270_000_000_000_u64},
        "boot": {"current_boot_mode": "uefi", "pxe_interface": "52:54:00:00:00:03"},
        "bmc_address": "10.1.1.4",
        "disks": [
            disk("/dev/nvme0n1", "Example NVMe 960", "S64FNX0T300417", 960_197_124_096),
            disk("/dev/nvme1n1", "Example NVMe 3840", "S64GNA0T100733", 3_840_755_982_336),
            disk("/dev/nvme2n1", "Example NVMe 3840", "S64GNA0T100734", 3_840_755_982_336),
        ],
        "interfaces": [
            nic("eno1", "52:54:00:00:00:03", Some("10.1.0.23"), 25_000),
            nic("eno2", "52:54:00:01:00:03", None, 25_000),
        ],
    }, "plugin_data": {}})
}
