//! Disk images in OCI registries (OCI distribution specification 1.1): from `oci://registry/name:tag` to the URL of the
//! blob that holds the image, and the digest that the registry's manifest gives it.

mod manifest;
mod reference;

use std::sync::Arc;

use reqwest::header::ACCEPT;
use url::Url;

use self::manifest::Manifest;
use self::reference::Reference;
use super::{Digest, ImageError, Location};
use crate::http::document::{RetryContext, collect};
use crate::http::{Client, HttpOptions, Limit, Login, Request};

/// The start of URLs of images in registries.
pub const SCHEME: &str = "oci://";

/// Manifests are small; the specification lets registries refuse larger ones.
const MANIFEST_LIMIT: Limit = Limit::bytes(4 << 20);

/// Where an image is in its registry.
#[derive(Debug, Clone)]
pub struct Artefact {
    /// URL of the blob.
    pub url: Url,
    /// Its digest.
    pub digest: Digest,
    /// Who we are to the registry: somebody with a token, or with whatever else it wants to see.
    pub login: Arc<Login>,
}

/// Why a registry has no disk image for us.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// The URL of the image cannot be read.
    #[error("not of the form {SCHEME}registry/name:tag")]
    Reference,
    /// An address at the registry is no URL.
    #[error("{address} is not a URL")]
    Address {
        /// The address.
        address: String,
        /// The cause.
        #[source]
        source: url::ParseError,
    },
    /// What the registry has there is something else.
    #[error("{url}: not a manifest")]
    Manifest {
        /// Where it is.
        url: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// What the registry has there is not what was promised.
    #[error("it holds no disk image for this machine: no artefact of a single blob")]
    NoDisk,
    /// The image has a digest that nobody here can compute.
    #[error("the digest {digest} of the image cannot be verified: {reason}")]
    Digest {
        /// The digest.
        digest: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Finds the image behind `oci://registry/name`, with a `:tag`, an `@digest`, or the tag `latest`. A registry that asks
/// for a token gets it from where the registry says, with the user and password of the URL or of `options`.
///
/// # Errors
/// [`ImageError::Registry`] when there is no disk image, or not for us; [`ImageError::Http`] when the registry does not
/// answer; [`ImageError::Checksum`] when a manifest is not the one that was promised.
pub async fn resolve(url: &str, options: &HttpOptions, context: RetryContext<'_>) -> Result<Artefact, ImageError> {
    let shown = Location::shown(url);
    let failed = |source| ImageError::Registry { url: shown.clone(), source };
    let reference = Reference::parse(url).ok_or_else(|| failed(OciError::Reference))?;
    let authorization = reference.authorization.clone().or_else(|| options.authorization.clone());
    let options = HttpOptions { authorization, ..options.clone() };
    let address = reference.url("manifests", &reference.version).map_err(failed)?;
    let scope = format!("repository:{}:pull", reference.name);
    let timeout = context.retries.timeout;
    let login = Arc::new(Login::new(&address, scope, &options, timeout)?);
    let client = Client::new(&options, timeout)?.with_login(Some(Arc::clone(&login)));
    let registry = Registry { reference: &reference, shown: &shown, client, context };
    let first = registry.manifest(&reference.version).await?;
    let candidates = match first.candidates() {
        None => vec![first],
        Some(digests) => {
            let mut manifests = Vec::new();
            for digest in digests {
                manifests.push(registry.manifest(&digest).await?);
            }
            manifests
        }
    };
    let blob = candidates.iter().find_map(Manifest::disk_image).ok_or_else(|| failed(OciError::NoDisk))?;
    let digest: Digest = blob.parse().map_err(|reason| failed(OciError::Digest { digest: blob.clone(), reason }))?;
    Ok(Artefact { url: reference.url("blobs", &blob).map_err(failed)?, digest, login })
}

/// One repository of a registry.
struct Registry<'a> {
    reference: &'a Reference,
    /// The image as it may be shown.
    shown: &'a str,
    client: Client,
    context: RetryContext<'a>,
}

impl Registry<'_> {
    /// The manifest of a tag or digest; that of a digest is verified.
    async fn manifest(&self, version: &str) -> Result<Manifest, ImageError> {
        let failed = |source| ImageError::Registry { url: self.shown.to_string(), source };
        let url = self.reference.url("manifests", version).map_err(failed)?;
        let request = Request::get(&url).header(ACCEPT, manifest::ACCEPTED);
        let body = collect(&self.client, &request, MANIFEST_LIMIT, self.context.clone()).await?;
        if let Ok(expected) = version.parse::<Digest>() {
            let actual = Digest::of(expected.algorithm, &body);
            if actual != expected {
                return Err(ImageError::Checksum { expected, actual, coding: None });
            }
        }
        Manifest::parse(&body).map_err(|source| failed(OciError::Manifest { url: url.to_string(), source }))
    }
}
