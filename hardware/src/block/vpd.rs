//! What a SCSI device says of itself in its vital product data (SPC-5, 7.7), of which sysfs keeps the pages.

use crate::machine::Directory;
use crate::printable::printable;

/// Serial number and names of one device.
#[derive(Debug, Default)]
pub(super) struct Vpd {
    pub(super) serial: Option<String>,
    pub(super) wwn: Option<String>,
    pub(super) wwn_extension: Option<String>,
    pub(super) wwn_with_extension: Option<String>,
}

impl Vpd {
    pub(super) fn read(own: &Directory) -> Self {
        let mut vpd = Self::default();
        if let Some(page) = own.bytes("device/vpd_pg80") {
            let text = printable(&String::from_utf8_lossy(page.get(4..).unwrap_or_default()));
            vpd.serial = (!text.is_empty()).then_some(text);
        }
        if let Some(page) = own.bytes("device/vpd_pg83") {
            vpd.take_naa(page.get(4..).unwrap_or_default());
        }
        vpd
    }

    /// The first NAA designator (type 3) of the logical unit itself, in binary.
    fn take_naa(&mut self, mut designators: &[u8]) {
        while let [code_set, kind, _, length, rest @ ..] = designators {
            let Some(body) = rest.get(..usize::from(*length)) else { return };
            if code_set & 0x0f == 1 && kind & 0x3f == 3 && (body.len() == 8 || body.len() == 16) {
                let hex: String = body.iter().map(|b| format!("{b:02x}")).collect();
                self.wwn = Some(format!("0x{}", &hex[..16]));
                self.wwn_extension = hex.get(16..).filter(|e| !e.is_empty()).map(|e| format!("0x{e}"));
                self.wwn_with_extension = Some(format!("0x{hex}"));
                return;
            }
            designators = &rest[usize::from(*length)..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lun_s_own_naa_name_is_taken() {
        let target = [0x01, 0x93, 0, 8, 0x50, 0, 0, 0, 0, 0, 0, 1];
        let unit = [0x01, 0x03, 0, 16, 0x60, 0x05, 0x08, 0xb1, 0, 0x1c, 0x4d, 0x2a, 0x22, 0x3a, 0x8d, 0x1b, 0, 0, 0, 1];
        let mut vpd = Vpd::default();
        vpd.take_naa(&[&target[..], &unit[..]].concat());
        assert_eq!(vpd.wwn.as_deref(), Some("0x600508b1001c4d2a"));
        assert_eq!(vpd.wwn_extension.as_deref(), Some("0x223a8d1b00000001"));
        assert_eq!(vpd.wwn_with_extension.as_deref(), Some("0x600508b1001c4d2a223a8d1b00000001"));
        let mut cut_short = Vpd::default();
        cut_short.take_naa(&unit[..12]);
        assert_eq!(cut_short.wwn, None);
    }
}
