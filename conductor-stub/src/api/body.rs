//! Bodies: JSON that comes in, within limits.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::response::Response;
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// The largest body taken: inspection data with logs is several MiB.
const LIMIT_BYTES: usize = 256 << 20;

/// A JSON body, whatever its declared type; the refusal is Ironic's.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let bytes = whole(request.into_body()).await?;
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        serde_path_to_error::deserialize(&mut reader)
            .map(Self)
            .map_err(|error| ApiError::Invalid(format!("Invalid input: {error}")))
    }
}

pub(super) async fn whole(body: Body) -> Result<Bytes, ApiError> {
    axum::body::to_bytes(body, LIMIT_BYTES)
        .await
        .map_err(|error| ApiError::Invalid(format!("reading the body: {error}")))
}

/// An answer with a JSON body.
pub type Answer = Result<Response, ApiError>;
