//! Which format an image has, decided by its first bytes before anything is written.

use ferric_hardware::units::Bytes;

use super::inspect::{self, ImageFormat};
use super::raw::Raw;
use super::source::Access;
use super::{Format, FormatChoice, ImageError, Qcow2};

/// A format that is ready for the stream.
pub(crate) struct Open {
    /// `raw` or `qcow2`.
    pub(crate) name: &'static str,
    /// The stage.
    pub(crate) stage: Box<dyn Format>,
    /// Size of the disk image, where it is known before the end.
    pub(crate) disk_bytes: Option<Bytes>,
}

/// Opens the format that was asked for, when `first`, the beginning of the decoded file, agrees.
pub(crate) fn open(
    choice: FormatChoice,
    first: &[u8],
    decoded_bytes: Option<Bytes>,
    access: Option<Access>,
) -> Result<Open, ImageError> {
    if inspect::judge(choice, first)? != ImageFormat::Qcow2 {
        return Ok(Open { name: "raw", stage: Box::new(Raw::default()), disk_bytes: decoded_bytes });
    }
    let source = access.and_then(Access::open);
    let qcow2 = Qcow2::open(first, decoded_bytes, source.as_deref())?;
    Ok(Open { name: "qcow2", disk_bytes: Some(qcow2.virtual_size()), stage: Box::new(qcow2) })
}
