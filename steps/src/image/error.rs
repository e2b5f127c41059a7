//! Why an image could not be written.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ferric_hardware::units::Bytes;

use super::Digest;
use super::inspect::table::Misfit;
use super::oci::OciError;
use super::request::LocationError;
use crate::error::{ErrorKind, StepError, chain};
use crate::http::HttpError;

/// Why an image could not be written. The texts name the URL, the device and the numbers.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// No source could be read to its end, after all retries and URLs.
    #[error("{0}")]
    Download(Failures),
    /// No source can be read, and trying again cannot help (404, 401…).
    #[error("{0}")]
    DownloadFatal(Failures),
    /// A server cannot be asked, or does not answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It is not said where the image is.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// A registry has no disk image for us.
    #[error("{url}")]
    Registry {
        /// The image, without secrets.
        url: String,
        /// The cause.
        #[source]
        source: OciError,
    },
    /// The file became another one while it was transferred.
    #[error("{0}")]
    Changed(String),
    /// The bytes that came make no sense in the coding they were sent in.
    #[error("{0}")]
    Damaged(String),
    /// The time limit of the whole transfer passed.
    #[error("{0}")]
    DownloadTimeout(String),
    /// The image is of a forbidden, unknown or broken format.
    #[error("{0}")]
    Invalid(String),
    /// The image's partition table fits neither the image nor the device.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// The image does not fit on the device. The disk was not touched.
    #[error("Image virtual size {image} ({}) exceeds the size of {device}, {capacity} ({})", image.0, capacity.0)]
    TooLarge {
        /// Size of the disk image.
        image: Bytes,
        /// Path of the device.
        device: String,
        /// Size of the device.
        capacity: Bytes,
    },
    /// The bytes that came are not the bytes that were promised.
    #[error("image checksum: {expected} verification checksum: {actual}{}", of_coding(*coding))]
    Checksum {
        /// What was promised.
        expected: Digest,
        /// What came.
        actual: Digest,
        /// The coding of HTTP that it came in, or was said to come in.
        coding: Option<&'static str>,
    },
    /// The file behind its compression is not the one that was promised.
    #[error("decompressed image checksum: {expected} verification checksum: {actual}")]
    DecodedChecksum {
        /// What was promised.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// The device holds something else than what was written to it.
    #[error("{device} does not read back as it was written")]
    ReadBack {
        /// Path of the device.
        device: String,
    },
    /// The device cannot be used: gone, not a block device, busy. The disk was not touched.
    #[error("{0}")]
    Device(String),
    /// Writing to, zeroing, flushing or reading the device failed.
    #[error("{action} {device} at byte {}", at.0)]
    Disk {
        /// `writing`, `zeroing`…
        action: &'static str,
        /// Path of the device.
        device: String,
        /// Where.
        at: Bytes,
        /// The operating system's error.
        #[source]
        source: std::io::Error,
    },
    /// A file could not be read.
    #[error("reading {}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: std::io::Error,
    },
    /// Cancelled.
    #[error("writing the image was cancelled")]
    Cancelled,
}

/// A word on a digest that is another one, when the file came coded: then it may be that of another form of the file.
pub(crate) fn of_coding(coding: Option<&str>) -> String {
    coding.map_or_else(String::new, |name| {
        format!(
            " (the server sent the file with Content-Encoding {name}; neither its content behind that coding nor what was \
             sent has the checksum)"
        )
    })
}

/// Everything that went wrong with a transfer, in the order of time.
#[derive(Debug, Default)]
pub struct Failures(Vec<Failure>);

/// One thing that went wrong with a transfer.
#[derive(Debug)]
pub struct Failure {
    /// What.
    pub error: HttpError,
    /// How much of the file was there.
    pub at_byte: u64,
    /// Time since the start.
    pub after: Duration,
}

impl Failures {
    /// Adds the last one.
    pub(crate) fn add(&mut self, failure: Failure) {
        self.0.push(failure);
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Failure { error, at_byte, after }) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n " };
            write!(f, "{separator}{}", chain(error))?;
            if *at_byte > 0 {
                write!(f, "; at byte {at_byte}")?;
            }
            write!(f, "; time: {:.1} seconds", after.as_secs_f64())?;
        }
        Ok(())
    }
}

impl ImageError {
    /// The whole chain of causes as one line, as people read it.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

impl From<ImageError> for StepError {
    fn from(error: ImageError) -> Self {
        let kind = match &error {
            ImageError::Http(HttpError::Cancelled(_)) | ImageError::Cancelled => return Self::cancelled(error),
            ImageError::Http(error) if !error.is_passing() => ErrorKind::ImageDownloadFatal,
            ImageError::Download(_)
            | ImageError::Http(_)
            | ImageError::Location(_)
            | ImageError::Changed(_)
            | ImageError::Damaged(_)
            | ImageError::File { .. } => ErrorKind::ImageDownload,
            ImageError::DownloadFatal(_) | ImageError::Registry { .. } => ErrorKind::ImageDownloadFatal,
            ImageError::DownloadTimeout(_) => ErrorKind::ImageDownloadTimeout,
            ImageError::Invalid(_) => ErrorKind::InvalidImage,
            ImageError::TooLarge { .. } | ImageError::ReadBack { .. } | ImageError::Disk { .. } => {
                ErrorKind::ImageWrite
            }
            ImageError::Misfit(_) => ErrorKind::Deployment,
            ImageError::Checksum { .. } | ImageError::DecodedChecksum { .. } => ErrorKind::ImageChecksum,
            ImageError::Device(_) => ErrorKind::DeviceNotFound,
        };
        kind.of(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_error_names_device_place_and_cause_once() {
        let error = ImageError::Disk {
            action: "writing",
            device: "/dev/loop9".into(),
            at: Bytes(4096),
            source: std::io::Error::from_raw_os_error(28),
        };
        let error = StepError::from(error);
        assert_eq!(error.kind, ErrorKind::ImageWrite);
        assert_eq!(error.chain(), "writing /dev/loop9 at byte 4096: No space left on device (os error 28)");
    }
}
