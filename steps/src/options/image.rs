//! Options about images.

use ferric_hardware::units::Bytes;

/// Which images are written, and with how much memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Accept MD5 checksums (`md5_enabled`).
    pub md5: bool,
    /// Formats that may be written (`permitted_image_formats`).
    pub permitted_formats: Vec<String>,
    /// Whether an image must be what it was declared to be, in a permitted format (`disable_deep_image_inspection` is
    /// the opposite).
    pub deep_inspection: bool,
    /// Memory for image data on its way to the disk (`buffer_budget_mib`).
    pub buffer_budget: Bytes,
}

impl Default for Image {
    fn default() -> Self {
        Self {
            md5: false,
            permitted_formats: ["raw", "gpt", "qcow2"].map(str::to_string).to_vec(),
            deep_inspection: true,
            buffer_budget: Bytes::mib(32),
        }
    }
}
