//! Deploying: what brings an operating system to the disk.
//!
//! - [`write_image`]: step `write_image`, and `prepare_image`
//! - [`mod@adopt`]: what follows the last byte of an image
//! - `mounted`: a partition that is mounted for a moment, and paths that cannot lead out of it
//! - `partition_image`: the partitions around the image of one file system
//! - [`image_info`], [`expected_digest`]: what the conductor says about the image
//! - [`root_device`]: the disk to install to
//! - [`configdrive`]: the config drive
//! - [`inject_files`]: step `inject_files`
//! - [`install_coreos`], [`assisted_install`]: CoreOS
//! - [`bootc`]: step `execute_bootc_install`
//! - [`bootloader`]: UEFI boot entries

pub mod adopt;
pub mod assisted_install;
pub mod bootc;
pub mod bootloader;
pub mod configdrive;
pub mod expected_digest;
pub mod image_info;
pub mod inject_files;
pub mod install_coreos;
mod mounted;
mod partition_image;
pub mod root_device;
pub mod write_image;
