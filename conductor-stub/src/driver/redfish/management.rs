//! What an owner asks of a machine behind a BMC.

use super::{Bmc, failed, remember};
use crate::driver::management::Management;
use crate::driver::{DriverError, DriverFuture};
use crate::node::Node;
use crate::redfish::{Boot, Enabled, Mode, Reset};
use crate::state::{BootDevice, BootMode};

/// Ironic's name for what a BMC calls it (`BootSourceOverrideTarget`).
fn device(target: &str) -> Option<BootDevice> {
    match target {
        "Pxe" => Some(BootDevice::Pxe),
        "Hdd" => Some(BootDevice::Disk),
        "Cd" | "UsbCd" => Some(BootDevice::Cdrom),
        "BiosSetup" => Some(BootDevice::Bios),
        "UefiHttp" => Some(BootDevice::UefiHttp),
        _ => None,
    }
}

impl Management for Bmc {
    fn boot_device<'a>(&'a mut self, node: &'a Node) -> DriverFuture<'a, Option<(BootDevice, bool)>> {
        Box::pin(async move {
            if let Some(again) = node.internal.redfish_boot_device.as_deref().and_then(|name| name.parse().ok()) {
                return Ok(Some((again, true)));
            }
            let found = async { self.system().await?.overridden().await }.await.map_err(failed)?;
            Ok(found.and_then(|(target, enabled)| Some((device(&target)?, enabled == Enabled::Continuous))))
        })
    }

    fn set_boot_device<'a>(
        &'a mut self,
        node: &'a mut Node,
        device: BootDevice,
        persistent: bool,
    ) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            let boot = match device {
                BootDevice::Pxe => Boot::Pxe,
                BootDevice::Disk => Boot::Disk,
                BootDevice::Cdrom => Boot::VirtualCd,
                BootDevice::Bios => Boot::Setup,
                BootDevice::UefiHttp => Boot::UefiHttp(None),
            };
            let asked = if persistent { Enabled::Continuous } else { Enabled::Once };
            let lasts = async { self.system().await?.set_boot(&boot, asked).await }.await.map_err(failed)?;
            remember(node, &boot, asked, lasts);
            Ok(())
        })
    }

    fn boot_mode<'a>(&'a mut self, _node: &'a Node) -> DriverFuture<'a, Option<BootMode>> {
        Box::pin(async move {
            let mode = async { self.system().await?.mode().await }.await.map_err(failed)?;
            Ok(mode.map(|mode| match mode {
                Mode::Uefi => BootMode::Uefi,
                Mode::Legacy => BootMode::Bios,
            }))
        })
    }

    fn set_boot_mode<'a>(&'a mut self, _node: &'a Node, mode: BootMode) -> DriverFuture<'a, ()> {
        let mode = match mode {
            BootMode::Uefi => Mode::Uefi,
            BootMode::Bios => Mode::Legacy,
        };
        Box::pin(async move { async { self.system().await?.set_mode(mode).await }.await.map_err(failed) })
    }

    fn secure_boot<'a>(&'a mut self, _node: &'a Node) -> DriverFuture<'a, Option<bool>> {
        Box::pin(async move { async { self.system().await?.secure_boot().await }.await.map_err(failed) })
    }

    fn set_secure_boot<'a>(&'a mut self, node: &'a Node, on: bool) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            if on && self.boot_mode(node).await? == Some(BootMode::Bios) {
                return Err(DriverError("Secure Boot needs the boot mode uefi, and the machine's is bios".into()));
            }
            async { self.system().await?.set_secure_boot(on).await }.await.map_err(failed)
        })
    }

    fn interrupt<'a>(&'a mut self, _node: &'a Node) -> DriverFuture<'a, ()> {
        let limit = self.power_limit;
        Box::pin(async move { async { self.system().await?.reset(Reset::Nmi, limit).await }.await.map_err(failed) })
    }
}
