//! coreos-installer is run until it has installed, or there is no use in it.

use std::time::{Duration, Instant};

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::gpt::Gpt;
use ferric_hardware::open_device::{Access, OpenDevice};
use ferric_hardware::tool::Tool;
use ferric_hardware::{partitions, wipe};

use super::arguments::{Image, InstallCoreos};
use super::installer::{self, Failure, FailureKind};
use super::network::NetworkDirectory;
use super::on_array;
use super::pipe::Pipe;
use crate::deploy::{root_device, write_image};
use crate::image::{Algorithm, Digest};
use crate::secret_file::SecretFile;
use crate::step::Step;
use crate::{ErrorKind, StepError};

/// How often it is run before it is believed.
const ATTEMPTS: usize = 3;
/// Pauses before further runs when a server or the network is the reason: a server that restarts is back in this time.
const NETWORK_PAUSES_SECONDS: [u64; 8] = [1, 2, 4, 8, 16, 32, 60, 60];
/// How often it asks a server again by itself, with pauses of 1, 2 and 4 seconds.
const FETCH_RETRIES: &str = "3";
/// How often a pause is looked at for cancellation.
const TICK: Duration = Duration::from_millis(100);
/// What would lead it away from this machine.
const PROXIES: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];

/// What is to be installed, and by what.
pub(super) struct Installation {
    pub(super) tool: Tool,
    pub(super) wanted: InstallCoreos,
    /// The Ignition configuration as it will be on the disk.
    pub(super) ignition: Option<Vec<u8>>,
    /// Where the image comes from, when its digest is known.
    pub(super) pipe: Option<Pipe>,
}

/// Why there is no installation, and whether coreos-installer has left nothing of it.
struct Unfinished {
    error: StepError,
    is_cleared: bool,
}

impl From<StepError> for Unfinished {
    /// Where it failed by itself, it has cleared the disk.
    fn from(error: StepError) -> Self {
        let is_cleared = !matches!(error.kind, ErrorKind::Cancelled | ErrorKind::ImageChecksum);
        Self { error, is_cleared }
    }
}

impl Installation {
    /// Installs to the device that the node's hints choose, and returns it. Blocks.
    pub(super) fn run(&self, step: &Step) -> Result<EligibleDevice, StepError> {
        let device = root_device::claim(step)?;
        let of_array = on_array::kernel_arguments(step, &device)?;
        let disk = OpenDevice::open(&step.site.machine, &device, Access::Read)?;
        let saved = self.wanted.saved.table(&disk).map_err(|error| {
            ErrorKind::Deployment.error(format!("partitions of {} cannot be saved", device.name)).because(error)
        })?;
        drop(disk);
        if let Err(Unfinished { error, is_cleared }) = self.attempt(&device, &of_array, step) {
            if !is_cleared {
                clear(step, &device, saved.as_ref());
            }
            return Err(error);
        }
        let disk = OpenDevice::open(&step.site.machine, &device, Access::Write)?;
        disk.flush()?;
        partitions::reread(&step.site.machine, &device, &disk)?;
        Ok(device)
    }

    fn attempt(&self, device: &EligibleDevice, of_array: &[String], step: &Step) -> Result<(), Unfinished> {
        let ignition = self.ignition.as_deref();
        let ignition_file = ignition.map(|text| SecretFile::create(&self.tool, "ign", text)).transpose()?;
        let network = self.network().map_err(|error| {
            ErrorKind::Deployment.error("cannot hand network connections to coreos-installer").because(error)
        })?;
        let mut arguments = self.arguments(network.as_ref());
        arguments.extend(of_array.iter().flat_map(|argument| ["--append-karg".to_string(), argument.clone()]));
        if let (Some(file), Some(text)) = (&ignition_file, ignition) {
            let hash = format!("sha256-{}", Digest::of(Algorithm::Sha256, text).hex());
            arguments.extend(["--ignition-file".to_string(), file.inside(), "--ignition-hash".to_string(), hash]);
        }
        arguments.push(device.name.clone());
        let mut attempt = 1;
        loop {
            step.progress.activity(format!("installing CoreOS to {}", device.name));
            let Err(failure) = installer::run(&self.tool, &arguments, self.without(), step) else { break };
            let pause = self.pause(&failure, attempt).filter(|_| !step.cancel.is_cancelled());
            if let Some(error) = self.image_failure(device) {
                return Err(error.into());
            }
            let Some(pause) = pause else {
                return Err(match failure.kind {
                    FailureKind::Stopped => StepError::cancelled(failure.text).into(),
                    kind => Unfinished {
                        error: ErrorKind::Deployment.error(failure.text),
                        is_cleared: kind != FailureKind::Killed,
                    },
                });
            };
            tracing::warn!(attempt, reason = failure.text, ?pause, "coreos-installer failed, trying again");
            attempt += 1;
            let end = Instant::now() + pause;
            while Instant::now() < end && !step.cancel.is_cancelled() {
                std::thread::sleep(TICK.min(pause));
            }
        }
        match &self.pipe {
            Some(pipe) if !pipe.is_verified() => Err(self
                .image_failure(device)
                .unwrap_or_else(|| {
                    ErrorKind::ImageChecksum.error(
                        "coreos-installer succeeded without reading the image to its end: its checksum could not be verified",
                    )
                })
                .into()),
            _ => Ok(()),
        }
    }

