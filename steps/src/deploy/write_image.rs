//! Step `write_image` and command `prepare_image`: an image, verified, on the root device, with its config drive.

use ferric_hardware::block::EligibleDevice;
use serde_json::{Value, json};

use super::adopt::{Adopted, adopt};
use super::configdrive::{self, ConfigDrive, Drive};
use super::image_info::ImageInfo;
use super::{expected_digest, partition_image, root_device};
use crate::arguments::{Arguments, FromArguments, Parameter, value};
use crate::http::document::RetryContext;
use crate::image::inspect::Permitted;
use crate::image::{self, FormatChoice, ImageError, Location, Verify, WriteRequest};
use crate::options::Options;
use crate::step::Step;
use crate::{ErrorKind, StepError};

/// Arguments of the step `write_image` and of the command `prepare_image`.
#[derive(Debug)]
pub struct WriteImage {
    info: ImageInfo,
    config_drive: Option<ConfigDrive>,
}

impl FromArguments for WriteImage {
    const PARAMETERS: &'static [Parameter] = &[
        Parameter::required("image_info", "The image: URLs, checksum, format."),
        Parameter::optional("configdrive", "Config drive, base64 of gzip, or its URL."),
    ];

    fn from_arguments(arguments: &Arguments, step: &Step) -> Result<Self, StepError> {
        let info = ImageInfo::parse(value(arguments, "image_info"), step.site.options.image.md5)?;
        // It may also be a part of what is said of the image.
        let given = match value(arguments, "configdrive") {
            Value::Null => info.configdrive.as_ref().unwrap_or(&Value::Null),
            given => given,
        };
        Ok(Self { config_drive: ConfigDrive::parse(given, step.node_uuid())?, info })
    }
}

/// The step `write_image`: writes the image to the root device, adopts its partition table there (or makes one around the image of a single
/// file system), adds the config drive, and remembers the UUIDs. When anything fails after
/// the disk was touched, nothing bootable is left on it. The result is that of the command `prepare_image`, and beside it
/// the `summary`: how the image was written, with times, sizes and the peak of memory.
///
/// # Errors
/// For every bad image, device, server, checksum and config drive, each by its own kind of [`StepError`].
pub async fn write_image(step: &Step, WriteImage { info, config_drive }: WriteImage) -> Result<Value, StepError> {
    let (format, permitted) = format_choice(&info, &step.site.options)?;
    let http = info.http_options(&step.site.options)?;
    let found = image::find(&info.urls, &http, RetryContext::of(step)).await;
    let found = found.map_err(|error| in_words(error, &info, "the registry"))?;
    let device = step.blocking(root_device::claim).await?;
    // Everything that can be wrong without the disk is found out before the disk is touched.
    let drive = match &config_drive {
        None => None,
        Some(drive) => Some(drive.fetch_for(&device, step).await?),
    };
    let drive_bytes = drive.as_ref().map_or(0, |drive| drive.needed().0);
    let (disk, of_image) = (device.clone(), info.clone());
    let plan = step.blocking(move |step| partition_image::Plan::new(step, &disk, &of_image, drive_bytes)).await?;
    let digest = match &found.digest {
        Some(digest) if !info.has_checksum() => digest.clone(),
        _ => {
            let http = info.http_options(&step.site.options)?;
            let expected = expected_digest::of_image(&info, &http, step).await?;
            found.agree(expected).map_err(|error| in_words(error, &info, "the registry"))?
        }
    };
    let mut request = WriteRequest::new(found.locations, device.clone(), Verify::Digest(digest));
    request.region = plan.as_ref().map(partition_image::Plan::region);
    request.format = format;
    request.permitted = permitted;
    request.http = http;
    request.login = found.login;
    request.buffer_budget = step.site.options.image.buffer_budget;
    request.retries = step.site.options.download.retries.clone();
    let mut summary = image::write(request, &step.progress, &step.cancel)
        .await
        .map_err(|error| in_words(error, &info, &device.name))?;
    let disk = device.clone();
    let finished = step.blocking(move |step| match plan {
        Some(plan) => plan.finish(step, &disk, drive.as_ref()).map(|uuids| (uuids, None)),
        None => {
            finish(step, &disk, drive.as_ref()).map(|adopted| (json!({ "root uuid": adopted.disk_id }), adopted.note))
        }
    });
    let (uuids, note) = finished.await?;
    summary.notes.extend(note.map(str::to_string));
    let message = message(&info, &device, &uuids);
    step.memory.set_partition_uuids(uuids);
    Ok(json!({ "result": format!("prepare_image: {message}"), "summary": summary }))
}

