//! Flushing file systems and disks, before the machine goes down or the conductor cuts its power.

use std::fs::File;

use ferric_hardware::block;
use serde_json::Value;

use crate::site::Site;

/// Writes out every file system and disk, drops the caches, and flushes the write cache of each disk. Devices that
/// cannot be flushed are only logged: they may have gone. A local run flushes its own devices and nothing else.
pub fn all(site: &Site) {
    if !site.is_local_run() {
        nix::unistd::sync();
        if let Err(error) = std::fs::write(site.machine.path("/proc/sys/vm/drop_caches"), "3") {
            tracing::warn!(%error, "cannot drop the caches");
        }
    }
    for device in block::list(&site.machine, &site.device_policy(&Value::Null)).eligible {
        if let Err(error) = File::open(site.machine.path(&device.name)).and_then(|disk| disk.sync_all()) {
            tracing::warn!(device = device.name, %error, "cannot flush the disk");
        }
    }
}
