//! `redfish`: a machine behind a BMC. It boots the agent's ramdisk in one of two ways, by the node's `boot_interface`:
//!
//! - `redfish-https` (the default): UEFI firmware loads the EFI program or the ISO itself, from a URL that the BMC hands it
//! - `redfish-virtual-media`: the BMC presents the ISO as a CD
//!
//! Either way the node gets a copy of its own, with its parameters on the kernel command line.

use std::future::Future;
use std::time::Duration;

use ferric_ignition::kernel_arguments::KernelArgument;
use serde_json::Value;

use super::{Driver, DriverError, Outcome, Parameters};
use crate::conductor::Conductor;
use crate::node::Node;
use crate::ramdisk::{self, Ramdisk};
use crate::redfish::{Boot, Client, RedfishError, Settings, System, virtual_media};
use crate::state::PowerState;

/// Machines behind BMCs.
#[derive(Debug)]
pub struct Redfish {
    /// How long switching a machine on or off may take.
    pub power_limit: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BootInterface {
    Https,
    VirtualMedia,
}

fn boot_interface(node: &Node) -> Result<BootInterface, DriverError> {
    match node.spec.boot_interface.as_deref().unwrap_or("redfish-https") {
        "redfish-https" => Ok(BootInterface::Https),
        "redfish-virtual-media" => Ok(BootInterface::VirtualMedia),
        other => Err(DriverError(format!(
            "boot interface {other} is not supported by driver redfish, only redfish-https and redfish-virtual-media"
        ))),
    }
}

fn failed(error: impl std::fmt::Display) -> DriverError {
    DriverError(error.to_string())
}

fn settings(node: &Node) -> Result<Settings, DriverError> {
    Settings::from_driver_info(&Value::Object(node.spec.driver_info.clone())).map_err(failed)
}

fn connect(node: &Node) -> Result<Client, DriverError> {
    Client::new(settings(node)?).map_err(failed)
}

/// Does `work` and gives the BMC its session back, of which it has few.
async fn then_log_out<T>(
    client: &Client,
    work: impl Future<Output = Result<T, RedfishError>> + Send,
) -> Result<T, DriverError> {
    let outcome = work.await;
    client.log_out().await;
    outcome.map_err(failed)
}

/// Publishes the node's own copy of `base` and returns its URL.
async fn publish(
    conductor: &Conductor,
    node: &Node,
    base: Ramdisk,
    arguments: Vec<KernelArgument>,
) -> Result<String, DriverError> {
    let folder = conductor.state_dir.join("ramdisks").join(node.uuid.to_string());
    let (name, copy) = (base.name(), folder.join(base.name()));
    let target = copy.clone();
    let written = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&folder).map_err(|error| DriverError(format!("{}: {error}", folder.display())))?;
        base.copy_with(&arguments, &target).map_err(failed)
    });
    written.await.map_err(failed)??;
    conductor.publish(node.uuid, name, &copy).map_err(failed)
}

/// Takes back what [`publish`] published.
fn withdraw(conductor: &Conductor, node: &Node) -> Result<(), DriverError> {
    for name in Ramdisk::NAMES {
        if let Some(copy) = conductor.store.delete_artefact(node.uuid, name).map_err(failed)?
            && let Err(error) = std::fs::remove_file(&copy)
        {
            tracing::info!(node = %node.label(), "removing {}: {error}", copy.display());
        }
    }
    Ok(())
}

fn boot_mac(conductor: &Conductor, node: &Node) -> Result<Option<String>, DriverError> {
    let ports = conductor.store.ports().map_err(failed)?;
    Ok(ports.into_iter().find(|port| port.node_uuid == node.uuid && port.pxe_enabled).map(|port| port.address))
}

impl Driver for Redfish {
    fn validate(&self, node: &Node) -> Result<(), DriverError> {
        settings(node)?;
        boot_interface(node).map(drop)
    }

    fn power_state<'a>(&'a self, node: &'a Node) -> Outcome<'a, PowerState> {
        Box::pin(async move {
            let client = connect(node)?;
            let power = then_log_out(&client, async { System::find(&client).await?.power().await }).await?;
            match power.as_str() {
                "On" | "PoweringOn" => Ok(PowerState::On),
                "Off" | "PoweringOff" => Ok(PowerState::Off),
                other => Err(DriverError(format!("the BMC reports the power state {other}"))),
            }
        })
    }

    fn set_power<'a>(&'a self, node: &'a mut Node, to: PowerState) -> Outcome<'a, ()> {
        Box::pin(async move {
            let client = connect(node)?;
            let switch = async {
                let system = System::find(&client).await?;
                system.set_power(to == PowerState::On, self.power_limit).await
            };
            then_log_out(&client, switch).await
        })
    }

    fn prepare_ramdisk<'a>(
        &'a self,
        conductor: &'a Conductor,
        node: &'a mut Node,
        parameters: &'a Parameters,
    ) -> Outcome<'a, ()> {
        Box::pin(async move {
            let interface = boot_interface(node)?;
            let base = match interface {
                BootInterface::Https => Ramdisk::for_http(node, &conductor.config),
                BootInterface::VirtualMedia => Ramdisk::for_media(node, &conductor.config),
            };
            let mac = boot_mac(conductor, node)?;
            let arguments = ramdisk::arguments(node, parameters, mac.as_deref()).map_err(failed)?;
            let url = publish(conductor, node, base.map_err(failed)?, arguments).await?;
            let client = connect(node)?;
            let prepare = async {
                let system = System::find(&client).await?;
                let boot = match interface {
                    BootInterface::Https => Boot::UefiHttp(Some(url)),
                    BootInterface::VirtualMedia => {
                        virtual_media::insert(&system, &conductor.seen_by_bmc(&url)).await?;
                        Boot::VirtualCd
                    }
                };
                system.set_boot(&boot).await
            };
            then_log_out(&client, prepare).await
        })
    }

    fn prepare_instance<'a>(&'a self, conductor: &'a Conductor, node: &'a mut Node) -> Outcome<'a, ()> {
        Box::pin(async move {
            withdraw(conductor, node)?;
            let interface = boot_interface(node)?;
            let client = connect(node)?;
            let restore = async {
                let system = System::find(&client).await?;
                let ejected = match interface {
                    BootInterface::Https => Ok(()),
                    BootInterface::VirtualMedia => virtual_media::eject(&system).await,
                };
                // Also when the medium stays: the machine must not boot it.
                system.set_boot(&Boot::Disk).await?;
                ejected
            };
            then_log_out(&client, restore).await
        })
    }

    fn is_machine(&self) -> bool {
        true
    }
}
