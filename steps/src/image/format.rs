//! Which format an image has, decided by its first bytes before anything is written.

use ferric_hardware::units::Bytes;

use super::inspect::{self, Expected, ImageFormat};
use super::raw::Raw;
use super::source::Access;
use super::{Format, ImageError, Qcow2};

/// A format that is ready for the stream.
pub(crate) struct Open {
    /// `raw` or `qcow2`.
    pub(crate) name: &'static str,
    /// The stage.
    pub(crate) stage: Box<dyn Format>,
    /// Size of the disk image, where it is known before the end.
    pub(crate) disk_bytes: Option<Bytes>,
    /// The beginning of the disk image, where it is known.
    pub(crate) head: Option<Vec<u8>>,
    /// What was out of the ordinary, in sentences.
    pub(crate) notes: Vec<String>,
}

/// Opens the format that was asked for, when `first`, the beginning of the decoded file, agrees.
pub(crate) fn open(
    expected: &Expected,
    first: &[u8],
    decoded_bytes: Option<Bytes>,
    access: Option<Access>,
) -> Result<Open, ImageError> {
    if inspect::judge(expected, first)? != ImageFormat::Qcow2 {
        let head = Some(first[..first.len().min(inspect::HEAD_BYTES)].to_vec());
        let stage = Box::new(Raw::default());
        let notes = inspect::remark(first).map(str::to_string).into_iter().collect();
        return Ok(Open { name: "raw", stage, disk_bytes: decoded_bytes, head, notes });
    }
    let source = access.and_then(|access| access.open(first));
    let qcow2 = Qcow2::open(first, decoded_bytes, source.as_deref())?;
    Ok(Open {
        name: "qcow2",
        disk_bytes: Some(qcow2.virtual_size()),
        head: qcow2.head().map(<[u8]>::to_vec),
        notes: qcow2.notes().to_vec(),
        stage: Box::new(qcow2),
    })
}
