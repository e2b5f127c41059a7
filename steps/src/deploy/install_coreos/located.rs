//! An image whose digest is known: where it is, and what it has to be.

use crate::StepError;
use crate::deploy::expected_digest;
use crate::deploy::image_info::ImageInfo;
use crate::http::HttpOptions;
use crate::http::document::RetryContext;
use crate::image::{self, Digest, Found};
use crate::step::Step;

/// Where an image is, and its digest.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) found: Found,
    pub(super) digest: Digest,
    pub(super) http: HttpOptions,
}

impl Located {
    /// Asks registry and checksum file, where there are such; the image itself is not asked for yet.
    ///
    /// # Errors
    /// Those of a checksum that cannot be had or used, and of a registry.
    pub(super) async fn of(info: &ImageInfo, step: &Step) -> Result<Self, StepError> {
        let http = info.http_options(&step.site.options)?;
        let found = image::find(&info.urls, &http, RetryContext::of(step)).await?;
        let digest = match &found.digest {
            Some(digest) if !info.has_checksum() => digest.clone(),
            _ => found.agree(expected_digest::of_image(info, &http, step).await?)?,
        };
        Ok(Self { found, digest, http })
    }
}
