//! Which of a BMC's systems is meant, and its power.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{ATTEMPTS, Client, Resource};
use super::error::{Failure, RedfishError};

/// Between two looks at the power.
const LOOK: Duration = Duration::from_millis(500);

/// One machine behind a BMC.
#[derive(Debug)]
pub struct System<'a> {
    /// The connection.
    pub client: &'a Client,
    /// Path of the system.
    pub path: String,
}

/// What can be done to a machine's power (`ResetType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// Switches on.
    On,
    /// Takes the power away.
    ForceOff,
    /// Asks the operating system to end.
    GracefulShutdown,
    /// Asks the operating system to start anew.
    GracefulRestart,
    /// Presses reset.
    ForceRestart,
    /// A non-maskable interrupt.
    Nmi,
}

impl Reset {
    /// The names that this has: one that a BMC may lack, and what does the same.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::On => &["On", "ForceOn"],
            Self::ForceOff => &["ForceOff"],
            Self::GracefulShutdown => &["GracefulShutdown"],
            Self::GracefulRestart => &["GracefulRestart"],
            Self::ForceRestart => &["ForceRestart"],
            Self::Nmi => &["Nmi"],
        }
    }

    /// The power state that it ends in, if it changes any.
    fn end(self) -> Option<&'static str> {
        match self {
            Self::On | Self::GracefulRestart | Self::ForceRestart => Some("On"),
            Self::ForceOff | Self::GracefulShutdown => Some("Off"),
            Self::Nmi => None,
        }
    }

    fn starts_anew(self) -> bool {
        matches!(self, Self::GracefulRestart | Self::ForceRestart | Self::Nmi)
    }
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
        let list =
            root.body["Systems"]["@odata.id"].as_str().ok_or_else(|| problem("there is no list of systems".into()))?;
        let paths = client.members(list).await?;
        match <[String; 1]>::try_from(paths) {
            Ok([path]) => Ok(Self { client, path }),
            Err(paths) => Err(problem(format!("there are {} systems: set driver_info/redfish_system_id", paths.len()))),
        }
    }

    /// The system's document as it is now.
    ///
    /// # Errors
    /// See [`RedfishError`].
    pub async fn read(&self) -> Result<Resource, RedfishError> {
        self.client.get(&self.path).await
    }

    /// The documents of its managers; one that is not there is left out.
    ///
    /// # Errors
    /// See [`RedfishError`].
    pub async fn managers(&self, system: &Value) -> Result<Vec<Resource>, RedfishError> {
        let mut managers = Vec::new();
        for manager in system["Links"]["ManagedBy"].as_array().into_iter().flatten() {
            let Some(path) = manager["@odata.id"].as_str() else { continue };
            match self.client.get(path).await {
                Ok(manager) => managers.push(manager),
                Err(error) if error.status() == Some(404) => tracing::debug!(path, "a manager that is not there"),
                Err(error) => return Err(error),
            }
        }
        Ok(managers)
    }

    /// `On`, `Off`, `PoweringOn`, `PoweringOff`…
    ///
    /// # Errors
    /// See [`RedfishError`].
    pub async fn power(&self) -> Result<String, RedfishError> {
        Ok(power_of(&self.read().await?).to_owned())
    }

    /// Switches on or off (at once) and waits until that is so.
    ///
    /// # Errors
    /// When the BMC refuses, or the machine is not there after `limit`.
    pub async fn set_power(&self, on: bool, limit: Duration) -> Result<(), RedfishError> {
        self.reset(if on { Reset::On } else { Reset::ForceOff }, limit).await
    }

    /// Does `reset` and waits for the power state that it ends in. One way is never taken for another: what does not shut
    /// down stays on.
    ///
    /// # Errors
    /// When the BMC does not offer that or refuses, or the machine is not there after `limit`.
    pub async fn reset(&self, reset: Reset, limit: Duration) -> Result<(), RedfishError> {
        let start = tokio::time::Instant::now();
        let system = self.read().await?;
        let found = power_of(&system);
        let there = reset.end() == Some(found) && !reset.starts_anew();
        if there {
            return Ok(());
        }
        // A machine on its way up need not be told.
        if !(reset == Reset::On && found == "PoweringOn") && self.order(reset, &system).await? {
            return Ok(());
        }
        match reset.end() {
            Some(wanted) => self.wait_for(wanted, start + limit, limit).await,
            None => Ok(()),
        }
    }

    async fn wait_for(
        &self,
        wanted: &'static str,
        end: tokio::time::Instant,
        limit: Duration,
    ) -> Result<(), RedfishError> {
        loop {
            let found = self.power().await?;
            if found == wanted {
                return Ok(());
            }
            if tokio::time::Instant::now() >= end {
                return Err(RedfishError::Power { wanted, found, seconds: limit.as_secs() });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Orders it; true when the machine turns out to be there already. A refusal counts only while the machine is not on its
    /// way: another hand may have been quicker, and iDRAC 10 refuses `On` for a while after it has switched off.
    async fn order(&self, reset: Reset, system: &Resource) -> Result<bool, RedfishError> {
        let (target, kind) = self.action(reset, system).await?;
        let mut attempt = 1;
        loop {
            let error = match self.client.post(&target, Some(&json!({"ResetType": kind}))).await {
                Ok(_) => return Ok(false),
                Err(error) => error,
            };
            let lost = matches!(error, RedfishError::Unreachable { failure: Failure::NoAnswer, .. });
            let Some(wanted) = reset.end().filter(|_| lost || matches!(error.status(), Some(400 | 409))) else {
                return Err(error);
            };
            let now = self.power().await?;
            let said = error.to_string().to_lowercase();
            let said = ["already", "host is"]
                .iter()
                .any(|word| said.contains(&format!("{word} powered {wanted}").to_lowercase()));
            if !reset.starts_anew() && (now == wanted || (now == "Unknown" && said)) {
                return Ok(true);
            }
            let on_its_way = matches!((now.as_str(), wanted), ("PoweringOn", "On") | ("PoweringOff", "Off"));
            if on_its_way {
                return Ok(false);
            }
            if attempt >= ATTEMPTS || (!lost && error.status() != Some(409)) {
                return Err(error);
            }
            tracing::info!(%error, attempt, "the BMC is asked again");
            tokio::time::sleep(self.client.growing_pause(attempt)).await;
            attempt += 1;
        }
    }

    /// Where to send the order, and what it is called here.
    async fn action(&self, reset: Reset, system: &Resource) -> Result<(String, &'static str), RedfishError> {
        let problem = |problem: String| RedfishError::Document { url: self.path.clone(), problem };
        let action = &system.body["Actions"]["#ComputerSystem.Reset"];
        let target = action["target"].as_str().ok_or_else(|| problem("the system cannot be reset".into()))?;
        let mut offered = strings(&action["ResetType@Redfish.AllowableValues"]);
        if let (None, Some(info)) = (&offered, action["@Redfish.ActionInfo"].as_str()) {
            let info = self.client.get(info).await.map(|info| info.body).unwrap_or_default();
            let parameters = info["Parameters"].as_array().into_iter().flatten();
            let mut kinds = parameters.filter(|parameter| parameter["Name"] == "ResetType");
            offered = kinds.next().and_then(|parameter| strings(&parameter["AllowableValues"]));
        }
        let names = reset.names();
        let kind = match &offered {
            Some(offered) => names.iter().find(|name| offered.iter().any(|kind| kind == *name)),
            None => names.first(),
        };
        let missing = || {
            problem(format!(
                "offers no {}, only {}",
                names[0],
                offered.iter().flatten().cloned().collect::<Vec<_>>().join(", ")
            ))
        };
        Ok((target.to_owned(), kind.ok_or_else(missing)?))
    }
}

fn power_of(system: &Resource) -> &str {
    system.body["PowerState"].as_str().unwrap_or("Unknown")
}

/// A list of strings, when it is one with something in it.
pub(super) fn strings(value: &Value) -> Option<Vec<String>> {
    let list: Vec<String> = value.as_array()?.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    (!list.is_empty()).then_some(list)
}
