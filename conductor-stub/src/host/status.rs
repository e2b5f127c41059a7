//! Nodes as BareMetalHosts, as `kubectl get bmh` shows them.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::document::Name;
use super::hardware;
use super::reconcile::{Memory, NodeView};

/// Columns of a list; those behind the sixth are for `wide`.
const COLUMNS: [&str; 8] = ["NAME", "STATE", "CONSUMER", "ONLINE", "ERROR", "AGE", "STATUS", "BMC"];
const NARROW: usize = 6;

/// One machine, from its node.
#[derive(Debug)]
pub struct Host {
    /// Namespace and name.
    pub name: Name,
    node: Value,
    view: NodeView,
    memory: Memory,
}

impl Host {
    /// Reads a node; none when it is not one.
    pub fn new(node: Value) -> Option<Self> {
        let view: NodeView = serde_json::from_value(node.clone()).ok()?;
        let name = Name::from_node(node["name"].as_str().unwrap_or(&view.uuid));
        let memory = view.memory();
        Some(Self { name, node, memory, view })
    }

    /// UUID of its node.
    pub fn uuid(&self) -> &str {
        &self.view.uuid
    }

    /// `status.provisioning.state`.
    pub fn state(&self) -> &'static str {
        match self.view.provision_state.as_str() {
            "enroll" | "verifying" => "registering",
            "inspecting" | "inspect wait" | "inspect failed" => "inspecting",
            "manageable" if self.view.inspection_finished_at.is_none() => "inspecting",
            "manageable" | "cleaning" | "clean wait" | "clean failed" | "clean hold" => "preparing",
            "available" => "available",
            "deploying" | "wait call-back" | "deploy failed" | "deploy hold" => "provisioning",
            "deleting" | "error" | "undeploying" => "deprovisioning",
            "adopting" | "adopt failed" => "externally provisioned",
            "active" if self.memory.externally_provisioned => "externally provisioned",
            _ => "provisioned",
        }
    }

    /// `status.errorType`: what kind of thing went wrong; empty when nothing did.
    pub fn error_type(&self) -> &'static str {
        if self.view.last_error.is_none() {
            return "";
        }
        match self.view.provision_state.as_str() {
            "enroll" | "verifying" => "registration error",
            "adopt failed" => "provisioned registration error",
            "inspect failed" => "inspection error",
            "clean failed" => "preparation error",
            "deploy failed" | "error" => "provisioning error",
            "service failed" => "servicing error",
            _ => "power management error",
        }
    }

    fn operational_status(&self) -> &'static str {
        if !self.error_type().is_empty() { "error" } else { "OK" }
    }

    fn bmc(&self) -> String {
        let text = |key: &str| self.node["driver_info"][key].as_str().unwrap_or_default();
        format!("{}{}", text("redfish_address"), text("redfish_system_id"))
    }

    /// Its line of a list.
    fn line(&self, now: OffsetDateTime) -> [String; COLUMNS.len()] {
        let age = self.node["created_at"].as_str().map(|time| age(time, now)).unwrap_or_default();
        [
            self.name.name.clone(),
            self.state().to_owned(),
            self.memory.consumer.clone().unwrap_or_default(),
            self.memory.online.to_string(),
            self.error_type().to_owned(),
            age,
            self.operational_status().to_owned(),
            self.bmc(),
        ]
    }

    /// The document, with what inspection found.
    pub fn document(&self, inventory: Option<&Value>) -> Value {
        let info = &self.node["instance_info"];
        let image = match (&info["image_source"], &info["boot_iso"]) {
            (Value::String(url), _) => json!({ "url": url }),
            (_, Value::String(url)) => json!({"url": url, "format": "live-iso"}),
            _ => json!({}),
        };
        let boot_mode = match self.node["properties"]["capabilities"].as_str() {
            Some(text) if text.contains("boot_mode:bios") => "legacy",
            _ => "UEFI",
        };
        let mut document = json!({
            "apiVersion": "metal3.io/v1alpha1",
            "kind": "BareMetalHost",
            "metadata": {
                "name": self.name.name,
                "namespace": self.name.namespace,
                "creationTimestamp": self.node["created_at"],
            },
            "spec": {
                "online": self.memory.online,
                "bootMode": boot_mode,
                "externallyProvisioned": self.memory.externally_provisioned,
            },
            "status": {
                "operationalStatus": self.operational_status(),
                "errorType": self.error_type(),
                "errorMessage": self.view.last_error.as_deref().unwrap_or_default(),
                "poweredOn": self.view.power_state.as_deref() == Some("power on"),
                "provisioning": {
                    "ID": self.view.uuid,
                    "state": self.state(),
                    "bootMode": boot_mode,
                    "image": image,
                },
            },
        });
        if let Some(consumer) = &self.memory.consumer {
            document["spec"]["consumerRef"] = json!({ "name": consumer });
        }
        if let Some(inventory) = inventory {
            document["status"]["hardware"] = hardware::details(inventory);
        }
        document
    }
}

