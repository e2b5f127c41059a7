//! What a BareMetalHost means in Ironic's words, or why it cannot be had.
//!
//! - [`instance`]: what is to be on the disk; [`hints`]: which disk; [`preparation`]: what comes before

pub mod hints;
pub mod instance;
pub mod preparation;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::bmc_address::{BmcAddress, BmcAddressError, Boot};
use super::document::{BareMetalHost, Documents, Name};
use super::spec::{AutomatedCleaningMode, Bmc, BootMode, SecretReference};
use crate::node::{MacAddress, Object};
use instance::Instance;
use preparation::Preparation;

/// Interfaces that are enabled at the conductor, by driver; empty where it does not say.
pub type Drivers = BTreeMap<String, Vec<String>>;

/// One machine as it is to be.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Namespace and name.
    pub name: Name,
    /// The node as it is created; its `name` included.
    pub registration: Object,
    /// The interface it boots from.
    pub port: Option<MacAddress>,
    /// Whether the agent looks at it once.
    pub inspect: bool,
    /// What is done once before it is available.
    pub preparation: Option<Preparation>,
    /// What is to be on it.
    pub instance: Option<Instance>,
    /// Somebody else has put a system on it.
    pub externally_provisioned: bool,
    /// Whether it runs.
    pub online: bool,
    /// Whose it is.
    pub consumer: Option<String>,
    /// `baremetalhost.metal3.io/paused`: it is left alone.
    pub paused: bool,
}

/// Why a machine cannot be had as it is described.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct Refused {
    /// The machine.
    pub name: Name,
    /// Why.
    #[source]
    pub reason: Box<Reason>,
}

/// What cannot be honoured.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// Nothing can be done without one.
    #[error("spec.bmc is missing")]
    NoBmc,
    /// Its address.
    #[error("spec.bmc.address: {0}")]
    Address(#[from] BmcAddressError),
    /// A Secret that no file has.
    #[error("{field} names the Secret {secret}, which is in none of the files")]
    NoSecret {
        /// Where it is named.
        field: &'static str,
        /// Its namespace and name.
        secret: Name,
    },
    /// A Secret without what is looked for.
    #[error("the Secret {secret} that {field} names has no key {keys}")]
    NoKey {
        /// Where it is named.
        field: &'static str,
        /// Its namespace and name.
        secret: Name,
        /// What was looked for.
        keys: String,
    },
    /// A Secret whose text is not what it should be.
    #[error("the Secret {secret} that {field} names is no YAML or JSON object: {cause}")]
    NotAnObject {
        /// Where it is named.
        field: &'static str,
        /// Its namespace and name.
        secret: Name,
        /// Why not.
        cause: String,
    },
    /// No way for the ramdisk.
    #[error(
        "{scheme} needs one of the boot interfaces {wanted}; the conductor has enabled {enabled} for driver {driver}"
    )]
    NoBootInterface {
        /// Of the address.
        scheme: String,
        /// Those that would do.
        wanted: String,
        /// Those that there are.
        enabled: String,
        /// The driver.
        driver: &'static str,
    },
    /// Controllers have languages of their own.
    #[error("spec.raid.hardwareRAIDVolumes is not supported, only softwareRAIDVolumes")]
    HardwareRaid,
    /// They differ from vendor to vendor.
    #[error("spec.firmware is not supported: name the BIOS attributes in a HostFirmwareSettings of the same name")]
    Firmware,
    /// A level that the kernel has not.
    #[error("spec.raid.softwareRAIDVolumes: level {0:?} is none of 0, 1, 5, 6, 1+0")]
    RaidLevel(String),
    /// An image without what it needs.
    #[error("spec.image: {0}")]
    Image(&'static str),
    /// Which of the two?
    #[error("spec.customDeploy and spec.image.format {0} exclude each other")]
    TwoWays(&'static str),
    /// It can be started again by nothing.
    #[error("spec.disablePowerOff and online: false exclude each other")]
    PowerOff,
}

impl Wanted {
    /// What `host` means; Secrets are looked for in `documents`. What is put aside is added to `warnings`.
    ///
    /// # Errors
    /// The first thing that cannot be honoured.
    pub fn new(
        host: &BareMetalHost,
        documents: &Documents,
        drivers: &Drivers,
        warnings: &mut Vec<String>,
    ) -> Result<Self, Refused> {
        Reader { host, documents, drivers, warnings }
            .read()
            .map_err(|reason| Refused { name: host.name.clone(), reason: Box::new(reason) })
    }
}

struct Reader<'a> {
    host: &'a BareMetalHost,
    documents: &'a Documents,
    drivers: &'a Drivers,
    warnings: &'a mut Vec<String>,
}

