//! What a client may say about a machine.

use ferric_ignition::kernel_arguments::{KernelArgument, KernelArgumentError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::flag::{self, NotABoolean};
use super::interface::{self, InterfaceError};
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
    /// How firmware settings are changed.
    pub bios_interface: Option<String>,
    /// One choice.
    pub console_interface: Option<String>,
    /// How firmware is updated.
    pub firmware_interface: Option<String>,
    /// Who inspects: the agent, or the BMC.
    pub inspect_interface: Option<String>,
    /// One choice for each hardware type.
    pub management_interface: Option<String>,
    /// One choice.
    pub network_interface: Option<String>,
    /// One choice for each hardware type.
    pub power_interface: Option<String>,
    /// Who builds RAID: the agent, or nobody.
    pub raid_interface: Option<String>,
    /// Who rescues: the agent, or nobody.
    pub rescue_interface: Option<String>,
    /// One choice.
    pub storage_interface: Option<String>,
    /// One choice.
    pub vendor_interface: Option<String>,
    /// `false` skips automated cleaning.
    #[serde(with = "flag::optional")]
    pub automated_clean: Option<bool>,
    /// What kind of machine it is: allocations ask for one.
    pub resource_class: Option<String>,
    /// Stored and shown, in lower case.
    pub conductor_group: String,
    /// Stored and shown.
    pub owner: Option<String>,
    /// Stored and shown.
    pub lessee: Option<String>,
    /// Stored and shown.
    pub description: Option<String>,
    /// There are no chassis.
    pub chassis_uuid: Option<Uuid>,
    /// Keeps the node from being undeployed, rebuilt and deleted.
    #[serde(deserialize_with = "flag::deserialize")]
    pub protected: bool,
    /// Why.
    pub protected_reason: Option<String>,
    /// Keeps the node from being made available.
    #[serde(deserialize_with = "flag::deserialize")]
    pub retired: bool,
    /// Why.
    pub retired_reason: Option<String>,
    /// Stored and shown.
    pub network_data: Object,
    /// The node that this one is a part of.
    pub parent_node: Option<Uuid>,
    /// Stored and shown.
    pub shard: Option<String>,
    /// Keeps the machine from being switched off by clients.
    #[serde(deserialize_with = "flag::deserialize")]
    pub disable_power_off: bool,
    /// What the instance on it is called.
    pub instance_name: Option<String>,
    /// Settable by patch, as Ironic lets clients do: the reason stays as it is.
    #[serde(deserialize_with = "flag::deserialize")]
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
    #[error("Cannot create node with invalid name '{0}'")]
    Name(String),
    /// A name that would be taken for something else in a URL.
    #[error(
        "The word \"{0}\" is reserved and can not be used as a node name. Reserved words are: {words}.",
        words = RESERVED_NAMES.join(", ")
    )]
    Reserved(String),
    /// An interface that there is not.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// A text that is too long.
    #[error("Schema error for node: {key} is longer than {limit} characters")]
    TooLong {
        /// Where it stands.
        key: &'static str,
        /// How long it may be.
        limit: usize,
    },
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
    /// Neither true nor false.
    #[error("{key}: {cause}")]
    Flag {
        /// Where it stands.
        key: &'static str,
        /// What is there.
        cause: NotABoolean,
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

/// Names that are parts of URLs below `/v1/nodes`.
const RESERVED_NAMES: [&str; 6] = ["maintenance", "management", "states", "vendor_passthru", "detail", "validate"];

/// As Ironic: what stands in a URL as it is (RFC 3986, "unreserved"). Ports and allocations are named by the same rule.
pub fn is_logical_name(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    plain && (1..=255).contains(&name.len())
}

impl Spec {
    /// What a client says about a machine, checked, with the defaults of its hardware type.
    ///
    /// # Errors
    /// Names what is wrong.
    pub fn read(document: Value) -> Result<Self, SpecError> {
        let Value::Object(mut map) = document else { return Err(SpecError::NotAnObject) };
        // What a client sets to null is to be as if it had never been set.
        map.retain(|_, value| !value.is_null());
        let mut spec: Self = serde_path_to_error::deserialize(Value::Object(map)).map_err(SpecError::Schema)?;
        if spec.driver.is_empty() {
            return Err(SpecError::NoDriver);
        }
        spec.conductor_group = spec.conductor_group.to_lowercase();
        spec.check_name()?;
        spec.check_lengths()?;
        spec.check_texts()?;
        spec.fast_track().map_err(|cause| SpecError::Flag { key: "driver_info/fast_track", cause })?;
        spec.choose_interfaces()?;
        Ok(spec)
    }

    /// Whether this machine's ramdisk stays up for the next flow, when it says so itself.
    ///
    /// # Errors
    /// When it is neither true nor false.
    pub fn fast_track(&self) -> Result<Option<bool>, NotABoolean> {
        self.driver_info.get("fast_track").map(flag::read).transpose()
    }

    /// The interface of this kind that was chosen.
    pub fn interface(&self, kind: &str) -> Option<&str> {
        match kind {
            "bios" => &self.bios_interface,
            "boot" => &self.boot_interface,
            "console" => &self.console_interface,
            "deploy" => &self.deploy_interface,
            "firmware" => &self.firmware_interface,
            "inspect" => &self.inspect_interface,
            "management" => &self.management_interface,
            "network" => &self.network_interface,
            "power" => &self.power_interface,
            "raid" => &self.raid_interface,
            "rescue" => &self.rescue_interface,
            "storage" => &self.storage_interface,
            "vendor" => &self.vendor_interface,
            _ => &None,
        }
        .as_deref()
    }

    fn interface_mut(&mut self, kind: &str) -> Option<&mut Option<String>> {
        Some(match kind {
            "bios" => &mut self.bios_interface,
            "boot" => &mut self.boot_interface,
            "console" => &mut self.console_interface,
            "deploy" => &mut self.deploy_interface,
            "firmware" => &mut self.firmware_interface,
            "inspect" => &mut self.inspect_interface,
            "management" => &mut self.management_interface,
            "network" => &mut self.network_interface,
            "power" => &mut self.power_interface,
            "raid" => &mut self.raid_interface,
            "rescue" => &mut self.rescue_interface,
            "storage" => &mut self.storage_interface,
            "vendor" => &mut self.vendor_interface,
            _ => return None,
        })
    }

    /// Checks the interfaces, and has the defaults for those that were not chosen. Hardware types that there are not are
    /// somebody else's to refuse.
    fn choose_interfaces(&mut self) -> Result<(), InterfaceError> {
        let driver = self.driver.clone();
        if !interface::HARDWARE_TYPES.contains(&driver.as_str()) {
            return Ok(());
        }
        for kind in interface::KINDS {
            let Some(chosen) = self.interface_mut(kind) else { continue };
            match chosen {
                Some(name) => interface::check(&driver, kind, name)?,
                None => *chosen = interface::implementations(&driver, kind).first().map(|name| (*name).to_owned()),
            }
        }
        Ok(())
    }

    fn check_name(&self) -> Result<(), SpecError> {
        let Some(name) = &self.name else { return Ok(()) };
        if RESERVED_NAMES.contains(&name.as_str()) {
            return Err(SpecError::Reserved(name.clone()));
        }
        match is_logical_name(name) && name.parse::<Uuid>().is_err() {
            true => Ok(()),
            false => Err(SpecError::Name(name.clone())),
        }
    }

    fn check_lengths(&self) -> Result<(), SpecError> {
        for (key, text, limit) in [
            ("description", &self.description, 4096),
            ("resource_class", &self.resource_class, 80),
            ("instance_name", &self.instance_name, 255),
        ] {
            if text.as_ref().is_some_and(|text| text.chars().count() > limit) {
                return Err(SpecError::TooLong { key, limit });
            }
        }
        Ok(())
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
