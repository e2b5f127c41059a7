//! What udev recorded about block devices: its database in `/run/udev/data`, its links in `/dev/disk`.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use crate::machine::Machine;

/// Where the links by place are.
const BY_PATH: &str = "/dev/disk/by-path";

/// The properties that udev recorded for one device (`/run/udev/data/b<major>:<minor>`).
#[derive(Debug, Default)]
pub(super) struct Udev(HashMap<String, String>);

impl Udev {
    pub(super) fn read(machine: &Machine, major: u32, minor: u32) -> Self {
        let text = machine.read(format!("/run/udev/data/b{major}:{minor}")).unwrap_or_default();
        let properties = text.lines().filter_map(|line| line.strip_prefix("E:")?.split_once('='));
        Self(properties.map(|(key, value)| (key.to_string(), value.trim().to_string())).collect())
    }

    /// A property that is there and not empty.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The first of these properties that is there.
    pub(super) fn first(&self, keys: &[&str]) -> Option<String> {
        keys.iter().find_map(|key| self.get(key)).map(str::to_string)
    }

    /// Whether it holds a file system (or part of an array, pool…) of this kind.
    pub(super) fn is_kind(&self, kind: &str) -> bool {
        self.get("ID_FS_TYPE") == Some(kind)
    }

    /// Its model: with its blanks where udev kept them.
    pub(super) fn model(&self) -> Option<String> {
        let encoded = self.get("ID_MODEL_ENC").map(decode).filter(|text| !text.is_empty());
        encoded.or_else(|| self.first(&["ID_MODEL"]))
    }
}

/// The links in `/dev/disk/by-path` by the device they lead to, each list in the order of their names.
#[derive(Debug, Default)]
pub(super) struct ByPath(HashMap<String, Vec<String>>);

impl ByPath {
    pub(super) fn read(machine: &Machine) -> Self {
        let mut links: HashMap<String, Vec<String>> = HashMap::new();
        for name in machine.names(BY_PATH) {
            let link = format!("{BY_PATH}/{name}");
            // `../../sda`, or `../../cciss/c0d0`.
            let Some(target) = machine.link_target(&link) else { continue };
            let steps = target.components().filter(|step| matches!(step, Component::Normal(_)));
            let device = steps.collect::<PathBuf>();
            let device = Path::new("/dev").join(device.strip_prefix("dev").unwrap_or(&device));
            links.entry(device.display().to_string()).or_default().push(link);
        }
        Self(links)
    }

    /// The links that lead to `device`.
    pub(super) fn of(&self, device: &str) -> &[String] {
        self.0.get(device).map_or(&[], Vec::as_slice)
    }
}

/// Undoes udev's `\x20` escapes and trims and folds blanks.
fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\x") {
        out.extend(rest[..at].bytes());
        match rest.get(at + 2..at + 4).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &rest[at + 4..];
            }
            None => {
                out.extend(b"\\x");
                rest = &rest[at + 2..];
            }
        }
    }
    out.extend(rest.bytes());
    String::from_utf8_lossy(&out).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone() {
        assert_eq!(decode(r"QEMU\x20HARDDISK\x20\x20\x20"), "QEMU HARDDISK");
        assert_eq!(decode(r"odd\xzz"), r"odd\xzz");
        assert_eq!(decode(r"Gr\xc3\xb6\xc3\x9fe"), "Größe");
    }
}
