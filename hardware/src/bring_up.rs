//! What a machine needs before it can be looked at: drivers, and disks that exist only once somebody has asked for them.
//! Nothing here fails: a machine without such a thing is none the worse for it.

use std::time::Duration;

use crate::machine::Machine;
use crate::tool::{Output, ToolError, Tools};

/// Drivers of the BMC's system interface.
const IPMI_MODULES: [&str; 3] = ["ipmi_msghandler", "ipmi_devintf", "ipmi_si"];
const MULTIPATH_MODULES: [&str; 2] = ["dm_multipath", "multipath"];
/// Shows what the firmware says of its iSCSI disk.
const IBFT_MODULE: &str = "iscsi_ibft";
const IBFT: &str = "/sys/firmware/ibft";
/// Directories of the i40e driver's controls, one for each port.
const I40E: &str = "/sys/kernel/debug/i40e";

/// A network disk may take its time.
const ISCSI_LIMIT: Duration = Duration::from_secs(120);
const LIMIT: Duration = Duration::from_secs(60);

/// Connects the disk that the firmware has booted from over iSCSI, assembles arrays, loads the drivers of the BMC and of
/// multipath disks, and has these found.
pub fn devices(machine: &Machine, tools: &Tools) {
    iscsi(machine, tools);
    arrays(tools);
    modules(tools, &IPMI_MODULES);
    multipath(machine, tools);
}

/// Has Intel X710 and XL710 cards pass LLDP on, which they would otherwise keep for themselves.
pub fn lldp(machine: &Machine) {
    for port in machine.names(I40E) {
        let command = machine.path(format!("{I40E}/{port}/command"));
        match std::fs::write(&command, "lldp stop") {
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
    match run(tools, "iscsistart", &["-f"], LIMIT) {
        // It ends so where there is no such disk.
        Err(ToolError::Failed { .. }) => {}
        Err(error) if has_ibft => tracing::warn!(%error, "the firmware names an iSCSI disk, which cannot be connected"),
        Err(_) => {}
        Ok(_) => match run(tools, "iscsistart", &["-b"], ISCSI_LIMIT) {
            Ok(_) => tracing::info!("the iSCSI disk of the firmware is connected"),
            Err(error) => tracing::warn!(%error, "the iSCSI disk of the firmware cannot be connected"),
        },
    }
}

/// Members of arrays that nobody assembled would be taken for free disks.
fn arrays(tools: &Tools) {
    match run(tools, "mdadm", &["--assemble", "--scan"], LIMIT) {
        Ok(_) => tracing::info!("arrays are assembled"),
        // It ends so where there was nothing to assemble.
        Err(error) => tracing::debug!(%error, "no array was assembled"),
    }
}

fn multipath(machine: &Machine, tools: &Tools) {
    const MPATHCONF: [&str; 7] =
        ["--enable", "--find_multipaths", "yes", "--with_module", "y", "--with_multipathd", "y"];
    // Programs of the host have a system around them that starts what it wants.
    let Some(own) = tools.find("multipath").ok().filter(|tool| tool.root().is_none()) else {
        tracing::debug!("no multipath tools: paths of disks stay disks");
        return;
    };
    if tools.find("mpathconf").is_ok() && !machine.exists("/etc/multipath.conf") {
        report("mpathconf", run(tools, "mpathconf", &MPATHCONF, LIMIT));
    } else {
        modules(tools, &MULTIPATH_MODULES);
    }
    report("multipathd", run(tools, "multipathd", &[], LIMIT));
    report("multipath", own.run(["-ll"]).timeout(LIMIT).output());
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

fn run(tools: &Tools, program: &str, arguments: &[&str], limit: Duration) -> Result<Output, ToolError> {
    tools.find(program)?.run(arguments.iter().copied()).timeout(limit).output()
}

fn report(program: &str, result: Result<Output, ToolError>) {
    if let Err(error) = result {
        tracing::debug!(program, %error, "it did not do its work");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    /// A machine with programs that write down how they were called; `failing` ones fail.
    fn called(programs: &[&str], failing: &[&str], files: &[&str]) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        let log = root.path().join("log");
        let programs_at = root.path().join("programs");
        std::fs::create_dir(&programs_at).unwrap();
        for name in programs {
            let status = if failing.contains(name) { 1 } else { 0 };
            let body = format!("#!/bin/sh\necho {name} \"$@\" >> {}\nexit {status}\n", log.display());
            let path = programs_at.join(name);
            std::fs::write(&path, body).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
            std::fs::write(path, "").unwrap();
        }
        devices(&Machine::at(root.path()), &Tools::in_directories([programs_at], None));
        std::fs::read_to_string(log).unwrap_or_default().lines().map(str::to_string).collect()
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
                "mdadm --assemble --scan",
                "modprobe ipmi_msghandler",
                "modprobe ipmi_devintf",
                "modprobe ipmi_si",
                "modprobe dm_multipath",
                "modprobe multipath",
                "multipathd",
                "multipath -ll",
            ]
        );
    }

    #[test]
    fn what_is_missing_or_fails_stops_nothing() {
        assert_eq!(called(&[], &[], &["sys/firmware/ibft/initiator/flags"]), [""; 0]);
        let calls = called(&ALL, &ALL, &[]);
        // Without a disk in the firmware none is connected.
        assert!(!calls.contains(&"iscsistart -b".to_string()));
        assert_eq!(calls.last().map(String::as_str), Some("multipath -ll"));
        assert_eq!(calls.len(), 10);
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
    fn cards_that_keep_lldp_for_themselves_are_told_not_to() {
        let root = tempfile::tempdir().unwrap();
        let port = root.path().join("sys/kernel/debug/i40e/0000:18:00.0");
        std::fs::create_dir_all(&port).unwrap();
        lldp(&Machine::at(root.path()));
        assert_eq!(std::fs::read_to_string(port.join("command")).unwrap(), "lldp stop");
    }
}
