//! Waiting for the disk that will be used: controllers take their time after power-on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ferric_hardware::block::{self, root_device};
use ferric_steps::deploy::root_device::hints_of;
use tracing::{info, warn};

use crate::agent::Agent;
use crate::blocking::blocking;
use crate::config::settings::DiskWait;

/// How often the disks are looked at.
const POLL: Duration = Duration::from_millis(250);

/// Waits until a disk fits the root device hints of the node (without them: is large enough), for as long as
/// `disk_wait_attempts` times `disk_wait_delay`. That there is none is a matter of later steps.
pub async fn wait(agent: &Arc<Agent>) {
    let DiskWait { attempts, delay } = agent.settings().disk_wait.clone();
    if attempts == 0 {
        return;
    }
    let limit = delay.mul_f64((attempts - 1) as f64);
    let started = Instant::now();
    let mut told = false;
    loop {
        let (site, node) = (agent.site(), agent.node());
        let look = move || {
            let wanted = hints_of(&node).map_err(|error| error.to_string())?;
            let listing = block::list_beneath_leftovers(&site.machine, &site.device_policy(&node));
            root_device::choose(&listing, wanted.as_ref())
                .map(|disk| disk.name.clone())
                .map_err(|none| none.to_string())
        };
        let reason = match blocking(look).await {
            Ok(Ok(disk)) => {
                info!(disk, seconds = started.elapsed().as_secs_f64(), "root device found");
                return;
            }
            Ok(Err(reason)) => reason,
            Err(panic) => panic.details,
        };
        if started.elapsed() >= limit {
            warn!(reason, "no root device");
            return;
        }
        if !told {
            info!(reason, seconds = limit.as_secs_f64(), "waiting for the root device, at most so long");
            told = true;
        }
        tokio::time::sleep(POLL).await;
    }
}
