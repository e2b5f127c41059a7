//! GRUB for BIOS, by the programs of the deployed image: they run in its file system, with the rights of this agent. That
//! is why an option has to permit it.

use std::io::{self, Read};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use ferric_hardware::block::{EligibleDevice, HeldDisk};
use ferric_hardware::open_device::{Access, OpenDevice};
use ferric_hardware::tool::Tools;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::{array, assets};
use crate::deploy::mounted::{Attributes, Mounted};
use crate::step::Step;
use crate::{ErrorKind, StepError};

/// What GRUB's programs need to see of this system.
const BOUND: [&str; 4] = ["dev", "proc", "run", "sys"];
/// GRUB 2 under the name of either family of distributions, and the directory of its configuration.
const NAMES: [&str; 2] = ["grub2", "grub"];
/// Where udev names file systems by their UUID.
const BY_UUID: &str = "/dev/disk/by-uuid";

/// What dracut's images read GRUB's settings from.
const DEFAULTS: &str = "/etc/default/grub";
const DRACUT: [&str; 2] = ["usr/bin/dracut", "usr/sbin/dracut"];
/// Longer settings are none.
const MOST_DEFAULTS_BYTES: u64 = 1 << 20;

/// Installs the boot loader of the file system `root_uuid` to the disk, or to every disk of an array, and has it write
/// its configuration.
///
/// # Errors
/// [`ErrorKind::DeviceNotFound`] without that partition, [`ErrorKind::Execution`] when the image has no GRUB or that fails.
pub(super) fn install(step: &Step, disk: &EligibleDevice, root_uuid: &str) -> Result<(), StepError> {
    let root = assets::find(step, disk, root_uuid)?;
    let members = array::disks(step, disk);
    array::make_bios_boot_partitions(step, &members)?;
    let targets: Vec<&str> = match members.is_empty() {
        true => vec![disk.name.as_str()],
        false => members.iter().map(HeldDisk::name).collect(),
    };
    run_programs(step, disk, &targets, &root, root_uuid)?;
    // GRUB's core is in no file system whose end would tell that it reached the medium.
    for member in &members {
        OpenDevice::open_held(&step.site.machine, member, Access::Read)?.flush()?;
    }
    Ok(OpenDevice::open(&step.site.machine, disk, Access::Read)?.flush()?)
}

fn run_programs(
    step: &Step,
    disk: &EligibleDevice,
    targets: &[&str],
    root: &EligibleDevice,
    root_uuid: &str,
) -> Result<(), StepError> {
    let failed = || ErrorKind::Execution.error(format!("Installing GRUB2 boot loader to device {} failed", disk.name));
    let image = Mounted::with_programs(step, &root.name).map_err(|error| failed().because(error))?;
    let _bound = Bound::below(step, image.point()).map_err(|error| failed().because(error))?;
    let tools = Tools::in_directories([], Some(image.point()));
    let found = NAMES.into_iter().find_map(|name| Some((name, tools.find(&format!("{name}-install")).ok()?)));
    let (name, installer) =
        found.ok_or_else(|| failed().because("the image has neither grub2-install nor grub-install"))?;
    let cancelled = || step.cancel.is_cancelled();
    for target in targets {
        step.progress.activity(format!("installing {name} to {target}"));
        installer.run([*target]).cancelled(&cancelled).output().map_err(|error| failed().because(error))?;
    }
    if *targets != [disk.name.as_str()] && DRACUT.iter().any(|place| image.point().join(place).is_file()) {
        name_arrays(&image, &array::dracut_arguments(step)?).map_err(|error| failed().because(error))?;
    }
    let _link = UuidLink::ensure(step, root, root_uuid).map_err(|error| failed().because(error))?;
    let configuration = format!("/boot/{name}/grub.cfg");
    let configure = tools.find(&format!("{name}-mkconfig")).map_err(|error| failed().because(error))?;
    let run = configure.run(["-o", &configuration]).env("GRUB_DISABLE_OS_PROBER", "true");
    run.env("GRUB_SAVEDEFAULT", "true").cancelled(&cancelled).output().map_err(|error| failed().because(error))?;
    Ok(())
}

/// Adds kernel arguments to GRUB's settings: without them dracut's initial file system assembles no array.
fn name_arrays(image: &Mounted, arguments: &[String]) -> io::Result<()> {
    let Some(file) = image.open_file(DEFAULTS)? else { return Ok(()) };
    let mut settings = String::new();
    file.take(MOST_DEFAULTS_BYTES).read_to_string(&mut settings)?;
    image.write(DEFAULTS, with_arguments(&settings, arguments).as_bytes(), &Attributes::default())
}

fn with_arguments(settings: &str, arguments: &[String]) -> String {
    let added = |line: &str| match line.strip_prefix("GRUB_CMDLINE_LINUX=\"").and_then(|rest| rest.strip_suffix('"')) {
        Some(before) => format!("GRUB_CMDLINE_LINUX=\"{before} {}\"\n", arguments.join(" ")),
        None => format!("{line}\n"),
    };
    settings.lines().map(added).collect()
}

/// Directories of this system that are seen below another root; gone when this is dropped.
#[derive(Debug, Default)]
struct Bound(Vec<PathBuf>);

impl Bound {
    fn below(step: &Step, root: &Path) -> io::Result<Self> {
        let mut bound = Self::default();
        for name in BOUND {
            let place = root.join(name);
            // A link could lead out of the image.
            if place.is_symlink() {
                return Err(io::Error::other(format!("/{name} of the image is a link")));
            }
            std::fs::create_dir_all(&place)?;
            let source = step.site.machine.path(format!("/{name}"));
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

/// The link to a partition that udev would have made of its file system's UUID; gone when this is dropped, if it was
/// made here. Without it, GRUB's configuration names the root file system by the kernel's name of today.
#[derive(Debug)]
struct UuidLink(Option<PathBuf>);

impl UuidLink {
    fn ensure(step: &Step, partition: &EligibleDevice, uuid: &str) -> io::Result<Self> {
        let directory = step.site.machine.path(BY_UUID);
        let link = directory.join(uuid);
        if link.exists() {
            return Ok(Self(None));
        }
        std::fs::create_dir_all(directory)?;
        // One that leads nowhere is left from an earlier partition.
        std::fs::remove_file(&link).ok();
        match symlink(Path::new("../..").join(partition.name.trim_start_matches("/dev/")), &link) {
            // udev came in between.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Self(None)),
            result => result.map(|()| Self(Some(link))),
        }
    }
}

impl Drop for UuidLink {
    fn drop(&mut self) {
        let Some(link) = &self.0 else { return };
        std::fs::remove_file(link).ok();
        // The directories too, as long as nothing else is in them.
        for directory in link.ancestors().skip(1).take(2) {
            std::fs::remove_dir(directory).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_named_behind_the_other_kernel_arguments() {
        let settings = "GRUB_TIMEOUT=0\nGRUB_CMDLINE_LINUX=\"quiet\"\nGRUB_CMDLINE_LINUX_DEFAULT=\"\"\n";
        let changed = with_arguments(settings, &["rd.md.uuid=1:2".to_string(), "rd.md.uuid=3:4".to_string()]);
        let expected = settings.replace("\"quiet\"", "\"quiet rd.md.uuid=1:2 rd.md.uuid=3:4\"");
        assert_eq!(changed, expected);
    }
}
