//! HTTP URLs, and how they are shown.

use url::Url;

use super::error::HttpError;
use crate::url_secrets;

/// An `http` or `https` URL.
///
/// # Errors
/// [`HttpError::NotHttp`] when it is none.
pub fn url(text: &str) -> Result<Url, HttpError> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| HttpError::NotHttp(url_secrets::hide(text)))
}

/// A URL as logs, errors and results may show it: without user, password and signature.
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Both succeed for every URL that has a host, which http URLs have.
    let _ = (url.set_username(""), url.set_password(None));
    url_secrets::hide(url.as_str())
}
