//! The settings of a machine's firmware (`Bios`): what they are, what they may be, and changing them from its next start on.

use serde_json::{Map, Value, json};

use super::client::Resource;
use super::error::RedfishError;
use super::system::System;

/// Registries that are looked through for the one of the settings.
const REGISTRIES: usize = 128;

impl System<'_> {
    async fn bios(&self) -> Result<Resource, RedfishError> {
        let missing =
            || RedfishError::Document { url: self.path.clone(), problem: "there are no BIOS settings".into() };
        let system = self.read().await?;
        let path = system.body["Bios"]["@odata.id"].as_str().ok_or_else(missing)?;
        match self.client.get(path).await {
            Err(error) if error.status() == Some(404) => Err(missing()),
            other => other,
        }
    }

    /// The settings that are in force.
    ///
    /// # Errors
    /// When the BMC has none, or cannot be asked.
    pub async fn settings(&self) -> Result<Map<String, Value>, RedfishError> {
        Ok(attributes(&self.bios().await?).cloned().unwrap_or_default())
    }

    /// What the settings may be: the entries of their registry, none where the BMC has no registry.
    ///
    /// # Errors
    /// See [`RedfishError`].
    pub async fn registry(&self) -> Result<Vec<Value>, RedfishError> {
        let bios = self.bios().await?;
        let Some(name) = bios.body["AttributeRegistry"].as_str() else { return Ok(Vec::new()) };
        let root = self.client.get(self.client.settings().root.path()).await?;
        let Some(list) = root.body["Registries"]["@odata.id"].as_str() else { return Ok(Vec::new()) };
        let members = self.client.members(list).await?;
        // It is called after the registry nearly everywhere.
        let (named, others): (Vec<&String>, Vec<&String>) = members.iter().partition(|path| path.contains(name));
        for path in named.into_iter().chain(others).take(REGISTRIES) {
            let file = self.client.get(path).await?;
            let is_it = |key: &str| file.body[key].as_str().is_some_and(|text| text == name);
            if !(is_it("Registry") || is_it("Id")) {
                continue;
            }
            let places = file.body["Location"].as_array().into_iter().flatten();
            let english =
                places.clone().find(|place| place["Language"].as_str().is_some_and(|it| it.starts_with("en")));
            let Some(place) = english.or(places.clone().next()).and_then(|place| place["Uri"].as_str()) else { break };
            let mut registry = self.client.get(place).await?;
            return Ok(match registry.body["RegistryEntries"]["Attributes"].take() {
                Value::Array(entries) => entries,
                _ => Vec::new(),
            });
        }
        Ok(Vec::new())
    }

    /// Has these settings be in force from the next start on.
    ///
    /// # Errors
    /// When the BMC has none, or refuses.
    pub async fn change_settings(&self, wanted: &Map<String, Value>) -> Result<(), RedfishError> {
        let bios = self.bios().await?;
        let settings = &bios.body["@Redfish.Settings"];
        let on_reset =
            settings["SupportedApplyTimes"].as_array().is_some_and(|all| all.iter().any(|it| it == "OnReset"));
        let mut body = json!({ "Attributes": wanted });
        if on_reset {
            body["@Redfish.SettingsApplyTime"] =
                json!({"@odata.type": "#Settings.v1_0_0.PreferredApplyTime", "ApplyTime": "OnReset"});
        }
        let target = match settings["SettingsObject"]["@odata.id"].as_str() {
            Some(path) => self.client.get(path).await?,
            None => bios,
        };
        self.client.patch_for_next_start(&target, &body).await
    }

    /// Has the settings be those of the factory from the next start on.
    ///
    /// # Errors
    /// When the BMC cannot, or refuses.
    pub async fn reset_settings(&self) -> Result<(), RedfishError> {
        let bios = self.bios().await?;
        let target = bios.body["Actions"]["#Bios.ResetBios"]["target"].as_str();
        let missing = || RedfishError::Document { url: bios.path.clone(), problem: "there is no ResetBios".into() };
        self.client.post_for_next_start(target.ok_or_else(missing)?).await
    }
}

fn attributes(bios: &Resource) -> Option<&Map<String, Value>> {
    bios.body["Attributes"].as_object()
}
