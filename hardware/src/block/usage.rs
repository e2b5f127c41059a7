//! Which devices are mounted, part of a mounted file system, or used as swap, by any process that can be seen.

use std::collections::HashMap;

use super::graph::{Graph, Node};
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
    /// Members of file systems of several devices, by path, where the mount tables name only one of them or none.
    members: HashMap<String, String>,
    /// Where ZFS pools are mounted, by name.
    pools: HashMap<String, String>,
    swaps: Vec<String>,
}

/// What a device is used for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Use<'a> {
    /// Mounted there.
    Mounted(&'a str),
    /// A device of this file system, which is in use.
    Member(&'a str),
    Swap,
}

impl Usage {
    pub(super) fn read(machine: &Machine, graph: &Graph) -> Self {
        let mut usage = Self {
            known: false,
            by_number: HashMap::new(),
            by_path: HashMap::new(),
            members: HashMap::new(),
            pools: HashMap::new(),
            swaps: Vec::new(),
        };
        for table in MOUNT_TABLES {
            let Some(text) = machine.read(table) else { continue };
            usage.known = true;
            for line in text.lines() {
                usage.note_mount(machine, line);
            }
        }
        // The kernel has a directory here for each file system of these kinds that is open.
        usage.note_members(machine, "btrfs", |machine, directory| {
            machine.names(directory.to_string() + "/devices").iter().map(|kname| path_of(kname)).collect()
        });
        usage.note_members(machine, "bcachefs", |machine, directory| {
            let names = machine.names(directory).into_iter().filter(|name| name.starts_with("dev-"));
            names.filter_map(|name| Some(path_of(&machine.link_name(format!("{directory}/{name}/block"))?))).collect()
        });
        usage.note_by_udev(graph);
        for line in machine.read("/proc/swaps").unwrap_or_default().lines().skip(1) {
            if let Some(path) = line.split_whitespace().next() {
                usage.swaps.push(device_path(machine, &unescape(path)));
            }
        }
        usage
    }

    /// One line of mountinfo: `36 35 98:0 /root /mount/point options [fields] - type source super-options`.
    fn note_mount(&mut self, machine: &Machine, line: &str) {
        let mut fields = line.split(' ');
        let (Some(number), Some(point)) = (fields.nth(2), fields.nth(1)) else { return };
        let point = unescape(point);
        self.by_number.entry(number.to_string()).or_insert_with(|| point.clone());
        let Some((_, tail)) = line.split_once(" - ") else { return };
        let mut tail = tail.splitn(3, ' ').map(unescape);
        let kind = tail.next().unwrap_or_default();
        let source = tail.next().unwrap_or_default();
        if kind == "zfs" {
            let pool = source.split('/').next().unwrap_or_default();
            self.pools.entry(pool.to_string()).or_insert_with(|| point.clone());
        }
        // btrfs and others report a number that is no device's: there the source counts. bcachefs names all its devices.
        let sources = source.split(":/dev/").enumerate().map(|(at, part)| match at {
            0 => part.to_string(),
            _ => format!("/dev/{part}"),
        });
        // Journals and the like on devices of their own (XFS: `logdev=/dev/sdb1`).
        let options = tail.next().unwrap_or_default();
        let others = options.split(',').filter_map(|option| Some(option.split_once('=')?.1.to_string()));
        for device in sources.chain(others).filter(|device| device.starts_with("/dev/")) {
            self.by_path.entry(device_path(machine, &device)).or_insert_with(|| point.clone());
        }
    }

    /// Other devices of the file systems that are mounted, as udev knows them: a file system of several devices has one
    /// identifier on all of them, and all devices of a ZFS pool have its name for a label.
    fn note_by_udev(&mut self, graph: &Graph) {
        let mut mounted: HashMap<&str, String> = HashMap::new();
        for node in graph.nodes() {
            if let (Some(id), Some(point)) = (shared_id(node), self.mount_point(node)) {
                mounted.insert(id, point.to_string());
            }
        }
        for node in graph.nodes() {
            let in_pool =
                || node.udev.is_kind("zfs_member").then(|| self.pools.get(node.udev.get("ID_FS_LABEL")?)).flatten();
            let shared = || mounted.get(shared_id(node)?);
            if let Some(point) = shared().or_else(in_pool).cloned() {
                self.by_path.entry(node.path()).or_insert(point);
            }
        }
    }

    /// Notes the devices of every open file system of one kind; `devices` lists those of one directory in sysfs.
    fn note_members(&mut self, machine: &Machine, kind: &str, devices: impl Fn(&Machine, &str) -> Vec<String>) {
        let directory = format!("/sys/fs/{kind}");
        for id in machine.names(&directory) {
            let devices = devices(machine, &format!("{directory}/{id}"));
            let point = devices.iter().find_map(|device| self.by_path.get(device)).cloned();
            for device in devices {
                match &point {
                    Some(point) => self.by_path.entry(device).or_insert_with(|| point.clone()),
                    None => self.members.entry(device).or_insert_with(|| format!("{kind} {id}")),
                };
            }
        }
    }

    fn mount_point(&self, node: &Node) -> Option<&str> {
        let number = format!("{}:{}", node.major, node.minor);
        self.by_number.get(&number).or_else(|| self.by_path.get(&node.path())).map(String::as_str)
    }

    /// What `node` itself is used for.
    pub(super) fn of(&self, node: &Node) -> Option<Use<'_>> {
        let path = node.path();
        let mounted = self.mount_point(node).map(Use::Mounted);
        let member = || self.members.get(&path).map(|what| Use::Member(what));
        let swap = || self.swaps.contains(&path).then_some(Use::Swap);
        mounted.or_else(member).or_else(swap)
    }
}

/// What all devices of a file system of several devices have in common.
fn shared_id(node: &Node) -> Option<&str> {
    ["btrfs", "bcachefs"].iter().any(|kind| node.udev.is_kind(kind)).then(|| node.udev.get("ID_FS_UUID")).flatten()
}

fn path_of(kname: &str) -> String {
    format!("/dev/{}", kname.replace('!', "/"))
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
