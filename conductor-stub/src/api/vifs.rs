//! `/v1/nodes/{node}/vifs`: with the network interface `noop`, the ports of a network service are none of ours. They are
//! taken and not kept, as Ironic does.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::body::{Answer, Json};
use super::named::Named;
use super::version::Version;
use crate::error::ApiError;
use crate::node::Object;
use crate::node::spec::is_logical_name;

/// `GET …/vifs`.
///
/// # Errors
/// 404.
pub async fn list(version: Version, _named: Named) -> Answer {
    version.knows(28)?;
    Ok(axum::Json(json!({"vifs": []})).into_response())
}

/// `POST …/vifs`.
///
/// # Errors
/// 400 without an id, 404.
pub async fn attach(version: Version, _named: Named, Json(vif): Json<Object>) -> Answer {
    version.knows(28)?;
    let Some(id) = vif.get("id") else {
        return Err(ApiError::Invalid("Schema error for vif: 'id' is a required property".into()));
    };
    check(id.as_str().unwrap_or_default())?;
    if version.0 >= 67 && vif.contains_key("port_uuid") && vif.contains_key("portgroup_uuid") {
        return Err(ApiError::Invalid("Cannot specify both port_uuid and portgroup_uuid".into()));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `DELETE …/vifs/{vif}`.
///
/// # Errors
/// 400 for what names nothing, 404.
pub async fn detach(version: Version, _named: Named, Path((_, id)): Path<(String, String)>) -> Answer {
    version.knows(28)?;
    check(&id)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn check(id: &str) -> Result<(), ApiError> {
    match is_logical_name(id) {
        true => Ok(()),
        false => Err(ApiError::Invalid(format!("Expected UUID or name for id: {}", Value::from(id)))),
    }
}
