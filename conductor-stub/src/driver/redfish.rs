//! `redfish`: a machine behind a BMC. It boots the agent's ramdisk in one of these ways, by the node's `boot_interface`:
//!
//! - `redfish-https` (the default): UEFI firmware loads the EFI program or the ISO itself, from a URL that the BMC hands it
//! - `redfish-virtual-media`: the BMC presents the ISO as a CD
//! - `http`: as the first, but the URL comes from our DHCP server
//! - `ipxe` and `pxe`: the network card loads iPXE by TFTP, and iPXE what its node's script says
//! - `http-ipxe`: UEFI firmware loads iPXE over HTTP
//!
//! Each way the node gets a variant of its own, with its parameters and its token on the kernel command line. A user's ISO
//! is booted the same ways, as it is.

mod boot_interface;
mod firmware;
mod management;
mod wishes;

use std::sync::Arc;
use std::time::Duration;

use ferric_ignition::archive::Archive;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::firmware::Firmware;
use super::management::Management;
use super::{Connection, Drive, Driver, DriverError, DriverFuture, Inventory};
use crate::crash;
use crate::dhcp::{Loader, Offer};
use crate::ipxe;
use crate::metrics::RedfishRequests;
use crate::node::Node;
use crate::ramdisk::sources::{Base, Linux};
use crate::ramdisk::{self, Form, Parameters};
use crate::redfish::virtual_media::{self, Kind};
use crate::redfish::{Boot, Client, Enabled, Mode, RedfishError, Reset, Settings, System};
use crate::services::BootServices;
use crate::state::PowerState;
use crate::token;
use boot_interface::{BootInterface, needs_signature, no_dhcp};
use wishes::Wishes;

/// The name under which firmware finds iPXE.
const LOADER: &str = "ipxe.efi";

/// Machines behind BMCs.
#[derive(Debug)]
pub struct Redfish {
    /// What makes a machine boot.
    pub services: Arc<BootServices>,
    /// How long switching a machine on or off may take.
    pub power_limit: Duration,
    /// Pause before a BMC that does not answer is asked again.
    pub pause: Duration,
    /// Where requests are counted.
    pub requests: RedfishRequests,
}

impl Driver for Redfish {
    fn validate(&self, node: &Node) -> Result<(), DriverError> {
        settings(node)?;
        let wishes = Wishes::of(node)?;
        let interface = BootInterface::of(node)?;
        if interface.is_uefi_http() && wishes.mode == Some(Mode::Legacy) {
            return Err(DriverError("HTTP boot needs UEFI, and the capability boot_mode is bios".into()));
        }
        if interface.is_ipxe() && needs_signature(node) {
            return Err(DriverError("iPXE is not signed, and the capability secure_boot is true".into()));
        }
        Ok(())
    }

    fn connect(&self, node: &Node) -> Result<Box<dyn Connection>, DriverError> {
        let client = Client::new(settings(node)?).map_err(failed)?.with_pause(self.pause).counted(&self.requests);
        let services = Arc::clone(&self.services);
        Ok(Box::new(Bmc { services, power_limit: self.power_limit, client, system: None }))
    }

