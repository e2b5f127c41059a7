//! NVMe devices that erase themselves: Format NVM, or Sanitize (NVM Express base specification).

mod admin;

use std::fs::File;
use std::time::Duration;

use self::admin::{AdminError, Command};
use crate::block::EligibleDevice;
use crate::machine::Machine;
use crate::open_device::{Access, DeviceError, OpenDevice};
use crate::watch::Watch;

const IDENTIFY: u8 = 0x06;
const GET_LOG_PAGE: u8 = 0x02;
const FORMAT_NVM: u8 = 0x80;
const SANITIZE: u8 = 0x84;
const PAGE_BYTES: usize = 4096;
const SANITIZE_LOG: u32 = 0x81;
const SANITIZE_LOG_BYTES: usize = 512;
const QUICK: Duration = Duration::from_secs(60);
/// Formatting a large device without crypto erase takes minutes.
const FORMAT_LIMIT: Duration = Duration::from_secs(6 * 3600);
const SANITIZE_POLL: Duration = Duration::from_millis(500);

/// How a device erased itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erased {
    /// Its key is gone.
    Crypto,
    /// All user data was erased.
    UserData,
    /// The whole subsystem was sanitized.
    Sanitized,
}

/// What the controller can do (Identify Controller).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Abilities {
    format: bool,
    /// A format with secure erase hits every namespace.
    all_namespaces: bool,
    crypto: bool,
    sanitize_crypto: bool,
    sanitize_block: bool,
}

impl Abilities {
    fn parse(page: &[u8; PAGE_BYTES]) -> Self {
        let (oacs, sanicap, fna) = (u16::from_le_bytes([page[256], page[257]]), page[328], page[524]);
        Self {
            format: oacs & 2 != 0,
            all_namespaces: fna & 0b11 != 0,
            crypto: fna & 4 != 0,
            sanitize_crypto: sanicap & 1 != 0,
            sanitize_block: sanicap & 2 != 0,
        }
    }
}

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

/// Makes the device erase itself and returns how it did. `may_go` says of every other namespace of the controller
/// whether it may be erased too, as some controllers cannot erase only one.
///
/// Format NVM cannot be stopped; `watch` is asked before it starts and while a sanitize runs (which then goes on).
///
/// # Errors
/// [`DeviceError::Unsupported`] when it has no such command or that would hit a namespace that must stay,
/// [`DeviceError::Refused`] when it fails.
pub fn erase(
    machine: &Machine,
    device: &EligibleDevice,
    may_go: &dyn Fn(&str) -> bool,
    watch: &dyn Watch,
) -> Result<Erased, DeviceError> {
    let open = OpenDevice::open(machine, device, Access::Write)?;
    if watch.cancelled() {
        return Err(DeviceError::Cancelled { device: device.name.clone() });
    }
    let abilities = Abilities::parse(&identify(&open, 0, 1)?);
    let others: Vec<String> = siblings(machine, &device.name).into_iter().filter(|name| !may_go(name)).collect();
    let alone = others.is_empty();
    let erased = if abilities.format && (alone || !abilities.all_namespaces) {
        format(&open, abilities)?
    } else if (abilities.sanitize_crypto || abilities.sanitize_block) && alone {
        sanitize(&open, abilities, watch)?
    } else if abilities.format {
        let reason = format!("its controller can only erase all namespaces, and {} must stay", others.join(", "));
        return Err(DeviceError::Unsupported { device: device.name.clone(), reason });
    } else {
        let reason = "its controller supports neither Format NVM nor Sanitize".to_string();
        return Err(DeviceError::Unsupported { device: device.name.clone(), reason });
    };
    drop(open);
    // The format may have changed what the kernel knows; a controller that cannot rescan notices by itself.
    if let Some(Ok(node)) = controller(&device.name).map(|name| File::open(machine.path(name))) {
        admin::rescan(&node).ok();
    }
    Ok(erased)
}

