//! Step `inject_files`: files put into (or taken out of) the file systems of the deployed disk.

mod wanted;

use std::error::Error;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use ferric_hardware::block::{self, EligibleDevice};
use ferric_hardware::partitions;
use nix::sys::stat::makedev;
use serde_json::Value;

use super::mounted::Mounted;
use super::root_device;
use crate::arguments::{Arguments, FromArguments, Parameter, value};
use crate::clean::raid::{self, Spared};
use crate::fetch::fetch;
use crate::http::HttpOptions;
use crate::step::Step;
use crate::{ErrorKind, StepError};
use wanted::{Content, Place, Wanted};

/// A file from a server may be this long.
const FILE_LIMIT_BYTES: usize = 256 << 20;

/// Arguments of `inject_files`.
#[derive(Debug)]
pub struct InjectFiles {
    files: Vec<Wanted>,
    verify_ca: bool,
}

impl FromArguments for InjectFiles {
    const PARAMETERS: &'static [Parameter] = &[
        Parameter::optional("files", "Files to inject, after those of the node property inject_files."),
        Parameter::optional("verify_ca", "Whether certificates of file URLs are verified. Default: true."),
    ];

    fn from_arguments(arguments: &Arguments, step: &Step) -> Result<Self, StepError> {
        Ok(Self {
            files: wanted::read(&step.node["properties"]["inject_files"], value(arguments, "files"))?,
            verify_ca: *value(arguments, "verify_ca") != Value::Bool(false),
        })
    }
}

/// The step `inject_files`: the files of the node property `inject_files`, then those of the argument `files`.
///
/// # Errors
/// [`ErrorKind::DeviceNotFound`] when no partition has the directory; [`ErrorKind::Execution`] when a file cannot be
/// fetched or written.
pub async fn inject_files(step: &Step, wanted: InjectFiles) -> Result<Value, StepError> {
    let mut options = HttpOptions::of(&step.site.options.tls);
    options.tls.insecure |= !wanted.verify_ca;
    let mut files = Vec::new();
    for one in wanted.files {
        let content = match &one.content {
            Content::Deleted => None,
            Content::Bytes(bytes) => Some(bytes.clone()),
            Content::Url(template) => {
                let url = wanted::fill_in(template, &step.node, &step.ports)?;
                let body = fetch(&url, &options, FILE_LIMIT_BYTES, step).await;
                Some(body.map_err(|error| failed(&one, error))?)
            }
        };
        files.push((one, content));
    }
    if files.is_empty() {
        return Ok(Value::Null);
    }
    step.blocking(move |step| files.iter().try_for_each(|(file, content)| inject(step, file, content.as_deref())))
        .await?;
    Ok(Value::Null)
}

fn failed(file: &Wanted, cause: impl Into<Box<dyn Error + Send + Sync>>) -> StepError {
    ErrorKind::Execution.error(format!("Failed to process file {}", file.path)).because(cause)
}

fn inject(step: &Step, file: &Wanted, content: Option<&[u8]>) -> Result<(), StepError> {
    step.progress.activity(format!("injecting {}", file.path));
    let mounted = mount(step, file)?;
    let done = match content {
        None => mounted.remove(&file.path),
        Some(content) => mounted.write(&file.path, content, &file.attributes),
    };
    done.map_err(|error| failed(file, format!("{}: {error}", mounted.device())))
}

/// The partition that is named, or the first one that has the directory at the start of the path.
fn mount(step: &Step, file: &Wanted) -> Result<Mounted, StepError> {
    let not_found = |reason: String| ErrorKind::DeviceNotFound.error(reason);
    match &file.place {
        Place::Number(number) => {
            let device = partition_names(step, &root_device::look(step)?);
            let name = device.into_iter().find(|(found, _)| found == number).map(|(_, name)| name);
            let name =
                name.ok_or_else(|| not_found(format!("The root device has no partition {number} for {}", file.path)))?;
            Mounted::new(step, &name).map_err(|error| failed(file, error))
        }
        Place::Device(path) => {
            let name = eligible_name(step, path).ok_or_else(|| {
                not_found(format!("{path} is neither partition nor volume of a device that may be written to"))
            })?;
            Mounted::new(step, &name).map_err(|error| failed(file, error))
        }
        Place::Anywhere(directory) => {
            let mut scanned = Vec::new();
            for (_, name) in partition_names(step, &root_device::look(step)?) {
                match Mounted::new(step, &name) {
                    Ok(mounted) if mounted.has_directory(directory) => return Ok(mounted),
                    Ok(_) => scanned.push(name),
                    Err(error) => scanned.push(format!("{name} ({error})")),
                }
            }
            Err(not_found(format!("No partition found with path {directory}, scanned: {}", scanned.join(", "))))
        }
    }
}

fn partition_names(step: &Step, device: &EligibleDevice) -> Vec<(u32, String)> {
    let partitions = partitions::list(&step.site.machine, device).into_iter();
    partitions.map(|partition| (partition.number, partition.name)).collect()
}

/// The kernel's name of a device, partition or volume, when it may be written to.
fn eligible_name(step: &Step, path: &str) -> Option<String> {
    let (machine, policy) = (&step.site.machine, step.device_policy());
    // By its number: the device mapper's names need be no links to the kernel's.
    let meant = std::fs::metadata(machine.path(path)).ok().filter(|found| found.file_type().is_block_device())?.rdev();
    let mut listing = block::list_beneath_leftovers(machine, &policy);
    raid::leave_protected(step, Spared::Kept, &mut listing).ok()?;
    let volumes = block::volumes_on(machine, &policy, &listing.eligible);
    let devices = listing.eligible.iter().flat_map(|device| std::iter::once(device).chain(device.partitions()));
    let found = devices.chain(&volumes).find(|device| {
        let (major, minor) = device.number();
        makedev(major.into(), minor.into()) == meant
    });
    found.map(|device| device.name.clone())
}
