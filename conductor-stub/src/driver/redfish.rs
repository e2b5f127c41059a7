//! `redfish`: a machine behind a BMC. It boots the agent's ramdisk in one of three ways, by the node's `boot_interface`:
//!
//! - `redfish-https` (the default): UEFI firmware loads the EFI program or the ISO itself, from a URL that the BMC hands it
//! - `redfish-virtual-media`: the BMC presents the ISO as a CD
//! - `http`: as the first, but the URL comes from our DHCP server
//!
//! Each way the node gets a copy of its own, with its parameters and its token on the kernel command line. A user's ISO
//! is booted the same ways, as it is.

use std::future::Future;
use std::time::Duration;

use ferric_ignition::kernel_arguments::KernelArgument;
use serde_json::Value;

use super::{Drive, Driver, DriverError, Outcome, Parameters};
use crate::conductor::Conductor;
use crate::node::Node;
use crate::ramdisk::{self, Ramdisk};
use crate::redfish::{Boot, Client, Enabled, RedfishError, Settings, System, virtual_media};
use crate::state::PowerState;
use crate::token;

/// Machines behind BMCs.
#[derive(Debug)]
pub struct Redfish {
    /// How long switching a machine on or off may take.
    pub power_limit: Duration,
    /// Pause before a BMC that does not answer is asked again.
    pub pause: Duration,
}

impl Redfish {
    fn connect(&self, node: &Node) -> Result<Client, DriverError> {
        Ok(Client::new(settings(node)?).map_err(failed)?.with_pause(self.pause))
    }

    /// Has the machine boot what is at `url`, in the node's way.
    async fn present(
        &self,
        conductor: &Conductor,
        node: &Node,
        url: &str,
        enabled: Enabled,
    ) -> Result<(), DriverError> {
        let interface = boot_interface(node)?;
        let ports = conductor.store.ports().map_err(failed)?;
        match conductor.dhcp() {
            Some(dhcp) if interface == BootInterface::Http => {
                dhcp.offer(node.uuid, url, &ports).await.map_err(failed)?
            }
            Some(dhcp) => dhcp.admit(&ports).await.map_err(failed)?,
            None if interface == BootInterface::Http => {
                return Err(DriverError("boot interface http needs `dhcp` in the conductor's configuration".into()));
            }
            None => {}
        }
        let client = self.connect(node)?;
        let prepare = async {
            let system = System::find(&client).await?;
            let boot = match interface {
                BootInterface::Https => Boot::UefiHttp(Some(url.to_owned())),
                BootInterface::Http => Boot::UefiHttp(None),
                BootInterface::VirtualMedia => {
                    virtual_media::insert(&system, &conductor.seen_by_bmc(url)).await?;
                    Boot::VirtualCd
                }
            };
            system.set_boot(&boot, enabled).await
        };
        then_log_out(&client, prepare).await
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BootInterface {
    Https,
    VirtualMedia,
    /// By DHCP.
    Http,
}

fn boot_interface(node: &Node) -> Result<BootInterface, DriverError> {
    match node.spec.boot_interface.as_deref().unwrap_or("redfish-https") {
        "redfish-https" => Ok(BootInterface::Https),
        "redfish-virtual-media" => Ok(BootInterface::VirtualMedia),
        "http" => Ok(BootInterface::Http),
        other => Err(DriverError(format!(
            "boot interface {other} is not supported by driver redfish, only redfish-https, redfish-virtual-media and http"
        ))),
    }
}

fn failed(error: impl std::fmt::Display) -> DriverError {
    DriverError(error.to_string())
}

fn settings(node: &Node) -> Result<Settings, DriverError> {
    Settings::from_driver_info(&Value::Object(node.spec.driver_info.clone())).map_err(failed)
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
            let client = self.connect(node)?;
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
            let client = self.connect(node)?;
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
            let base = match boot_interface(node)? {
                BootInterface::Https | BootInterface::Http => Ramdisk::for_http(node, &conductor.config),
                BootInterface::VirtualMedia => Ramdisk::for_media(node, &conductor.config),
            };
            let base = base.map_err(failed)?;
            let mac = boot_mac(conductor, node)?;
            let mut parameters = parameters.clone();
            parameters.insert("ipa-agent-token", token::pregenerate(node));
            let arguments = ramdisk::arguments(node, &parameters, mac.as_deref()).map_err(failed)?;
            let url = publish(conductor, node, base, arguments).await?;
            self.present(conductor, node, &url, Enabled::Once).await
        })
    }

    fn prepare_instance<'a>(&'a self, conductor: &'a Conductor, node: &'a mut Node) -> Outcome<'a, ()> {
        Box::pin(async move {
            withdraw(conductor, node)?;
            if let Some(dhcp) = conductor.dhcp() {
                dhcp.withdraw(node.uuid, &conductor.store.ports().map_err(failed)?).await.map_err(failed)?;
            }
            let interface = boot_interface(node)?;
            let client = self.connect(node)?;
            let restore = async {
                let system = System::find(&client).await?;
                let ejected = match interface {
                    BootInterface::Https | BootInterface::Http => Ok(()),
                    BootInterface::VirtualMedia => virtual_media::eject(&system).await,
                };
                // Also when the medium stays: the machine must not boot it.
                system.set_boot(&Boot::Disk, Enabled::Continuous).await?;
                ejected
            };
            then_log_out(&client, restore).await
        })
    }

    fn prepare_iso<'a>(&'a self, conductor: &'a Conductor, node: &'a Node, url: &'a str) -> Outcome<'a, ()> {
        Box::pin(self.present(conductor, node, url, Enabled::Continuous))
    }

    fn drives<'a>(&'a self, node: &'a Node) -> Outcome<'a, Vec<Drive>> {
        Box::pin(async move {
            let client = self.connect(node)?;
            let list = async { virtual_media::list(&System::find(&client).await?).await };
            let drive = |device: &Value| Drive {
                media_types: serde_json::from_value(device["MediaTypes"].clone()).unwrap_or_default(),
                image: device["Image"].as_str().filter(|_| device["Inserted"] == true).map(str::to_owned),
            };
            Ok(then_log_out(&client, list).await?.iter().map(drive).collect())
        })
    }

    fn attach<'a>(&'a self, node: &'a Node, url: &'a str) -> Outcome<'a, ()> {
        Box::pin(async move {
            let client = self.connect(node)?;
            then_log_out(&client, async { virtual_media::insert(&System::find(&client).await?, url).await }).await
        })
    }

    fn detach<'a>(&'a self, node: &'a Node) -> Outcome<'a, ()> {
        Box::pin(async move {
            let client = self.connect(node)?;
            then_log_out(&client, async { virtual_media::eject(&System::find(&client).await?).await }).await
        })
    }

    fn is_machine(&self) -> bool {
        true
    }
}
