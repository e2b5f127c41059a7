//! What happens to disks besides images: who may be touched, erasing, partition tables, disks that fail or vanish.

mod burn_in;
mod cleaning;
mod eligible_device;
mod erase;
mod failing_disk;
mod loop_device;
mod other_acts;
mod partitions;
mod raid_layout;
mod slow_disks;
mod software_raid;
mod virtual_machine;
mod whole_system;
