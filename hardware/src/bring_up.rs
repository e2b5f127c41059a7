//! What a machine needs before it can be looked at: drivers, and disks that exist only once somebody has asked for them.
//! Nothing here fails: a machine without such a thing is none the worse for it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::machine::Machine;
use crate::tool::{Output, ToolError, Tools};

/// Drivers of the BMC's system interface.
const IPMI_MODULES: [&str; 3] = ["ipmi_msghandler", "ipmi_devintf", "ipmi_si"];
const MULTIPATH_MODULES: [&str; 2] = ["dm_multipath", "multipath"];
/// Shows what the firmware says of its iSCSI disk.
const IBFT_MODULE: &str = "iscsi_ibft";
const IBFT: &str = "/sys/firmware/ibft";
/// Exists while udev runs.
const UDEV: &str = "/run/udev/control";
/// Directories of the i40e driver's controls, one for each port.
const I40E: &str = "/sys/kernel/debug/i40e";

/// A network disk may take its time.
const ISCSI_LIMIT: Duration = Duration::from_secs(120);
const LIMIT: Duration = Duration::from_secs(60);

/// Connects the disk that the firmware has booted from over iSCSI, loads the drivers of the BMC and of multipath disks, has
/// these found, and assembles arrays, which are made of whole disks and not of one path to them.
pub fn devices(machine: &Machine, tools: &Tools) {
    iscsi(machine, tools);
    modules(tools, &IPMI_MODULES);
    multipath(machine, tools);
    arrays(machine, tools);
}

/// Has Intel X710 and XL710 cards pass LLDP on, which they would otherwise keep for themselves.
pub fn lldp(machine: &Machine) {
    for port in machine.names(I40E) {
        let command = machine.path(format!("{I40E}/{port}/command"));
        match fs::write(&command, "lldp stop") {
            Ok(()) => tracing::info!(port, "the card's own LLDP agent is stopped"),
            Err(error) => {
                tracing::warn!(port, %error, "the card's own LLDP agent goes on: no LLDP will be heard there")
            }
        }
    }
}

fn iscsi(machine: &Machine, tools: &Tools) {
    modules(tools, &[IBFT_MODULE]);
    let has_ibft = machine.exists(IBFT);
    match run(machine, tools, "iscsistart", &["-f"], LIMIT) {
        // It ends so where there is no such disk.
        Err(ToolError::Failed { .. }) => {}
        Err(error) if has_ibft => tracing::warn!(%error, "the firmware names an iSCSI disk, which cannot be connected"),
        Err(_) => {}
        Ok(_) => match run(machine, tools, "iscsistart", &["-b"], ISCSI_LIMIT) {
            Ok(_) => tracing::info!("the iSCSI disk of the firmware is connected"),
            Err(error) => tracing::warn!(%error, "the iSCSI disk of the firmware cannot be connected"),
        },
    }
}

/// Members of arrays that nobody assembled would be taken for free disks.
fn arrays(machine: &Machine, tools: &Tools) {
    match run(machine, tools, "mdadm", &["--assemble", "--scan"], LIMIT) {
        Ok(_) => tracing::info!("arrays are assembled"),
        // It ends so where there was nothing to assemble.
        Err(error) => tracing::debug!(%error, "no array was assembled"),
    }
}

fn multipath(machine: &Machine, tools: &Tools) {
    const MPATHCONF: [&str; 7] =
        ["--enable", "--find_multipaths", "yes", "--with_module", "y", "--with_multipathd", "y"];
    // Programs of the host have a system around them that starts what it wants.
    if !tools.find("multipath").is_ok_and(|tool| tool.root().is_none()) {
        tracing::debug!("no multipath tools: paths of disks stay disks");
        return;
    }
    if tools.find("mpathconf").is_ok() && !machine.exists("/etc/multipath.conf") {
        report("mpathconf", run(machine, tools, "mpathconf", &MPATHCONF, LIMIT));
    } else {
        modules(tools, &MULTIPATH_MODULES);
    }
    if !machine.exists(UDEV) {
        introduce_disks(machine);
    }
    // Before the daemon, which takes its time, so that the disks are there when this returns.
    report("multipath", run(machine, tools, "multipath", &["-v1"], LIMIT));
    report("multipathd", run(machine, tools, "multipathd", &[], LIMIT));
    report("multipath", run(machine, tools, "multipath", &["-ll"], LIMIT));
}

/// Has udev's database, which nobody keeps here, say that the disks are there: libudev shows others no device before that.
fn introduce_disks(machine: &Machine) {
    for disk in machine.names("/sys/block") {
        let Some(number) = machine.read(format!("/sys/block/{disk}/dev")) else { continue };
        let entry = machine.path(format!("/run/udev/data/b{number}"));
        let written =
            fs::create_dir_all(entry.parent().unwrap_or(Path::new("/"))).and_then(|()| fs::write(&entry, "I:1\n"));
        if let Err(error) = written {
            tracing::warn!(disk, %error, "programs that ask udev will not see this disk");
        }
    }
}

