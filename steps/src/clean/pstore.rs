//! `erase_pstore`: crash dumps that firmware keeps for the next kernel.

use serde_json::Value;

use crate::step::Step;
use crate::{ErrorKind, StepError};

/// Removes everything in the persistent store, when one is mounted.
///
/// # Errors
/// [`ErrorKind::Cleaning`] names the entry that cannot be removed.
pub async fn erase_pstore(step: &Step) -> Result<Value, StepError> {
    step.blocking(|step| {
        let mounts = step.site.machine.read("/proc/mounts").unwrap_or_default();
        let Some(mount_point) = mounts.lines().find_map(pstore_mount_point) else {
            tracing::info!("no pstore is mounted: nothing to erase");
            return Ok(Value::Null);
        };
        let directory = step.site.machine.path(mount_point);
        let failed = |path: &std::path::Path, error: std::io::Error| {
            ErrorKind::Cleaning.error(path.display().to_string()).because(error)
        };
        for entry in std::fs::read_dir(&directory).map_err(|error| failed(&directory, error))? {
            let path = entry.map_err(|error| failed(&directory, error))?.path();
            let is_tree = path.is_dir() && !path.is_symlink();
            let removed = if is_tree { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.map_err(|error| failed(&path, error))?;
        }
        Ok(Value::Null)
    })
    .await
}

fn pstore_mount_point(line: &str) -> Option<&str> {
    let mut fields = line.split(' ');
    let (device, mount_point, kind) = (fields.next()?, fields.next()?, fields.next()?);
    (device == "pstore" && kind == "pstore").then_some(mount_point)
}
