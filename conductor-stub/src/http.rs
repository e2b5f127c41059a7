//! What every HTTP client here does: bodies within limits, failures in words.

use std::iter::successors;

use reqwest::Response;

/// Why there is no whole body.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection.
    #[error(transparent)]
    Broken(#[from] reqwest::Error),
    /// More than this many bytes.
    #[error("the answer has more than {} MiB", .0 >> 20)]
    TooLarge(usize),
}

/// A whole body of at most `limit_bytes`.
///
/// # Errors
/// When there is more of it, or the connection breaks.
pub async fn whole(mut response: Response, limit_bytes: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit_bytes {
            return Err(BodyError::TooLarge(limit_bytes));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A failure with its causes: reqwest's own text leaves out what went wrong, and its URL may hold a token.
pub fn words(error: &reqwest::Error) -> String {
    let mut text = String::from(if error.is_timeout() { "timeout" } else { "request failed" });
    for cause in successors(std::error::Error::source(error), |cause| cause.source()) {
        text.push_str(": ");
        text.push_str(&cause.to_string());
    }
    text
}