fn modules(tools: &Tools, names: &[&str]) {
    // Only the host's own program finds modules that fit the running kernel.
    let Ok(modprobe) = tools.find_on_host("modprobe") else { return };
    for name in names {
        if let Err(error) = modprobe.run([*name]).timeout(LIMIT).output() {
            tracing::debug!(module = name, %error, "not loaded");
        }
    }
}

fn run(
    machine: &Machine,
    tools: &Tools,
    program: &str,
    arguments: &[&str],
    limit: Duration,
) -> Result<Output, ToolError> {
    let tool = tools.find(program)?;
    let mut invocation = tool.run(arguments.iter().copied()).timeout(limit);
    if !machine.exists(UDEV) {
        // They wait for udev to make the devices otherwise.
        invocation = invocation.env("MDADM_NO_UDEV", "1").env("DM_DISABLE_UDEV", "1");
    }
    invocation.output()
}

fn report(program: &str, result: Result<Output, ToolError>) {
    if let Err(error) = result {
        tracing::debug!(program, %error, "it did not do its work");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A machine with programs that write down how they were called; `failing` ones fail.
    fn called(programs: &[&str], failing: &[&str], files: &[&str]) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        let log = root.path().join("log");
        let programs_at = root.path().join("programs");
        fs::create_dir(&programs_at).unwrap();
        for name in programs {
            let status = if failing.contains(name) { 1 } else { 0 };
            let body = format!("#!/bin/sh\necho {name} \"$@\" >> {}\nexit {status}\n", log.display());
            let path = programs_at.join(name);
            fs::write(&path, body).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
            fs::write(path, "").unwrap();
        }
        devices(&Machine::at(root.path()), &Tools::in_directories([programs_at], None));
        fs::read_to_string(log).unwrap_or_default().lines().map(str::to_string).collect()
    }

    const ALL: [&str; 5] = ["modprobe", "iscsistart", "mdadm", "multipathd", "multipath"];

    #[test]
    fn everything_is_woken_in_its_order() {
        assert_eq!(
            called(&ALL, &[], &[]),
            [
                "modprobe iscsi_ibft",
                "iscsistart -f",
                "iscsistart -b",
                "modprobe ipmi_msghandler",
                "modprobe ipmi_devintf",
                "modprobe ipmi_si",
                "modprobe dm_multipath",
                "modprobe multipath",
                "multipath -v1",
                "multipathd",
                "multipath -ll",
                "mdadm --assemble --scan",
            ]
        );
    }

    #[test]
    fn what_is_missing_or_fails_stops_nothing() {
        assert_eq!(called(&[], &[], &["sys/firmware/ibft/initiator/flags"]), [""; 0]);
        let calls = called(&ALL, &ALL, &[]);
        // Without a disk in the firmware none is connected.
        assert!(!calls.contains(&"iscsistart -b".to_string()));
        assert_eq!(calls.last().map(String::as_str), Some("mdadm --assemble --scan"));
        assert_eq!(calls.len(), 11);
    }

    #[test]
    fn a_distribution_s_own_way_to_multipath_is_gone_first() {
        let with_conf = [&ALL[..], &["mpathconf"]].concat();
        let calls = called(&with_conf, &[], &[]);
        assert!(calls.iter().any(|call| call.starts_with("mpathconf --enable")), "{calls:?}");
        assert!(!calls.contains(&"modprobe multipath".to_string()));
        let configured = called(&with_conf, &[], &["etc/multipath.conf"]);
        assert!(configured.contains(&"modprobe multipath".to_string()), "{configured:?}");
    }

    #[test]
    fn libudev_is_told_of_every_disk() {
        let root = tempfile::tempdir().unwrap();
        for (disk, number) in [("sda", "8:0"), ("nvme0n1", "259:3")] {
            fs::create_dir_all(root.path().join("sys/block").join(disk)).unwrap();
            fs::write(root.path().join("sys/block").join(disk).join("dev"), format!("{number}\n")).unwrap();
        }
        introduce_disks(&Machine::at(root.path()));
        for number in ["8:0", "259:3"] {
            let entry = root.path().join(format!("run/udev/data/b{number}"));
            assert_eq!(fs::read_to_string(entry).unwrap(), "I:1\n");
        }
    }

    #[test]
    fn cards_that_keep_lldp_for_themselves_are_told_not_to() {
        let root = tempfile::tempdir().unwrap();
        let port = root.path().join("sys/kernel/debug/i40e/0000:18:00.0");
        fs::create_dir_all(&port).unwrap();
        lldp(&Machine::at(root.path()));
        assert_eq!(fs::read_to_string(port.join("command")).unwrap(), "lldp stop");
    }
}