    /// How long to wait before the next attempt, if there is to be one.
    fn pause(&self, failure: &Failure, attempt: usize) -> Option<Duration> {
        match failure.kind {
            FailureKind::Lasting | FailureKind::Stopped => None,
            FailureKind::Local | FailureKind::Killed => (attempt < ATTEMPTS).then_some(Duration::ZERO),
            // What comes through the pipe was tried again already.
            FailureKind::Network if self.pipe.is_some() => (attempt < ATTEMPTS).then_some(Duration::ZERO),
            FailureKind::Network => {
                NETWORK_PAUSES_SECONDS.get(attempt - 1).map(|seconds| Duration::from_secs(*seconds))
            }
        }
    }

    /// Why the image could not be handed to coreos-installer, if that is so.
    fn image_failure(&self, device: &EligibleDevice) -> Option<StepError> {
        let error = self.pipe.as_ref()?.failure()?;
        Some(match &self.wanted.image {
            Image::Described(info) => write_image::in_words(error, info, &device.name),
            Image::Live | Image::Url(_) => error.into(),
        })
    }

    fn network(&self) -> std::io::Result<Option<NetworkDirectory>> {
        match self.wanted.keyfiles.as_slice() {
            [] => Ok(None),
            keyfiles => NetworkDirectory::create(&self.tool, keyfiles, self.wanted.copy_network).map(Some),
        }
    }

    fn arguments(&self, network: Option<&NetworkDirectory>) -> Vec<String> {
        let mut arguments = vec!["install".to_string()];
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(|word| (*word).to_string()));
        match (&self.wanted.image, &self.pipe) {
            (_, Some(pipe)) => add(&["--image-url", pipe.url(), "--insecure"]),
            // It only makes a missing signature good, not a wrong one.
            (Image::Url(url), None) => add(&["--image-url", url, "--insecure", "--fetch-retries", FETCH_RETRIES]),
            (Image::Live | Image::Described(_), None) => add(&["--offline"]),
        }
        match network {
            Some(network) => add(&["--copy-network", "--network-dir", network.inside()]),
            None if self.wanted.copy_network => add(&["--copy-network"]),
            None => {}
        }
        arguments.extend(self.wanted.boot.flags());
        arguments.extend(self.wanted.saved.flags().iter().cloned());
        arguments
    }

    fn without(&self) -> &'static [&'static str] {
        if self.pipe.is_some() { &PROXIES } else { &[] }
    }
}

/// Leaves nothing on the disk but the partitions that were to be saved.
fn clear(step: &Step, device: &EligibleDevice, saved: Option<&Gpt>) {
    let cleared =
        OpenDevice::open(&step.site.machine, device, Access::Write).map_err(StepError::from).and_then(|disk| {
            match saved {
                Some(table) => table.write(disk.file()).map_err(|error| ErrorKind::BlockDevice.of(error))?,
                None => drop(wipe::metadata(&disk)?),
            }
            partitions::reread(&step.site.machine, device, &disk)?;
            Ok(())
        });
    if let Err(error) = cleared {
        tracing::error!(device = device.name, error = error.chain(), "cannot clear the disk after the installation");
    }
}
