//! Configuration that comes with the boot medium: when the kernel command line says `boot_method=vmedia`, Ironic may have
//! put files for `/etc` on the ISO it booted, and kernel parameters on a virtual floppy.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use ferric_hardware::machine::Machine;
use ferric_hardware::volume_label;
use nix::mount::{MsFlags, mount, umount};
use tracing::{info, warn};

use crate::config::kernel;

/// Labels of media with files for `/etc`.
const CONFIGURATION_LABELS: [&str; 2] = ["config-2", "vmedia_boot_iso"];

/// Label of a medium with parameters.
const PARAMETERS_LABEL: &str = "ir-vfd-dev";

/// Directories whose files are copied from the medium to the same place here.
const DIRECTORIES: [&str; 2] = ["etc/ironic-python-agent", "etc/ironic-python-agent.d"];

/// A USB disk of this size or more is no virtual medium but somebody's data.
const LARGEST_MEDIUM_BYTES: u64 = 4 << 30;

/// File systems of such media.
const FILE_SYSTEMS: [&str; 3] = ["iso9660", "vfat", "udf"];

/// Copies configuration files from the boot medium and adds the parameters of virtual media to `parameters`, over those
/// of the kernel. Without `boot_method=vmedia` among them nothing happens.
///
/// # Errors
/// A medium is there but cannot be read.
pub fn apply(machine: &Machine, parameters: &mut BTreeMap<String, String>) -> Result<()> {
    if parameters.get("boot_method").map(String::as_str) != Some("vmedia") {
        return Ok(());
    }
    if let Some(device) = find(machine, |labels| CONFIGURATION_LABELS.contains(&labels)) {
        with_mounted(machine, &device, |medium| copy_configuration(medium, machine))
            .with_context(|| format!("configuration on {}", device.display()))?;
    }
    if let Some(device) = find(machine, |label| label == PARAMETERS_LABEL).or_else(|| find_by_model(machine)) {
        let text = with_mounted(machine, &device, |medium| Ok(fs::read_to_string(medium.join("parameters.txt"))?))
            .with_context(|| format!("parameters.txt on {}", device.display()))?;
        info!(device = %device.display(), "parameters found on virtual media");
        parameters.extend(kernel::parse(&text));
    }
    Ok(())
}

fn find(machine: &Machine, fits: impl Fn(&str) -> bool) -> Option<PathBuf> {
    media(machine).into_iter().find(|device| volume_label::of(device).is_some_and(|label| fits(&label.to_lowercase())))
}

fn find_by_model(machine: &Machine) -> Option<PathBuf> {
    media(machine).into_iter().find(|device| {
        let name = device.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let model = machine.read(format!("/sys/class/block/{name}/device/model"));
        model.is_some_and(|model| model.to_lowercase().contains("virtual media"))
    })
}

/// Optical drives and small USB disks, never partitions.
fn media(machine: &Machine) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(machine.path("/sys/class/block")) else { return Vec::new() };
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names.retain(|name| is_medium(machine, name));
    names.into_iter().map(|name| machine.path(format!("/dev/{name}"))).collect()
}

fn is_medium(machine: &Machine, name: &str) -> bool {
    let place = machine.path(format!("/sys/class/block/{name}"));
    if place.join("partition").exists() {
        return false;
    }
    if name.starts_with("sr") {
        return true;
    }
    let on_usb = fs::canonicalize(&place).is_ok_and(|path| path.to_string_lossy().contains("/usb"));
    let sectors = machine.read(format!("/sys/class/block/{name}/size")).and_then(|size| size.parse::<u64>().ok());
    on_usb && sectors.is_some_and(|sectors| sectors > 0 && sectors.saturating_mul(512) < LARGEST_MEDIUM_BYTES)
}

fn with_mounted<T>(machine: &Machine, device: &Path, read: impl Fn(&Path) -> Result<T>) -> Result<T> {
    if let Some(place) = mount_point(machine, device) {
        return read(&place);
    }
    let place = machine.path("/run/ferric-agent-medium");
    fs::create_dir_all(&place)?;
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    let mounted = FILE_SYSTEMS.iter().any(|kind| mount(Some(device), &place, Some(*kind), flags, None::<&str>).is_ok());
    if !mounted {
        bail!("it cannot be mounted");
    }
    let outcome = read(&place);
    if let Err(error) = umount(&place) {
        warn!(%error, place = %place.display(), "cannot unmount");
    }
    outcome
}

