//! The settings of the firmware of a machine behind a BMC.

use serde_json::{Map, Value};

use super::{Bmc, failed};
use crate::driver::DriverFuture;
use crate::driver::firmware::Firmware;
use crate::node::Setting;
use crate::redfish::RedfishError;

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
}
