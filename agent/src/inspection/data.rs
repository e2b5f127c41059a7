//! What inspection sends: one object that all collectors fill.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ferric_hardware::block::{self, root_device};
use ferric_hardware::collect::{CollectOptions, Collector};
use ferric_hardware::nic::Interface;
use ferric_steps::catalogue;
use serde_json::{Map, Value, json};
use tracing::warn;

use crate::agent::Agent;
use crate::blocking::blocking;
use crate::inventory::{interfaces, inventory};
use crate::logs;

/// How often addresses are looked at while waiting for DHCP.
const DHCP_POLL: Duration = Duration::from_millis(250);

/// How long an interface with an IPv6 address may lack an IPv4 one, which comes later where there are both.
const IPV4_WAIT: Duration = Duration::from_secs(5);

/// Lines of the journal that inspection sends.
const JOURNAL_LINES: u32 = 10_000;

/// Runs the configured collectors, each of which may fail without stopping the others; `error` has the failures.
pub(super) async fn collect(agent: &Arc<Agent>) -> Value {
    let settings = agent.settings();
    let mut collectors: Vec<&str> = settings.inspection.collectors.iter().map(String::as_str).collect();
    if collectors.is_empty() {
        collectors = vec!["default", "logs"];
    }
    let mut data = Map::new();
    let mut failures = Vec::new();
    for name in &collectors {
        let outcome = match *name {
            "default" => default(agent, &collectors, &mut data).await,
            "logs" => system_logs(agent, &mut data).await,
            name => hardware(agent, name, &mut data).await,
        };
        if let Err(failure) = outcome {
            warn!(collector = name, failure, "a collector failed");
            failures.push(failure);
        }
    }
    let error = match failures.is_empty() {
        true => Value::Null,
        false => json!(format!("The following errors were encountered:\n* {}", failures.join("\n* "))),
    };
    data.insert("error".to_string(), error);
    Value::Object(data)
}

async fn default(agent: &Arc<Agent>, collectors: &[&str], data: &mut Map<String, Value>) -> Result<(), String> {
    wait_for_addresses(agent).await;
    let inventory = inventory(agent).await.map_err(|error| format!("collector default failed: {}", error.details))?;
    data.insert("boot_interface".to_string(), inventory["boot"]["pxe_interface"].clone());
    data.insert("inventory".to_string(), inventory);
    let (site, node) = (agent.site(), agent.node());
    let facts = blocking(move || {
        let listing = block::list_beneath_leftovers(&site.machine, &site.device_policy(&node));
        let root_disk = root_device::choose(&listing, None).ok().and_then(|disk| serde_json::to_value(&**disk).ok());
        (root_disk, catalogue::versions(&site))
    });
    let (root_disk, versions) = facts.await.map_err(|panic| format!("collector default failed: {}", panic.details))?;
    if let Some(disk) = root_disk {
        data.insert("root_disk".to_string(), disk);
    }
    let versions = versions.as_object().cloned().unwrap_or_default();
    let managers: Vec<Value> =
        versions.into_iter().map(|(name, version)| json!({ "name": name, "version": version })).collect();
    data.insert("configuration".to_string(), json!({ "collectors": collectors, "managers": managers }));
    Ok(())
}

async fn system_logs(agent: &Arc<Agent>, data: &mut Map<String, Value>) -> Result<(), String> {
    match logs::collect(agent.clone(), Some(JOURNAL_LINES)).await {
        Ok(logs) => {
            data.insert("logs".to_string(), logs.into());
        }
        Err(error) => warn!(%error, "cannot collect logs"),
    }
    Ok(())
}

async fn hardware(agent: &Arc<Agent>, name: &str, data: &mut Map<String, Value>) -> Result<(), String> {
    let collector = Collector::named(name).ok_or_else(|| format!("Failed to load collector {name}"))?;
    let settings = agent.settings();
    let options = CollectOptions {
        lldp: agent.lldp(),
        benchmarks: settings.inspection.benchmarks.clone(),
        tools: agent.site().tools,
    };
    let machine = agent.machine.clone();
    let found = blocking(move || collector.collect(&machine, &options)).await;
    let failed = |reason: String| format!("collector {name} failed: {reason}");
    let found = found.map_err(|panic| failed(panic.details))?.map_err(|error| failed(error.to_string()))?;
    data.extend(found.map(|found| (collector.key().to_string(), found)));
    Ok(())
}

/// Waits until the interface that was booted from (or each, when asked for) has an IPv4 address, or an IPv6 address that
/// leads beyond its link and no IPv4 address a while later.
async fn wait_for_addresses(agent: &Arc<Agent>) {
    let settings = agent.settings();
    let inspection = &settings.inspection;
    let started = Instant::now();
    let deadline = started + inspection.dhcp_wait;
    let all = inspection.dhcp_all_interfaces;
    let boot_mac = inspection.boot_interface.as_deref().map(boot_mac);
    if !all && boot_mac.is_none() {
        return;
    }
    while Instant::now() < deadline {
        let interfaces = interfaces(agent).await;
        let lacking = interfaces
            .iter()
            .filter(|interface| all || Some(&interface.mac_address) == boot_mac.as_ref())
            .filter(|interface| !has_address(interface, started.elapsed()))
            .count();
        if lacking == 0 {
            return;
        }
        tokio::time::sleep(DHCP_POLL).await;
    }
    warn!("not every interface got an address in time");
}

fn has_address(interface: &Interface, waited: Duration) -> bool {
    let by_ipv6 = interface.ipv6_address.as_ref().is_some_and(|address| !address.contains('%'));
    interface.ipv4_address.is_some() || (by_ipv6 && waited >= IPV4_WAIT)
}

/// The MAC address in `BOOTIF`: `01-aa-bb-…` as PXE writes it, or the address itself.
fn boot_mac(text: &str) -> String {
    let text = text.to_lowercase().replace('-', ":");
    match text.split(':').count() {
        7 => text.split_once(':').map_or(text.clone(), |(_, mac)| mac.to_string()),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_alone_is_enough_when_no_ipv4_comes() {
        let interface = |v4: Option<&str>, v6: Option<&str>| Interface {
            ipv4_address: v4.map(str::to_string),
            ipv6_address: v6.map(str::to_string),
            ..Interface::default()
        };
        assert!(has_address(&interface(Some("192.0.2.5"), None), Duration::ZERO));
        let global = interface(None, Some("2001:db8::5"));
        assert!(!has_address(&global, Duration::ZERO));
        assert!(has_address(&global, IPV4_WAIT));
        assert!(!has_address(&interface(None, Some("fe80::5%eth0")), IPV4_WAIT));
    }

    #[test]
    fn the_boot_interface_is_understood_in_both_spellings() {
        for text in ["01-52-54-00-AA-BB-01", "52:54:00:aa:bb:01", "52-54-00-aa-bb-01"] {
            assert_eq!(boot_mac(text), "52:54:00:aa:bb:01");
        }
    }
}
