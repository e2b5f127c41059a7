//! Disk images in OCI registries (OCI distribution specification 1.1): from `oci://registry/name:tag` to the URL of the
//! blob that holds the image, and the digest that the registry's manifest gives it.

mod challenge;
mod login;
mod manifest;
mod reference;

use std::sync::Arc;

use reqwest::header::ACCEPT;
use tokio_util::sync::CancellationToken;
use url::Url;

pub use self::login::Login;
use self::manifest::Manifest;
use self::reference::Reference;
use super::http::{Http, Refusal};
use super::{Digest, HttpOptions, ImageError, Location, Retries};
use crate::fetch::{Patience, collect};

/// The start of URLs of images in registries.
pub const SCHEME: &str = "oci://";

/// Manifests and tokens are small; the specification lets registries refuse larger ones.
const DOCUMENT_LIMIT_BYTES: usize = 4 << 20;

/// Where an image is in its registry.
#[derive(Debug, Clone)]
pub struct Artefact {
    /// URL of the blob.
    pub url: Url,
    /// Its digest.
    pub digest: Digest,
    /// How to ask for it: with a token, or whatever the registry wants to see.
    pub http: HttpOptions,
}

/// Finds the image behind `oci://registry/name`, with a `:tag`, an `@digest`, or the tag `latest`. A registry that asks
/// for a token gets it from where the registry says, with the user and password of the URL or of `options`.
///
/// # Errors
/// [`ImageError::DownloadFatal`] when there is no disk image, or not for us; [`ImageError::Download`] when the registry
/// does not answer; [`ImageError::Checksum`] when a manifest is not the one that was promised.
pub async fn resolve(
    url: &str,
    options: &HttpOptions,
    retries: &Retries,
    cancel: &CancellationToken,
) -> Result<Artefact, ImageError> {
    let reference = Reference::parse(url).map_err(ImageError::DownloadFatal)?;
    let url = Location::shown(url);
    let authorization = reference.authorization.clone().or_else(|| options.authorization.clone());
    let options = HttpOptions { authorization, ..options.clone() };
    let address = reference.url("manifests", &reference.version)?;
    let login = Login::new(&address, &reference.name, &options, retries.timeout)?;
    let http = HttpOptions { authorization: None, login: Some(Arc::new(login)), ..options };
    let client = Http::new(&http, retries.timeout)?;
    let registry = Registry { reference: &reference, client, retries, cancel };
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
    let blob = candidates.iter().find_map(Manifest::disk_image).ok_or_else(|| {
        ImageError::DownloadFatal(format!("{url} holds no disk image for this machine: no artefact of a single blob"))
    })?;
    let digest: Digest = blob.parse().map_err(|reason| {
        ImageError::DownloadFatal(format!("{url}: the digest {blob} of the image cannot be verified: {reason}"))
    })?;
    Ok(Artefact { url: reference.url("blobs", &blob)?, digest, http })
}

/// One repository of a registry.
struct Registry<'a> {
    reference: &'a Reference,
    client: Http,
    retries: &'a Retries,
    cancel: &'a CancellationToken,
}

impl Registry<'_> {
    /// The manifest of a tag or digest; that of a digest is verified.
    async fn manifest(&self, version: &str) -> Result<Manifest, ImageError> {
        let url = self.reference.url("manifests", version)?;
        let mut patience = Patience::new(self.retries, self.cancel);
        let body = loop {
            match self.document(&url).await {
                Ok(body) => break body,
                Err(refusal) => patience.after(refusal).await.map_err(failed)?,
            }
        };
        if let Ok(expected) = version.parse::<Digest>() {
            let actual = Digest::of(expected.algorithm, &body);
            if actual != expected {
                return Err(ImageError::Checksum { expected, actual });
            }
        }
        Manifest::parse(&body).map_err(|reason| ImageError::DownloadFatal(format!("{url}: {reason}")))
    }

    async fn document(&self, url: &Url) -> Result<Vec<u8>, Refusal> {
        let request = self.client.get(url).header(ACCEPT, manifest::ACCEPTED);
        collect(self.client.send(request, url.as_str()).await?, url.as_str(), DOCUMENT_LIMIT_BYTES).await
    }
}

fn failed(refusal: Refusal) -> ImageError {
    match refusal {
        Refusal::Fatal(reason) => ImageError::DownloadFatal(reason),
        Refusal::Again(reason) => ImageError::Download(vec![reason]),
    }
}
