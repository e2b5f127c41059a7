//! What the machine boots next, and in which mode: the `Boot` object of its system.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::client::Resource;
use super::error::RedfishError;
use super::quirks::{self, Quirks};
use super::system::{System, strings};

/// How long a change of the boot mode may take that needs a start of the machine, as with iDRAC.
const MODE_LIMIT: Duration = Duration::from_secs(900);
/// How long switching the machine for that may take.
const POWER_LIMIT: Duration = Duration::from_secs(120);

/// How long a boot override lasts (`BootSourceOverrideEnabled`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enabled {
    /// For the next start.
    Once,
    /// Until it is changed.
    Continuous,
}

impl Enabled {
    fn as_str(self) -> &'static str {
        match self {
            Self::Once => "Once",
            Self::Continuous => "Continuous",
        }
    }
}

/// What the machine is to boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// Its disk.
    Disk,
    /// The virtual CD.
    VirtualCd,
    /// UEFI HTTP boot of a URL, or of what DHCP names.
    UefiHttp(Option<String>),
    /// Network boot.
    Pxe,
    /// The firmware's own menus.
    Setup,
}

/// How firmware boots (`BootSourceOverrideMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// UEFI.
    Uefi,
    /// BIOS.
    Legacy,
}

impl Mode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Uefi => "UEFI",
            Self::Legacy => "Legacy",
        }
    }
}

/// One request, and how long what it asks for lasts.
#[derive(Debug, Clone, PartialEq)]
struct Plan {
    request: Map<String, Value>,
    lasts: Enabled,
}

/// The `Boot` object as it is, and the one for the next start, where the BMC keeps that apart (DSP0266, "Settings resource").
struct Now<'a> {
    system: &'a Value,
    pending: &'a Value,
}

impl<'a> Now<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.pending.get(key).or_else(|| self.system.get(key))
    }

    fn offered(&self, key: &str) -> Option<Vec<String>> {
        self.get(&format!("{key}@Redfish.AllowableValues")).and_then(strings)
    }

    fn mode(&self) -> Option<&'a str> {
        self.system["BootSourceOverrideMode"].as_str()
    }
}

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

/// The requests that lead to `boot`, the best one first, given what the machine offers. None where nothing is to be done.
fn plans(now: &Now<'_>, boot: &Boot, enabled: Enabled, quirks: Quirks) -> Result<Vec<Plan>, String> {
    let targets = now.offered("BootSourceOverrideTarget");
    let durations = now.offered("BootSourceOverrideEnabled");
    let offers =
        |list: &Option<Vec<String>>, value: &str| list.as_ref().is_none_or(|list| list.iter().any(|one| one == value));
    let overridden = now.get("BootSourceOverrideEnabled").is_some_and(|enabled| enabled != "Disabled");
    if *boot == Boot::Disk && quirks.keeps_boot_order && !overridden {
        return Ok(Vec::new());
    }
    let candidates: &[&str] = match boot {
        Boot::Disk if quirks.keeps_boot_order => &[],
        Boot::Disk => &["Hdd"],
        Boot::VirtualCd => &[quirks.cd_target, "Cd", "UsbCd"],
        Boot::UefiHttp(_) => &["UefiHttp"],
        Boot::Pxe => &["Pxe"],
        Boot::Setup => &["BiosSetup"],
    };
    let target = candidates.iter().find(|target| offers(&targets, target)).copied();
    if let (None, Some(offered)) = (target, &targets)
        && *boot != Boot::Disk
    {
        return Err(format!("this machine cannot boot {}, only {}", candidates[0], offered.join(", ")));
    }
    if matches!(boot, Boot::UefiHttp(Some(_))) && now.get("HttpBootUri").is_none() {
        return Err(
            "this BMC hands no URL to the firmware (no HttpBootUri): use boot interface http or redfish-virtual-media"
                .into(),
        );
    }
    let lasting: &[Enabled] = match enabled {
        Enabled::Continuous => &[Enabled::Continuous, Enabled::Once],
        // Better for too long than not at all; it is taken back after the flow.
        Enabled::Once if !offers(&durations, "Once") => &[Enabled::Continuous],
        Enabled::Once => &[Enabled::Once],
    };
    let mut plans: Vec<Plan> = Vec::new();
    for lasts in lasting.iter().filter(|lasts| offers(&durations, lasts.as_str())) {
        if let Some(target) = target {
            plans.push(Plan { request: request(now, boot, target, lasts.as_str(), quirks), lasts: *lasts });
        }
    }
    if *boot == Boot::Disk && offers(&targets, "None") {
        // No override: the machine's own boot order, in which its disk should be.
        let request = request(now, boot, "None", "Disabled", quirks);
        plans.push(Plan { request, lasts: Enabled::Continuous });
    }
    match plans.is_empty() {
        true => Err("this BMC offers no boot override that fits".into()),
        false => Ok(plans),
    }
}