fn mount_point(machine: &Machine, device: &Path) -> Option<PathBuf> {
    let mounts = machine.read("/proc/self/mounts")?;
    let mut columns = mounts.lines().map(|line| line.split(' ').map(str::to_string).collect::<Vec<_>>());
    columns
        .find(|columns| columns.first().is_some_and(|source| Path::new(source) == device))
        .and_then(|columns| columns.get(1).map(|place| PathBuf::from(place.replace("\\040", " "))))
}

fn copy_configuration(medium: &Path, machine: &Machine) -> Result<()> {
    for directory in DIRECTORIES {
        let Ok(entries) = fs::read_dir(medium.join(directory)) else { continue };
        let target = machine.path(Path::new("/").join(directory));
        fs::create_dir_all(&target)?;
        for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
            fs::copy(entry.path(), target.join(entry.file_name()))
                .with_context(|| format!("copying {}", entry.path().display()))?;
            info!(file = %entry.path().display(), "configuration taken from virtual media");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A machine with a CD, a USB stick, a partition on it, and a disk, each holding that label at the place of ISO 9660.
    fn machine(labels: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        let path = |text: &str| root.path().join(text);
        for directory in ["dev", "sys/class/block", "proc/self", "run"] {
            fs::create_dir_all(path(directory)).unwrap();
        }
        for (name, label) in labels {
            let place = path(&format!("sys/devices/{}/{name}", if *name == "sda" { "ata1" } else { "usb1" }));
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join("size"), "2880\n").unwrap();
            if *name == "sdb1" {
                fs::write(place.join("partition"), "1\n").unwrap();
            }
            symlink(&place, path(&format!("sys/class/block/{name}"))).unwrap();
            let mut image = vec![b' '; 40_000];
            image[32_769..32_774].copy_from_slice(b"CD001");
            image[32_808..32_808 + label.len()].copy_from_slice(label.as_bytes());
            fs::write(path(&format!("dev/{name}")), image).unwrap();
        }
        let machine = Machine::at(root.path());
        (root, machine)
    }

    #[test]
    fn only_optical_drives_and_small_usb_disks_are_media() {
        let (_root, machine) = machine(&[("sda", "x"), ("sdb", "x"), ("sdb1", "x"), ("sr0", "x")]);
        let names: Vec<_> = media(&machine).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["sdb", "sr0"]);
    }

    #[test]
    fn files_and_parameters_are_taken_when_the_machine_was_booted_so() {
        let (root, machine) = machine(&[("sr0", "CONFIG-2"), ("sdb", "IR-VFD-DEV")]);
        let (cd, stick) = (root.path().join("cd"), root.path().join("stick"));
        fs::create_dir_all(cd.join("etc/ironic-python-agent.d")).unwrap();
        fs::create_dir_all(&stick).unwrap();
        fs::write(cd.join("etc/ironic-python-agent.d/tls.conf"), "[DEFAULT]\n").unwrap();
        fs::write(stick.join("parameters.txt"), "ipa-agent-token=t\nipa-debug=1 \n").unwrap();
        let dev = root.path().join("dev");
        let mounts = format!(
            "{} {} iso9660 ro 0 0\n{} {} vfat ro 0 0\n",
            dev.join("sr0").display(),
            cd.display(),
            dev.join("sdb").display(),
            stick.display()
        );
        fs::write(root.path().join("proc/self/mounts"), mounts).unwrap();

        let mut parameters = kernel::parse("ipa-debug=0");
        apply(&machine, &mut parameters).unwrap();
        assert_eq!(parameters.len(), 1);

        let mut parameters = kernel::parse("ipa-debug=0 boot_method=vmedia");
        apply(&machine, &mut parameters).unwrap();
        assert_eq!((parameters["ipa-agent-token"].as_str(), parameters["ipa-debug"].as_str()), ("t", "1"));
        assert!(root.path().join("etc/ironic-python-agent.d/tls.conf").is_file());
    }
}
