//! Why an image is refused for what it is, and what may be written.

use std::fmt;

use super::format::ImageFormat;
use crate::image::ImageError;

/// Why an image is refused for what it is. The texts start as those of the Python agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Two readers could see two different disks in it.
    #[error("Security: Image matched multiple potential formats: {}", names(.0))]
    Ambiguous(Vec<ImageFormat>),
    /// It depends on something else, or is broken.
    #[error("Security: Image failed safety check: {0}: {1}")]
    Unsafe(ImageFormat, String),
    /// Not a format that may be written.
    #[error("Security: Detected image format was {0}, but only {1} are allowed")]
    Forbidden(ImageFormat, Permitted),
    /// It may be written, but nobody here knows how.
    #[error(
        "The image is of the format {0}, which is permitted, but this agent writes only {known}: it has to be converted",
        known = names(&WRITABLE)
    )]
    Unsupported(ImageFormat),
    /// Not what it was said to be.
    #[error("Security: Expected format was {0}, but image was actually {1}")]
    Unexpected(ImageFormat, ImageFormat),
    /// No disk at all.
    #[error("The image is no disk image: it is {0}")]
    NoDisk(&'static str),
}

/// What we know how to write to a disk.
const WRITABLE: [ImageFormat; 3] = [ImageFormat::Raw, ImageFormat::Gpt, ImageFormat::Qcow2];

/// The names of the formats that may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permitted(pub Vec<String>);

impl Default for Permitted {
    /// What may be written unless somebody says otherwise.
    fn default() -> Self {
        Self(WRITABLE.iter().map(|format| format.name().to_string()).collect())
    }
}

impl Permitted {
    /// Whether it is among them.
    pub fn has(&self, format: &str) -> bool {
        self.0.iter().any(|name| name == format)
    }
}

impl fmt::Display for Permitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

fn names(formats: &[ImageFormat]) -> String {
    formats.iter().map(|format| format.name()).collect::<Vec<_>>().join(", ")
}

impl Refusal {
    /// What people can do about it, where they often meet it.
    fn hint(&self) -> Option<&'static str> {
        use ImageFormat::{Gpt, Iso};
        match self {
            Self::Ambiguous(formats) if formats[..] == [Iso, Gpt] => Some(
                "It is a hybrid ISO, for CDs and disks: declared raw (disk_format, --format raw), it is written as it is",
            ),
            Self::Forbidden(Iso, _) | Self::Unsupported(Iso) => {
                Some("It is an ISO without a partition table: firmware starts nothing from a disk with it")
            }
            _ => None,
        }
    }
}

impl From<Refusal> for ImageError {
    fn from(refusal: Refusal) -> Self {
        Self::Invalid(match refusal.hint() {
            Some(hint) => format!("{refusal}. {hint}"),
            None => refusal.to_string(),
        })
    }
}
