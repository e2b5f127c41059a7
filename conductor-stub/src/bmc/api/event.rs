//! Subscriptions, and events as a stream.

use std::convert::Infallible;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;

use super::{created, only, property};
use crate::bmc::documents::{ROOT, Refusal, error, missing, service, wrong};
use crate::bmc::event::Wish;
use crate::bmc::state::Bmc;

pub(super) async fn list(State(bmc): State<Bmc>) -> Json<Value> {
    Json(service::subscriptions(bmc.0.events.subscriptions().keys().cloned()))
}

pub(super) async fn read(State(bmc): State<Bmc>, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let all = bmc.0.events.subscriptions();
    let known = all.get(&id).ok_or_else(|| missing("subscription", &id))?;
    Ok(Json(service::subscription(&id, known.destination.as_deref(), &known.context)))
}

fn full() -> Refusal {
    error(StatusCode::SERVICE_UNAVAILABLE, "EventSubscriptionLimitExceeded", "There are too many subscriptions")
}

pub(super) async fn subscribe(State(bmc): State<Bmc>, body: Bytes) -> Result<Response, Refusal> {
    let known = [
        "Destination",
        "Protocol",
        "Context",
        "EventFormatType",
        "SubscriptionType",
        "RegistryPrefixes",
        "EventTypes",
        "HttpHeaders",
        "DeliveryRetryPolicy",
        "ResourceTypes",
        "MessageIds",
    ];
    let object = only(&body, &known)?;
    if let Some(missing) = ["Destination", "Protocol"].iter().find(|key| !object.contains_key(**key)) {
        return Err(error(StatusCode::BAD_REQUEST, "CreateFailedMissingReqProperties", format!("{missing} is needed")));
    }
    let wish: Wish = property("subscription", &Value::Object(object))?;
    if wish.protocol != "Redfish" {
        return Err(wrong("Protocol", "only Redfish"));
    }
    let url = url::Url::parse(&wish.destination).map_err(|reason| wrong("Destination", reason))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("Destination", "only http and https"));
    }
    let (destination, context) = (wish.destination.clone(), wish.context.clone().unwrap_or_default());
    let id = bmc.0.events.send(wish, bmc.0.client.clone()).ok_or_else(full)?;
    let document = service::subscription(&id, Some(&destination), &context);
    Ok(created(format!("{ROOT}/EventService/Subscriptions/{id}"), document))
}

pub(super) async fn unsubscribe(State(bmc): State<Bmc>, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    if bmc.0.events.end(&id) { Ok(StatusCode::NO_CONTENT) } else { Err(missing("subscription", &id)) }
}

/// Sends everybody an event that means nothing.
pub(super) async fn test(State(bmc): State<Bmc>) -> StatusCode {
    bmc.0.events.tell("TestMessage", "A test", &format!("{ROOT}/EventService"));
    StatusCode::NO_CONTENT
}

/// Ends the stream's subscription when its reader is gone.
struct Reader(Bmc, String);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.0.events.end(&self.1);
    }
}

pub(super) async fn stream(State(bmc): State<Bmc>, headers: HeaderMap) -> Result<Response, Refusal> {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
    if !["*/*", "text/*", "text/event-stream"].iter().any(|kind| accepts.contains(kind)) {
        return Err(error(StatusCode::NOT_ACCEPTABLE, "HeaderInvalid", "This is text/event-stream"));
    }
    let (id, receiver) = bmc.0.events.stream().ok_or_else(full)?;
    let reader = Reader(bmc, id);
    let events = futures_util::stream::unfold((receiver, reader), async |(mut receiver, reader)| {
        loop {
            // Deleted by somebody: the stream ends.
            reader.0.0.events.subscriptions().get(&reader.1)?;
            match tokio::time::timeout(std::time::Duration::from_secs(1), receiver.recv()).await {
                Ok(Ok(event)) => {
                    let id = event["Id"].as_str().unwrap_or_default().to_owned();
                    let event = Event::default().id(id).data(event.to_string());
                    return Some((Ok::<_, Infallible>(event), (receiver, reader)));
                }
                Ok(Err(RecvError::Closed)) => return None,
                Ok(Err(RecvError::Lagged(_))) | Err(_) => {}
            }
        }
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}
