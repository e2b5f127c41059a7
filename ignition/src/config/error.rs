//! What makes a setup impossible.

use thiserror::Error;

use crate::agent_conf::OptionError;
use crate::image_reference::ReferenceError;
use crate::specification::SpecificationError;

/// What makes a setup impossible.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A URL that the agent could not use.
    #[error("{what} {url:?}: {reason}")]
    Url {
        /// What it is the URL of.
        what: &'static str,
        /// As given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Not an image reference.
    #[error("{reference:?} is not a container image reference: {rule}")]
    Image {
        /// As given.
        reference: String,
        /// Which rule it breaks.
        #[source]
        rule: ReferenceError,
    },
    /// Not a digest.
    #[error("{0:?} is not a SHA-512 digest: 128 hexadecimal digits")]
    Digest(String),
    /// Not a host name.
    #[error("{0:?} is not a host name")]
    Hostname(String),
    /// Not a public key.
    #[error("{0:?} is not an SSH public key")]
    SshKey(String),
    /// Not what podman takes for credentials.
    #[error("the pull secret is not a JSON object with \"auths\" in it")]
    PullSecret,
    /// Not a list of certificates.
    #[error("the certificate authorities are not PEM")]
    Certificates,
    /// Not a place of images.
    #[error("the mirror {mirror:?}: {rule}")]
    Mirror {
        /// As given.
        mirror: String,
        /// Which rule it breaks.
        #[source]
        rule: ReferenceError,
    },
    /// An image without registry cannot be elsewhere, too.
    #[error("mirrors are for images of a registry, which {0} does not name")]
    MirrorOfShortName(String),
    /// An agent option.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// What was given contradicts itself or what the agent needs.
    #[error("the config {0}")]
    Specification(#[from] SpecificationError),
}
