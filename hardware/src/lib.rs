//! What the machine is, and the primitives that touch it. Knows Linux; knows nothing of steps, HTTP or Ironic.
//!
//! Looking changes nothing; what may be written to comes out of one listing, with a reason for everything else:
//!
//! ```
//! use ferric_hardware::block::{self, DevicePolicy, hints::Hints, root_device};
//! use ferric_hardware::machine::Machine;
//!
//! // A directory stands for a machine; `Machine::host()` is the one that we run on.
//! let machine = Machine::at("tests/no-such-machine");
//! let listing = block::list(&machine, &DevicePolicy { allowed: None, skip: Vec::new() });
//! let hints = Hints::parse(&serde_json::json!({"size": ">= 100", "rotational": false}))?;
//! let refused = root_device::choose(&listing, Some(&hints)).unwrap_err();
//! assert!(refused.to_string().contains("rotational"), "{refused}");
//! # Ok::<(), ferric_hardware::block::hints::HintError>(())
//! ```
//!
//! - [`machine`]: the root directory under which everything is read (a fixture tree is a machine)
//! - [`bring_up`]: drivers and disks that have to be woken first
//! - [`inventory`]: the document that says what the machine is, simulated facts in it
//! - [`collect`]: what inspection sends besides
//! - [`cpu`], [`memory`], [`nic`], [`vendor`], [`boot`], [`bmc`]: its parts
//! - [`vlan`]: VLAN interfaces that are wanted, and creating them; [`link`]: other changes of the network
//! - [`smbios`], `device_tree`, [`ethtool`], [`ipmi`], [`packet`], [`lldp`]: where they come from
//! - [`tool`]: external programs, found here or in the host root
//! - [`units`]: typed sizes and addresses
//! - [`aligned`]: page-aligned memory for direct I/O
//! - [`block`]: block devices, who is eligible and why not, root device hints
//! - [`partition_table`], [`gpt`], [`mbr`], [`table_error`]: partition tables
//! - [`partitions`]: what the kernel knows of a disk's partitions
//! - [`open_device`]: an eligible device that is open: zero, discard, read back
//! - [`ioctl`], `device_mapper`: the calls of the kernel themselves
//! - [`nvme`], [`ata`], [`scsi`]: devices that erase themselves
//! - [`signature`], [`wipe`]: what is found on a device without its content, and its removal
//! - [`efi`]: the boot entries of the firmware
//! - [`processes`]: what runs on it
//! - [`watch`]: who follows something long

pub mod aligned;
pub mod ata;
pub mod block;
pub mod bmc;
pub mod boot;
pub mod bring_up;
pub mod collect;
pub mod cpu;
mod device_mapper;
mod device_tree;
pub mod efi;
pub mod ethtool;
pub mod gpt;
pub mod inventory;
pub mod ioctl;
pub mod ipmi;
pub mod link;
pub mod lldp;
pub mod machine;
pub mod mbr;
pub mod memory;
mod netlink;
pub mod nic;
pub mod nvme;
pub mod open_device;
pub mod packet;
pub mod partition_table;
pub mod partitions;
mod printable;
pub mod processes;
pub mod scsi;
pub mod signature;
pub mod smbios;
pub mod table_error;
pub mod tool;
pub mod units;
pub mod vendor;
pub mod vlan;
pub mod volume_label;
pub mod watch;
pub mod wipe;
