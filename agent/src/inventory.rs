//! The inventory of this machine, and what of it look-up needs.

use std::sync::Arc;

use ferric_hardware::inventory;
use ferric_hardware::nic::{self, Interface};
use serde_json::Value;

use crate::agent::Agent;
use crate::blocking::blocking;
use crate::error::{self, Error};

/// The inventory of this machine.
///
/// # Errors
/// It cannot be put into JSON.
pub async fn inventory(agent: &Arc<Agent>) -> Result<Value, Error> {
    let (machine, options) = (agent.machine.clone(), agent.inventory_options());
    let collected = blocking(move || serde_json::to_value(inventory::collect(&machine, &options))).await?;
    collected.map_err(|cause| Error::new(error::EXECUTION, cause.to_string()))
}

/// The interfaces that look-up and callback address need; nothing else of the inventory is read.
pub async fn interfaces(agent: &Arc<Agent>) -> Vec<Interface> {
    let (machine, mut options) = (agent.machine.clone(), agent.inventory_options());
    options.lldp = None;
    options.skip_bmc = true;
    let read = move || match options.simulated {
        Some(_) => inventory::collect(&machine, &options).interfaces,
        None => nic::read(&machine),
    };
    blocking(read).await.unwrap_or_default()
}
