//! What happens by itself as long as there is a conductor.

use std::sync::Arc;
use std::time::Duration;

use crate::conductor::Shared;
use crate::flow::detach;
use crate::flow::heartbeat;
use crate::flow::progress::Look;
use crate::flow::timeout::Sweep;
use crate::lock::Released;

/// Starts to look after waiting nodes: heartbeats that met a lock, timeouts, progress.
pub fn start(conductor: &Shared, mut released: Released) {
    let weak = Arc::downgrade(conductor);
    tokio::spawn(async move {
        while let Some(node) = released.recv().await {
            let Some(conductor) = weak.upgrade() else { return };
            heartbeat::begin(&conductor, node);
        }
    });
    let weak = Arc::downgrade(conductor);
    let pause = Duration::from_secs_f64(conductor.config.check_interval_seconds.max(0.05));
    let sweep = Sweep::default();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(pause).await;
            let Some(conductor) = weak.upgrade() else { return };
            sweep.run(&conductor);
            detach::run(&conductor);
        }
    });
    if conductor.config.progress_interval_seconds > 0.0 {
        let weak = Arc::downgrade(conductor);
        let pause = Duration::from_secs_f64(conductor.config.progress_interval_seconds);
        let mut look = Look::default();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                let Some(conductor) = weak.upgrade() else { return };
                look.go_on(&conductor).await;
            }
        });
    }
}
