//! What a block device is called: model, serial number, WWN, paths. From udev's database where there is one, else
//! from what the kernel read off the device itself.

use std::collections::HashMap;

use super::BlockDevice;
use super::graph::{Kind, Node};
use crate::machine::Machine;

/// Describes `node` with the rules of `lsblk` and IPA, plus fallbacks that work without udev.
pub(super) fn describe(machine: &Machine, node: &Node) -> BlockDevice {
    let sys = format!("/sys/class/block/{}", node.kname);
    let udev = Udev::read(machine, node);
    let is_partition = matches!(node.kind, Kind::Partition(_));
    let vpd = Vpd::read(machine, &sys);

    let model = (!is_partition && node.slaves.is_empty())
        .then(|| udev.model().or_else(|| machine.read(format!("{sys}/device/model"))))
        .flatten();

    // lsblk's order first, then udev's other names, then the device's own words.
    let serial = (!is_partition).then(|| udev.get("ID_SCSI_SERIAL")).flatten();
    let serial = serial
        .or_else(|| udev.first(&["ID_SERIAL_SHORT", "ID_SERIAL"]))
        .or_else(|| machine.read(format!("{sys}/device/serial")))
        .or_else(|| udev.first(&["DM_SERIAL_SHORT", "DM_SERIAL"]))
        .or_else(|| machine.read(format!("{sys}/serial")))
        .or(vpd.serial);
    let wwn = udev
        .first(&["ID_WWN_WITH_EXTENSION", "ID_WWN", "DM_WWN"])
        .or_else(|| vpd.wwn_with_extension.clone())
        .or_else(|| machine.read(format!("{sys}/wwid")));

    BlockDevice {
        name: node.path(),
        model,
        size_bytes: machine.read_number::<u64>(format!("{sys}/size")).unwrap_or(0) * 512,
        rotational: queue(machine, node, "rotational").map(|flag: u8| flag == 1),
        serial_alternatives: Some(alternatives([serial.clone(), udev.get("ID_SERIAL_SHORT"), udev.get("ID_SERIAL")])),
        wwn_alternatives: Some(alternatives([wwn.clone(), udev.get("ID_WWN").or(vpd.wwn.clone())])),
        wwn,
        serial,
        vendor: machine.read(format!("{sys}/device/vendor")),
        wwn_with_extension: udev.first(&["ID_WWN_WITH_EXTENSION", "DM_WWN_WITH_EXTENSION"]).or(vpd.wwn_with_extension),
        wwn_vendor_extension: udev.first(&["ID_WWN_VENDOR_EXTENSION", "DM_WWN_VENDOR_EXTENSION"]).or(vpd.wwn_extension),
        hctl: machine.names(format!("{sys}/device/scsi_device")).into_iter().next(),
        by_path: by_path(machine, node, &udev),
        logical_sectors: queue(machine, node, "logical_block_size"),
        physical_sectors: queue(machine, node, "physical_block_size"),
        tran: transport(machine, node, &sys).map(str::to_string),
    }
}

fn alternatives<const N: usize>(names: [Option<String>; N]) -> Vec<String> {
    let mut known: Vec<String> = Vec::new();
    for name in names.into_iter().flatten() {
        if !known.contains(&name) {
            known.push(name);
        }
    }
    known
}

/// A queue attribute; partitions have their disk's.
fn queue<N: std::str::FromStr>(machine: &Machine, node: &Node, attribute: &str) -> Option<N> {
    let disk = match &node.kind {
        Kind::Partition(of) => of,
        _ => &node.kname,
    };
    machine.read_number(format!("/sys/class/block/{disk}/queue/{attribute}"))
}

/// The link in `/dev/disk/by-path`: the one udev calls the device's path, else the last one found.
fn by_path(machine: &Machine, node: &Node, udev: &Udev) -> Option<String> {
    const DIR: &str = "/dev/disk/by-path";
    let partition = machine.read(format!("/sys/class/block/{}/partition", node.kname));
    let stable = udev.get("ID_PATH").map(|path| match partition {
        Some(number) => format!("{DIR}/{path}-part{number}"),
        None => format!("{DIR}/{path}"),
    });
    let name = node.path();
    let points_here =
        |link: &String| machine.link_name(link).is_some_and(|target| name.ends_with(&format!("/{target}")));
    stable.filter(points_here).or_else(|| {
        let mut links = machine.names(DIR).into_iter().map(|link| format!("{DIR}/{link}"));
        links.rfind(points_here)
    })
}

