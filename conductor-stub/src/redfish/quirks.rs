//! What single vendors need beyond the schema: one table. What several vendors do in ways that can be seen in their answers
//! (parameters they miss, lists they lack, tasks…) is not in it: there the client looks, whoever it talks to.

/// Differences of one vendor's BMCs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirks {
    /// Words of which one is in the system's `Manufacturer`, lower-case.
    pub vendors: &'static [&'static str],
    /// Where this is known from.
    pub sources: &'static [&'static str],
    /// A boot request must carry target, duration and mode together, even what does not change.
    pub whole_boot_request: bool,
    /// A boot request must say how long it lasts, even when that does not change.
    pub always_enabled: bool,
    /// The virtual CD is this boot target, where it is offered.
    pub cd_target: &'static str,
    /// A boot request puts the mode back to the factory's.
    pub mode_is_lost: bool,
    /// Putting the disk first undoes what the machine has just written into its boot order: it is left as it is.
    pub keeps_boot_order: bool,
    /// Before this version of the BMC's firmware, `Cd` is a drive in the machine. 0: never.
    pub cd_since_firmware: u32,
    /// From this generation (the number that the manager's model begins with) on, only the first slot takes media from URLs.
    pub first_slot_since: Option<u32>,
}

/// BMCs that follow the schema.
pub const NONE: Quirks = Quirks {
    vendors: &[],
    sources: &[],
    whole_boot_request: false,
    always_enabled: false,
    cd_target: "Cd",
    mode_is_lost: false,
    keeps_boot_order: false,
    cd_since_firmware: 0,
    first_slot_since: None,
};

/// All that is known.
pub const TABLE: [Quirks; 4] = [
    Quirks {
        vendors: &["supermicro"],
        sources: &[
            "https://storyboard.openstack.org/#!/story/2008547",
            "https://storyboard.openstack.org/#!/story/2008712",
            "sushy/resources/system/system.py",
        ],
        always_enabled: true,
        cd_target: "UsbCd",
        mode_is_lost: true,
        ..NONE
    },
    // MegaRAC; board vendors ship it under their own names.
    Quirks {
        vendors: &["ami", "american megatrends", "asrockrack", "redfish_compatible"],
        sources: &["ironic/drivers/modules/redfish/management.py"],
        whole_boot_request: true,
        ..NONE
    },
    Quirks {
        vendors: &["lenovo"],
        sources: &["https://bugs.launchpad.net/ironic/+bug/2053064"],
        keeps_boot_order: true,
        ..NONE
    },
    Quirks {
        vendors: &["dell"],
        sources: &["ironic/drivers/modules/redfish/boot.py", "ironic/drivers/modules/drac/boot.py"],
        cd_since_firmware: 6,
        first_slot_since: Some(17),
        ..NONE
    },
];

/// The quirks of the BMCs of `manufacturer`.
pub fn of(manufacturer: &str) -> Quirks {
    let name = manufacturer.to_lowercase();
    let words: Vec<&str> = name.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let fits = |vendor: &&str| match vendor.contains(' ') {
        true => name.contains(vendor),
        false => words.contains(vendor),
    };
    TABLE.into_iter().find(|quirks| quirks.vendors.iter().any(fits)).unwrap_or(NONE)
}

/// The number that a version or a model begins with.
pub(super) fn leading_number(text: &str) -> Option<u32> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendors_are_found_by_their_names() {
        assert_eq!(of("Supermicro").cd_target, "UsbCd");
        assert!(of("AMI").whole_boot_request);
        assert!(of("American Megatrends International LLC.").whole_boot_request);
        assert!(of("Lenovo").keeps_boot_order);
        assert_eq!(of("Dell Inc.").first_slot_since, Some(17));
        assert_eq!(of("Miami Servers"), NONE);
    }

    #[test]
    fn the_documentation_has_every_vendor_and_source() {
        let page = include_str!("../../../docs/bmc.md").to_lowercase();
        for quirks in TABLE {
            assert!(
                quirks.vendors.iter().chain(quirks.sources).all(|word| page.contains(&word.to_lowercase())),
                "{quirks:?}"
            );
        }
    }
}
