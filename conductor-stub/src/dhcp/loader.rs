//! iPXE's own programs: which machines start which, by the architectures that they name (RFC 4578 2.1 and IANA's "Processor
//! Architecture Types").

use std::path::PathBuf;

use super::error::DhcpError;
use super::settings::Settings;

/// A program that is iPXE, and who starts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loader {
    /// Its file.
    pub file: &'static str,
    /// What dnsmasq calls its machines, in tags.
    pub(super) tag: &'static str,
    /// Their number when they boot by PXE.
    pub(super) pxe: &'static [u16],
    /// Their names in PXE's menu of services, as dnsmasq has them.
    pub(super) services: &'static [&'static str],
}

/// BIOS.
const BIOS: Loader = Loader { file: "undionly.kpxe", tag: "bios", pxe: &[0], services: &["x86PC"] };
/// UEFI; number 9 is what some firmware of x86-64 says.
const X86_64: Loader = Loader { file: "snponly.efi", tag: "x86-64", pxe: &[7, 9], services: &["X86-64_EFI", "BC_EFI"] };
/// UEFI; Debian 12 has no such program.
const ARM64: Loader = Loader { file: "snponly-arm64.efi", tag: "arm64", pxe: &[11], services: &["ARM64_EFI"] };

impl Loader {
    /// All there are.
    pub const ALL: [Self; 3] = [BIOS, X86_64, ARM64];

    /// The one for UEFI machines with this `cpu_arch`.
    pub fn of(architecture: Option<&str>) -> Self {
        match architecture {
            Some("aarch64" | "arm64") => ARM64,
            _ => X86_64,
        }
    }

    /// Where it is.
    ///
    /// # Errors
    /// [`DhcpError::NoLoader`].
    pub(super) fn path(&self, settings: &Settings) -> Result<PathBuf, DhcpError> {
        let path = settings.ipxe_folder.join(self.file);
        path.canonicalize().map_err(|_| DhcpError::NoLoader { path })
    }
}
