//! From the URLs of an image to where its bytes are: an image in a registry is looked up there.

use tokio_util::sync::CancellationToken;

use super::{Digest, HttpOptions, ImageError, Location, Retries, oci};

/// Where the bytes of an image are, and how to ask for them.
#[derive(Debug)]
pub struct Found {
    /// The same bytes, in each place.
    pub locations: Vec<Location>,
    /// How to ask for them.
    pub http: HttpOptions,
    /// Their digest, where a registry knows it.
    pub digest: Option<Digest>,
}

impl Found {
    /// The digest that is `expected`, unless the registry has another one of the same kind.
    ///
    /// # Errors
    /// [`ImageError::Checksum`] when it has.
    pub fn agree(&self, expected: Digest) -> Result<Digest, ImageError> {
        match &self.digest {
            Some(actual) if actual.algorithm == expected.algorithm && *actual != expected => {
                Err(ImageError::Checksum { expected, actual: actual.clone() })
            }
            _ => Ok(expected),
        }
    }
}

/// Looks an image in a registry up there, by `http`; takes all other URLs, and paths, as they are.
///
/// # Errors
/// As [`oci::resolve`]; [`ImageError::Download`] when a URL cannot be read.
pub async fn find(
    urls: &[String],
    http: HttpOptions,
    retries: &Retries,
    cancel: &CancellationToken,
) -> Result<Found, ImageError> {
    match urls {
        [url] if url.starts_with(oci::SCHEME) => {
            let found = oci::resolve(url, &http, retries, cancel).await?;
            tracing::info!(image = Location::shown(url), blob = %found.url, "found in the registry");
            Ok(Found { locations: vec![Location::Http(found.url)], http: found.http, digest: Some(found.digest) })
        }
        urls => {
            let locations = urls.iter().map(|url| Location::parse(url)).collect::<Result<_, _>>();
            let locations = locations.map_err(|reason| ImageError::Download(vec![reason]))?;
            Ok(Found { locations, http, digest: None })
        }
    }
}
