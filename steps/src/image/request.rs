//! What is to be written, and what came of it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::units::Bytes;
use serde::Serialize;
use url::Url;

use super::inspect::Permitted;
use super::{Algorithm, Digest};
use crate::http::{self, HttpOptions, Login};
use crate::options::{self, Retries};
use crate::url_secrets;

/// An image, a device, and how to bring one to the other.
#[derive(Debug, Clone)]
pub struct WriteRequest {
    /// Where the image is; the next is tried when one fails for good. All must be the same bytes.
    pub locations: Vec<Location>,
    /// The device to write to.
    pub device: EligibleDevice,
    /// Where on the device a partition is or will be that the image goes to, instead of all of the device.
    pub region: Option<Region>,
    /// What the bytes as served must be.
    pub verify: Verify,
    /// What of the file behind its compression is to be known.
    pub decoded: Option<Decoded>,
    /// What the image is.
    pub format: FormatChoice,
    /// The formats that may be written when nobody said `raw`.
    pub permitted: Permitted,
    /// How to speak to HTTP servers.
    pub http: HttpOptions,
    /// Who we are to the registry that all requests go to; it counts instead of what `http` says.
    pub login: Option<Arc<Login>>,
    /// How often, how soon and how long to try.
    pub retries: Retries,
    /// Memory for buffers in flight.
    pub buffer_budget: Bytes,
    /// Whether to read the device back after writing.
    pub read_back: bool,
}

impl WriteRequest {
    /// A request with the defaults for all that is not named here.
    pub fn new(locations: Vec<Location>, device: EligibleDevice, verify: Verify) -> Self {
        Self {
            locations,
            device,
            region: None,
            verify,
            decoded: None,
            format: FormatChoice::Auto,
            permitted: Permitted::default(),
            http: HttpOptions::default(),
            login: None,
            retries: Retries::default(),
            buffer_budget: options::Image::default().buffer_budget,
            read_back: false,
        }
    }
}

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// An `http` or `https` URL.
    Http(Url),
    /// A file on this machine.
    File(PathBuf),
}

impl Location {
    /// An `http`, `https` or `file` URL, or a path.
    ///
    /// # Errors
    /// When it is a URL of another scheme or cannot be read.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        if !text.contains("://") {
            return Ok(Self::File(PathBuf::from(text)));
        }
        let shown = || url_secrets::hide(text);
        let url = Url::parse(text).map_err(|source| LocationError::NoUrl { text: shown(), source })?;
        match url.scheme() {
            "http" | "https" => Ok(Self::Http(url)),
            "file" => url.to_file_path().map(Self::File).map_err(|()| LocationError::NoFile(shown())),
            other => Err(LocationError::Scheme { scheme: other.to_string(), text: shown() }),
        }
    }

    /// The URL of an image as logs, errors and results may show it.
    pub fn shown(url: &str) -> String {
        Self::parse(url).map_or_else(|_| url_secrets::hide(url), |location| location.to_string())
    }
}

/// Why a text does not say where an image is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// It looks like a URL and is none.
    #[error("{text:?} is not a URL")]
    NoUrl {
        /// The text, without secrets.
        text: String,
        /// The cause.
        #[source]
        source: url::ParseError,
    },
    /// A file URL of another machine.
    #[error("{0:?} names no file here")]
    NoFile(String),
    /// A URL of a scheme that images are not read by.
    #[error("images cannot be read by {scheme}: {text}")]
    Scheme {
        /// The scheme.
        scheme: String,
        /// The text, without secrets.
        text: String,
    },
}

impl fmt::Display for Location {
    /// Without user name, password and signature.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Http(url) => f.write_str(&http::shown(url)),
        }
    }
}

/// A part of a device, in whole logical blocks. Boot code in the first sector of the device does not survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Where it starts.
    pub start: Bytes,
    /// Its length.
    pub len: Bytes,
    /// Whether the partition table of the device stays: else both ends of the device are wiped, and the caller writes
    /// a table when the image is there.
    pub keeps_table: bool,
}

/// What the bytes as served must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verify {
    /// Bytes with this digest.
    Digest(Digest),
    /// Anything: somebody said in so many words that no digest is needed.
    Unchecked,
}

/// What of a file behind its compression is to be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// Its digest, for the summary.
    Compute(Algorithm),
    /// Whether it has this digest, besides that of the file as served.
    Verify(Digest),
}

