//! Disk images in OCI registries (OCI distribution specification 1.1): from `oci://registry/name:tag` to the URL of the
//! blob that holds the image, and the digest that the registry's manifest gives it.

mod challenge;
mod manifest;
mod reference;

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, WWW_AUTHENTICATE};
use tokio_util::sync::CancellationToken;
use url::Url;

use self::challenge::Challenge;
use self::manifest::Manifest;
use self::reference::Reference;
use super::http::{self, Http, Refusal};
use super::{Authorization, Digest, HttpOptions, ImageError, Retries};
use crate::fetch::{self, Patience, collect};

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
    /// What the registry wants to see with the request for it.
    pub authorization: Option<Authorization>,
}

/// Finds the image behind `oci://registry/name`, with a `:tag`, an `@digest`, or the tag `latest`. A registry that asks
/// for a token gets it from where the registry says, with the user and password of `options`.
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
    // A user and password wait until the registry says how it wants them.
    let authorization = options.authorization.clone().filter(|known| matches!(known, Authorization::Header(_)));
    let mut registry = Registry { reference: &reference, options, retries, cancel, authorization };
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
    Ok(Artefact { url: reference.url("blobs", &blob)?, digest, authorization: registry.authorization })
}

/// One repository of a registry, and who we are there.
struct Registry<'a> {
    reference: &'a Reference,
    options: &'a HttpOptions,
    retries: &'a Retries,
    cancel: &'a CancellationToken,
    authorization: Option<Authorization>,
}

impl Registry<'_> {
    /// The manifest of a tag or digest; that of a digest is verified.
    async fn manifest(&mut self, version: &str) -> Result<Manifest, ImageError> {
        let url = self.reference.url("manifests", version)?;
        let body = match self.ask(&url).await? {
            Answer::Body(body) => body,
            Answer::Denied(challenge) => {
                self.authorization = Some(self.answer_to(challenge, &url).await?);
                match self.ask(&url).await? {
                    Answer::Body(body) => body,
                    Answer::Denied(_) => {
                        return Err(ImageError::DownloadFatal(format!(
                            "{url} is not for us: the registry answers 401"
                        )));
                    }
                }
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

    async fn ask(&self, url: &Url) -> Result<Answer, ImageError> {
        let client = self.client(self.authorization.clone())?;
        let mut patience = Patience::new(self.retries, self.cancel);
        loop {
            match self.try_to_ask(&client, url).await {
                Ok(answer) => return Ok(answer),
                Err(refusal) => patience.after(refusal).await.map_err(failed)?,
            }
        }
    }

    async fn try_to_ask(&self, client: &Http, url: &Url) -> Result<Answer, Refusal> {
        let request = client.get(url).header(ACCEPT, manifest::ACCEPTED);
        let response = http::answer(request, url.as_str()).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let header = response.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
            let challenge = header.and_then(Challenge::parse);
            return challenge
                .map(Answer::Denied)
                .ok_or_else(|| Refusal::Fatal(format!("{url} answers 401 and does not say how to prove who we are")));
        }
        let response = http::judge(response, url.as_str())?;
        collect(response, url.as_str(), DOCUMENT_LIMIT_BYTES).await.map(Answer::Body)
    }

    /// What the registry wants to see from now on.
    async fn answer_to(&self, challenge: Challenge, url: &Url) -> Result<Authorization, ImageError> {
        let known = self.options.authorization.clone();
        match challenge {
            Challenge::Basic => known.ok_or_else(|| {
                ImageError::DownloadFatal(format!(
                    "{url} is not for everybody: the registry wants a user and a password"
                ))
            }),
            Challenge::Bearer { realm, service } => {
                let token = challenge::token_url(&realm, service.as_deref(), &self.reference.name);
                let token = token.map_err(|reason| ImageError::DownloadFatal(format!("{url}: {reason}")))?;
                let client = self.client(known)?;
                let shown = token.origin().ascii_serialization() + token.path();
                let mut patience = Patience::new(self.retries, self.cancel);
                let body = loop {
                    match fetch::get(&client, &token, &shown, DOCUMENT_LIMIT_BYTES).await {
                        Ok(body) => break body,
                        Err(refusal) => patience.after(refusal).await.map_err(failed)?,
                    }
                };
                let token = challenge::token(&body);
                let token = token.ok_or_else(|| ImageError::DownloadFatal(format!("{shown} gave no token")))?;
                Ok(Authorization::Header(format!("Bearer {token}")))
            }
        }
    }

    fn client(&self, authorization: Option<Authorization>) -> Result<Http, ImageError> {
        Http::new(&HttpOptions { authorization, ..self.options.clone() }, self.retries.timeout)
    }
}

fn failed(refusal: Refusal) -> ImageError {
    match refusal {
        Refusal::Fatal(reason) => ImageError::DownloadFatal(reason),
        Refusal::Again(reason) => ImageError::Download(vec![reason]),
    }
}

enum Answer {
    Body(Vec<u8>),
    Denied(Challenge),
}
