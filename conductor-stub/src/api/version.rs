//! Microversions: what a client asked for, what is refused, what every answer says.

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use crate::error::ApiError;

/// The lowest minor version served.
pub const MINIMUM: u32 = 1;
/// The highest minor version served.
pub const MAXIMUM: u32 = 115;

const ASKED: HeaderName = HeaderName::from_static("x-openstack-ironic-api-version");
const GENERIC: HeaderName = HeaderName::from_static("openstack-api-version");
const LOWEST: HeaderName = HeaderName::from_static("x-openstack-ironic-api-minimum-version");
const HIGHEST: HeaderName = HeaderName::from_static("x-openstack-ironic-api-maximum-version");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// The minor version of this request: `62` for 1.62.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32);

impl Version {
    /// That the client is of version 1.`minor` at least.
    ///
    /// # Errors
    /// 406.
    pub fn needs(self, minor: u32) -> Result<(), ApiError> {
        if self.0 < minor { Err(ApiError::needs(minor)) } else { Ok(()) }
    }

    /// That there is such a thing for this client.
    ///
    /// # Errors
    /// 404.
    pub fn knows(self, minor: u32) -> Result<(), ApiError> {
        if self.0 < minor { Err(ApiError::Newer) } else { Ok(()) }
    }

    /// The version that was settled for a request.
    pub fn of(parts: &Parts) -> Self {
        parts.extensions.get::<Self>().copied().unwrap_or(Self(MINIMUM))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Version {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Ok(Self::of(parts))
    }
}

/// Settles the version of a request and writes the version headers.
pub async fn negotiate(mut request: Request, next: Next) -> Response {
    let asked = asked(request.headers());
    let (version, mut response) = match asked {
        Ok(version) => {
            request.extensions_mut().insert(Version(version));
            (version, next.run(request).await)
        }
        Err(error) => (MINIMUM, error.into_response()),
    };
    let id = format!("req-{}", Uuid::new_v4());
    for (name, value) in [
        (ASKED, format!("1.{version}")),
        (LOWEST, format!("1.{MINIMUM}")),
        (HIGHEST, format!("1.{MAXIMUM}")),
        (REQUEST_ID, id),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn asked(headers: &HeaderMap) -> Result<u32, ApiError> {
    let own = headers.get(ASKED).and_then(|value| value.to_str().ok());
    let generic =
        headers.get(GENERIC).and_then(|value| value.to_str().ok()).and_then(|text| text.strip_prefix("baremetal "));
    let Some(text) = own.or(generic).map(str::trim) else { return Ok(MINIMUM) };
    if text == "latest" {
        return Ok(MAXIMUM);
    }
    let refused =
        |why: &str| ApiError::Version(format!("{why}The supported version range is: [1.{MINIMUM}, 1.{MAXIMUM}]."));
    let numbers =
        text.split_once('.').and_then(|(major, minor)| Some((major.parse::<u32>().ok()?, minor.parse().ok()?)));
    match numbers {
        Some((1, minor)) if (MINIMUM..=MAXIMUM).contains(&minor) => Ok(minor),
        Some((1, _)) => Err(refused(&format!(
            "Version {text} was requested but the minor version is not supported by this service. "
        ))),
        Some(_) => Err(refused(&format!(
            "Mutually exclusive versions requested. Version {text} requested but not supported by this service. "
        ))),
        None => Err(ApiError::Version("Invalid value for X-OpenStack-Ironic-API-Version header".into())),
    }
}