fn request(now: &Now<'_>, boot: &Boot, target: &str, enabled: &str, quirks: Quirks) -> Map<String, Value> {
    let mut request = Map::new();
    request.insert("BootSourceOverrideTarget".into(), target.into());
    if quirks.whole_boot_request {
        request.insert("BootSourceOverrideMode".into(), now.mode().unwrap_or("UEFI").into());
    }
    let same = now.get("BootSourceOverrideEnabled").is_some_and(|now| now == enabled);
    if quirks.whole_boot_request || quirks.always_enabled || !same {
        request.insert("BootSourceOverrideEnabled".into(), enabled.into());
    }
    match boot {
        Boot::UefiHttp(Some(url)) => {
            request.insert("HttpBootUri".into(), url.as_str().into());
        }
        // A URL of an earlier boot must not come back.
        _ if now.get("HttpBootUri").is_some_and(|uri| !uri.is_null()) => {
            request.insert("HttpBootUri".into(), Value::Null);
        }
        _ => {}
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(now: Value, boot: &Boot, enabled: Enabled, manufacturer: &str) -> Result<Vec<(Value, Enabled)>, String> {
        let now = Now { system: &now, pending: &Value::Null };
        let plans = plans(&now, boot, enabled, quirks::of(manufacturer))?;
        Ok(plans.into_iter().map(|plan| (Value::Object(plan.request), plan.lasts)).collect())
    }

    #[test]
    fn http_boot_names_its_url_and_later_boots_forget_it() {
        let now = json!({"BootSourceOverrideEnabled": "Disabled", "HttpBootUri": null});
        let url = "http://192.0.2.1/agent.efi".to_string();
        let found = plan(now, &Boot::UefiHttp(Some(url.clone())), Enabled::Once, "").unwrap();
        let request =
            json!({"BootSourceOverrideTarget": "UefiHttp", "BootSourceOverrideEnabled": "Once", "HttpBootUri": url});
        assert_eq!(found, [(request, Enabled::Once)]);
        let now = json!({"BootSourceOverrideEnabled": "Continuous", "HttpBootUri": url});
        let found = plan(now, &Boot::Disk, Enabled::Continuous, "").unwrap();
        assert_eq!(found[0].0, json!({"BootSourceOverrideTarget": "Hdd", "HttpBootUri": null}));
    }

    #[test]
    fn what_is_not_offered_is_not_asked_for() {
        let now = json!({"BootSourceOverrideTarget@Redfish.AllowableValues": ["Pxe", "Hdd"]});
        let problem = plan(now, &Boot::UefiHttp(None), Enabled::Once, "").unwrap_err();
        assert_eq!(problem, "this machine cannot boot UefiHttp, only Pxe, Hdd");

        let now = json!({"BootSourceOverrideEnabled@Redfish.AllowableValues": ["Disabled", "Once"],
            "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Cd", "Hdd"]});
        let found = plan(now.clone(), &Boot::VirtualCd, Enabled::Continuous, "").unwrap();
        assert_eq!(found.iter().map(|(_, lasts)| *lasts).collect::<Vec<_>>(), [Enabled::Once]);
        let found = plan(now, &Boot::Disk, Enabled::Continuous, "").unwrap();
        let asked: Vec<_> = found.iter().map(|(request, _)| &request["BootSourceOverrideEnabled"]).collect();
        assert_eq!(asked, ["Once", "Disabled"]);

        let now = json!({"BootSourceOverrideTarget": "Pxe"});
        let problem = plan(now, &Boot::UefiHttp(Some("http://h/x".into())), Enabled::Once, "").unwrap_err();
        assert!(problem.contains("no HttpBootUri"), "{problem}");
    }

    #[test]
    fn supermicro_calls_the_virtual_cd_otherwise_and_forgets_the_duration() {
        let now = json!({"BootSourceOverrideEnabled": "Once",
            "BootSourceOverrideTarget@Redfish.AllowableValues": ["Cd", "UsbCd"]});
        let found = plan(now, &Boot::VirtualCd, Enabled::Once, "Supermicro").unwrap();
        let request = json!({"BootSourceOverrideTarget": "UsbCd", "BootSourceOverrideEnabled": "Once"});
        assert_eq!(found, [(request, Enabled::Once)]);
        let now = json!({"BootSourceOverrideTarget@Redfish.AllowableValues": ["Cd"]});
        let found = plan(now, &Boot::VirtualCd, Enabled::Once, "Supermicro").unwrap();
        assert_eq!(found[0].0["BootSourceOverrideTarget"], "Cd");
    }

    #[test]
    fn megarac_wants_it_all() {
        let now = json!({"BootSourceOverrideEnabled": "Once", "BootSourceOverrideMode": "Legacy"});
        let found = plan(now, &Boot::Pxe, Enabled::Once, "American Megatrends Inc.").unwrap();
        let request = json!({"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideMode": "Legacy",
            "BootSourceOverrideEnabled": "Once"});
        assert_eq!(found[0].0, request);
    }

    #[test]
    fn lenovo_keeps_its_boot_order() {
        let now = json!({"BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideTarget": "None"});
        assert_eq!(plan(now, &Boot::Disk, Enabled::Continuous, "Lenovo"), Ok(Vec::new()));
        let now = json!({"BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Cd"});
        let found = plan(now, &Boot::Disk, Enabled::Continuous, "Lenovo").unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, json!({"BootSourceOverrideTarget": "None", "BootSourceOverrideEnabled": "Disabled"}));
    }
}
