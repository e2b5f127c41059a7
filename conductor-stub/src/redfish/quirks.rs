//! What single vendors need beyond the schema: one table.

/// Differences of one vendor's BMCs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirks {
    /// Word in the system's `Manufacturer`, lower-case.
    pub manufacturer: &'static str,
    /// A boot request must carry target, duration and mode together, even what does not change.
    pub whole_boot_request: bool,
    /// The virtual CD is called this as a boot target.
    pub cd_target: &'static str,
}

/// BMCs that follow the schema.
pub const NONE: Quirks = Quirks { manufacturer: "", whole_boot_request: false, cd_target: "Cd" };

const TABLE: [Quirks; 4] = [
    // X11 and X12 boot virtual media only as UsbCd and forget how long an override lasts.
    Quirks { manufacturer: "supermicro", whole_boot_request: true, cd_target: "UsbCd" },
    // MegaRAC wants complete requests; board vendors ship it under their own names.
    Quirks { manufacturer: "ami", whole_boot_request: true, ..NONE },
    Quirks { manufacturer: "american megatrends", whole_boot_request: true, ..NONE },
    Quirks { manufacturer: "asrockrack", whole_boot_request: true, ..NONE },
];

/// The quirks of the BMCs of `manufacturer`.
pub fn of(manufacturer: &str) -> Quirks {
    let name = manufacturer.to_lowercase();
    let words: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).collect();
    let fits = |quirks: &Quirks| match quirks.manufacturer.contains(' ') {
        true => name.contains(quirks.manufacturer),
        false => words.contains(&quirks.manufacturer),
    };
    TABLE.into_iter().find(fits).unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendors_are_found_by_their_names() {
        assert_eq!(of("Supermicro").cd_target, "UsbCd");
        assert!(of("AMI").whole_boot_request);
        assert!(of("American Megatrends Inc.").whole_boot_request);
        assert_eq!(of("Miami Servers"), NONE);
    }
}
