//! What a client may say about a machine.

use ferric_ignition::kernel_arguments::{KernelArgument, KernelArgumentError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::boot_url::{BootUrl, BootUrlError};
use crate::files;

/// A JSON object whose keys are Ironic's.
pub type Object = Map<String, Value>;

/// What a client may set; anything else in a request is refused by name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spec {
    /// Unique name, an alternative to the UUID.
    pub name: Option<String>,
    /// The hardware type, which decides how power and boot are controlled.
    pub driver: String,
    /// How to reach and boot the machine.
    pub driver_info: Object,
    /// Facts and wishes that hold for the machine (`root_device`, `capabilities`…).
    pub properties: Object,
    /// What this deployment is to be (`image_source`…).
    pub instance_info: Object,
    /// The instance on it, for the client's own use.
    pub instance_uuid: Option<Uuid>,
    /// The client's own notes.
    pub extra: Object,
    /// How deployments are done: `direct`, `custom-agent` or `ramdisk`.
    pub deploy_interface: Option<String>,
    /// How the ramdisk is booted.
    pub boot_interface: Option<String>,
    /// Stored and shown.
    pub bios_interface: Option<String>,
    /// Stored and shown.
    pub console_interface: Option<String>,
    /// Stored and shown.
    pub firmware_interface: Option<String>,
    /// Stored and shown; inspection is done by the agent.
    pub inspect_interface: Option<String>,
    /// Stored and shown.
    pub management_interface: Option<String>,
    /// Stored and shown.
    pub network_interface: Option<String>,
    /// Stored and shown.
    pub power_interface: Option<String>,
    /// Stored and shown.
    pub raid_interface: Option<String>,
    /// Stored and shown.
    pub rescue_interface: Option<String>,
    /// Stored and shown.
    pub storage_interface: Option<String>,
    /// Stored and shown.
    pub vendor_interface: Option<String>,
    /// `false` skips automated cleaning.
    pub automated_clean: Option<bool>,
    /// Stored and shown.
    pub resource_class: Option<String>,
    /// Stored and shown.
    pub conductor_group: String,
    /// Stored and shown.
    pub owner: Option<String>,
    /// Stored and shown.
    pub lessee: Option<String>,
    /// Stored and shown.
    pub description: Option<String>,
    /// Stored and shown.
    pub chassis_uuid: Option<String>,
    /// Keeps the node from being undeployed.
    pub protected: bool,
    /// Stored and shown.
    pub protected_reason: Option<String>,
    /// Stored and shown.
    pub retired: bool,
    /// Stored and shown.
    pub retired_reason: Option<String>,
    /// Stored and shown.
    pub network_data: Object,
    /// Stored and shown.
    pub parent_node: Option<String>,
    /// Stored and shown.
    pub shard: Option<String>,
    /// Stored and shown.
    pub disable_power_off: bool,
    /// Settable by patch, as Ironic lets clients do: the reason stays as it is.
    pub maintenance: bool,
}

/// Why a document does not describe a machine; the texts are Ironic's.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// Not an object.
    #[error("Invalid input: not an object")]
    NotAnObject,
    /// An unknown key or a value of another type.
    #[error("Schema error for node: {0}")]
    Schema(serde_path_to_error::Error<serde_json::Error>),
    /// No hardware type.
    #[error("Schema error for node: 'driver' is a required property")]
    NoDriver,
    /// A name that no URL can hold, or that could be taken for a UUID.
    #[error("Cannot create node with invalid name {0:?}")]
    Name(String),
    /// A URL that could not be written down.
    #[error("{key}: {cause}")]
    Url {
        /// Where it stands.
        key: &'static str,
        /// What is wrong with it.
        cause: BootUrlError,
    },
    /// Control characters or white space.
    #[error("{key} has control characters or white space: {text:?}")]
    Text {
        /// Where it stands.
        key: &'static str,
        /// The text.
        text: String,
    },
    /// What cannot stand on a kernel command line.
    #[error("{key}: {cause}")]
    KernelArguments {
        /// Where they stand.
        key: &'static str,
        /// What is wrong with them.
        cause: KernelArgumentError,
    },
}

impl Spec {
    /// What a client says about a machine, checked.
    ///
    /// # Errors
    /// Names what is wrong.
    pub fn read(document: Value) -> Result<Self, SpecError> {
        let Value::Object(mut map) = document else { return Err(SpecError::NotAnObject) };
        // Objects that a client sets to null are meant to be empty.
        map.retain(|key, value| {
            !value.is_null()
                || !matches!(
                    key.as_str(),
                    "driver_info" | "properties" | "instance_info" | "extra" | "network_data" | "conductor_group"
                )
        });
        let spec: Self = serde_path_to_error::deserialize(Value::Object(map)).map_err(SpecError::Schema)?;
        if spec.driver.is_empty() {
            return Err(SpecError::NoDriver);
        }
        spec.check_name()?;
        spec.check_texts()?;
        Ok(spec)
    }

    /// As Ironic: what stands in a URL as it is (RFC 3986, "unreserved").
    fn check_name(&self) -> Result<(), SpecError> {
        let Some(name) = &self.name else { return Ok(()) };
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
        if plain && (1..=255).contains(&name.len()) && name.parse::<Uuid>().is_err() {
            return Ok(());
        }
        Err(SpecError::Name(name.clone()))
    }

    /// Texts that are written into configuration or onto command lines later on.
    fn check_texts(&self) -> Result<(), SpecError> {
        let text = |object: &Object, key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        if let Some(url) = text(&self.instance_info, "boot_iso").filter(|text| files::local(text).is_none()) {
            url.parse::<BootUrl>().map_err(|cause| SpecError::Url { key: "instance_info/boot_iso", cause })?;
        }
        for (object, name, key) in [
            (&self.instance_info, "image_source", "instance_info/image_source"),
            (&self.instance_info, "boot_iso", "instance_info/boot_iso"),
            (&self.driver_info, "redfish_address", "driver_info/redfish_address"),
            (&self.driver_info, "redfish_system_id", "driver_info/redfish_system_id"),
        ] {
            let Some(text) = text(object, name) else { continue };
            let local = files::local(&text).is_some();
            if text.chars().any(|c| c.is_control() || (c.is_whitespace() && !local)) {
                return Err(SpecError::Text { key, text });
            }
        }
        for (object, key) in [
            (&self.driver_info, "driver_info/kernel_append_params"),
            (&self.instance_info, "instance_info/kernel_append_params"),
        ] {
            for word in
                text(object, "kernel_append_params").unwrap_or_default().split(' ').filter(|word| !word.is_empty())
            {
                word.parse::<KernelArgument>().map_err(|cause| SpecError::KernelArguments { key, cause })?;
            }
        }
        Ok(())
    }
}
