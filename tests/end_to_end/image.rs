//! Images and their way to the disk: servers, faults, formats, partitions, what is left after a failure.

mod bars;
mod bootc;
mod coding;
mod command;
mod command_servers;
mod faults;
mod inject_files;
mod kill;
mod partition_image;
pub(crate) mod partition_image_boot;
mod partition_image_grub;
mod qcow2_corpus;
mod refusals;
mod registry;
mod servers;
mod write_image;