impl Decoded {
    /// The algorithm of the digest.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Compute(algorithm) => *algorithm,
            Self::Verify(digest) => digest.algorithm,
        }
    }
}

impl FromStr for Decoded {
    type Err = String;

    /// `sha256` to compute, `sha256:HEX` to verify.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(':') {
            return text.parse().map(Self::Verify);
        }
        let algorithm = Algorithm::from_name(&text.to_ascii_lowercase());
        algorithm.map(Self::Compute).ok_or_else(|| format!("unknown algorithm {text:?}"))
    }
}

/// What an image is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FormatChoice {
    /// What its first bytes say.
    #[default]
    Auto,
    /// The disk, byte for byte (or compressed).
    Raw,
    /// qcow2.
    Qcow2,
}

/// What came of a [`WriteRequest`].
#[derive(Debug, Clone, Serialize)]
pub struct WriteSummary {
    /// Path of the device.
    pub device: String,
    /// Where the (last) bytes came from.
    pub source: String,
    /// `raw` or `qcow2`.
    pub format: &'static str,
    /// `gzip`, `zstd`, `xz`, `bzip2`, when the file was compressed.
    pub compression: Option<&'static str>,
    /// Bytes of the file as served, in the coding of HTTP if there was one.
    pub served_bytes: u64,
    /// Bytes of the disk image.
    pub image_bytes: u64,
    /// Bytes that were written as data.
    pub written_bytes: u64,
    /// Bytes that were zeroed by the kernel or device.
    pub zeroed_bytes: u64,
    /// Digest of the file as served, if one was needed; a coding of HTTP is no part of the file.
    pub digest: Option<Digest>,
    /// Digest of the file behind its compression, if asked for.
    pub decoded_digest: Option<Digest>,
    /// Where the time went.
    pub seconds: Seconds,
    /// How often the transfer went on where it had stopped.
    pub resumes: u32,
    /// Largest resident memory of this process so far.
    pub peak_memory_bytes: u64,
    /// Outcome of reading the device back, if asked for.
    pub read_back: Option<ReadBack>,
    /// What was out of the ordinary, in sentences.
    pub notes: Vec<String>,
}

/// Where the time went: wall seconds in all, and the time each stage was busy (not waiting for another).
#[derive(Debug, Clone, Default, Serialize)]
pub struct Seconds {
    /// From the first request to the last flush.
    pub total: f64,
    /// Waiting for and copying bytes from the source.
    pub receive: f64,
    /// Computing the digest.
    pub hash: f64,
    /// Decompressing and mapping.
    pub decode: f64,
    /// Writing and zeroing, all writers together.
    pub write: f64,
    /// Making the data durable, and writing what was held back.
    pub commit: f64,
}

/// Outcome of reading the device back. A difference is an error, so this is always good news.
#[derive(Debug, Clone, Serialize)]
pub struct ReadBack {
    /// Bytes read and compared.
    pub bytes: u64,
    /// What it cost.
    pub seconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_urls_or_paths() {
        assert_eq!(Location::parse("/srv/a.raw"), Ok(Location::File("/srv/a.raw".into())));
        assert_eq!(Location::parse("file:///srv/a.raw"), Ok(Location::File("/srv/a.raw".into())));
        assert!(matches!(Location::parse("https://host/x"), Ok(Location::Http(_))));
        assert!(Location::parse("ftp://host/x").unwrap_err().to_string().contains("ftp"));
    }

    #[test]
    fn a_decoded_digest_is_computed_or_verified() {
        assert_eq!("SHA512".parse(), Ok(Decoded::Compute(Algorithm::Sha512)));
        let digest = Digest::of(Algorithm::Sha256, b"x");
        assert_eq!(digest.to_string().parse(), Ok(Decoded::Verify(digest)));
        assert!("sha256:12".parse::<Decoded>().unwrap_err().contains("64 hexadecimal digits"));
        assert!("crc32".parse::<Decoded>().unwrap_err().contains("unknown algorithm"));
    }

    #[test]
    fn secrets_are_not_printed() {
        let location = Location::parse("http://user:secret@host/x").unwrap();
        assert_eq!(location.to_string(), "http://host/x");
        assert_eq!(Location::shown("http://token@host/x"), "http://host/x");
        assert_eq!(Location::shown("oci://me:secret@host/os:1"), "oci://<...>@host/os:1");
    }
}