/// The transport in `lsblk`'s words.
fn transport(machine: &Machine, node: &Node, sys: &str) -> Option<&'static str> {
    if node.kname.starts_with("nvme") {
        return Some("nvme");
    }
    if matches!(node.kind, Kind::Partition(_)) {
        return None;
    }
    let device = machine.resolve(format!("{sys}/device"));
    let device = device.as_ref().and_then(|p| p.to_str()).unwrap_or_default();
    let host = machine
        .names(format!("{sys}/device/scsi_device"))
        .first()
        .and_then(|hctl| hctl.split(':').next().map(|host| format!("host{host}")));
    let host_is = |class: &str| host.as_ref().is_some_and(|h| machine.exists(format!("/sys/class/{class}_host/{h}")));
    if host_is("spi") {
        return Some("spi");
    }
    if host_is("fc") {
        let host = host.as_deref().unwrap_or_default();
        let over = machine.read(format!("/sys/class/fc_host/{host}/symbolic_name"));
        return Some(if over.is_some_and(|name| name.contains(" over ")) { "fcoe" } else { "fc" });
    }
    if host_is("sas") || machine.exists(format!("{sys}/device/sas_device")) {
        return Some("sas");
    }
    if machine.exists(format!("{sys}/device/ieee1394_id")) {
        return Some("sbp");
    }
    if host_is("iscsi") {
        return Some("iscsi");
    }
    if device.contains("/usb") {
        return Some("usb");
    }
    if host_is("scsi") {
        let host = host.as_deref().unwrap_or_default();
        let driver = machine.read(format!("/sys/class/scsi_host/{host}/proc_name")).unwrap_or_default();
        if driver.starts_with("ahci") || driver.ends_with("ata") {
            return Some("sata");
        }
        if driver.contains("ata") {
            return Some("ata");
        }
    }
    if node.kname.starts_with("vd") {
        return Some("virtio");
    }
    node.kname.starts_with("mmcblk").then_some("mmc")
}

/// The properties udev recorded for one device (`/run/udev/data/b<major>:<minor>`).
#[derive(Debug, Default)]
struct Udev(HashMap<String, String>);

impl Udev {
    fn read(machine: &Machine, node: &Node) -> Self {
        let text = machine.read(format!("/run/udev/data/b{}:{}", node.major, node.minor)).unwrap_or_default();
        Self(
            text.lines()
                .filter_map(|line| line.strip_prefix("E:")?.split_once('='))
                .map(|(key, value)| (key.to_string(), value.trim().to_string()))
                .collect(),
        )
    }

    fn get(&self, key: &str) -> Option<String> {
        self.0.get(key).filter(|value| !value.is_empty()).cloned()
    }

    fn first(&self, keys: &[&str]) -> Option<String> {
        keys.iter().find_map(|key| self.get(key))
    }

    fn model(&self) -> Option<String> {
        let encoded = self.get("ID_MODEL_ENC").map(|text| decode(&text)).filter(|text| !text.is_empty());
        encoded.or_else(|| self.get("ID_MODEL"))
    }
}

/// Undoes udev's `\x20` escapes and trims and folds blanks.
fn decode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\x") {
        out.push_str(&rest[..at]);
        match rest.get(at + 2..at + 4).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            None => {
                out.push_str("\\x");
                rest = &rest[at + 2..];
            }
        }
    }
    out.push_str(rest);
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the device says of itself in SCSI vital product data (SPC-5 section 7.7), which sysfs keeps.
#[derive(Debug, Default)]
struct Vpd {
    serial: Option<String>,
    wwn: Option<String>,
    wwn_extension: Option<String>,
    wwn_with_extension: Option<String>,
}

impl Vpd {
    fn read(machine: &Machine, sys: &str) -> Self {
        let mut vpd = Self::default();
        if let Some(page) = machine.read_bytes(format!("{sys}/device/vpd_pg80")) {
            let text = String::from_utf8_lossy(page.get(4..).unwrap_or_default());
            let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
            vpd.serial = (!text.is_empty()).then(|| text.to_string());
        }
        if let Some(page) = machine.read_bytes(format!("{sys}/device/vpd_pg83")) {
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
    fn udev_escapes_are_undone() {
        assert_eq!(decode(r"QEMU\x20HARDDISK\x20\x20\x20"), "QEMU HARDDISK");
        assert_eq!(decode(r"odd\xzz"), r"odd\xzz");
    }

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