    fn is_machine(&self) -> bool {
        true
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
    async fn present(&mut self, node: &mut Node, url: &str, enabled: Enabled) -> Result<(), DriverError> {
        let wishes = Wishes::of(node)?;
        let mut interface = BootInterface::of(node)?;
        if interface == BootInterface::Https && self.services.dhcp.is_some() {
            let takes_url = async { self.system().await?.takes_url().await };
            if !takes_url.await.map_err(failed)? {
                tracing::info!(node = %node.label(), "this BMC hands no URL to the firmware: DHCP does");
                interface = BootInterface::Http;
            }
        }
        let ports = self.services.ports().map_err(failed)?;
        match (&self.services.dhcp, self.offer(node, interface, url)?) {
            (Some(dhcp), Some(offer)) => dhcp.offer(node.uuid, offer, &ports).await.map_err(failed)?,
            (Some(dhcp), None) => dhcp.admit(&ports).await.map_err(failed)?,
            (None, Some(_)) => return Err(no_dhcp(node)),
            (None, None) => {}
        }
        let urls = &self.services.urls;
        let seen_by_bmc = wishes.seen_by_bmc(url, urls.public()).unwrap_or_else(|| urls.seen_by_bmc(url));
        let boot = match interface {
            BootInterface::Https => Boot::UefiHttp(Some(url.to_owned())),
            BootInterface::Http | BootInterface::HttpIpxe => Boot::UefiHttp(None),
            BootInterface::Ipxe => Boot::Pxe,
            BootInterface::VirtualMedia => Boot::VirtualCd,
        };
        let lasting = wishes.lasting(enabled);
        let prepare = async {
            let system = self.system().await?;
            if boot == Boot::VirtualCd {
                virtual_media::insert(&system, Kind::Cd, &seen_by_bmc).await?;
                crash::point();
            }
            if let Some(mode) = wishes.mode {
                system.set_mode(mode).await?;
            }
            system.set_boot(&boot, lasting).await
        };
        let lasts = prepare.await.map_err(failed)?;
        remember(node, &boot, lasting, lasts);
        Ok(())
    }

    /// What DHCP says, where it has to say something.
    fn offer(&self, node: &Node, interface: BootInterface, url: &str) -> Result<Option<Offer>, DriverError> {
        let url = || url.parse().map_err(failed);
        Ok(match interface {
            BootInterface::Https | BootInterface::VirtualMedia => None,
            BootInterface::Http => Some(Offer::Http(url()?)),
            BootInterface::Ipxe => Some(Offer::Ipxe { script: url()?, loader: None }),
            BootInterface::HttpIpxe => {
                let dhcp = self.services.dhcp.as_ref().ok_or_else(|| no_dhcp(node))?;
                let loader = Loader::of(node.spec.properties.get("cpu_arch").and_then(Value::as_str));
                let file = dhcp.loader(loader).map_err(failed)?;
                let loader = self.services.artefacts.publish(node.uuid, LOADER, &file).map_err(failed)?;
                Some(Offer::Ipxe { script: url()?, loader: Some(loader.parse().map_err(failed)?) })
            }
        })
    }

    /// Takes back what [`Self::present`] has set: nothing of ours boots any more.
    async fn restore(&mut self, node: &mut Node) -> Result<(), RedfishError> {
        let wishes = Wishes::of(node).ok();
        let media = BootInterface::of(node).is_ok_and(|interface| interface == BootInterface::VirtualMedia);
        let lasting = wishes.as_ref().map_or(Enabled::Continuous, |wishes| wishes.lasting(Enabled::Continuous));
        let system = self.system().await?;
        let mut ejected = if media { virtual_media::eject(&system, Kind::Cd).await } else { Ok(()) };
        if node.internal.config_drive_inserted {
            let stick = virtual_media::eject(&system, Kind::Stick).await;
            node.internal.config_drive_inserted = stick.is_err();
            ejected = ejected.and(stick);
        }
        if let Some(mode) = wishes.and_then(|wishes| wishes.mode)
            && let Err(error) = system.set_mode(mode).await
        {
            tracing::warn!(node = %node.label(), %error, "the boot mode stays");
        }
        // Also when the medium stays: the machine must not boot it.
        match system.set_boot(&Boot::Disk, lasting).await {
            Ok(lasts) => remember(node, &Boot::Disk, lasting, lasts),
            // A flow that has succeeded does not fail because its machine boots the disk by itself.
            Err(error) if !system.is_overridden().await? => {
                tracing::warn!(node = %node.label(), %error, "the machine's own boot order is relied on");
                remember(node, &Boot::Disk, lasting, lasting);
            }
            Err(error) => return Err(error),
        }
        ejected
    }

    /// Sets again what is to boot at every start, for a BMC whose overrides do not last.
    async fn set_boot_again(&mut self, node: &Node) -> Result<(), RedfishError> {
        let boot = match node.internal.redfish_boot_device.as_deref() {
            Some("disk") => Boot::Disk,
            Some("cdrom") => Boot::VirtualCd,
            Some("pxe") => Boot::Pxe,
            Some("bios") => Boot::Setup,
            Some("uefihttp") => Boot::UefiHttp(node.internal.redfish_uefi_http_url.clone()),
            _ => return Ok(()),
        };
        self.system().await?.set_boot(&boot, Enabled::Once).await.map(drop)
    }
}

/// Keeps in mind what has to be set again before every start, with Ironic's names.
fn remember(node: &mut Node, boot: &Boot, asked: Enabled, lasts: Enabled) {
    let again = asked == Enabled::Continuous && lasts == Enabled::Once;
    let name = match boot {
        Boot::Disk => "disk",
        Boot::VirtualCd => "cdrom",
        Boot::UefiHttp(_) => "uefihttp",
        Boot::Pxe => "pxe",
        Boot::Setup => "bios",
    };
    node.internal.redfish_boot_device = again.then(|| name.to_owned());
    node.internal.redfish_uefi_http_url = match boot {
        Boot::UefiHttp(url) if again => url.clone(),
        _ => None,
    };
}

impl Connection for Bmc {
    fn power_state<'a>(&'a mut self, _node: &'a Node) -> DriverFuture<'a, PowerState> {
        Box::pin(async move {
            let power = async { self.system().await?.power().await };
            match power.await.map_err(failed)?.as_str() {
                "On" | "PoweringOn" => Ok(PowerState::On),
                "Off" | "PoweringOff" => Ok(PowerState::Off),
                other => Err(DriverError(format!("the BMC reports the power state {other}"))),
            }
        })
    }

