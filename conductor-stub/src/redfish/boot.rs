//! What the machine boots next, and in which mode.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::boot_request::{Boot, Enabled, Mode, Now, plans};
use super::client::Resource;
use super::error::RedfishError;
use super::quirks;
use super::system::System;

/// How long a change of the boot mode may take that needs a start of the machine, as with iDRAC.
const MODE_LIMIT: Duration = Duration::from_secs(900);
/// How long switching the machine for that may take.
const POWER_LIMIT: Duration = Duration::from_secs(120);

impl System<'_> {
    /// Sets what the machine boots, at its next start or from now on, and returns how long that lasts: a BMC that knows no
    /// lasting override gets one for the next start, which has to be set again before each.
    ///
    /// # Errors
    /// When the BMC refuses, or does not offer that way of booting.
    pub async fn set_boot(&self, boot: &Boot, enabled: Enabled) -> Result<Enabled, RedfishError> {
        let mut system = self.read().await?;
        if matches!(boot, Boot::UefiHttp(_)) && system.body["Boot"]["BootSourceOverrideMode"] == "Legacy" {
            self.set_mode(Mode::Uefi).await?;
            system = self.read().await?;
        }
        let pending = self.pending(&system).await?;
        let quirks = quirks::of(system.body["Manufacturer"].as_str().unwrap_or_default());
        let now = now(&system, pending.as_ref());
        let plans = plans(&now, boot, enabled, quirks)
            .map_err(|problem| RedfishError::Document { url: self.path.clone(), problem })?;
        let mut refused = None;
        for plan in plans {
            match self.send(&system, pending.as_ref(), plan.request).await {
                Ok(()) => {
                    if let Some(mode) = now.mode().filter(|_| quirks.mode_is_lost) {
                        self.set_mode(if mode == "UEFI" { Mode::Uefi } else { Mode::Legacy }).await?;
                    }
                    return Ok(plan.lasts);
                }
                Err(error) if error.busy().is_none() && matches!(error.status(), Some(400..=501)) => {
                    tracing::info!(%error, "another boot override is tried");
                    refused.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        refused.map_or(Ok(Enabled::Continuous), Err)
    }

    /// Whether the BMC hands a URL to the firmware.
    ///
    /// # Errors
    /// See [`RedfishError`].
    pub async fn takes_url(&self) -> Result<bool, RedfishError> {
        let system = self.read().await?;
        let pending = self.pending(&system).await?;
        Ok(now(&system, pending.as_ref()).get("HttpBootUri").is_some())
    }

    /// Whether the next start boots something other than the machine's own choice.
    ///
    /// # Errors
    /// See [`RedfishError`].
    pub async fn is_overridden(&self) -> Result<bool, RedfishError> {
        Ok(self.overridden().await?.is_some_and(|(target, _)| target != "Hdd"))
    }

    /// What the next start boots instead of the machine's own choice (`BootSourceOverrideTarget`), and for how long.
    ///
    /// # Errors
    /// See [`RedfishError`].
    pub async fn overridden(&self) -> Result<Option<(String, Enabled)>, RedfishError> {
        let system = self.read().await?;
        let pending = self.pending(&system).await?;
        let now = now(&system, pending.as_ref());
        let enabled = match now.get("BootSourceOverrideEnabled").and_then(Value::as_str) {
            Some("Once") => Enabled::Once,
            Some("Continuous") => Enabled::Continuous,
            _ => return Ok(None),
        };
        let target = now.get("BootSourceOverrideTarget").and_then(Value::as_str).filter(|target| *target != "None");
        Ok(target.map(|target| (target.to_owned(), enabled)))
    }

    /// The mode that the machine boots in, where the BMC tells.
    ///
    /// # Errors
    /// See [`RedfishError`].
    pub async fn mode(&self) -> Result<Option<Mode>, RedfishError> {
        Ok(match self.read().await?.body["Boot"]["BootSourceOverrideMode"].as_str() {
            Some("UEFI") => Some(Mode::Uefi),
            Some("Legacy") => Some(Mode::Legacy),
            _ => None,
        })
    }

    /// Has the machine boot in this mode from now on. With a BMC that needs a start of the machine for that, the machine is
    /// started, and left in the power state that it was in. A BMC that shows no mode and refuses is left alone: there is one.
    ///
    /// # Errors
    /// When the BMC refuses, or the machine does not get there.
    pub async fn set_mode(&self, wanted: Mode) -> Result<(), RedfishError> {
        let system = self.read().await?;
        let pending = self.pending(&system).await?;
        let now = now(&system, pending.as_ref());
        if now.mode() == Some(wanted.as_str()) {
            return Ok(());
        }
        if let Some(offered) =
            now.offered("BootSourceOverrideMode").filter(|list| list.iter().all(|mode| mode != wanted.as_str()))
        {
            let problem = format!("this machine cannot boot in mode {}, only {}", wanted.as_str(), offered.join(", "));
            return Err(RedfishError::Document { url: self.path.clone(), problem });
        }
        let quirks = quirks::of(system.body["Manufacturer"].as_str().unwrap_or_default());
        let mut request = Map::new();
        if quirks.whole_boot_request {
            let as_it_is =
                |key: &str, otherwise: &str| now.get(key).and_then(Value::as_str).unwrap_or(otherwise).to_owned();
            request.insert("BootSourceOverrideTarget".into(), as_it_is("BootSourceOverrideTarget", "None").into());
            request
                .insert("BootSourceOverrideEnabled".into(), as_it_is("BootSourceOverrideEnabled", "Disabled").into());
        }
        request.insert("BootSourceOverrideMode".into(), wanted.as_str().into());
        match self.send(&system, pending.as_ref(), request).await {
            Err(error @ RedfishError::Refused { .. }) if now.mode().is_none() => {
                tracing::info!(%error, "this BMC does not tell nor change the boot mode");
                return Ok(());
            }
            other => other?,
        }
        if now.mode().is_none() || self.is_in(wanted).await? {
            return Ok(());
        }
        tracing::info!(mode = wanted.as_str(), "the machine is started for the change of its boot mode");
        let was_on = system.body["PowerState"] == "On";
        self.set_power(false, POWER_LIMIT).await?;
        self.set_power(true, POWER_LIMIT).await?;
        let start = tokio::time::Instant::now();
        while !self.is_in(wanted).await? {
            if start.elapsed() > MODE_LIMIT {
                let problem = format!("the boot mode is not {} after {} s", wanted.as_str(), MODE_LIMIT.as_secs());
                return Err(RedfishError::Document { url: self.path.clone(), problem });
            }
            tokio::time::sleep(self.client.growing_pause(1)).await;
        }
        self.set_power(was_on, POWER_LIMIT).await
    }

    async fn is_in(&self, mode: Mode) -> Result<bool, RedfishError> {
        Ok(self.read().await?.body["Boot"]["BootSourceOverrideMode"] == mode.as_str())
    }

    /// The resource for the next start, where the BMC has one with boot settings in it.
    async fn pending(&self, system: &Resource) -> Result<Option<Resource>, RedfishError> {
        let Some(path) = system.body["@Redfish.Settings"]["SettingsObject"]["@odata.id"].as_str() else {
            return Ok(None);
        };
        match self.client.get(path).await {
            Ok(settings) => Ok(Some(settings).filter(|settings| settings.body["Boot"].is_object())),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Each property goes to the resource that has it.
    async fn send(
        &self,
        system: &Resource,
        pending: Option<&Resource>,
        request: Map<String, Value>,
    ) -> Result<(), RedfishError> {
        let is_pending = |key: &String| pending.is_some_and(|settings| settings.body["Boot"].get(key).is_some());
        let (later, now): (Map<_, _>, Map<_, _>) = request.into_iter().partition(|(key, _)| is_pending(key));
        for (resource, part) in [(pending, later), (Some(system), now)] {
            if let Some(resource) = resource.filter(|_| !part.is_empty()) {
                self.client.patch(resource, &json!({"Boot": part})).await?;
            }
        }
        Ok(())
    }
}

fn now<'a>(system: &'a Resource, pending: Option<&'a Resource>) -> Now<'a> {
    Now { system: &system.body["Boot"], pending: pending.map_or(&Value::Null, |settings| &settings.body["Boot"]) }
}
