//! Why a request was refused: the one place where an error becomes a status and Ironic's error body.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::node::port::PortError;
use crate::node::spec::SpecError;
use crate::store::StoreError;

/// A refused request.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// 400.
    #[error("{0}")]
    Invalid(String),
    /// 403.
    #[error("{0}")]
    Forbidden(String),
    /// 404, the same text for "no such node" and "not in a state for that".
    #[error("Resource could not be found.")]
    NotFound,
    /// 404: there is nothing at that path.
    #[error("")]
    NoRoute,
    /// 404: Ironic has something at that path, this conductor does not.
    #[error("conductor-stub has no {0}.")]
    Absent(&'static str),
    /// 404 in other words.
    #[error("{0}")]
    NoSuch(String),
    /// 404 for clients of an earlier version.
    #[error("The API is not supported for this version")]
    Newer,
    /// 400: what stands in the path names nothing.
    #[error("Expected UUID or name for {kind}: {ident}")]
    Ident {
        /// `node`, `port_ident`…
        kind: &'static str,
        /// What stands there.
        ident: String,
    },
    /// 404 with a name.
    #[error("{kind} {ident} could not be found.")]
    Missing {
        /// `Node`, `Port`…
        kind: &'static str,
        /// What was asked for.
        ident: String,
    },
    /// 405.
    #[error("")]
    MethodNotAllowed,
    /// 406.
    #[error("{0}")]
    NotAcceptable(String),
    /// 406: no such version of the API.
    #[error("{0}")]
    Version(String),
    /// 409.
    #[error("{0}")]
    Conflict(String),
    /// 409: another operation holds the node.
    #[error("Node {0} is locked by host conductor-stub, please retry after the current operation is completed.")]
    Locked(String),
    /// 408.
    #[error("The body of the request took too long.")]
    TooSlow,
    /// 413: more than so many bytes.
    #[error("Request body is too large: at most {0} bytes are taken here.")]
    TooLarge(usize),
    /// 415.
    #[error("A body must have the content type application/json.")]
    MediaType,
    /// 421: asked by a name that is not ours.
    #[error("This is not {0}. A conductor that is reached by that name has it in allowed_hosts.")]
    Misdirected(String),
    /// 500.
    #[error("{0}")]
    Internal(String),
    /// 503.
    #[error("There is no room for this request now, please retry.")]
    Unavailable,
}

impl ApiError {
    /// 406 without a reason, as Ironic has it.
    pub fn not_acceptable() -> Self {
        Self::NotAcceptable("Request not acceptable.".into())
    }

    /// 406 with the version that is needed.
    pub fn needs(minor: u32) -> Self {
        Self::NotAcceptable(format!("Request not acceptable. The minimal required API version should be 1.{minor}"))
    }

    /// 403 for what would take a protected instance away.
    pub fn protected(node: uuid::Uuid) -> Self {
        Self::Forbidden(format!("Node {node} is protected and cannot be undeployed, rebuilt or deleted"))
    }

    /// The HTTP status of this error.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) | Self::Ident { .. } => StatusCode::BAD_REQUEST,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound | Self::NoRoute | Self::Absent(_) | Self::NoSuch(_) | Self::Newer | Self::Missing { .. } => {
                StatusCode::NOT_FOUND
            }
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable(_) | Self::Version(_) => StatusCode::NOT_ACCEPTABLE,
            Self::Conflict(_) | Self::Locked(_) => StatusCode::CONFLICT,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Misdirected(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Taken(text) => Self::Conflict(text),
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<SpecError> for ApiError {
    fn from(error: SpecError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<PortError> for ApiError {
    fn from(error: PortError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        // Ironic puts a string that holds JSON into the JSON. What its router refuses looks otherwise than what it refuses
        // itself.
        let of_router = matches!(self, Self::NoRoute | Self::MethodNotAllowed | Self::Version(_))
            || matches!(self, Self::Ident { kind: "node", .. });
        let fault = match of_router {
            true => json!({
                "code": status.as_u16(),
                "title": status.canonical_reason(),
                "description": self.to_string(),
            }),
            false => json!({
                "faultcode": if status.is_server_error() { "Server" } else { "Client" },
                "faultstring": self.to_string(),
                "debuginfo": null,
            }),
        };
        (status, Json(json!({ "error_message": fault.to_string() }))).into_response()
    }
}
