//! `redfish`: a machine behind a BMC. It boots the agent's ramdisk in one of three ways, by the node's `boot_interface`:
//!
//! - `redfish-https` (the default): UEFI firmware loads the EFI program or the ISO itself, from a URL that the BMC hands it
//! - `redfish-virtual-media`: the BMC presents the ISO as a CD
//! - `http`: as the first, but the URL comes from our DHCP server
//!
//! Each way the node gets a copy of its own, with its parameters and its token on the kernel command line. A user's ISO
//! is booted the same ways, as it is.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{Connection, Drive, Driver, DriverError, Outcome};
use crate::node::Node;
use crate::ramdisk::{self, Parameters};
use crate::redfish::{Boot, Client, Enabled, RedfishError, Settings, System, virtual_media};
use crate::services::BootServices;
use crate::state::PowerState;
use crate::token;

/// Machines behind BMCs.
#[derive(Debug)]
pub struct Redfish {
    /// What makes a machine boot.
    pub services: Arc<BootServices>,
    /// How long switching a machine on or off may take.
    pub power_limit: Duration,
    /// Pause before a BMC that does not answer is asked again.
    pub pause: Duration,
}

impl Driver for Redfish {
    fn validate(&self, node: &Node) -> Result<(), DriverError> {
        settings(node)?;
        boot_interface(node).map(drop)
    }

    fn connect(&self, node: &Node) -> Result<Box<dyn Connection>, DriverError> {
        let client = Client::new(settings(node)?).map_err(failed)?.with_pause(self.pause);
        let services = Arc::clone(&self.services);
        Ok(Box::new(Bmc { services, power_limit: self.power_limit, client, system: None }))
    }

    fn is_machine(&self) -> bool {
        true
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

/// The BMC of one machine during one operation.
#[derive(Debug)]
struct Bmc {
    services: Arc<BootServices>,
    power_limit: Duration,
    client: Client,
    /// Path of the machine's system, once it is known.
    system: Option<String>,
}

impl Bmc {
    async fn system(&mut self) -> Result<System<'_>, RedfishError> {
        let path = match &self.system {
            Some(path) => path.clone(),
            None => {
                let found = System::find(&self.client).await?.path;
                self.system.insert(found).clone()
            }
        };
        Ok(System { client: &self.client, path })
    }

    /// Has the machine boot what is at `url`, in the node's way.
    async fn present(&mut self, node: &Node, url: &str, enabled: Enabled) -> Result<(), DriverError> {
        let interface = boot_interface(node)?;
        let ports = self.services.ports().map_err(failed)?;
        match &self.services.dhcp {
            Some(dhcp) if interface == BootInterface::Http => {
                dhcp.offer(node.uuid, &url.parse().map_err(failed)?, &ports).await.map_err(failed)?
            }
            Some(dhcp) => dhcp.admit(&ports).await.map_err(failed)?,
            None if interface == BootInterface::Http => {
                return Err(DriverError("boot interface http needs `dhcp` in the conductor's configuration".into()));
            }
            None => {}
        }
        let seen_by_bmc = self.services.urls.seen_by_bmc(url);
        let prepare = async {
            let system = self.system().await?;
            let boot = match interface {
                BootInterface::Https => Boot::UefiHttp(Some(url.to_owned())),
                BootInterface::Http => Boot::UefiHttp(None),
                BootInterface::VirtualMedia => {
                    virtual_media::insert(&system, &seen_by_bmc).await?;
                    Boot::VirtualCd
                }
            };
            system.set_boot(&boot, enabled).await
        };
        prepare.await.map_err(failed)
    }
}

impl Connection for Bmc {
    fn power_state<'a>(&'a mut self, _node: &'a Node) -> Outcome<'a, PowerState> {
        Box::pin(async move {
            let power = async { self.system().await?.power().await };
            match power.await.map_err(failed)?.as_str() {
                "On" | "PoweringOn" => Ok(PowerState::On),
                "Off" | "PoweringOff" => Ok(PowerState::Off),
                other => Err(DriverError(format!("the BMC reports the power state {other}"))),
            }
        })
    }

    fn set_power<'a>(&'a mut self, _node: &'a mut Node, to: PowerState) -> Outcome<'a, ()> {
        Box::pin(async move {
            let limit = self.power_limit;
            let switch = async { self.system().await?.set_power(to == PowerState::On, limit).await };
            switch.await.map_err(failed)
        })
    }

    fn prepare_ramdisk<'a>(&'a mut self, node: &'a mut Node, parameters: &'a Parameters) -> Outcome<'a, ()> {
        Box::pin(async move {
            let ramdisks = &self.services.ramdisks;
            let base = match boot_interface(node)? {
                BootInterface::Https | BootInterface::Http => ramdisks.for_http(node),
                BootInterface::VirtualMedia => ramdisks.for_media(node),
            };
            let base = base.map_err(failed)?;
            let mac = self.services.boot_address(node.uuid).map_err(failed)?;
            let mut parameters = parameters.clone();
            parameters.insert("ipa-agent-token".into(), token::pregenerate(node));
            let arguments = ramdisk::arguments(node, &parameters, mac.as_ref()).map_err(failed)?;
            let url = ramdisks.issue(node.uuid, base, arguments).await.map_err(failed)?;
            self.present(node, &url, Enabled::Once).await
        })
    }

    fn prepare_instance<'a>(&'a mut self, node: &'a mut Node) -> Outcome<'a, ()> {
        Box::pin(async move {
            self.services.ramdisks.withdraw(node.uuid).map_err(failed)?;
            if let Some(dhcp) = &self.services.dhcp {
                dhcp.withdraw(node.uuid, &self.services.ports().map_err(failed)?).await.map_err(failed)?;
            }
            let interface = boot_interface(node)?;
            let restore = async {
                let system = self.system().await?;
                let ejected = match interface {
                    BootInterface::Https | BootInterface::Http => Ok(()),
                    BootInterface::VirtualMedia => virtual_media::eject(&system).await,
                };
                // Also when the medium stays: the machine must not boot it.
                system.set_boot(&Boot::Disk, Enabled::Continuous).await?;
                ejected
            };
            restore.await.map_err(failed)
        })
    }

    fn prepare_iso<'a>(&'a mut self, node: &'a Node, url: &'a str) -> Outcome<'a, ()> {
        Box::pin(self.present(node, url, Enabled::Continuous))
    }

    fn drives<'a>(&'a mut self, _node: &'a Node) -> Outcome<'a, Vec<Drive>> {
        Box::pin(async move {
            let list = async { virtual_media::list(&self.system().await?).await };
            let drive = |device: &Value| Drive {
                media_types: serde_json::from_value(device["MediaTypes"].clone()).unwrap_or_default(),
                image: device["Image"].as_str().filter(|_| device["Inserted"] == true).map(str::to_owned),
            };
            Ok(list.await.map_err(failed)?.iter().map(drive).collect())
        })
    }

    fn attach<'a>(&'a mut self, _node: &'a Node, url: &'a str) -> Outcome<'a, ()> {
        Box::pin(async move {
            let insert = async { virtual_media::insert(&self.system().await?, url).await };
            insert.await.map_err(failed)
        })
    }

    fn detach<'a>(&'a mut self, _node: &'a Node) -> Outcome<'a, ()> {
        Box::pin(async move {
            let eject = async { virtual_media::eject(&self.system().await?).await };
            eject.await.map_err(failed)
        })
    }

    /// Gives the BMC its session back, of which it has few.
    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.client.log_out())
    }
}
