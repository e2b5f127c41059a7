//! Documents that steps need.

use crate::http::document::{RetryContext, document};
use crate::http::{HttpError, HttpOptions, Limit};
use crate::step::Step;

/// The content behind `url`, at most `limit_bytes` long. Broken connections and busy servers are tried again, as often and
/// as far apart as the options for images say, and the step's progress shows it.
///
/// # Errors
/// The error of the last try.
pub async fn fetch(url: &str, options: &HttpOptions, limit_bytes: usize, step: &Step) -> Result<Vec<u8>, HttpError> {
    document(url, options, Limit::bytes(limit_bytes), RetryContext::of(step)).await
}

impl<'a> RetryContext<'a> {
    /// As the options for images say; the step's progress shows trouble.
    pub fn of(step: &'a Step) -> Self {
        Self { retries: &step.site.options.download.retries, progress: &step.progress, cancel: &step.cancel }
    }
}
