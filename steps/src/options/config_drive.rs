//! Options about config drives.

/// How a config drive is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigDrive {
    /// Make a FAT file system of its files, whatever it came as (`config_drive_rebuild`).
    pub rebuild: bool,
}
