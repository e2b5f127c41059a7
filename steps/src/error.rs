//! Why a step failed: a kind, which the agent maps once to the wire's error type; what was being done, on what; and the
//! cause, with its own type.

use std::error::Error;
use std::fmt;

use ferric_hardware::open_device::DeviceError;
use ferric_hardware::tool::ToolError;
use serde_json::Value;

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Wrong or missing arguments.
    InvalidParameters,
    /// No step of that name.
    UnknownStep,
    /// What a hardware manager is configured with cannot be used.
    ManagerConfiguration,
    /// No device fits.
    DeviceNotFound,
    /// An image could not be downloaded, after all retries and URLs.
    ImageDownload,
    /// An image could not be downloaded and retrying cannot help (404, 401…).
    ImageDownloadFatal,
    /// The time limit of a download passed.
    ImageDownloadTimeout,
    /// The digest differs.
    ImageChecksum,
    /// Writing to the device failed.
    ImageWrite,
    /// The image is of a forbidden or broken format.
    InvalidImage,
    /// A checksum cannot be determined or used.
    Rest,
    /// Erasing failed.
    BlockDeviceErase,
    /// A block device failed otherwise.
    BlockDevice,
    /// Software RAID failed.
    SoftwareRaid,
    /// The device holds something that must not be destroyed.
    ProtectedDevice,
    /// The step does not fit this hardware.
    Incompatible,
    /// Rebooting or powering off failed.
    Reboot,
    /// The container image is not permitted.
    ContainerNotPermitted,
    /// The clock could not be set.
    ClockSync,
    /// A clean step failed for its own reason.
    Cleaning,
    /// A deploy step failed for its own reason.
    Deployment,
    /// A service step failed for its own reason.
    Servicing,
    /// Anything else that a command reports.
    Execution,
    /// The step was cancelled before it ended.
    Cancelled,
}

impl ErrorKind {
    /// An error of this kind. The text is for operators: what failed, on which device or URL, what to do.
    pub fn error(self, context: impl Into<String>) -> StepError {
        StepError { kind: self, context: Some(context.into()), cause: None, result: None }
    }

    /// An error of this kind, of which the cause says everything.
    pub fn of(self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> StepError {
        StepError { kind: self, context: None, cause: Some(cause.into()), result: None }
    }
}

/// A failed step.
#[derive(Debug)]
pub struct StepError {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    context: Option<String>,
    cause: Option<Box<dyn Error + Send + Sync>>,
    result: Option<Box<Value>>,
}

impl StepError {
    /// It was stopped on request.
    pub(crate) fn cancelled(what: impl fmt::Display) -> Self {
        ErrorKind::Cancelled.error(format!("cancelled: {what}"))
    }

    /// The same, because of `cause`.
    pub fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The same, with what the step has to show although it failed.
    pub fn with_result(mut self, result: Value) -> Self {
        self.result = Some(Box::new(result));
        self
    }

    /// What the step has to show although it failed: the records of the devices that were erased, and of those that
    /// were not.
    pub fn result(&self) -> Option<&Value> {
        self.result.as_deref()
    }

    /// Whether the cause is an error of type `E`.
    pub fn is_caused_by<E: Error + 'static>(&self) -> bool {
        self.cause.as_ref().is_some_and(|cause| cause.is::<E>())
    }

    /// The error with all its causes in one line.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.context, &self.cause) {
            (Some(context), _) => f.write_str(context),
            (None, Some(cause)) => cause.fmt(f),
            (None, None) => write!(f, "{:?}", self.kind),
        }
    }
}

impl Error for StepError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let cause = self.cause.as_deref()?;
        // Without words of our own, the cause is what is shown already.
        if self.context.is_some() { Some(cause) } else { cause.source() }
    }
}

impl From<ToolError> for StepError {
    fn from(error: ToolError) -> Self {
        match error {
            ToolError::Cancelled { command } => Self::cancelled(command),
            other => ErrorKind::Execution.of(other),
        }
    }
}

impl From<DeviceError> for StepError {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::Cancelled { .. } => Self::cancelled(error),
            other => ErrorKind::BlockDevice.of(other),
        }
    }
}

/// An error with all its causes in one line, as people read it.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn every_cause_is_shown_once() {
        let full = || io::Error::from_raw_os_error(28);
        assert_eq!(
            ErrorKind::Deployment.error("writing x").because(full()).chain(),
            "writing x: No space left on device (os error 28)"
        );
        assert_eq!(ErrorKind::Deployment.of(full()).chain(), "No space left on device (os error 28)");
        assert!(ErrorKind::Deployment.of(full()).is_caused_by::<io::Error>());
    }
}
