//! `GET /metrics`, and what every request adds to it.

use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use prometheus_client::metrics::counter::Counter;

use super::body::Answer;
use crate::conductor::Shared;
use crate::metrics::CONTENT_TYPE;

/// `GET /metrics`.
///
/// # Errors
/// When the database fails.
pub async fn show(State(conductor): State<Shared>) -> Answer {
    let text = conductor.metrics.text(&conductor.store)?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

/// The template of the route that a request took, on its answer.
#[derive(Debug, Clone)]
struct Route(MatchedPath);

/// Notes the route that a request took; a layer on each router, as only inside of it that is known.
pub async fn note_route(route: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(Route(route));
    }
    response
}

/// Counts a request, and the bytes of an artefact.
pub async fn measure(State(conductor): State<Shared>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = request.method().clone();
    let response = next.run(request).await;
    let route = response.extensions().get::<Route>().map(|route| route.0.as_str().to_owned());
    conductor.metrics.request(method.as_str(), route.as_deref(), response.status().as_u16(), start.elapsed());
    match route {
        Some(route) if route.starts_with("/artefacts/") => {
            let bytes = conductor.metrics.artefact_bytes();
            response.map(|body| counted(body, bytes))
        }
        _ => response,
    }
}

fn counted(body: Body, bytes: Counter) -> Body {
    Body::from_stream(body.into_data_stream().inspect(move |chunk| {
        if let Ok(chunk) = chunk {
            bytes.inc_by(chunk.len() as u64);
        }
    }))
}
