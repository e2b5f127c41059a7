//! Why a step failed. The agent maps each kind once to the wire's error type.

/// A failed step. The text is for operators: what failed, on which device or URL, what to do.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Wrong or missing arguments.
    #[error("{0}")]
    InvalidParameters(String),
    /// No step of that name.
    #[error("Could not find method: {0}")]
    UnknownStep(String),
    /// No device fits.
    #[error("{0}")]
    DeviceNotFound(String),
    /// An image could not be downloaded, after all retries and URLs.
    #[error("{0}")]
    ImageDownload(String),
    /// An image could not be downloaded and retrying cannot help (404, 401…).
    #[error("{0}")]
    ImageDownloadFatal(String),
    /// The time limit of a download passed.
    #[error("{0}")]
    ImageDownloadTimeout(String),
    /// The image does not fit.
    #[error("{0}")]
    ImageOutOfSpace(String),
    /// The digest differs.
    #[error("{0}")]
    ImageChecksum(String),
    /// Writing to the device failed.
    #[error("{0}")]
    ImageWrite(String),
    /// The image is of a forbidden or broken format.
    #[error("{0}")]
    InvalidImage(String),
    /// A checksum cannot be determined or used.
    #[error("{0}")]
    Rest(String),
    /// Erasing failed.
    #[error("{0}")]
    BlockDeviceErase(String),
    /// A block device failed otherwise.
    #[error("{0}")]
    BlockDevice(String),
    /// Software RAID failed.
    #[error("{0}")]
    SoftwareRaid(String),
    /// The device holds something that must not be destroyed.
    #[error("{0}")]
    ProtectedDevice(String),
    /// The step does not fit this hardware.
    #[error("{0}")]
    Incompatible(String),
    /// Rebooting or powering off failed.
    #[error("{0}")]
    Reboot(String),
    /// The container image of that name is not permitted.
    #[error("{0} is not one of [container]allowed_containers, and [container]allow_arbitrary_containers is off")]
    ContainerNotPermitted(String),
    /// Booting from or reading virtual media failed.
    #[error("{0}")]
    VirtualMedia(String),
    /// The clock could not be set.
    #[error("{0}")]
    ClockSync(String),
    /// A clean step failed for its own reason.
    #[error("{0}")]
    Cleaning(String),
    /// A deploy step failed for its own reason.
    #[error("{0}")]
    Deployment(String),
    /// A service step failed for its own reason.
    #[error("{0}")]
    Servicing(String),
    /// Anything else that a command reports.
    #[error("{0}")]
    Execution(String),
    /// The step was cancelled before it ended.
    #[error("cancelled: {0}")]
    Cancelled(String),
}

impl From<ferric_hardware::tool::ToolError> for StepError {
    fn from(error: ferric_hardware::tool::ToolError) -> Self {
        match error {
            ferric_hardware::tool::ToolError::Cancelled { command } => Self::Cancelled(command),
            other => Self::Execution(other.to_string()),
        }
    }
}

impl From<ferric_hardware::open_device::DeviceError> for StepError {
    fn from(error: ferric_hardware::open_device::DeviceError) -> Self {
        match error {
            ferric_hardware::open_device::DeviceError::Cancelled { .. } => Self::Cancelled(error.to_string()),
            other => Self::BlockDevice(other.to_string()),
        }
    }
}