    fn set_power<'a>(&'a mut self, node: &'a mut Node, to: PowerState) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            if to == PowerState::On
                && let Err(error) = self.set_boot_again(node).await
            {
                tracing::warn!(node = %node.label(), %error, "the machine's own boot order is relied on");
            }
            let limit = self.power_limit;
            let switch = async { self.system().await?.set_power(to == PowerState::On, limit).await };
            switch.await.map_err(failed)
        })
    }

    fn shut_down<'a>(&'a mut self, _node: &'a mut Node, limit: Duration) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            async { self.system().await?.reset(Reset::GracefulShutdown, limit).await }.await.map_err(failed)
        })
    }

    fn management(&mut self) -> Option<&mut dyn Management> {
        Some(self)
    }

    fn firmware(&mut self) -> Option<&mut dyn Firmware> {
        Some(self)
    }

    fn inspect<'a>(&'a mut self, _node: &'a Node) -> DriverFuture<'a, Inventory> {
        Box::pin(async move {
            let (inventory, disk_bytes) = async { self.system().await?.inventory().await }.await.map_err(failed)?;
            Ok(Inventory { inventory, disk_bytes })
        })
    }

    fn prepare_ramdisk<'a>(&'a mut self, node: &'a mut Node, parameters: &'a Parameters) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            let ramdisks = &self.services.ramdisks;
            let interface = BootInterface::of(node)?;
            let base = match interface {
                BootInterface::Https | BootInterface::Http => ramdisks.sources.for_http(node).await.map(Base::File),
                BootInterface::VirtualMedia => ramdisks.sources.for_media(node).await.map(Base::File),
                BootInterface::Ipxe | BootInterface::HttpIpxe => {
                    let bios = Wishes::of(node)?.mode == Some(Mode::Legacy);
                    ramdisks.sources.for_ipxe(node, bios).await
                }
            };
            let base = base.map_err(failed)?;
            let mac = self.services.boot_address(node.uuid).map_err(failed)?;
            let mut parameters = parameters.clone();
            // One that cannot bring its token is given it when it looks itself up.
            if base.refusal().is_none() {
                parameters.insert("ipa-agent-token".into(), token::pregenerate(node));
            }
            let arguments = ramdisk::arguments(node, &parameters, mac.as_ref(), &ramdisks.arguments).map_err(failed)?;
            let url = match base {
                Base::File(ramdisk) if !interface.is_ipxe() => ramdisks.issue(node, ramdisk, arguments).await,
                base => ramdisks.issue_script(node, base, arguments).await,
            };
            let url = url.map_err(failed)?;
            self.present(node, &url, Enabled::Once).await
        })
    }

    fn prepare_instance<'a>(&'a mut self, node: &'a mut Node) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            self.services.ramdisks.withdraw(node.uuid).map_err(failed)?;
            self.services.artefacts.withdraw(node.uuid, LOADER).map_err(failed)?;
            if let Some(dhcp) = &self.services.dhcp {
                dhcp.withdraw(node.uuid, &self.services.ports().map_err(failed)?).await.map_err(failed)?;
            }
            self.restore(node).await.map_err(failed)
        })
    }

    fn prepare_iso<'a>(&'a mut self, node: &'a mut Node, url: &'a str) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            if !BootInterface::of(node)?.is_ipxe() {
                return self.present(node, url, Enabled::Continuous).await;
            }
            let boot = ipxe::Boot::Disk(url.parse().map_err(failed)?);
            let script = self.services.ramdisks.script(node.uuid, &boot).await.map_err(failed)?;
            self.present(node, &script, Enabled::Continuous).await
        })
    }

    fn prepare_kernel<'a>(&'a mut self, node: &'a mut Node, linux: &'a Linux) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            let ramdisks = &self.services.ramdisks;
            let form = match BootInterface::of(node)? {
                BootInterface::Ipxe | BootInterface::HttpIpxe => None,
                BootInterface::Https | BootInterface::Http if !needs_signature(node) => Some(Form::Efi),
                _ => Some(Form::Iso),
            };
            let base = ramdisks.sources.of_instance(linux, form).await.map_err(failed)?;
            let arguments = linux.arguments.clone();
            let url = match base {
                Base::File(ramdisk) => {
                    let name = if form == Some(Form::Efi) { "instance.efi" } else { "instance.iso" };
                    ramdisks.publish(node.uuid, name, ramdisk, arguments, Archive::default()).await
                }
                base => ramdisks.issue_script(node, base, arguments).await,
            };
            self.present(node, &url.map_err(failed)?, Enabled::Continuous).await
        })
    }

    fn insert_stick<'a>(&'a mut self, node: &'a mut Node, url: &'a str) -> DriverFuture<'a, bool> {
        Box::pin(async move {
            let urls = &self.services.urls;
            let seen = Wishes::of(node)?.seen_by_bmc(url, urls.public()).unwrap_or_else(|| urls.seen_by_bmc(url));
            let insert = async { virtual_media::insert(&self.system().await?, Kind::Stick, &seen).await };
            match insert.await {
                Ok(()) => {
                    node.internal.config_drive_inserted = true;
                    Ok(true)
                }
                Err(RedfishError::NoMedia { reasons, .. }) => {
                    tracing::info!(node = %node.label(), reasons, "no virtual USB stick for the config drive");
                    Ok(false)
                }
                Err(error) => Err(failed(error)),
            }
        })
    }

    fn drives<'a>(&'a mut self, _node: &'a Node) -> DriverFuture<'a, Vec<Drive>> {
        Box::pin(async move {
            let list = async { virtual_media::list(&self.system().await?).await };
            let drive = |device: &Value| Drive {
                media_types: serde_json::from_value(device["MediaTypes"].clone()).unwrap_or_default(),
                image: device["Image"].as_str().filter(|_| virtual_media::is_inserted(device)).map(str::to_owned),
            };
            Ok(list.await.map_err(failed)?.iter().map(drive).collect())
        })
    }

    fn attach<'a>(&'a mut self, _node: &'a Node, url: &'a str) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            let insert = async { virtual_media::insert(&self.system().await?, Kind::Cd, url).await };
            insert.await.map_err(failed)
        })
    }

    fn detach<'a>(&'a mut self, _node: &'a Node) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            let eject = async { virtual_media::eject(&self.system().await?, Kind::Cd).await };
            eject.await.map_err(failed)
        })
    }

    /// Gives the BMC its session back, of which it has few.
    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.client.log_out())
    }
}
