//! Whether the machine boots with Secure Boot: the `SecureBoot` resource of its system.

use serde_json::json;

use super::client::Resource;
use super::error::RedfishError;
use super::system::System;

impl System<'_> {
    async fn secure_boot_resource(&self) -> Result<Option<Resource>, RedfishError> {
        let system = self.read().await?;
        let Some(path) = system.body["SecureBoot"]["@odata.id"].as_str() else { return Ok(None) };
        match self.client.get(path).await {
            Ok(resource) => Ok(Some(resource)),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the next start is with Secure Boot, where the BMC tells.
    ///
    /// # Errors
    /// See [`RedfishError`].
    pub async fn secure_boot(&self) -> Result<Option<bool>, RedfishError> {
        Ok(self.secure_boot_resource().await?.and_then(|resource| resource.body["SecureBootEnable"].as_bool()))
    }

    /// Has the next start be with Secure Boot or without.
    ///
    /// # Errors
    /// When the BMC has no Secure Boot, or refuses.
    pub async fn set_secure_boot(&self, on: bool) -> Result<(), RedfishError> {
        let missing = || RedfishError::Document { url: self.path.clone(), problem: "there is no Secure Boot".into() };
        let resource = self.secure_boot_resource().await?.ok_or_else(missing)?;
        match resource.body["SecureBootEnable"].as_bool() {
            Some(now) if now == on => Ok(()),
            _ => self.client.patch(&resource, &json!({"SecureBootEnable": on})).await,
        }
    }
}
