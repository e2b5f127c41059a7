//! NVMe devices that erase themselves: Format NVM, or Sanitize (NVM Express base specification 2.0).

mod admin;
mod commands;
mod erase;
mod health;

use std::fs::File;
use std::time::{Duration, Instant};

use self::admin::{AdminError, Command};
pub use self::commands::Action;
use self::erase::Port;
pub use self::health::Health;
use crate::block::EligibleDevice;
use crate::machine::Machine;
use crate::open_device::{Access, DeviceError, OpenDevice};
use crate::watch::Watch;

/// True for the names of NVMe namespaces.
pub fn is_namespace(device: &str) -> bool {
    device.starts_with("/dev/nvme")
}

/// The controller of a namespace by name, `/dev/nvme0` of `/dev/nvme0n1`.
pub fn controller(device: &str) -> Option<&str> {
    let number = device.strip_prefix("/dev/nvme")?;
    let digits = number.bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0).then(|| &device[.."/dev/nvme".len() + digits])
}

/// Makes the device erase itself and returns how it did: by `action`, or by a sanitize that somebody had started before
/// and that had to end first. `may_go` says of every other namespace of the controller whether it may be erased too, as
/// some controllers cannot erase only one.
///
/// Format NVM cannot be stopped; `watch` is asked before it starts and while a sanitize runs (which then goes on).
///
/// # Errors
/// [`DeviceError::Unsupported`] when the device cannot do that or it would hit a namespace that must stay,
/// [`DeviceError::Refused`] when it fails or does not end.
pub fn erase(
    machine: &Machine,
    device: &EligibleDevice,
    action: Action,
    may_go: &dyn Fn(&str) -> bool,
    watch: &dyn Watch,
) -> Result<Action, DeviceError> {
    let open = OpenDevice::open(machine, device, Access::Write)?;
    let staying: Vec<String> = siblings(machine, &device.name).into_iter().filter(|name| !may_go(name)).collect();
    let done = erase::erase(&Namespace { open: &open, opened: Instant::now() }, action, &staying, watch)?;
    drop(open);
    // The format may have changed what the kernel knows; a controller that cannot rescan notices by itself.
    if let Some(Ok(node)) = controller(&device.name).map(|name| File::open(machine.path(name))) {
        admin::rescan(&node).ok();
    }
    Ok(done)
}

/// Asks the controller of a namespace for its health.
///
/// # Errors
/// When it does not say.
pub fn health(machine: &Machine, device: &EligibleDevice) -> Result<Health, DeviceError> {
    let open = OpenDevice::open(machine, device, Access::Read)?;
    let mut page = [0; commands::LOG_BYTES];
    let namespace = Namespace { open: &open, opened: Instant::now() };
    namespace.run(commands::health_log(), &mut page, "asking for its health")?;
    Ok(Health::parse(&page))
}

/// An open namespace.
struct Namespace<'a> {
    open: &'a OpenDevice,
    opened: Instant,
}

impl Port for Namespace<'_> {
    fn name(&self) -> &str {
        self.open.name()
    }

    fn size_bytes(&self) -> u64 {
        self.open.size().0
    }

    fn namespace_id(&self) -> Result<u32, DeviceError> {
        admin::namespace_id(self.open.file()).map_err(|cause| self.open.failed("asking for its namespace", cause))
    }

    fn run(&self, command: Command, data: &mut [u8], what: &'static str) -> Result<(), DeviceError> {
        admin::run(self.open.file(), command, data).map_err(|error| match error {
            AdminError::Io(cause) => self.open.failed(what, cause),
            AdminError::Status(_) => {
                DeviceError::Refused { device: self.name().to_string(), reason: format!("{what} failed: {error}") }
            }
        })
    }

    fn wait(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn elapsed(&self) -> Duration {
        self.opened.elapsed()
    }
}

/// The other namespaces of the same controller.
fn siblings(machine: &Machine, device: &str) -> Vec<String> {
    let Some(owner) = controller(device) else { return Vec::new() };
    let entries = std::fs::read_dir(machine.path("/sys/class/block")).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !machine.path(format!("/sys/class/block/{name}/partition")).exists())
        .map(|name| format!("/dev/{name}"))
        .filter(|name| name != device && controller(name) == Some(owner))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_controllers() {
        assert_eq!(controller("/dev/nvme12n1"), Some("/dev/nvme12"));
        assert_eq!(controller("/dev/sda"), None);
        assert!(is_namespace("/dev/nvme0n1") && !is_namespace("/dev/sda"));
    }

    #[test]
    fn other_namespaces_of_the_controller_are_its_siblings() {
        let root = tempfile::tempdir().unwrap();
        for entry in ["nvme0n1", "nvme0n2", "nvme0n1p1/partition", "nvme1n1", "sda"] {
            std::fs::create_dir_all(root.path().join("sys/class/block").join(entry)).unwrap();
        }
        assert_eq!(siblings(&Machine::at(root.path()), "/dev/nvme0n1"), ["/dev/nvme0n2"]);
    }
}
