//! NVMe admin commands through the kernel (linux/nvme_ioctl.h).
#![expect(unsafe_code, reason = "ioctl takes raw pointers; every call here passes live memory of the size it names")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

mod raw {
    nix::ioctl_none!(nvme_ioctl_id, b'N', 0x40);
    nix::ioctl_readwrite!(nvme_ioctl_admin_cmd, b'N', 0x41, super::PassthroughCommand);
    nix::ioctl_none!(nvme_ioctl_rescan, b'N', 0x46);
}

/// `struct nvme_passthru_cmd`.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct PassthroughCommand {
    opcode: u8,
    flags: u8,
    reserved: u16,
    nsid: u32,
    cdw2: u32,
    cdw3: u32,
    metadata: u64,
    address: u64,
    metadata_bytes: u32,
    data_bytes: u32,
    cdw10: u32,
    cdw11: u32,
    cdw12: u32,
    cdw13: u32,
    cdw14: u32,
    cdw15: u32,
    timeout_ms: u32,
    result: u32,
}

/// One admin command without its data.
#[derive(Debug, Clone, Copy)]
pub(super) struct Command {
    pub(super) opcode: u8,
    pub(super) nsid: u32,
    pub(super) cdw10: u32,
    pub(super) timeout: Duration,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdminError {
    /// The kernel did not pass it on.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The controller refused it.
    #[error("NVMe status {0:#06x}")]
    Status(i32),
}

/// Runs a command; `data` is filled by the controller, or empty.
pub(super) fn run(file: &File, command: Command, data: &mut [u8]) -> Result<(), AdminError> {
    let mut passthrough = PassthroughCommand {
        opcode: command.opcode,
        nsid: command.nsid,
        address: if data.is_empty() { 0 } else { data.as_mut_ptr() as u64 },
        data_bytes: data.len() as u32,
        cdw10: command.cdw10,
        timeout_ms: u32::try_from(command.timeout.as_millis()).unwrap_or(u32::MAX),
        ..PassthroughCommand::default()
    };
    // SAFETY: the structure is the one the call wants, and `data` is exclusively ours until it has returned.
    let status = unsafe { raw::nvme_ioctl_admin_cmd(file.as_raw_fd(), &mut passthrough) };
    match status.map_err(io::Error::from)? {
        0 => Ok(()),
        status => Err(AdminError::Status(status)),
    }
}

/// The namespace identifier of an open namespace.
pub(super) fn namespace_id(file: &File) -> io::Result<u32> {
    // SAFETY: no argument.
    Ok(unsafe { raw::nvme_ioctl_id(file.as_raw_fd()) }? as u32)
}

/// Makes the kernel look at the namespaces of an open controller again.
pub(super) fn rescan(controller: &File) -> io::Result<()> {
    // SAFETY: no argument.
    unsafe { raw::nvme_ioctl_rescan(controller.as_raw_fd()) }?;
    Ok(())
}
