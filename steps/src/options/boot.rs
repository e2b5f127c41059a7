//! Options about boot loaders.

/// How boot loaders are installed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Boot {
    /// Go on when a boot loader cannot be installed (`ignore_bootloader_failure`); a command may say otherwise.
    pub ignore_failure: bool,
    /// Let the image's own programs install a boot loader for BIOS (`enable_bios_bootloader_install`).
    pub install_for_bios: bool,
}
