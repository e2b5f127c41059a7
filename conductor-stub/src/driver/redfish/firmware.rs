//! The firmware of a machine behind a BMC: settings and versions.

use serde_json::{Map, Value};

use super::{Bmc, failed};
use crate::driver::DriverFuture;
use crate::driver::firmware::{Firmware, Progress};
use crate::node::{Setting, Version};
use crate::redfish::{self, RedfishError, Task};

impl Firmware for Bmc {
    fn settings(&mut self) -> DriverFuture<'_, Vec<Setting>> {
        Box::pin(async move {
            let read = async {
                let system = self.system().await?;
                let settings = system.settings().await?;
                let registry = system.registry().await.unwrap_or_else(|error| {
                    tracing::info!(%error, "what the settings may be is not known");
                    Vec::new()
                });
                Ok((settings, registry))
            };
            let (settings, registry) = read.await.map_err(|error: RedfishError| failed(error))?;
            let entry = |name: &str| registry.iter().find(|entry| entry["AttributeName"] == name);
            Ok(settings.iter().map(|(name, value)| Setting::new(name, value, entry(name))).collect())
        })
    }

    fn change_settings<'a>(&'a mut self, wanted: &'a Map<String, Value>) -> DriverFuture<'a, ()> {
        Box::pin(async move { async { self.system().await?.change_settings(wanted).await }.await.map_err(failed) })
    }

    fn reset_settings(&mut self) -> DriverFuture<'_, ()> {
        Box::pin(async move { async { self.system().await?.reset_settings().await }.await.map_err(failed) })
    }

    fn versions(&mut self) -> DriverFuture<'_, Vec<Version>> {
        Box::pin(async move {
            let found = async { self.system().await?.firmware().await }.await.map_err(failed)?;
            let version = |found: redfish::firmware::Firmware| {
                let redfish::firmware::Firmware { component, version, vendor, model, serial_number } = found;
                Version { component, version, vendor, model, serial_number }
            };
            Ok(found.into_iter().map(version).collect())
        })
    }

    fn update<'a>(&'a mut self, url: &'a str) -> DriverFuture<'a, Vec<String>> {
        Box::pin(async move {
            let task = async { self.system().await?.update(url).await }.await.map_err(failed)?;
            Ok(task.into_iter().flat_map(|task| [Some(task.path), task.also]).flatten().collect())
        })
    }

    fn look<'a>(&'a mut self, places: &'a mut Vec<String>) -> DriverFuture<'a, Progress> {
        Box::pin(async move {
            let Some(path) = places.first().cloned() else { return Ok(Progress::Done) };
            let mut task = Task { path, also: places.get(1).cloned() };
            let seen = self.client.look(&mut task).await;
            *places = [Some(task.path), task.also].into_iter().flatten().collect();
            match seen {
                Ok(redfish::Progress::Done(_)) => Ok(Progress::Done),
                Ok(redfish::Progress::Running { pause, state }) => match state.as_deref() {
                    Some("Starting" | "Pending") => Ok(Progress::Waiting(pause)),
                    _ => Ok(Progress::Running(pause)),
                },
                Err(error) if error.is_passing() => Ok(Progress::Silent(error.to_string())),
                Err(error) => Err(failed(error)),
            }
        })
    }
}
