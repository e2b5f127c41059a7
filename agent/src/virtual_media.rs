//! Configuration that comes with the boot medium: when the kernel command line says `boot_method=vmedia`, Ironic may have
//! put files for `/etc` on the ISO it booted, and kernel parameters on a virtual floppy.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ferric_hardware::machine::Machine;
use ferric_hardware::volume_label;
use nix::mount::{MsFlags, mount, umount};
use tracing::{info, warn};

use crate::config::kernel;

/// Labels of media with files for `/etc`.
const CONFIGURATION_LABELS: [&str; 2] = ["config-2", "vmedia_boot_iso"];

/// Where a medium, and the ramdisk itself when its maker put it there, has the network configuration.
const NETWORK_DATA: &str = "openstack/latest/network_data.json";

/// The label of a medium with network data; Ironic gives its ISOs another one when there are none.
const NETWORK_DATA_LABEL: &str = "config-2";

/// How long a medium may take to appear: BMCs present theirs on USB.
const MEDIUM_WAIT: Duration = Duration::from_secs(10);

/// How often it is looked for.
const MEDIUM_POLL: Duration = Duration::from_millis(250);

/// A file of a medium that is read into memory is at most this large.
const LARGEST_FILE_BYTES: u64 = 1 << 20;

/// Label of a medium with parameters.
const PARAMETERS_LABEL: &str = "ir-vfd-dev";

/// Directories whose files are copied from the medium to the same place here.
const DIRECTORIES: [&str; 2] = ["etc/ironic-python-agent", "etc/ironic-python-agent.d"];

/// A USB disk or RAM disk of this size or more is no virtual medium but somebody's data.
const LARGEST_MEDIUM_BYTES: u64 = 4 << 30;

/// File systems of such media.
const FILE_SYSTEMS: [&str; 3] = ["iso9660", "vfat", "udf"];

/// Copies configuration files from the boot medium and adds the parameters of virtual media to `parameters`, over those
/// of the kernel. Returns the directories that have got files: they are configuration of this machine whatever the
/// agent's command line names. Without `boot_method=vmedia` among the parameters nothing happens.
///
/// # Errors
/// A medium is there but cannot be read.
pub fn apply(machine: &Machine, parameters: &mut BTreeMap<String, String>) -> Result<Vec<PathBuf>> {
    if !is_booted_from_media(parameters) {
        return Ok(Vec::new());
    }
    let mut directories = Vec::new();
    if let Some(device) = find_configuration(machine, parameters) {
        directories = with_mounted(machine, &device, |medium| copy_configuration(medium, machine))
            .with_context(|| format!("configuration on {}", device.display()))?;
    }
    let labelled = |device: &PathBuf| label(device).is_some_and(|label| label == PARAMETERS_LABEL);
    if let Some(device) = media(machine).into_iter().find(labelled).or_else(|| find_by_model(machine)) {
        let text = with_mounted(machine, &device, |medium| read_text(&medium.join("parameters.txt")))
            .with_context(|| format!("parameters.txt on {}", device.display()))?;
        info!(device = %device.display(), "parameters found on virtual media");
        parameters.extend(kernel::parse(&text));
    }
    Ok(directories)
}

/// The network configuration (OpenStack's `network_data.json`) of this ramdisk itself, else that of the boot medium, for
/// which it is waited. A medium counts only when `parameters` (of the kernel) say `boot_method=vmedia`.
///
/// # Errors
/// It is there but cannot be read.
pub fn network_data(machine: &Machine, parameters: &BTreeMap<String, String>) -> Result<Option<String>> {
    let own = machine.path(Path::new("/").join(NETWORK_DATA));
    if own.exists() {
        return read_text(&own).map(Some);
    }
    if !is_booted_from_media(parameters) {
        return Ok(None);
    }
    let started = Instant::now();
    loop {
        match find_configuration(machine, parameters) {
            Some(device) if label(&device).is_some_and(|label| label == NETWORK_DATA_LABEL) => {
                let read = |medium: &Path| {
                    let file = medium.join(NETWORK_DATA);
                    if file.exists() { read_text(&file).map(Some) } else { Ok(None) }
                };
                return with_mounted(machine, &device, read)
                    .with_context(|| format!("{NETWORK_DATA} on {}", device.display()));
            }
            None if started.elapsed() < MEDIUM_WAIT => std::thread::sleep(MEDIUM_POLL),
            _ => return Ok(None),
        }
    }
}

fn is_booted_from_media(parameters: &BTreeMap<String, String>) -> bool {
    parameters.get("boot_method").map(String::as_str) == Some("vmedia")
}

/// The medium with configuration. Ironic says which it is by its publisher: somebody else's config drive may be plugged in.
fn find_configuration(machine: &Machine, parameters: &BTreeMap<String, String>) -> Option<PathBuf> {
    let publisher = parameters.get("ir_pub_id").filter(|id| !id.is_empty());
    let fits = |device: &PathBuf| publisher.is_none() || volume_label::publisher(device).as_ref() == publisher;
    let labelled = |device: &PathBuf| label(device).is_some_and(|label| CONFIGURATION_LABELS.contains(&label.as_str()));
    media(machine).into_iter().find(|device| labelled(device) && fits(device))
}

