//! End-to-end tests: one binary, one module per subject. They need root; packages are listed in `.ci/packages`.
#![expect(clippy::unwrap_used, reason = "a test that meets an error stops at it")]

mod boot_paths;
mod boot_proof;
mod boot_redfish;
mod bootc;
mod cleaning;
mod container;
mod coreos_installer;
mod demo;
mod deployment;
mod dhcp;
mod differential;
mod discovery;
mod eligible_device;
mod erase;
mod ignition_config;
mod ignition_engine;
mod ignition_iso;
mod image_command;
mod image_faults;
mod image_kill;
mod image_servers;
mod inject_files;
mod install_coreos;
mod live_system;
mod loop_device;
mod partition_image;
mod partition_image_boot;
mod partitions;
mod peers;
mod qcow2_corpus;
mod ramdisk;
mod redfish_peers;
mod stub_api;
mod vm_disks;
mod write_image;
