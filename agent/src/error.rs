//! The one place where an error becomes what the conductor reads: a type name with code, message and details inside a
//! command, or a fault over HTTP.

use std::borrow::Cow;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ferric_steps::{ErrorKind, StepError, url_secrets};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A kind of error, as the wire knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    name: &'static str,
    code: u16,
    message: &'static str,
}

const fn kind(name: &'static str, code: u16, message: &'static str) -> Kind {
    Kind { name, code, message }
}

/// A command that cannot be understood.
pub const INVALID_COMMAND: Kind = kind("InvalidCommandError", 400, "Invalid command");
/// Parameters that a command refuses before it runs.
pub const INVALID_PARAMETERS: Kind = kind("InvalidCommandParamsError", 400, "Invalid command parameters");
/// Something named in a request does not exist.
pub const NOT_FOUND: Kind = kind("RequestedObjectNotFoundError", 404, "Not found");
/// Another command runs.
pub const BUSY: Kind = kind("AgentIsBusy", 409, "Agent is busy");
/// The steps were listed by another version of the agent.
pub const VERSION_MISMATCH: Kind =
    kind("VersionMismatch", 409, "Hardware managers version mismatch, reload agent with correct version");
/// Anything without a name of its own.
pub const EXECUTION: Kind = kind("CommandExecutionError", 500, "Command execution failed");
/// No node is known yet.
pub const UNKNOWN_NODE: Kind = kind("UnknownNodeError", 500, "Agent is not associated with an Ironic node");
/// The clock could not be set.
pub const CLOCK_SYNC: Kind = kind("ClockSyncError", 500, "Error syncing system clock");

/// An error on its way to the conductor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}: {details}")]
pub struct Error {
    /// Name of the type.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// HTTP status, also inside commands.
    pub code: u16,
    /// What kind of error it is, in words.
    pub message: Cow<'static, str>,
    /// What happened.
    pub details: String,
    /// The result that the command has although it failed. It is no part of the error on the wire.
    #[serde(skip)]
    pub result: Option<Box<Value>>,
}

impl Error {
    /// An error of that kind.
    pub fn new(kind: Kind, details: impl Into<String>) -> Self {
        Self {
            kind: kind.name.into(),
            code: kind.code,
            message: kind.message.into(),
            details: details.into(),
            result: None,
        }
    }

    /// An error whose text is both message and details.
    fn plain(name: &'static str, text: String) -> Self {
        let message = text.clone().into();
        Self { kind: name.into(), code: 500, message, details: text, result: None }
    }

    /// Whether it says that the request itself was wrong.
    pub fn is_refusal(&self) -> bool {
        self.is(INVALID_COMMAND) || self.is(INVALID_PARAMETERS)
    }

    /// Whether it is of that kind.
    pub fn is(&self, kind: Kind) -> bool {
        self.kind == kind.name
    }
}

impl From<StepError> for Error {
    fn from(error: StepError) -> Self {
        const DOWNLOAD: &str = "Error downloading image";
        // The command line of a program may be in it.
        let text = url_secrets::hide(&error.chain());
        let kind = match error.kind {
            ErrorKind::ProtectedDevice => return Self::plain("ProtectedDeviceError", text),
            ErrorKind::InvalidParameters => INVALID_PARAMETERS,
            ErrorKind::UnknownStep => {
                kind("HardwareManagerMethodNotFound", 500, "No HardwareManager found to handle method")
            }
            ErrorKind::ManagerConfiguration => {
                kind("HardwareManagerConfigurationError", 500, "Hardware manager configuration error")
            }
            ErrorKind::DeviceNotFound => {
                kind("DeviceNotFound", 404, "Error finding the disk or partition device to deploy the image onto")
            }
            ErrorKind::ImageDownload => kind("ImageDownloadError", 500, DOWNLOAD),
            ErrorKind::ImageDownloadFatal => kind("ImageDownloadFatalError", 500, DOWNLOAD),
            ErrorKind::ImageDownloadTimeout => kind("ImageDownloadTimeoutError", 408, "Image download timeout"),
            ErrorKind::ImageChecksum => kind("ImageChecksumError", 500, "Error verifying image checksum"),
            ErrorKind::ImageWrite => kind("ImageWriteError", 500, "Error writing image to device"),
            ErrorKind::InvalidImage => kind("InvalidImage", 500, "The provided image is not valid for use"),
            ErrorKind::Rest => kind("RESTError", 500, "An error occurred"),
            ErrorKind::BlockDeviceErase => kind("BlockDeviceEraseError", 500, "Error erasing block device"),
            ErrorKind::BlockDevice => kind("BlockDeviceError", 500, "Block device caused unknown error"),
            ErrorKind::SoftwareRaid => kind("SoftwareRAIDError", 500, "Software RAID caused unknown error"),
            ErrorKind::Incompatible => {
                kind("IncompatibleHardwareMethodError", 500, "HardwareManager method is not compatible with hardware")
            }
            ErrorKind::Reboot => kind("SystemRebootError", 500, "Error rebooting system"),
            ErrorKind::ContainerNotPermitted => {
                kind("ContainerNotPermittedError", 500, "Container image not permitted")
            }
            ErrorKind::ClockSync => CLOCK_SYNC,
            ErrorKind::Cleaning => kind("CleaningError", 500, "Clean step failed"),
            ErrorKind::Deployment => kind("DeploymentError", 500, "Deploy step failed"),
            ErrorKind::Servicing => kind("ServicingError", 500, "Service step failed"),
            ErrorKind::Execution | ErrorKind::Cancelled => EXECUTION,
        };
        Self::new(kind, text)
    }
}

/// The answer to a request that could not even start.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    status: StatusCode,
    text: String,
}

impl Fault {
    /// A fault of HTTP itself; its text begins with the status.
    pub fn http(status: StatusCode, text: &str) -> Self {
        let reason = status.canonical_reason().unwrap_or_default();
        Self { status, text: format!("{} {reason}: {text}", status.as_u16()) }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let status = StatusCode::from_u16(error.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, text: error.to_string() }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let code = if self.status.is_server_error() { "Server" } else { "Client" };
        (self.status, Json(json!({ "faultcode": code, "faultstring": self.text }))).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_errors_have_the_names_of_the_wire() {
        let error = Error::from(ErrorKind::BlockDeviceErase.error("no device was erased"));
        assert_eq!(
            serde_json::to_value(&error).unwrap(),
            json!({"type": "BlockDeviceEraseError", "code": 500, "message": "Error erasing block device",
                   "details": "no device was erased"})
        );
        let error = Error::from(ErrorKind::UnknownStep.error("Could not find method: no_such_step"));
        assert_eq!(error.details, "Could not find method: no_such_step");
        let error = Error::from(ErrorKind::Execution.error("podman login --password X failed with exit code 1"));
        assert_eq!(error.details, "podman login --password <...> failed with exit code 1");
        let error = Error::from(ErrorKind::ProtectedDevice.error("Protected x"));
        assert_eq!((error.message.as_ref(), error.details.as_str()), ("Protected x", "Protected x"));
    }
}
