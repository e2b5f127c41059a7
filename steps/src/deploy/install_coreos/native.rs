//! Installing without coreos-installer: the agent's image engine writes the image, and what coreos-installer would put on
//! the boot partition is put there.

use std::path::Path;

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::open_device::{Access, OpenDevice};
use ferric_hardware::{partitions, signature, wipe};
use ferric_ignition::keyfile::Keyfile;

use super::arguments::{Image, InstallCoreos};
use super::boot_partition::BootPartition;
use super::console::Console;
use super::located::Located;
use super::network;
use super::on_array;
use crate::deploy::image_info::ImageInfo;
use crate::deploy::mounted::Mounted;
use crate::deploy::{root_device, write_image};
use crate::image::inspect::Permitted;
use crate::image::{self, FormatChoice, Verify, WriteRequest};
use crate::step::Step;
use crate::{ErrorKind, StepError};

/// File system label of the boot partition.
const BOOT: &str = "boot";

/// An installation that needs no coreos-installer.
pub(super) struct Native {
    info: ImageInfo,
    wanted: InstallCoreos,
    consoles: Vec<Console>,
    ignition: Option<Vec<u8>>,
}

/// Why there is none.
pub(super) fn obstacle(wanted: &InstallCoreos) -> Option<&'static str> {
    match &wanted.image {
        Image::Live => Some("the image inside of the live system can only be unpacked by coreos-installer"),
        Image::Url(_) => Some("without image_checksum, the image could not be verified"),
        Image::Described(_) if !wanted.saved.flags().is_empty() => {
            Some("partitions are saved by coreos-installer only")
        }
        Image::Described(_) => None,
    }
}

impl Native {
    /// What can be wrong with it is found out before anything is written.
    pub(super) fn new(wanted: InstallCoreos, ignition: Option<Vec<u8>>) -> Result<Self, StepError> {
        let consoles = wanted.boot.consoles.iter().map(|console| console.parse()).collect::<Result<_, _>>();
        let consoles = consoles.map_err(|error| ErrorKind::InvalidParameters.error("install_coreos").because(error))?;
        match &wanted.image {
            Image::Described(info) => Ok(Self { info: (**info).clone(), consoles, ignition, wanted }),
            Image::Live | Image::Url(_) => {
                Err(ErrorKind::Deployment.error(obstacle(&wanted).unwrap_or("there is no image")))
            }
        }
    }

    /// Installs to the device that the node's hints choose, and returns it.
    pub(super) async fn run(self, step: &Step) -> Result<EligibleDevice, StepError> {
        let Located { found, digest, http } = Located::of(&self.info, step).await?;
        let (device, of_array) = step
            .blocking(|step| {
                let device = root_device::claim(step)?;
                let of_array = on_array::kernel_arguments(step, &device)?;
                Ok((device, of_array))
            })
            .await?;
        let mut request = WriteRequest::new(found.locations, device.clone(), Verify::Digest(digest));
        // An image of CoreOS for metal is a disk, byte for byte.
        request.format = FormatChoice::Raw;
        request.permitted = Permitted(vec!["raw".to_string()]);
        request.http = http;
        request.login = found.login;
        request.buffer_budget = step.site.options.image.buffer_budget;
        request.retries = step.site.options.download.retries.clone();
        let written = image::write(request, &step.progress, &step.cancel).await;
        written.map_err(|error| write_image::in_words(error, &self.info, &device.name))?;
        step.blocking(move |step| {
            let prepared = self.prepare(step, &device, of_array);
            if prepared.is_err()
                && let Err(error) =
                    OpenDevice::open(&step.site.machine, &device, Access::Write).and_then(|disk| wipe::metadata(&disk))
            {
                tracing::error!(device = device.name, %error, "cannot take the unusable system off the disk again");
            }
            prepared.map(|()| device)
        })
        .await
    }

    fn prepare(&self, step: &Step, device: &EligibleDevice, of_array: Vec<String>) -> Result<(), StepError> {
        step.progress.activity(format!("preparing the first boot of {}", device.name));
        let failed = || ErrorKind::Deployment.error(format!("preparing the boot partition of {}", device.name));
        let labelled = boot_partitions(step, device)?;
        let [name] = &labelled[..] else {
            return Err(failed().because(format!("{} of its file systems are called {BOOT}, not one", labelled.len())));
        };
        let keyfiles = self.keyfiles(step).map_err(|error| failed().because(error))?;
        let mounted = Mounted::new(step, name).map_err(|error| failed().because(error))?;
        let mut boot = self.wanted.boot.clone();
        boot.append.extend(of_array);
        let prepared = BootPartition(&mounted).prepare(self.ignition.as_deref(), &boot, &self.consoles, &keyfiles);
        drop(mounted);
        prepared.map_err(|error| failed().because(error))?;
        Ok(OpenDevice::open(&step.site.machine, device, Access::Write)?.flush()?)
    }

    fn keyfiles(&self, step: &Step) -> std::io::Result<Vec<Keyfile>> {
        let mut keyfiles = self.wanted.keyfiles.clone();
        if self.wanted.copy_network {
            let root = step.site.tools.host_root().unwrap_or(Path::new("/"));
            for (name, contents) in network::live_connections(root)? {
                if keyfiles.iter().all(|keyfile| keyfile.name() != name) {
                    match Keyfile::new(name, contents) {
                        Ok(keyfile) => keyfiles.push(keyfile),
                        Err(error) => tracing::warn!(%error, "not copied to the installed system"),
                    }
                }
            }
        }
        Ok(keyfiles)
    }
}

/// The partitions whose file system is labelled so. An open disk keeps its partitions from being mounted: it is closed again.
fn boot_partitions(step: &Step, device: &EligibleDevice) -> Result<Vec<String>, StepError> {
    let disk = OpenDevice::open(&step.site.machine, device, Access::Write)?;
    let mut labelled = Vec::new();
    for partition in partitions::reread(&step.site.machine, device, &disk)? {
        if signature::label(&disk, partition.start, partition.size)?.as_deref() == Some(BOOT) {
            labelled.push(partition.name);
        }
    }
    Ok(labelled)
}