fn format(open: &OpenDevice, abilities: Abilities) -> Result<Erased, DeviceError> {
    let nsid = admin::namespace_id(open.file()).map_err(|cause| open.failed("asking for its namespace", cause))?;
    let namespace = identify(open, nsid, 0)?;
    let erased = if abilities.crypto { Erased::Crypto } else { Erased::UserData };
    let command = Command {
        opcode: FORMAT_NVM,
        nsid,
        cdw10: format_word(namespace[26], namespace[29], erased),
        timeout: FORMAT_LIMIT,
    };
    run(open, command, &mut [], "Format NVM")?;
    Ok(erased)
}

/// Command dword 10 of a format that keeps block size, metadata and protection as FLBAS and DPS say they are.
fn format_word(flbas: u8, dps: u8, erased: Erased) -> u32 {
    let [flbas, dps] = [u32::from(flbas), u32::from(dps)];
    let secure_erase = if erased == Erased::Crypto { 2 } else { 1 };
    let index = flbas & 0xf;
    let index_high = flbas >> 5 & 0b11;
    let metadata_inline = flbas >> 4 & 1;
    let protection = dps & 0b111;
    let protection_first = dps >> 3 & 1;
    index | metadata_inline << 4 | protection << 5 | protection_first << 8 | secure_erase << 9 | index_high << 12
}

fn sanitize(open: &OpenDevice, abilities: Abilities, watch: &dyn Watch) -> Result<Erased, DeviceError> {
    let action = if abilities.sanitize_crypto { 4 } else { 2 };
    let command = Command { opcode: SANITIZE, nsid: 0, cdw10: action, timeout: QUICK };
    run(open, command, &mut [], "Sanitize")?;
    let size = open.size().0;
    let mut reported = 0;
    loop {
        let mut page = [0; SANITIZE_LOG_BYTES];
        let length = (SANITIZE_LOG_BYTES as u32 / 4 - 1) << 16;
        let command = Command { opcode: GET_LOG_PAGE, nsid: 0xffff_ffff, cdw10: SANITIZE_LOG | length, timeout: QUICK };
        run(open, command, &mut page, "reading the sanitize log")?;
        match page[2] & 0b111 {
            1 | 4 => return Ok(Erased::Sanitized),
            2 => {}
            status => {
                let reason = format!("Sanitize failed (status {status})");
                return Err(DeviceError::Refused { device: open.name().to_string(), reason });
            }
        }
        let done = size / 65536 * u64::from(u16::from_le_bytes([page[0], page[1]]));
        watch.advance(done.saturating_sub(reported));
        reported = reported.max(done);
        if watch.cancelled() {
            return Err(DeviceError::Cancelled { device: open.name().to_string() });
        }
        std::thread::sleep(SANITIZE_POLL);
    }
}

fn identify(open: &OpenDevice, nsid: u32, what: u32) -> Result<[u8; PAGE_BYTES], DeviceError> {
    let mut page = [0; PAGE_BYTES];
    run(open, Command { opcode: IDENTIFY, nsid, cdw10: what, timeout: QUICK }, &mut page, "Identify")?;
    Ok(page)
}

fn run(open: &OpenDevice, command: Command, data: &mut [u8], what: &'static str) -> Result<(), DeviceError> {
    admin::run(open.file(), command, data).map_err(|error| match error {
        AdminError::Io(cause) => open.failed(what, cause),
        AdminError::Status(_) => {
            DeviceError::Refused { device: open.name().to_string(), reason: format!("{what} failed: {error}") }
        }
    })
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
    fn abilities_come_from_their_bytes() {
        let mut page = [0; PAGE_BYTES];
        page[256] = 0b10;
        page[328] = 0b10;
        page[524] = 0b110;
        assert_eq!(
            Abilities::parse(&page),
            Abilities {
                format: true,
                all_namespaces: true,
                crypto: true,
                sanitize_crypto: false,
                sanitize_block: true
            }
        );
    }

    #[test]
    fn a_format_keeps_block_size_and_protection() {
        // Format 3 of the upper bank 1, inline metadata; protection type 2 in the first bytes; crypto erase.
        assert_eq!(format_word(0b011_0011, 0b1010, Erased::Crypto), 3 | 1 << 4 | 2 << 5 | 1 << 8 | 2 << 9 | 1 << 12);
        assert_eq!(format_word(0, 0, Erased::UserData), 1 << 9);
    }
}
