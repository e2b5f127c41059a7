//! The page: `/page`, `/page/nodes/{node}` and their files.

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;
use crate::page::{self, Asset};

/// Nothing is loaded from elsewhere, nothing inline runs, and no text becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    // Asked for anew with its tag: a new conductor may have a new page.
    (header::CACHE_CONTROL, "no-cache"),
];

/// Whether a path is of the page, the stub's own interface or the figures: faults and the journal leave those alone.
pub fn is_own(path: &str) -> bool {
    path == "/metrics" || ["/stub/", "/page"].iter().any(|prefix| path.starts_with(prefix))
}

/// `GET /page`: all machines.
pub async fn list(headers: HeaderMap) -> Response {
    answer(&page::LIST, &headers)
}

/// `GET /page/nodes/{node}`: one machine.
pub async fn machine(headers: HeaderMap) -> Response {
    answer(&page::MACHINE, &headers)
}

/// `GET /page/{name}`: a file of the page.
///
/// # Errors
/// 404.
pub async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    Ok(answer(page::asset(&name).ok_or(ApiError::NotFound)?, &headers))
}

fn answer(asset: &'static Asset, headers: &HeaderMap) -> Response {
    let about = [(header::CONTENT_TYPE, asset.media_type), (header::ETAG, asset.etag.as_str())];
    if headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == asset.etag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, HEADERS, about).into_response();
    }
    (HEADERS, about, asset.text.as_str()).into_response()
}
