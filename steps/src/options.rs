//! The options of the agent that change what steps do, in typed groups. Nothing here reads text: the agent's
//! configuration fills the groups in, and its table of options has the same defaults.

mod boot;
mod burn_in;
mod clock;
mod config_drive;
mod container;
mod core_os;
mod download;
mod erase;
mod image;
mod logs;
mod partitions;
mod tls;

use std::path::PathBuf;

pub use boot::Boot;
pub use burn_in::{BurnIn, CpuLoad, DiskLoad, GpuLoad, MemoryLoad, NetworkLoad};
pub use clock::Clock;
pub use config_drive::ConfigDrive;
pub use container::{Container, Runner};
pub use core_os::CoreOs;
pub use download::{BasicLogin, Download, Retries};
pub use erase::Erase;
pub use image::Image;
pub use logs::Logs;
pub use partitions::Partitions;
pub use tls::Tls;

/// All of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The only block devices that exist (`allowed_devices`). Setting it makes this a local run.
    pub allowed_devices: Option<Vec<PathBuf>>,
    /// Where the root file system of the host is seen (`host_root`).
    pub host_root: PathBuf,
    /// Directory of step plugins (`steps_dir`).
    pub steps_dir: PathBuf,
    /// Priority of the deploy step `inject_files` (`inject_files_priority`).
    pub inject_files_priority: i64,
    /// Boot loaders.
    pub boot: Boot,
    /// The clock.
    pub clock: Clock,
    /// Config drives.
    pub config_drive: ConfigDrive,
    /// Container steps and bootable containers.
    pub container: Container,
    /// CoreOS.
    pub core_os: CoreOs,
    /// Transfers from servers of images and of what belongs to them.
    pub download: Download,
    /// Erasing.
    pub erase: Erase,
    /// Images.
    pub image: Image,
    /// The agent's own logs.
    pub logs: Logs,
    /// Partitions that the agent makes.
    pub partitions: Partitions,
    /// Connections to servers.
    pub tls: Tls,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            allowed_devices: None,
            host_root: PathBuf::from("/mnt/coreos"),
            steps_dir: PathBuf::from("/etc/ferric/steps.d"),
            inject_files_priority: 0,
            boot: Boot::default(),
            clock: Clock::default(),
            config_drive: ConfigDrive::default(),
            container: Container::default(),
            core_os: CoreOs::default(),
            download: Download::default(),
            erase: Erase::default(),
            image: Image::default(),
            logs: Logs::default(),
            partitions: Partitions::default(),
            tls: Tls::default(),
        }
    }
}
