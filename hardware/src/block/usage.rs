//! Which devices are mounted or used as swap, by any process namespace that can be seen.

use std::collections::HashMap;

use super::graph::Node;
use crate::machine::Machine;

/// Mount tables: this process's, that of the first process, and the host's as seen from the container.
const MOUNT_TABLES: [&str; 3] = ["/proc/self/mountinfo", "/proc/1/mountinfo", "/mnt/coreos/proc/1/mountinfo"];

/// Mounted and swapped-on devices.
#[derive(Debug)]
pub(super) struct Usage {
    /// False when no mount table could be read: then nothing is known to be free.
    pub(super) known: bool,
    by_number: HashMap<String, String>,
    by_path: HashMap<String, String>,
    swaps: Vec<String>,
}

impl Usage {
    pub(super) fn read(machine: &Machine) -> Self {
        let mut usage = Self { known: false, by_number: HashMap::new(), by_path: HashMap::new(), swaps: Vec::new() };
        for table in MOUNT_TABLES {
            let Some(text) = machine.read(table) else { continue };
            usage.known = true;
            for line in text.lines() {
                usage.note_mount(machine, line);
            }
        }
        for line in machine.read("/proc/swaps").unwrap_or_default().lines().skip(1) {
            if let Some(path) = line.split_whitespace().next() {
                usage.swaps.push(device_path(machine, &unescape(path)));
            }
        }
        usage
    }

    /// One line of mountinfo: `36 35 98:0 /root /mount/point options [fields] - type source options`.
    fn note_mount(&mut self, machine: &Machine, line: &str) {
        let mut fields = line.split(' ');
        let (Some(number), Some(point)) = (fields.nth(2), fields.nth(1)) else { return };
        let point = unescape(point);
        self.by_number.entry(number.to_string()).or_insert_with(|| point.clone());
        // btrfs and others report a number that is no device's: there the source counts.
        let source = line.split_once(" - ").and_then(|(_, tail)| tail.split(' ').nth(1)).map(unescape);
        if let Some(source) = source.filter(|s| s.starts_with("/dev/")) {
            self.by_path.entry(device_path(machine, &source)).or_insert(point);
        }
    }

    /// Where `node` is mounted.
    pub(super) fn mount_point(&self, node: &Node) -> Option<&str> {
        let number = format!("{}:{}", node.major, node.minor);
        self.by_number.get(&number).or_else(|| self.by_path.get(&node.path())).map(String::as_str)
    }

    /// Whether `node` is active swap space.
    pub(super) fn is_swap(&self, node: &Node) -> bool {
        self.swaps.contains(&node.path())
    }
}

/// The kernel's name of a device node that may be a link (`/dev/mapper/x` is `/dev/dm-0`).
fn device_path(machine: &Machine, path: &str) -> String {
    machine.resolve(path).and_then(|p| p.to_str().map(str::to_string)).unwrap_or_else(|| path.to_string())
}

/// Undoes the octal escapes of mount tables (`\040` is a blank).
fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'\\').then(|| text.get(at + 1..at + 4)).flatten();
        match code.and_then(|c| u8::from_str_radix(c, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 4;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_mount_tables_are_undone() {
        assert_eq!(unescape(r"/mnt/a\040b\134c"), r"/mnt/a b\c");
        assert_eq!(unescape(r"broken\04"), r"broken\04");
    }
}
