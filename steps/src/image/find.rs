//! From the URLs of an image to where its bytes are: an image in a registry is looked up there.

use std::sync::Arc;

use super::{Digest, ImageError, Location, oci};
use crate::http::document::RetryContext;
use crate::http::{HttpOptions, Login};

/// Where the bytes of an image are, and how to ask for them.
#[derive(Debug)]
pub struct Found {
    /// The same bytes, in each place.
    pub locations: Vec<Location>,
    /// Who we are to their registry, if they are in one.
    pub login: Option<Arc<Login>>,
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
                Err(ImageError::Checksum { expected, actual: actual.clone(), coding: None })
            }
            _ => Ok(expected),
        }
    }
}

/// Looks an image in a registry up there, by `http`; takes all other URLs, and paths, as they are.
///
/// # Errors
/// As [`oci::resolve`]; [`ImageError::Location`] when a URL cannot be read.
pub async fn find(urls: &[String], http: &HttpOptions, context: RetryContext<'_>) -> Result<Found, ImageError> {
    match urls {
        [url] if url.starts_with(oci::SCHEME) => {
            let found = oci::resolve(url, http, context).await?;
            tracing::info!(image = Location::shown(url), blob = %found.url, "found in the registry");
            Ok(Found {
                locations: vec![Location::Http(found.url)],
                login: Some(found.login),
                digest: Some(found.digest),
            })
        }
        urls => {
            let locations = urls.iter().map(|url| Location::parse(url)).collect::<Result<_, _>>()?;
            Ok(Found { locations, login: None, digest: None })
        }
    }
}