impl Reader<'_> {
    fn read(mut self) -> Result<Wanted, Reason> {
        let spec = &self.host.spec;
        if spec.disable_power_off && !spec.online {
            return Err(Reason::PowerOff);
        }
        let preparation = preparation::read(self.host, self.documents)?;
        let registration = self.registration(preparation.as_ref())?;
        let instance = match spec.externally_provisioned {
            true => None,
            false => self.instance()?,
        };
        let annotation = |name: &str| self.host.annotations.get(name);
        let inspect = annotation("inspect.metal3.io").is_none_or(|value| value != "disabled");
        let paused = annotation("baremetalhost.metal3.io/paused").is_some();
        for name in self.host.annotations.keys() {
            let ours = ["inspect.metal3.io", "baremetalhost.metal3.io/paused", "baremetalhost.metal3.io/status"];
            if name.contains("metal3.io") && !ours.contains(&name.as_str()) {
                self.warnings.push(format!("{}: annotation {name} means nothing here", self.host.name));
            }
        }
        Ok(Wanted {
            name: self.host.name.clone(),
            registration,
            port: spec.boot_mac_address.clone(),
            inspect: inspect && !spec.externally_provisioned,
            preparation,
            instance,
            externally_provisioned: spec.externally_provisioned,
            online: spec.online,
            consumer: spec.consumer_ref.as_ref().map(|consumer| consumer.name.clone()),
            paused,
        })
    }

    fn registration(&self, preparation: Option<&Preparation>) -> Result<Object, Reason> {
        let spec = &self.host.spec;
        let bmc = spec.bmc.as_ref().ok_or(Reason::NoBmc)?;
        let address = BmcAddress::parse(&bmc.address)?;
        // Only Ironic has a driver of its own for them; Redfish does as well.
        let driver = if address.is_idrac && self.drivers.contains_key("idrac") { "idrac" } else { "redfish" };
        let mut node = Object::new();
        node.insert("name".into(), self.host.name.of_node().into());
        node.insert("driver".into(), driver.into());
        node.insert("driver_info".into(), self.driver_info(bmc, &address)?.into());
        node.insert("boot_interface".into(), self.boot_interface(bmc, &address, driver)?.into());
        node.insert("inspect_interface".into(), "agent".into());
        node.insert("properties".into(), self.properties().into());
        let cleaned = spec.automated_cleaning_mode == AutomatedCleaningMode::Metadata;
        node.insert("automated_clean".into(), cleaned.into());
        if preparation.is_some_and(|preparation| preparation.raid.is_some()) {
            node.insert("raid_interface".into(), "agent".into());
        }
        if preparation.is_some_and(|preparation| preparation.has_firmware_settings) {
            node.insert("bios_interface".into(), if driver == "idrac" { "idrac-redfish" } else { "redfish" }.into());
        }
        if let Some(name) = &spec.preprovisioning_network_data_name {
            let reference = SecretReference { name: name.clone(), namespace: None };
            let data = self.object(&reference, "spec.preprovisioningNetworkDataName", &["networkData", "value"])?;
            node.insert("network_data".into(), data);
        }
        if let Some(description) = &spec.description {
            node.insert("description".into(), description.clone().into());
        }
        if spec.disable_power_off {
            node.insert("disable_power_off".into(), true.into());
        }
        Ok(node)
    }

    fn driver_info(&self, bmc: &Bmc, address: &BmcAddress) -> Result<Object, Reason> {
        let field = "spec.bmc.credentialsName";
        let reference = SecretReference { name: bmc.credentials_name.clone(), namespace: None };
        let mut info = Object::new();
        info.insert("redfish_address".into(), address.redfish_address.clone().into());
        if let Some(system) = &address.system_id {
            info.insert("redfish_system_id".into(), system.clone().into());
        }
        info.insert("redfish_username".into(), self.secret(&reference, field, &["username"])?.trim().into());
        info.insert("redfish_password".into(), self.secret(&reference, field, &["password"])?.trim_end().into());
        info.insert("redfish_verify_ca".into(), (!bmc.disable_certificate_verification).into());
        Ok(info)
    }

    fn boot_interface(&self, bmc: &Bmc, address: &BmcAddress, driver: &'static str) -> Result<String, Reason> {
        let usable: &[&str] = match address.boot {
            Boot::Network => &["ipxe", "http-ipxe", "pxe", "http"],
            Boot::VirtualMedia if driver == "idrac" => &["idrac-redfish-virtual-media"],
            Boot::VirtualMedia => &["redfish-virtual-media"],
            Boot::UefiHttp => &["redfish-https"],
        };
        let enabled = self.drivers.get(driver).map(Vec::as_slice).unwrap_or_default();
        if enabled.is_empty() {
            // The conductor knows, and says so.
            return Ok(usable[0].to_owned());
        }
        let found = usable.iter().find(|interface| enabled.iter().any(|name| name == *interface));
        found.map(|interface| (*interface).to_owned()).ok_or_else(|| Reason::NoBootInterface {
            scheme: bmc.address.split("://").next().unwrap_or_default().to_owned(),
            wanted: usable.join(", "),
            enabled: enabled.join(", "),
            driver,
        })
    }

    fn properties(&self) -> Object {
        let mode = match self.host.spec.boot_mode {
            Some(BootMode::Legacy) => "bios",
            _ => "uefi",
        };
        let mut properties = Object::new();
        properties.insert("capabilities".into(), format!("boot_mode:{mode}").into());
        if let Some(architecture) = &self.host.spec.architecture {
            properties.insert("cpu_arch".into(), architecture.clone().into());
        }
        properties
    }

    /// The value under the first of `keys` that the Secret has.
    fn secret(&self, reference: &SecretReference, field: &'static str, keys: &[&str]) -> Result<&str, Reason> {
        let namespace = reference.namespace.clone().unwrap_or_else(|| self.host.name.namespace.clone());
        let secret = Name { namespace, name: reference.name.clone() };
        let Some(data) = self.documents.secrets.get(&secret) else {
            return Err(Reason::NoSecret { field, secret });
        };
        let found = keys.iter().find_map(|key| data.get(*key));
        found.map(String::as_str).ok_or_else(|| Reason::NoKey { field, secret, keys: keys.join(" or ") })
    }

    /// The same as an object, which is YAML in the Secret.
    fn object(&self, reference: &SecretReference, field: &'static str, keys: &[&str]) -> Result<Value, Reason> {
        let text = self.secret(reference, field, keys)?;
        let namespace = reference.namespace.clone().unwrap_or_else(|| self.host.name.namespace.clone());
        let secret = Name { namespace, name: reference.name.clone() };
        let cause = match serde_saphyr::from_str::<Value>(text) {
            Ok(value @ Value::Object(_)) => return Ok(value),
            Ok(_) => "it is something else".to_owned(),
            // The parser shows the place with what stands there.
            Err(_) => "it cannot be read".to_owned(),
        };
        Err(Reason::NotAnObject { field, secret, cause })
    }

    /// The config drive as Metal3's operator has it.
    fn config_drive(&self) -> Result<Object, Reason> {
        let spec = &self.host.spec;
        let Name { namespace, name } = &self.host.name;
        let mut meta_data = Object::new();
        for (key, value) in [
            ("metal3-namespace", namespace),
            ("metal3-name", name),
            ("local-hostname", name),
            ("local_hostname", name),
            ("name", name),
        ] {
            meta_data.insert(key.into(), value.clone().into());
        }
        if let Some(reference) = &spec.meta_data
            && let Value::Object(more) = self.object(reference, "spec.metaData", &["metaData", "value"])?
        {
            meta_data.extend(more);
        }
        let mut drive = Object::new();
        drive.insert("meta_data".into(), meta_data.into());
        if let Some(reference) = &spec.network_data {
            drive.insert("network_data".into(), self.object(reference, "spec.networkData", &["networkData", "value"])?);
        }
        if let Some(text) = self.user_data()? {
            drive.insert("user_data".into(), text.into());
        }
        Ok(drive)
    }

    fn user_data(&self) -> Result<Option<&str>, Reason> {
        let reference = self.host.spec.user_data.as_ref();
        reference.map(|reference| self.secret(reference, "spec.userData", &["userData", "value"])).transpose()
    }

    fn capabilities(&self) -> Value {
        match self.host.spec.boot_mode {
            Some(BootMode::Legacy) => json!({"boot_mode": "bios"}),
            Some(BootMode::UefiSecureBoot) => json!({"boot_mode": "uefi", "secure_boot": "true"}),
            _ => json!({"boot_mode": "uefi"}),
        }
    }
}

#[cfg(test)]
mod tests;
