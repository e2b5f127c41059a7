//! The parts of a driver that a node can choose: what there is of each for every hardware type, with Ironic's names.

/// Every kind of interface; a node's field is `KIND_interface`.
pub const KINDS: [&str; 13] = [
    "bios",
    "boot",
    "console",
    "deploy",
    "firmware",
    "inspect",
    "management",
    "network",
    "power",
    "raid",
    "rescue",
    "storage",
    "vendor",
];

/// Every hardware type.
pub const HARDWARE_TYPES: [&str; 3] = ["fake-hardware", "local-process", "redfish"];

/// What nodes of `hardware_type` can have as interface of this kind, the default first.
pub fn implementations(hardware_type: &str, kind: &str) -> &'static [&'static str] {
    let redfish = hardware_type == "redfish";
    match kind {
        "bios" if redfish => &["redfish", "no-bios"],
        "bios" => &["no-bios"],
        "boot" if redfish => &["redfish-https", "redfish-virtual-media", "http", "http-ipxe", "ipxe", "pxe"],
        "boot" => &["fake"],
        "console" => &["no-console"],
        "deploy" => &["direct", "custom-agent", "ramdisk"],
        "firmware" if redfish => &["redfish", "no-firmware"],
        "firmware" => &["no-firmware"],
        "inspect" if redfish => &["agent", "redfish", "no-inspect"],
        "inspect" => &["agent", "no-inspect"],
        "management" | "power" if redfish => &["redfish"],
        "management" | "power" => &["fake"],
        "network" | "storage" => &["noop"],
        "raid" => &["agent", "no-raid"],
        "rescue" => &["agent", "no-rescue"],
        "vendor" => &["no-vendor"],
        _ => &[],
    }
}

/// An interface that a node cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InterfaceError {
    /// There is none of that name.
    #[error(
        "Could not find the following interface in the 'ironic.hardware.interfaces.{kind}' entrypoint: {name}. Valid \
         interfaces are [{valid}]."
    )]
    Unknown {
        /// `boot`…
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// What there is, for any hardware type.
        valid: String,
    },
    /// It is for other machines.
    #[error("{kind} interface implementation '{name}' is not supported by hardware type {hardware_type}.")]
    Unsupported {
        /// `boot`…
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// The node's.
        hardware_type: String,
    },
}

/// Whether nodes of `hardware_type` can have `name` as interface of this kind.
///
/// # Errors
/// Why not.
pub fn check(hardware_type: &str, kind: &'static str, name: &str) -> Result<(), InterfaceError> {
    if implementations(hardware_type, kind).contains(&name) {
        return Ok(());
    }
    let mut valid: Vec<&str> =
        HARDWARE_TYPES.iter().flat_map(|hardware_type| implementations(hardware_type, kind)).copied().collect();
    valid.sort_unstable();
    valid.dedup();
    let name = name.to_owned();
    if valid.contains(&name.as_str()) {
        return Err(InterfaceError::Unsupported { kind, name, hardware_type: hardware_type.to_owned() });
    }
    let quoted: Vec<String> = valid.into_iter().map(|name| format!("'{name}'")).collect();
    Err(InterfaceError::Unknown { kind, name, valid: quoted.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_default_everywhere() {
        for hardware_type in HARDWARE_TYPES {
            for kind in KINDS {
                assert!(!implementations(hardware_type, kind).is_empty(), "{hardware_type} {kind}");
            }
        }
    }

    #[test]
    fn what_is_not_there_is_told_from_what_is_for_others() {
        assert_eq!(check("redfish", "boot", "http"), Ok(()));
        let error = check("fake-hardware", "boot", "ilo").unwrap_err().to_string();
        assert!(error.contains("entrypoint: ilo. Valid interfaces are ['fake', 'http', 'http-ipxe'"), "{error}");
        let error = check("redfish", "boot", "fake").unwrap_err().to_string();
        assert_eq!(error, "boot interface implementation 'fake' is not supported by hardware type redfish.");
    }
}
