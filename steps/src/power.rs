//! Rebooting and powering off. The only place that may take the machine down, and the only one that decides not to.

use std::time::Duration;

use crate::site::Site;
use crate::{ErrorKind, StepError};

/// What the machine is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Start again.
    Reboot,
    /// Switch off.
    Off,
}

/// What the agent has to do after [`change`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Go on until the kernel goes down.
    KernelGoesDown,
    /// End the process with exit code 0: this is a local run, and the machine was left alone.
    EndProcess,
}

/// How long `reboot` and `poweroff` may take to be accepted.
const TOOL_LIMIT: Duration = Duration::from_secs(60);

/// Takes the machine down: `reboot` or `poweroff` of the host, else the kernel at once (SysRq).
/// File systems and disks are to be flushed before. A local run ends the process instead.
///
/// # Errors
/// [`ErrorKind::Reboot`] when nothing works.
pub fn change(power: Power, site: &Site) -> Result<Ending, StepError> {
    if site.is_local_run() {
        tracing::warn!(?power, "local run (allowed_devices is set): ending instead of powering off");
        return Ok(Ending::EndProcess);
    }
    let name = match power {
        Power::Reboot => "reboot",
        Power::Off => "poweroff",
    };
    match ask_init(name, site) {
        Ok(()) => Ok(Ending::KernelGoesDown),
        Err(reason) => {
            tracing::warn!(%reason, "asking the kernel at once");
            ask_kernel(power, site).map(|()| Ending::KernelGoesDown).map_err(|error| {
                ErrorKind::Reboot.error(format!("{reason}. Use the BMC: sysrq-trigger failed too")).because(error)
            })
        }
    }
}

fn ask_init(name: &str, site: &Site) -> Result<(), String> {
    let tool = site.tools.find_on_host(name).map_err(|error| error.to_string())?;
    let said = tool.run([""; 0]).timeout(TOOL_LIMIT).output().map_err(|error| error.to_string())?;
    // What init says from within a chroot, with exit code 0.
    if said.stderr.contains("ignoring request") || said.text().contains("ignoring request") {
        return Err(format!("{name} ignored the request: {}", said.stderr));
    }
    Ok(())
}

/// The magic SysRq key: it works from a container too, where reboot(2) would only end the container.
fn ask_kernel(power: Power, site: &Site) -> std::io::Result<()> {
    let key = match power {
        Power::Reboot => "b",
        Power::Off => "o",
    };
    std::fs::write(site.machine.path("/proc/sysrq-trigger"), key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use ferric_hardware::machine::Machine;
    use ferric_hardware::tool::Tools;

    use super::*;
    use crate::options::Options;

    /// A machine in a directory, whose `reboot` and `poweroff` are this script.
    fn machine(root: &Path, script: &str, allowed: Option<Vec<std::path::PathBuf>>) -> Site {
        std::fs::create_dir_all(root.join("proc")).unwrap();
        std::fs::write(root.join("proc/sysrq-trigger"), "").unwrap();
        for name in ["reboot", "poweroff"] {
            let path = root.join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let options = Options { allowed_devices: allowed, ..Options::default() };
        let site = Site::new(Machine::at(root), options);
        Site { tools: Tools::in_directories([root.to_path_buf()], None), ..site }
    }

    fn sysrq(root: &Path) -> String {
        std::fs::read_to_string(root.join("proc/sysrq-trigger")).unwrap()
    }

    #[test]
    fn a_local_run_leaves_the_machine_alone() {
        let root = tempfile::tempdir().unwrap();
        let asked = root.path().join("asked");
        let site = machine(root.path(), &format!("touch {}", asked.display()), Some(vec![]));
        for power in [Power::Reboot, Power::Off] {
            assert_eq!(change(power, &site).unwrap(), Ending::EndProcess);
        }
        assert!(!asked.exists(), "reboot or poweroff was called");
        assert_eq!(sysrq(root.path()), "");
    }

    #[test]
    fn init_is_asked_first() {
        let root = tempfile::tempdir().unwrap();
        let site = machine(root.path(), "exit 0", None);
        assert_eq!(change(Power::Off, &site).unwrap(), Ending::KernelGoesDown);
        assert_eq!(sysrq(root.path()), "");
    }

    #[test]
    fn the_kernel_is_asked_when_init_fails_or_ignores_the_request() {
        let root = tempfile::tempdir().unwrap();
        let site = machine(root.path(), "exit 1", None);
        assert_eq!(change(Power::Off, &site).unwrap(), Ending::KernelGoesDown);
        assert_eq!(sysrq(root.path()), "o");
        let site = machine(root.path(), "echo 'Running in chroot, ignoring request.' >&2", None);
        assert_eq!(change(Power::Reboot, &site).unwrap(), Ending::KernelGoesDown);
        assert_eq!(sysrq(root.path()), "b");
    }

    #[test]
    fn when_nothing_works_the_error_names_everything_that_was_tried() {
        let root = tempfile::tempdir().unwrap();
        let site = machine(root.path(), "echo no bus >&2; exit 1", None);
        std::fs::remove_file(root.path().join("proc/sysrq-trigger")).unwrap();
        std::fs::remove_dir(root.path().join("proc")).unwrap();
        let error = change(Power::Off, &site).unwrap_err().chain();
        assert!(error.contains("poweroff") && error.contains("no bus") && error.contains("sysrq"), "{error}");
    }
}