/// The list, a line for each machine; with the namespace before its name when `all_namespaces`.
pub fn table(hosts: &[Host], is_wide: bool, all_namespaces: bool, now: OffsetDateTime) -> String {
    let count = if is_wide { COLUMNS.len() } else { NARROW };
    let row = |namespace: &str, cells: &[String]| {
        let first = all_namespaces.then(|| namespace.to_owned());
        first.into_iter().chain(cells[..count].iter().cloned()).collect::<Vec<_>>()
    };
    let mut rows = vec![row("NAMESPACE", &COLUMNS.map(str::to_owned))];
    rows.extend(hosts.iter().map(|host| row(&host.name.namespace, &host.line(now))));
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned() + "\n"
    });
    lines.collect()
}

/// As kubectl writes it: the two largest units, or one.
fn age(time: &str, now: OffsetDateTime) -> String {
    let Ok(time) = OffsetDateTime::parse(time, &Rfc3339) else { return "<unknown>".to_owned() };
    let seconds = (now - time).whole_seconds().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 && seconds % 60 > 0 => format!("{minutes}m{}s", seconds % 60),
        () if hours < 3 => format!("{minutes}m"),
        () if hours < 8 && minutes % 60 > 0 => format!("{hours}h{}m", minutes % 60),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 && hours % 24 > 0 => format!("{days}d{}h", hours % 24),
        () => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn host(state: &str, error: Option<&str>) -> Host {
        Host::new(json!({
            "uuid": "u", "name": "lab~worker-0", "provision_state": state, "last_error": error,
            "created_at": "2026-05-01T12:00:00+00:00", "power_state": "power on",
            "inspection_finished_at": "2026-05-01T12:00:00+00:00",
            "driver_info": {"redfish_address": "https://192.0.2.1", "redfish_system_id": "/redfish/v1/Systems/1"},
            "extra": {"metal3": {"online": true, "consumer": "m-0"}},
        }))
        .unwrap()
    }

    #[test]
    fn a_list_as_kubectl_prints_it() {
        let now = datetime!(2026-05-01 12:05:30 UTC);
        let hosts = [host("active", None), host("deploy failed", Some("no room"))];
        assert_eq!(
            table(&hosts, false, false, now),
            "NAME       STATE          CONSUMER   ONLINE   ERROR                AGE\n\
             worker-0   provisioned    m-0        true                          5m30s\n\
             worker-0   provisioning   m-0        true     provisioning error   5m30s\n"
        );
        let wide = table(&hosts, true, true, now);
        assert!(wide.starts_with("NAMESPACE   NAME") && wide.contains("OK       https://192.0.2.1/redfish"), "{wide}");
    }

    #[test]
    fn a_document_has_the_same_shape() {
        let document = host("active", None).document(None);
        assert_eq!(document["status"]["provisioning"]["state"], "provisioned");
        assert_eq!(
            (&document["status"]["poweredOn"], &document["spec"]["consumerRef"]["name"]),
            (&json!(true), &json!("m-0"))
        );
        assert_eq!(host("clean failed", Some("x")).document(None)["status"]["errorType"], "preparation error");
    }

    #[test]
    fn ages() {
        let now = datetime!(2026-05-10 12:00:00 UTC);
        for (time, words) in [
            ("2026-05-10T11:59:01+00:00", "59s"),
            ("2026-05-10T11:56:00+00:00", "4m"),
            ("2026-05-10T11:00:00+00:00", "60m"),
            ("2026-05-10T07:30:00+00:00", "4h30m"),
            ("2026-05-09T12:00:00+00:00", "24h"),
            ("2026-05-01T12:00:00+00:00", "9d"),
        ] {
            assert_eq!(age(time, now), words, "{time}");
        }
    }
}
