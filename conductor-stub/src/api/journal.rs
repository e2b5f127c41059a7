//! Writes every request down.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::body::whole;
use crate::conductor::Shared;
use crate::journal::{self, Entry};

/// Keeps the JSON of the request and of its answer; files and the stub's own pages are not kept.
pub async fn write(State(conductor): State<Shared>, request: Request, next: Next) -> Response {
    if request.uri().path().starts_with("/stub/") {
        return next.run(request).await;
    }
    let at = journal::now();
    let method = request.method().to_string();
    let target = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let version = request
        .headers()
        .get("x-openstack-ironic-api-version")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let (parts, body) = request.into_parts();
    let sent = match whole(body).await {
        Ok(bytes) => bytes,
        Err(error) => return error.into_response(),
    };
    let response = next.run(Request::from_parts(parts, Body::from(sent.clone()))).await;
    let status = response.status().as_u16();
    let is_json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    let (response, answered) = if is_json && !target.starts_with("/artefacts/") {
        let (parts, body) = response.into_parts();
        match whole(body).await {
            Ok(bytes) => (Response::from_parts(parts, Body::from(bytes.clone())), journal::body(&bytes)),
            Err(error) => (error.into_response(), serde_json::Value::Null),
        }
    } else {
        (response, serde_json::Value::Null)
    };
    conductor.journal.add(Entry {
        at,
        direction: "in",
        method,
        target,
        version,
        request: journal::body(&sent),
        status,
        response: answered,
        milliseconds: ((journal::now() - at) * 1000.0) as u64,
    });
    response
}
