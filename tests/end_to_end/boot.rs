//! A machine finds what it is to run: firmware, DHCP, virtual media, our ramdisk, a live system, the container.

mod container;
mod coreos;
mod deployed_disk;
mod dhcp;
mod ironic;
mod ironic_iso;
mod live_system;
mod paths;
mod ramdisk;
mod redfish;