/// `image (ID) written to device DEV root_uuid=U`, in the words of the Python agent.
fn message(info: &ImageInfo, device: &EligibleDevice, uuids: &Value) -> String {
    let uuid = |name: &str| uuids[name].as_str().filter(|uuid| !uuid.is_empty());
    let root = uuid("root uuid").unwrap_or_default();
    let message = format!("image ({}) written to device {} root_uuid={root}", info.id, device.name);
    match uuid("efi system partition uuid") {
        Some(efi) if info.boot_mode.as_deref() == Some("uefi") => format!("{message} efi_system_partition_uuid={efi}"),
        _ => message,
    }
}

/// What follows the last byte of the image: partition table, config drive, the kernel's view. When it fails, the image is
/// taken off the disk again.
pub(super) fn finish(step: &Step, device: &EligibleDevice, drive: Option<&Drive>) -> Result<Adopted, StepError> {
    adopt(&step.site.machine, device, |disk| {
        let Some(drive) = drive else { return Ok(()) };
        step.progress.activity(format!("writing the config drive to {}", device.name));
        configdrive::place(disk, drive, step.node_uuid()).map(drop)
    })
}

/// What the image was said to be and which formats may be written, as far as that is to be enforced.
fn format_choice(info: &ImageInfo, options: &Options) -> Result<(FormatChoice, Permitted), StepError> {
    let permitted = Permitted(options.image.permitted_formats.clone());
    match info.disk_format.as_deref() {
        // Taken at its word, as by the Python agent.
        Some("raw") => Ok((FormatChoice::Raw, permitted)),
        _ if !options.image.deep_inspection => Ok((FormatChoice::Auto, Permitted::default())),
        Some("qcow2") => Ok((FormatChoice::Qcow2, permitted)),
        Some("gpt" | "unknown") | None => Ok((FormatChoice::Auto, permitted)),
        Some(other) if permitted.has(other) => Err(ErrorKind::InvalidImage.error(format!(
            "Images of format {other} are permitted, but this agent cannot write them: they have to be converted to raw \
             or qcow2"
        ))),
        Some(other) => Err(ErrorKind::InvalidImage.error(format!(
            "Security: Detected image format was {other}, but only {permitted} are allowed"
        ))),
    }
}

/// The pipeline's error with the image and the device in the places where the Python agent has them.
pub(super) fn in_words(error: ImageError, info: &ImageInfo, device: &str) -> StepError {
    let location = info.urls.first().map_or_else(String::new, |url| Location::shown(url));
    if let ImageError::Checksum { expected, actual, coding } = &error {
        return ErrorKind::ImageChecksum.error(format!(
            "Image failed to verify against checksum. location: {location}; image ID: {}; image checksum: {}; \
             verification checksum: {}{}",
            info.id,
            expected.hex(),
            actual.hex(),
            image::error::of_coding(*coding)
        ));
    }
    if let (ImageError::TooLarge { image, .. }, Some(layout)) = (&error, &info.layout) {
        return ErrorKind::InvalidParameters.error(format!(
            "Root partition is too small for requested image. Image virtual size: {} MB, Root size: {} MB",
            image.0.div_ceil(1 << 20),
            layout.root_mib
        ));
    }
    let of_image = format!("Download of image {} failed", info.id);
    let error = StepError::from(error);
    match error.kind {
        kind @ (ErrorKind::ImageDownload | ErrorKind::ImageDownloadFatal | ErrorKind::ImageDownloadTimeout) => {
            kind.error(of_image).because(error)
        }
        kind @ ErrorKind::ImageWrite => kind.error(format!("Writing image to device {device} failed")).because(error),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_deep_inspection_only_raw_images_are_taken_at_their_word() {
        let choice = |format: &str, options: &Options| {
            let info = json!({"id": "i", "urls": ["u"], "checksum": "http://h/s", "disk_format": format});
            format_choice(&ImageInfo::parse(&info, false).unwrap(), options)
        };
        let mut options = Options::default();
        options.image.permitted_formats = vec!["raw".to_string()];
        assert_eq!(choice("qcow2", &options).unwrap().1, Permitted(vec!["raw".to_string()]));
        options.image.deep_inspection = false;
        assert_eq!(choice("qcow2", &options).unwrap(), (FormatChoice::Auto, Permitted::default()));
        assert_eq!(choice("raw", &options).unwrap().0, FormatChoice::Raw);
    }
}
