//! GRUB for BIOS, by the programs of the deployed image: they run in its file system, with the rights of this agent. That
//! is why an option has to permit it.

use std::io;
use std::path::{Path, PathBuf};

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::tool::Tools;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::assets;
use crate::StepError;
use crate::deploy::mounted::Mounted;
use crate::step::Context;

/// What GRUB's programs need to see of this system.
const BOUND: [&str; 4] = ["dev", "proc", "run", "sys"];
/// GRUB 2 under the name of either family of distributions, and the directory of its configuration.
const NAMES: [&str; 2] = ["grub2", "grub"];

/// Installs the boot loader of the file system `root_uuid` to the disk and has it write its configuration.
///
/// # Errors
/// [`StepError::DeviceNotFound`] without that partition, [`StepError::Execution`] when the image has no GRUB or that fails.
pub(super) fn install(context: &Context, disk: &EligibleDevice, root_uuid: &str) -> Result<(), StepError> {
    let failed = |error: &dyn std::fmt::Display| {
        StepError::Execution(format!("Installing GRUB2 boot loader to device {} failed with {error}.", disk.name))
    };
    let root = assets::find(context, disk, root_uuid)?;
    let image = Mounted::with_programs(context, &root.name).map_err(|error| failed(&error))?;
    let _bound = Bound::below(context, image.point()).map_err(|error| failed(&error))?;
    let tools = Tools::in_directories([], Some(image.point()));
    let found = NAMES.into_iter().find_map(|name| Some((name, tools.find(&format!("{name}-install")).ok()?)));
    let (name, installer) = found.ok_or_else(|| failed(&"the image has neither grub2-install nor grub-install"))?;
    context.progress.activity(format!("installing {name} to {}", disk.name));
    let cancelled = || context.cancel.is_cancelled();
    installer.run([&disk.name]).cancelled(&cancelled).output().map_err(|error| failed(&error))?;
    let configuration = format!("/boot/{name}/grub.cfg");
    let configure = tools.find(&format!("{name}-mkconfig")).map_err(|error| failed(&error))?;
    let run = configure.run(["-o", &configuration]).env("GRUB_DISABLE_OS_PROBER", "true");
    run.env("GRUB_SAVEDEFAULT", "true").cancelled(&cancelled).output().map_err(|error| failed(&error))?;
    Ok(())
}

/// Directories of this system that are seen below another root; gone when this is dropped.
#[derive(Debug, Default)]
struct Bound(Vec<PathBuf>);

impl Bound {
    fn below(context: &Context, root: &Path) -> io::Result<Self> {
        let mut bound = Self::default();
        for name in BOUND {
            let place = root.join(name);
            // A link could lead out of the image.
            if place.is_symlink() {
                return Err(io::Error::other(format!("/{name} of the image is a link")));
            }
            std::fs::create_dir_all(&place)?;
            let source = context.machine.path(format!("/{name}"));
            mount(Some(&source), &place, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
            bound.0.push(place);
        }
        Ok(bound)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        for place in self.0.iter().rev() {
            if let Err(error) = umount2(place, MntFlags::MNT_DETACH) {
                tracing::error!(place = %place.display(), %error, "cannot unmount");
            }
        }
    }
}
