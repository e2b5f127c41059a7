//! Power and boot override of one machine.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::Resource;
use super::quirks::{self, Quirks};
use super::{Client, RedfishError};

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
}

/// One machine behind a BMC.
#[derive(Debug)]
pub struct System<'a> {
    /// The connection.
    pub client: &'a Client,
    /// Path of the system.
    pub path: String,
}

impl<'a> System<'a> {
    /// The system named in the settings, else the only one that the BMC has.
    ///
    /// # Errors
    /// When the BMC cannot be asked, or has several systems and none was named.
    pub async fn find(client: &'a Client) -> Result<Self, RedfishError> {
        let settings = client.settings();
        if let Some(path) = &settings.system {
            return Ok(Self { client, path: path.clone() });
        }
        let root = client.get(settings.root.path()).await?;
        let problem = |problem: String| RedfishError::Document { url: settings.root.to_string(), problem };
        let systems =
            root.body["Systems"]["@odata.id"].as_str().ok_or_else(|| problem("there is no list of systems".into()))?;
        let members = client.get(systems).await?;
        let paths: Vec<&str> = members.body["Members"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|member| member["@odata.id"].as_str())
            .collect();
        match paths[..] {
            [path] => Ok(Self { client, path: path.to_string() }),
            _ => Err(problem(format!("there are {} systems: set driver_info/redfish_system_id", paths.len()))),
        }
    }

    /// The system's document as it is now.
    ///
    /// # Errors
    /// See [`RedfishError`].
    pub async fn read(&self) -> Result<Resource, RedfishError> {
        self.client.get(&self.path).await
    }

    /// `On`, `Off`, `PoweringOn`, `PoweringOff`…
    ///
    /// # Errors
    /// See [`RedfishError`].
    pub async fn power(&self) -> Result<String, RedfishError> {
        Ok(self.read().await?.body["PowerState"].as_str().unwrap_or("Unknown").to_string())
    }

    /// Switches on or off (at once) and waits until that is so.
    ///
    /// # Errors
    /// When the BMC refuses, or the machine is not there after `limit`.
    pub async fn set_power(&self, on: bool, limit: Duration) -> Result<(), RedfishError> {
        let (wanted, reset) = if on { ("On", "On") } else { ("Off", "ForceOff") };
        let system = self.read().await?;
        if system.body["PowerState"] == wanted {
            return Ok(());
        }
        if let Err(error) = self.reset(&system, reset).await {
            // Another hand may have been quicker; some BMCs call that an error.
            if !matches!(error.status(), Some(400 | 409)) || self.power().await? != wanted {
                return Err(error);
            }
        }
        let start = tokio::time::Instant::now();
        loop {
            let found = self.power().await?;
            if found == wanted {
                return Ok(());
            }
            if start.elapsed() >= limit {
                return Err(RedfishError::Power { wanted, found, seconds: limit.as_secs() });
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn reset(&self, system: &Resource, kind: &str) -> Result<(), RedfishError> {
        let target = system.body["Actions"]["#ComputerSystem.Reset"]["target"].as_str().ok_or_else(|| {
            RedfishError::Document { url: self.path.clone(), problem: "the system cannot be reset".into() }
        })?;
        self.client.post(target, Some(&json!({"ResetType": kind}))).await.map(drop)
    }

    /// Sets what the machine boots, at its next start or from now on.
    ///
    /// # Errors
    /// When the BMC refuses, or does not offer that way of booting.
    pub async fn set_boot(&self, boot: &Boot, enabled: Enabled) -> Result<(), RedfishError> {
        let system = self.read().await?;
        let quirks = quirks::of(system.body["Manufacturer"].as_str().unwrap_or_default());
        let body = boot_request(&system.body["Boot"], boot, enabled, quirks)
            .map_err(|problem| RedfishError::Document { url: self.path.clone(), problem })?;
        // Boot settings may have a resource of their own for the next start (DSP0266, 9.10).
        let pending = system.body["@Redfish.Settings"]["SettingsObject"]["@odata.id"].as_str();
        if let Some(path) = pending {
            let settings = self.client.get(path).await?;
            if settings.body.get("Boot").is_some() {
                return self.client.patch(&settings, &body).await;
            }
        }
        self.client.patch(&system, &body).await
    }
}

/// The body of a boot override, given the `Boot` object as it is.
fn boot_request(now: &Value, boot: &Boot, enabled: Enabled, quirks: Quirks) -> Result<Value, String> {
    let enabled = enabled.as_str();
    let target = match boot {
        Boot::Disk => "Hdd",
        Boot::VirtualCd => quirks.cd_target,
        Boot::UefiHttp(_) => "UefiHttp",
        Boot::Pxe => "Pxe",
    };
    let offered = now["BootSourceOverrideTarget@Redfish.AllowableValues"].as_array();
    if let Some(offered) = offered
        && !offered.iter().any(|value| value == target)
    {
        let offered: Vec<&str> = offered.iter().filter_map(Value::as_str).collect();
        return Err(format!("this machine cannot boot {target}, only {}", offered.join(", ")));
    }
    let mut request = json!({"BootSourceOverrideTarget": target});
    if quirks.whole_boot_request {
        request["BootSourceOverrideMode"] = "UEFI".into();
    }
    if quirks.whole_boot_request || now["BootSourceOverrideEnabled"] != enabled {
        request["BootSourceOverrideEnabled"] = enabled.into();
    }
    match boot {
        Boot::UefiHttp(Some(url)) => request["HttpBootUri"] = url.as_str().into(),
        // A URL of an earlier boot must not come back.
        _ if now.get("HttpBootUri").is_some_and(|uri| !uri.is_null()) => request["HttpBootUri"] = Value::Null,
        _ => {}
    }
    Ok(json!({"Boot": request}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_boot_names_its_url_and_later_boots_forget_it() {
        let now = json!({"BootSourceOverrideEnabled": "Disabled", "HttpBootUri": null});
        let url = "http://192.0.2.1/agent.efi".to_string();
        let request = boot_request(&now, &Boot::UefiHttp(Some(url.clone())), Enabled::Once, quirks::NONE).unwrap();
        assert_eq!(
            request,
            json!({"Boot": {"BootSourceOverrideTarget": "UefiHttp", "BootSourceOverrideEnabled": "Once", "HttpBootUri": url}})
        );
        let now = json!({"BootSourceOverrideEnabled": "Continuous", "HttpBootUri": url});
        let request = boot_request(&now, &Boot::Disk, Enabled::Continuous, quirks::NONE).unwrap();
        assert_eq!(request, json!({"Boot": {"BootSourceOverrideTarget": "Hdd", "HttpBootUri": null}}));
    }

    #[test]
    fn quirks_change_the_request() {
        let now = json!({"BootSourceOverrideEnabled": "Once"});
        let request = boot_request(&now, &Boot::VirtualCd, Enabled::Once, quirks::of("Supermicro")).unwrap();
        assert_eq!(
            request,
            json!({"Boot": {"BootSourceOverrideTarget": "UsbCd", "BootSourceOverrideEnabled": "Once",
                            "BootSourceOverrideMode": "UEFI"}})
        );
    }

    #[test]
    fn what_the_machine_cannot_boot_is_refused_here() {
        let now = json!({"BootSourceOverrideTarget@Redfish.AllowableValues": ["Pxe", "Hdd"]});
        let problem = boot_request(&now, &Boot::UefiHttp(None), Enabled::Once, quirks::NONE).unwrap_err();
        assert_eq!(problem, "this machine cannot boot UefiHttp, only Pxe, Hdd");
    }
}
