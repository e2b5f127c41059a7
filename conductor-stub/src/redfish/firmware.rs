//! Firmware: what there is of it, and its update by the BMC (`UpdateService`, DSP2046).

use serde_json::{Value, json};

use super::error::RedfishError;
use super::system::{System, strings};
use super::task::Task;

/// Network adapters that are looked at.
const ADAPTERS: usize = 64;

/// A part of the machine and the version of its firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// `bios`, `bmc`, or `nic:` with the adapter's serial number, else its id.
    pub component: String,
    /// The version.
    pub version: String,
    /// Who made the part.
    pub vendor: Option<String>,
    /// What it is called.
    pub model: Option<String>,
    /// Its serial number.
    pub serial_number: Option<String>,
}

impl System<'_> {
    /// The machine's firmware, its BMC's and its network adapters'; what the BMC does not tell is left out.
    ///
    /// # Errors
    /// When the BMC tells of none, or cannot be asked.
    pub async fn firmware(&self) -> Result<Vec<Firmware>, RedfishError> {
        let system = self.read().await?.body;
        let mut found = Vec::new();
        if let Some(version) = text(&system["BiosVersion"]) {
            let component = "bios".to_owned();
            found.push(Firmware { component, version, vendor: None, model: None, serial_number: None });
        }
        // The first that tells is the one, as there is one `bmc`.
        for manager in self.managers(&system).await? {
            if let Some(version) = text(&manager.body["FirmwareVersion"]) {
                let (component, model) = ("bmc".to_owned(), text(&manager.body["Model"]));
                found.push(Firmware { component, version, vendor: None, model, serial_number: None });
                break;
            }
        }
        match self.adapters(&system).await {
            Ok(adapters) => found.extend(adapters),
            // HPE has none to show before an operating system runs.
            Err(error) if error.status().is_some() => tracing::info!(%error, "network adapters are not known"),
            Err(error) => return Err(error),
        }
        if found.is_empty() {
            let problem = "it tells no version of any firmware".into();
            return Err(RedfishError::Document { url: self.path.clone(), problem });
        }
        Ok(found)
    }

    async fn adapters(&self, system: &Value) -> Result<Vec<Firmware>, RedfishError> {
        let mut found = Vec::new();
        let Some(chassis) = system["Links"]["Chassis"][0]["@odata.id"].as_str() else { return Ok(found) };
        let chassis = self.client.get(chassis).await?.body;
        let Some(list) = chassis["NetworkAdapters"]["@odata.id"].as_str() else { return Ok(found) };
        for path in self.client.members(list).await?.iter().take(ADAPTERS) {
            let adapter = self.client.get(path).await?.body;
            let serial_number = text(&adapter["SerialNumber"]);
            let Some(id) = serial_number.clone().or_else(|| text(&adapter["Id"])) else { continue };
            let controllers = adapter["Controllers"].as_array().into_iter().flatten();
            if let Some(version) = controllers.filter_map(|one| text(&one["FirmwarePackageVersion"])).next() {
                let (vendor, model) = (text(&adapter["Manufacturer"]), text(&adapter["Model"]));
                found.push(Firmware { component: format!("nic:{id}"), version, vendor, model, serial_number });
            }
        }
        Ok(found)
    }

    /// Has the BMC fetch firmware and write it to what it is for, which the BMC sees from it. The task, where it makes one.
    ///
    /// # Errors
    /// When the BMC cannot do that, or refuses.
    pub async fn update(&self, url: &str) -> Result<Option<Task>, RedfishError> {
        let problem =
            |url: &str, problem: &str| RedfishError::Document { url: url.to_owned(), problem: problem.into() };
        let root = self.client.get(self.client.settings().root.path()).await?;
        let missing = || problem(&root.path, "there is no service for updates");
        let service = root.body["UpdateService"]["@odata.id"].as_str().ok_or_else(missing)?;
        let service = self.client.get(service).await?;
        let action = &service.body["Actions"]["#UpdateService.SimpleUpdate"];
        let missing = || problem(&service.path, "firmware cannot be updated from a URL");
        let target = action["target"].as_str().ok_or_else(missing)?;
        let mut body = json!({"ImageURI": url});
        let protocol = if url.starts_with("https:") { "HTTPS" } else { "HTTP" };
        let offered = strings(&action["TransferProtocol@Redfish.AllowableValues"]);
        if offered.is_none_or(|offered| offered.iter().any(|one| one == protocol)) {
            body["TransferProtocol"] = protocol.into();
        }
        // Where there is one machine, few BMCs take `Targets`.
        if let Some(systems) = root.body["Systems"]["@odata.id"].as_str()
            && self.client.members(systems).await?.len() > 1
        {
            body["Targets"] = json!([self.path]);
        }
        match self.client.start(target, &body).await {
            // As sushy-tools' does.
            Err(error) if body.get("Targets").is_none() && error.mentions("Targets") => {
                body["Targets"] = json!([self.path]);
                self.client.start(target, &body).await
            }
            outcome => outcome,
        }
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(|text| text.chars().take(255).collect())
}
