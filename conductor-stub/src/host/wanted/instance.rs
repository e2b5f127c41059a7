//! What is to be on a machine: `spec.image` and `spec.customDeploy`.

use serde_json::{Value, json};

use super::{Reader, Reason, hints};
use crate::host::spec::{Format, Image};
use crate::node::Object;

/// Where deploy steps of users stand: after the disk is chosen, before the boot device is set.
const PRIORITY: u64 = 80;

/// A deployment in Ironic's words.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// `direct`, `custom-agent` or `ramdisk`.
    pub deploy_interface: &'static str,
    /// All of it.
    pub instance_info: Object,
    /// To go with the request.
    pub configdrive: Option<Object>,
    /// To go with the request.
    pub deploy_steps: Option<Value>,
}

impl Instance {
    /// What makes another instance of it: the image and how it gets there. User data and hints are for the next one.
    pub fn identity(&self) -> Value {
        let info = |key: &str| self.instance_info.get(key).cloned().unwrap_or_default();
        let steps: Vec<Value> = self
            .deploy_steps
            .iter()
            .flat_map(|steps| steps.as_array().into_iter().flatten())
            .map(|step| json!([step["step"], step["args"]["image_url"]]))
            .collect();
        json!([self.deploy_interface, info("image_source"), info("boot_iso"), steps])
    }
}

impl Reader<'_> {
    pub(super) fn instance(&mut self) -> Result<Option<Instance>, Reason> {
        let spec = &self.host.spec;
        let format = spec.image.as_ref().and_then(|image| image.format);
        match (&spec.image, &spec.custom_deploy, format) {
            (None, None, _) => Ok(None),
            (_, Some(_), Some(Format::LiveIso)) => Err(Reason::TwoWays("live-iso")),
            (_, Some(_), Some(Format::CoreOs)) => Err(Reason::TwoWays("coreos")),
            (Some(image), None, Some(Format::LiveIso)) => self.live_iso(image).map(Some),
            (Some(image), None, Some(Format::CoreOs)) => self.coreos(image).map(Some),
            (Some(image), None, _) => self.direct(image).map(Some),
            (image, Some(custom), _) => {
                let mut instance_info = self.instance_info();
                if let Some(image) = image {
                    instance_info.extend(source(image)?);
                }
                let step = json!({"interface": "deploy", "step": custom.method, "args": {}, "priority": PRIORITY});
                Ok(Some(Instance {
                    deploy_interface: "custom-agent",
                    instance_info,
                    configdrive: Some(self.config_drive()?),
                    deploy_steps: Some(json!([step])),
                }))
            }
        }
    }

    fn direct(&self, image: &Image) -> Result<Instance, Reason> {
        let mut instance_info = self.instance_info();
        instance_info.extend(source(image)?);
        if !instance_info.contains_key("image_checksum") && !instance_info.contains_key("image_os_hash_value") {
            let is_oci = image.url.starts_with("oci://");
            if !is_oci {
                return Err(Reason::Image("checksum is missing"));
            }
        }
        let configdrive = Some(self.config_drive()?);
        Ok(Instance { deploy_interface: "direct", instance_info, configdrive, deploy_steps: None })
    }

    fn live_iso(&mut self, image: &Image) -> Result<Instance, Reason> {
        if image.url.is_empty() {
            return Err(Reason::Image("format live-iso needs a url"));
        }
        let spec = &self.host.spec;
        for (field, given) in [
            ("rootDeviceHints", spec.root_device_hints.is_some()),
            ("userData", spec.user_data.is_some()),
            ("networkData", spec.network_data.is_some()),
            ("metaData", spec.meta_data.is_some()),
        ] {
            if given {
                self.warnings.push(format!("{}: spec.{field} is ignored with format live-iso", self.host.name));
            }
        }
        let mut instance_info = Object::new();
        instance_info.insert("capabilities".into(), self.capabilities());
        instance_info.insert("boot_iso".into(), image.url.clone().into());
        Ok(Instance { deploy_interface: "ramdisk", instance_info, configdrive: None, deploy_steps: None })
    }

    /// The user data is the Ignition config; without a URL the image is the one inside of the live system.
    fn coreos(&self, image: &Image) -> Result<Instance, Reason> {
        let mut instance_info = self.instance_info();
        if !image.url.is_empty() {
            instance_info.extend(source(image)?);
        }
        let mut configdrive = self.config_drive()?;
        configdrive.shift_remove("user_data");
        let mut arguments = Object::new();
        if let Some(ignition) = self.user_data()? {
            arguments.insert("ignition".into(), ignition.into());
        }
        let step = json!({"interface": "deploy", "step": "install_coreos", "args": arguments, "priority": PRIORITY});
        Ok(Instance {
            deploy_interface: "custom-agent",
            instance_info,
            configdrive: Some(configdrive),
            deploy_steps: Some(json!([step])),
        })
    }

    fn instance_info(&self) -> Object {
        let mut info = Object::new();
        info.insert("capabilities".into(), self.capabilities());
        if let Some(wanted) = &self.host.spec.root_device_hints {
            info.insert("root_device".into(), hints::ironic(wanted).into());
        }
        info
    }
}

/// An image, how it is packed and how it is known.
fn source(image: &Image) -> Result<Object, Reason> {
    if image.url.is_empty() {
        return Err(Reason::Image("url is missing"));
    }
    let mut info = Object::new();
    info.insert("image_source".into(), image.url.clone().into());
    let format = match image.format {
        Some(Format::Raw | Format::CoreOs) => Some("raw"),
        Some(Format::Qcow2) => Some("qcow2"),
        Some(Format::Vdi) => Some("vdi"),
        Some(Format::Vmdk) => Some("vmdk"),
        Some(Format::LiveIso) | None => None,
    };
    if let Some(format) = format {
        info.insert("image_disk_format".into(), format.into());
    }
    let checksum = image.checksum.as_deref().filter(|checksum| !checksum.is_empty());
    match (checksum, image.checksum_type.as_deref()) {
        (None, _) => {}
        // By its length, or by what the file says.
        (Some(checksum), None | Some("" | "auto")) => {
            info.insert("image_checksum".into(), checksum.into());
        }
        (Some(checksum), Some(algorithm @ ("md5" | "sha256" | "sha512"))) => {
            info.insert("image_os_hash_algo".into(), algorithm.into());
            info.insert("image_os_hash_value".into(), checksum.into());
        }
        (Some(_), Some(_)) => return Err(Reason::Image("checksumType is none of md5, sha256, sha512, auto")),
    }
    Ok(info)
}
