//! How the disks of a node are to be booted, and so what partition table they need.

use serde_json::Value;

use crate::capability::capability;
use crate::step::Step;

/// The firmware that will boot a disk, and the table that it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BootMode {
    Uefi,
    BiosGpt,
    BiosMbr,
}

/// What came with an image, for a node that says nothing itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fallback<'a> {
    /// `uefi` or `bios`.
    pub(crate) mode: Option<&'a str>,
    /// `gpt` or `msdos`.
    pub(crate) label: Option<&'a str>,
}

impl BootMode {
    /// What the node says, else what came with the image, else how this system was booted.
    pub(crate) fn of(step: &Step, fallback: Fallback<'_>) -> Self {
        let node = &step.node;
        let both = [&node["instance_info"]["capabilities"], &node["properties"]["capabilities"]];
        let of_node = |name| both.into_iter().find_map(|capabilities| capability(capabilities, name));
        let text = |value: &Value| value.as_str().map(str::to_string);
        let secure = of_node("secure_boot").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let mode = text(&node["instance_info"]["deploy_boot_mode"])
            .or_else(|| capability(both[1], "boot_mode"))
            .or_else(|| text(&node["driver_internal_info"]["deploy_boot_mode"]))
            .or_else(|| fallback.mode.map(str::to_string));
        let ours = step.site.machine.exists("/sys/firmware/efi");
        let uefi = match mode.map(|mode| mode.to_ascii_lowercase()).as_deref() {
            Some("uefi") => true,
            Some("bios") => false,
            _ => ours,
        };
        let label = of_node("disk_label").or_else(|| fallback.label.map(str::to_string));
        match (uefi || secure, label.as_deref()) {
            (true, _) => Self::Uefi,
            (false, Some("gpt")) => Self::BiosGpt,
            (false, _) => Self::BiosMbr,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::Fake;

    fn mode(node: Value, mode: Option<&str>, label: Option<&str>) -> BootMode {
        BootMode::of(&Fake::new().step_with(|_| {}, node), Fallback { mode, label })
    }

    #[test]
    fn the_node_decides_before_the_image_and_the_image_before_this_system() {
        let uefi =
            json!({"instance_info": {"deploy_boot_mode": "UEFI"}, "properties": {"capabilities": "boot_mode:bios"}});
        assert_eq!(mode(uefi, None, None), BootMode::Uefi);
        let bios = json!({"properties": {"capabilities": "boot_mode:bios,disk_label:gpt"}});
        assert_eq!(mode(bios, Some("uefi"), None), BootMode::BiosGpt);
        assert_eq!(mode(json!({}), Some("uefi"), None), BootMode::Uefi);
        assert_eq!(mode(json!({}), None, Some("gpt")), BootMode::BiosGpt);
        assert_eq!(mode(json!({}), None, None), BootMode::BiosMbr);
        let secure = json!({"instance_info": {"capabilities": {"secure_boot": true}, "deploy_boot_mode": "bios"}});
        assert_eq!(mode(secure, None, None), BootMode::Uefi);
        let instance = json!({"instance_info": {"capabilities": "boot_mode:uefi,disk_label:gpt"}});
        assert_eq!(mode(instance, None, None), BootMode::BiosGpt, "a capability of the instance is no boot mode");
        let internal = json!({"driver_internal_info": {"deploy_boot_mode": "uefi"}});
        assert_eq!(mode(internal, None, None), BootMode::Uefi);
    }

    #[test]
    fn this_system_decides_last() {
        let machine = Fake::new();
        machine.file("sys/firmware/efi/fw_platform_size", "64");
        assert_eq!(BootMode::of(&machine.step(), Fallback::default()), BootMode::Uefi);
    }
}
