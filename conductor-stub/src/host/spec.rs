//! `spec` of a BareMetalHost, as its authors have it.

use serde::Deserialize;
use serde_json::Value;

use crate::node::MacAddress;

/// `spec`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostSpec {
    /// The BMC.
    pub bmc: Option<Bmc>,
    /// Address of the interface that the machine boots from.
    #[serde(rename = "bootMACAddress", default)]
    pub boot_mac_address: Option<MacAddress>,
    /// How its firmware boots.
    #[serde(default)]
    pub boot_mode: Option<BootMode>,
    /// Which disk the image goes to.
    #[serde(default)]
    pub root_device_hints: Option<RootDeviceHints>,
    /// What is to be on it.
    #[serde(default)]
    pub image: Option<Image>,
    /// Secret with user data: key `userData` or `value`.
    #[serde(default)]
    pub user_data: Option<SecretReference>,
    /// Secret with network data for the image: key `networkData` or `value`.
    #[serde(default)]
    pub network_data: Option<SecretReference>,
    /// Secret with further metadata: key `metaData` or `value`.
    #[serde(default)]
    pub meta_data: Option<SecretReference>,
    /// Secret with network data for the ramdisk, in the machine's own namespace.
    #[serde(default)]
    pub preprovisioning_network_data_name: Option<String>,
    /// A deploy step that brings the system to the disk.
    #[serde(default)]
    pub custom_deploy: Option<CustomDeploy>,
    /// What is done between two users of the machine.
    #[serde(default)]
    pub automated_cleaning_mode: AutomatedCleaningMode,
    /// Whether it is to run.
    #[serde(default)]
    pub online: bool,
    /// Somebody else has put a system on it, which stays.
    #[serde(default)]
    pub externally_provisioned: bool,
    /// Arrays that are wanted.
    #[serde(default)]
    pub raid: Option<Raid>,
    /// Firmware settings by their general names.
    #[serde(default)]
    pub firmware: Option<Value>,
    /// `x86_64` or `aarch64`.
    #[serde(default)]
    pub architecture: Option<String>,
    /// Whose machine it is.
    #[serde(default)]
    pub consumer_ref: Option<ConsumerReference>,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// The machine cannot be switched off, only restarted.
    #[serde(default)]
    pub disable_power_off: bool,
}

/// `spec.bmc`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bmc {
    /// See [`super::bmc_address`].
    pub address: String,
    /// Secret with `username` and `password`.
    pub credentials_name: String,
    /// Believe any certificate.
    #[serde(default)]
    pub disable_certificate_verification: bool,
}

/// `spec.bootMode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum BootMode {
    /// UEFI.
    #[serde(rename = "UEFI")]
    Uefi,
    /// UEFI with Secure Boot.
    #[serde(rename = "UEFISecureBoot")]
    UefiSecureBoot,
    /// BIOS.
    #[serde(rename = "legacy")]
    Legacy,
}

/// `spec.rootDeviceHints`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RootDeviceHints {
    /// `/dev/…`.
    pub device_name: Option<String>,
    /// SCSI host, channel, target and LUN.
    pub hctl: Option<String>,
    /// Part of the model.
    pub model: Option<String>,
    /// Part of the vendor.
    pub vendor: Option<String>,
    /// The serial number.
    pub serial_number: Option<String>,
    /// At least that many GiB.
    pub min_size_gigabytes: Option<u64>,
    /// Its World Wide Name.
    pub wwn: Option<String>,
    /// The same with the vendor's extension.
    pub wwn_with_extension: Option<String>,
    /// The extension alone.
    pub wwn_vendor_extension: Option<String>,
    /// Whether it turns.
    pub rotational: Option<bool>,
}

/// `spec.image`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Where it is. Empty with format `coreos`: the one inside of the live system.
    #[serde(default)]
    pub url: String,
    /// The digest, or the URL of a file of digests.
    #[serde(default)]
    pub checksum: Option<String>,
    /// `md5`, `sha256`, `sha512` or `auto`.
    #[serde(default)]
    pub checksum_type: Option<String>,
    /// What it is.
    #[serde(default)]
    pub format: Option<Format>,
}

/// `spec.image.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A disk image.
    Raw,
    /// A disk image.
    Qcow2,
    /// A disk image.
    Vdi,
    /// A disk image.
    Vmdk,
    /// An ISO that is booted and stays where it is.
    #[serde(rename = "live-iso")]
    LiveIso,
    /// CoreOS, by its own installer.
    #[serde(rename = "coreos")]
    CoreOs,
}

/// The name of a Secret.
#[derive(Debug, Clone, Deserialize)]
pub struct SecretReference {
    /// Its name.
    pub name: String,
    /// Its namespace, when it is not the machine's.
    #[serde(default)]
    pub namespace: Option<String>,
}

/// `spec.customDeploy`.
#[derive(Debug, Clone, Deserialize)]
pub struct CustomDeploy {
    /// Name of the step.
    pub method: String,
}

/// `spec.automatedCleaningMode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AutomatedCleaningMode {
    /// As the conductor is configured: metadata at least.
    #[default]
    Metadata,
    /// Nothing.
    Disabled,
}

/// `spec.raid`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Raid {
    /// Arrays of a controller.
    #[serde(rename = "hardwareRAIDVolumes")]
    pub hardware_raid_volumes: Option<Vec<Value>>,
    /// Arrays of the kernel. An empty list: none.
    #[serde(rename = "softwareRAIDVolumes")]
    pub software_raid_volumes: Option<Vec<SoftwareRaidVolume>>,
}

/// One array.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SoftwareRaidVolume {
    /// `0`, `1` or `1+0`.
    pub level: String,
    /// GiB; none, or 0: as large as can be.
    #[serde(default)]
    pub size_gibibytes: Option<u64>,
    /// Hints for its members.
    #[serde(default)]
    pub physical_disks: Vec<RootDeviceHints>,
}

/// `spec.consumerRef`.
#[derive(Debug, Clone, Deserialize)]
pub struct ConsumerReference {
    /// Its name.
    pub name: String,
}
