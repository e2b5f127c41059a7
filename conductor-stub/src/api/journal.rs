//! Writes every request down.

use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde_json::Value;

use super::page::is_own;
use crate::conductor::Shared;
use crate::error::ApiError;
use crate::journal::{self, Entry};

/// Keeps the JSON of the request and of its answer; files and the stub's own pages are not kept.
pub async fn write(State(conductor): State<Shared>, request: Request, next: Next) -> Response {
    if !conductor.journal.is_on() || is_own(request.uri().path()) {
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
    let copy = Copy::default();
    let response = next.run(request.map(|body| copy.of(body))).await;
    let status = response.status().as_u16();
    let is_json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    let (response, answered) = if is_json && !target.starts_with("/artefacts/") {
        let (parts, body) = response.into_parts();
        match to_bytes(body, usize::MAX).await {
            Ok(bytes) => (Response::from_parts(parts, Body::from(bytes.clone())), journal::body(&bytes)),
            Err(error) => (ApiError::Internal(error.to_string()).into_response(), Value::Null),
        }
    } else {
        (response, Value::Null)
    };
    let request = journal::body(&copy.bytes());
    let milliseconds = ((journal::now() - at) * 1000.0) as u64;
    conductor.journal.add(Entry {
        at,
        direction: "in",
        method,
        target,
        version,
        request,
        status,
        response: answered,
        milliseconds,
    });
    response
}

/// The start of a body, copied while somebody else reads it.
#[derive(Debug, Clone, Default)]
struct Copy(Arc<Mutex<Vec<u8>>>);

impl Copy {
    fn of(&self, body: Body) -> Body {
        let copy = self.clone();
        Body::from_stream(body.into_data_stream().inspect(move |chunk| {
            if let Ok(chunk) = chunk {
                copy.add(chunk);
            }
        }))
    }

    /// One byte more than is written down shows that it was too much.
    fn add(&self, chunk: &Bytes) {
        let mut bytes = self.bytes();
        let room = (journal::BODY_LIMIT_BYTES + 1).saturating_sub(bytes.len());
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