fn label(device: &Path) -> Option<String> {
    volume_label::of(device).map(|label| label.to_lowercase())
}

fn find_by_model(machine: &Machine) -> Option<PathBuf> {
    media(machine).into_iter().find(|device| {
        let name = device.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let model = machine.read(format!("/sys/class/block/{name}/device/model"));
        model.is_some_and(|model| model.to_lowercase().contains("virtual media"))
    })
}

/// Optical drives, small USB disks, and small RAM disks as UEFI HTTP boot leaves them (`pmem0`); never partitions.
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
    (on_usb || name.starts_with("pmem"))
        && sectors.is_some_and(|sectors| sectors > 0 && sectors.saturating_mul(512) < LARGEST_MEDIUM_BYTES)
}

fn read_text(file: &Path) -> Result<String> {
    let mut text = String::new();
    File::open(file)?.take(LARGEST_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST_FILE_BYTES {
        bail!("{} is larger than 1 MiB", file.display());
    }
    Ok(text)
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

fn copy_configuration(medium: &Path, machine: &Machine) -> Result<Vec<PathBuf>> {
    let mut filled = Vec::new();
    for directory in DIRECTORIES {
        let Ok(entries) = fs::read_dir(medium.join(directory)) else { continue };
        let target = machine.path(Path::new("/").join(directory));
        fs::create_dir_all(&target)?;
        for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
            fs::copy(entry.path(), target.join(entry.file_name()))
                .with_context(|| format!("copying {}", entry.path().display()))?;
            info!(file = %entry.path().display(), "configuration taken from virtual media");
        }
        filled.push(target);
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};
    use std::os::unix::fs::symlink;

    use super::*;

    /// A machine with these block devices, `sd[b-z]` and `sr` on USB, each holding that label at the place of ISO 9660.
    fn machine(labels: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        let path = |text: &str| root.path().join(text);
        for directory in ["dev", "sys/class/block", "proc/self", "run"] {
            fs::create_dir_all(path(directory)).unwrap();
        }
        for (name, label) in labels {
            let bus = if *name == "sda" || name.starts_with("pmem") { "other" } else { "usb1" };
            let place = path(&format!("sys/devices/{bus}/{name}"));
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
    fn only_optical_drives_and_small_disks_on_usb_or_in_memory_are_media() {
        let (root, machine) =
            machine(&[("sda", "x"), ("sdb", "x"), ("sdb1", "x"), ("sr0", "x"), ("pmem0", "x"), ("pmem1", "x")]);
        fs::write(root.path().join("sys/class/block/pmem1/size"), format!("{}\n", 8 << 20)).unwrap();
        let names: Vec<_> = media(&machine).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["pmem0", "sdb", "sr0"], "4 GiB of pmem are a memory module");
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
        assert!(apply(&machine, &mut parameters).unwrap().is_empty());
        assert_eq!(parameters.len(), 1);

        let mut parameters = kernel::parse("ipa-debug=0 boot_method=vmedia");
        let directories = apply(&machine, &mut parameters).unwrap();
        assert_eq!(directories, [root.path().join("etc/ironic-python-agent.d")]);
        assert_eq!((parameters["ipa-agent-token"].as_str(), parameters["ipa-debug"].as_str()), ("t", "1"));
        assert!(root.path().join("etc/ironic-python-agent.d/tls.conf").is_file());
    }

    #[test]
    fn network_data_are_taken_from_the_medium_of_the_right_publisher() {
        let (root, machine) = machine(&[("sr0", "CONFIG-2"), ("sr1", "config-2")]);
        let dev = root.path().join("dev");
        let mut mounts = String::new();
        for name in ["sr0", "sr1"] {
            let mut image = File::options().write(true).open(dev.join(name)).unwrap();
            image.seek(SeekFrom::Start(33_086)).unwrap();
            image.write_all(format!("publisher of {name}").as_bytes()).unwrap();
            let folder = root.path().join(name).join("openstack/latest");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("network_data.json"), name).unwrap();
            let place = root.path().join(name);
            mounts += &format!("{} {} iso9660 ro 0 0\n", dev.join(name).display(), place.display());
        }
        fs::write(root.path().join("proc/self/mounts"), mounts).unwrap();
        let found = |parameters: &str| network_data(&machine, &kernel::parse(parameters)).unwrap();
        assert_eq!(found("ir_pub_id=publisher"), None, "not booted from it");
        assert_eq!(found("boot_method=vmedia").as_deref(), Some("sr0"));
        let parameters = BTreeMap::from(
            [("boot_method", "vmedia"), ("ir_pub_id", "publisher of sr1")].map(|(k, v)| (k.into(), v.into())),
        );
        assert_eq!(network_data(&machine, &parameters).unwrap().as_deref(), Some("sr1"));

        fs::create_dir_all(root.path().join("openstack/latest")).unwrap();
        fs::write(root.path().join("openstack/latest/network_data.json"), "own").unwrap();
        assert_eq!(found("").as_deref(), Some("own"));
    }
}
