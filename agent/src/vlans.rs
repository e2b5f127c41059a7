//! The VLAN interfaces that are asked for, created once at the start.

use std::sync::Arc;

use ferric_hardware::{nic, vlan};

use crate::agent::Agent;
use crate::blocking::blocking;
use crate::error::Error;

/// Creates the VLAN interfaces of the option `enable_vlan_interfaces`, after the switches have been heard when LLDP is
/// collected. A local run leaves the network of the machine as it is. Returns whether there were any to create.
///
/// # Errors
/// The work panicked.
pub async fn create(agent: &Arc<Agent>) -> Result<bool, Error> {
    let inspection = agent.settings().inspection.clone();
    let lldp = agent.lldp();
    let site = agent.site();
    if inspection.vlans.is_empty() || site.is_local_run() {
        return Ok(false);
    }
    blocking(move || {
        let mut interfaces = nic::read(&site.machine);
        if let Some(capture) = lldp.filter(|_| inspection.collect_lldp) {
            let mut heard = capture.wait();
            for interface in &mut interfaces {
                interface.lldp = heard.remove(&interface.name);
            }
        }
        !vlan::create_all(&vlan::wanted(&inspection.vlans, &interfaces)).is_empty()
    })
    .await
}
