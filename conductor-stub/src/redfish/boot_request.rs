//! What is asked of a BMC for a boot, given what it offers: the `Boot` object of a system.

use serde_json::{Map, Value};

use super::quirks::Quirks;
use super::system::strings;

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
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Uefi => "UEFI",
            Self::Legacy => "Legacy",
        }
    }
}

/// One request, and how long what it asks for lasts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    pub(super) request: Map<String, Value>,
    pub(super) lasts: Enabled,
}

/// The `Boot` object as it is, and the one for the next start, where the BMC keeps that apart (DSP0266, "Settings resource").
pub(super) struct Now<'a> {
    pub(super) system: &'a Value,
    pub(super) pending: &'a Value,
}

impl<'a> Now<'a> {
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.pending.get(key).or_else(|| self.system.get(key))
    }

    pub(super) fn offered(&self, key: &str) -> Option<Vec<String>> {
        self.get(&format!("{key}@Redfish.AllowableValues")).and_then(strings)
    }

    pub(super) fn mode(&self) -> Option<&'a str> {
        self.system["BootSourceOverrideMode"].as_str()
    }
}

/// The requests that lead to `boot`, the best one first, given what the machine offers. None where nothing is to be done.
pub(super) fn plans(now: &Now<'_>, boot: &Boot, enabled: Enabled, quirks: Quirks) -> Result<Vec<Plan>, String> {
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
    use serde_json::json;

    use super::*;
    use crate::redfish::quirks;

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
