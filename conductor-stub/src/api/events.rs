//! `GET /stub/events`: what changes, as server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! Each has an id; a client that comes back says the last one (`Last-Event-ID`, or `after`) and misses nothing. When
//! something is missing all the same, `reset` says so: what was known is to be asked for again.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{self, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::body::Answer;
use crate::clock;
use crate::conductor::Shared;
use crate::error::ApiError;
use crate::events::{Events, Place, Position, Watch};

/// How often a reader hears that it is still connected.
pub const BEAT: Duration = Duration::from_secs(10);
/// How long what comes is collected, so that many changes are few packets.
const COLLECT: Duration = Duration::from_millis(50);
/// When a client that was cut off is to come back.
const RETRY: Duration = Duration::from_secs(2);

/// Which events.
#[derive(Debug, Deserialize)]
pub struct EventsQuery {
    /// Those after this one; a `Last-Event-ID` wins.
    after: Option<String>,
    /// Those of this node, by UUID or name.
    node: Option<String>,
}

/// `GET /stub/events`.
///
/// # Errors
/// 400 for a position that is none, 404 for a node that is not there, 503 when there are too many readers.
pub async fn stream(State(conductor): State<Shared>, Query(query): Query<EventsQuery>, headers: HeaderMap) -> Answer {
    let events = conductor.store.events();
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let position = match last.or(query.after) {
        Some(text) => text.parse().map_err(|error| ApiError::Invalid(format!("{text}: {error}")))?,
        None => events.position(),
    };
    let node = query.node.map(|ident| conductor.find(&ident)).transpose()?.map(|node| node.uuid);
    let Some(place) = events.place() else { return Ok(full()) };
    let mut reader = Reader {
        watch: events.watch(),
        events: Arc::clone(events),
        position,
        node,
        ready: VecDeque::from([sse::Event::default().retry(RETRY).comment("conductor-stub")]),
        _place: place,
    };
    if events.after(position).is_err() {
        reader.read();
    }
    Ok(answer(unfold(reader, async |mut reader| Some((Ok(reader.next().await?), reader)))))
}

/// 503: as many read as may.
pub(super) fn full() -> Response {
    let text = "Too many readers of events and consoles.";
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "10")], text).into_response()
}

/// A stream that no proxy holds back.
pub(super) fn answer(events: impl Stream<Item = Result<sse::Event, Infallible>> + Send + 'static) -> Response {
    ([("x-accel-buffering", "no")], Sse::new(events)).into_response()
}

/// Says that we are there.
pub(super) fn beat() -> sse::Event {
    sse::Event::default().event("beat").data(json!({ "at": clock::seconds() }).to_string())
}

struct Reader {
    events: Arc<Events>,
    watch: Watch,
    position: Position,
    node: Option<Uuid>,
    /// Read, and not yet sent.
    ready: VecDeque<sse::Event>,
    _place: Place,
}

impl Reader {
    /// The next event; none at the end of the conductor.
    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            match tokio::time::timeout(BEAT, self.watch.more_than(self.position)).await {
                Err(_) => return Some(beat().id(self.position.to_string())),
                Ok(false) => return None,
                Ok(true) => {
                    tokio::time::sleep(COLLECT).await;
                    self.read();
                }
            }
        }
    }

    fn read(&mut self) {
        match self.events.after(self.position) {
            Ok((entries, position)) => {
                self.position = position;
                let wanted = entries.iter().filter(|entry| self.node.is_none_or(|node| entry.node == node));
                self.ready.extend(wanted.map(|entry| {
                    sse::Event::default().id(entry.position.to_string()).event(entry.kind.as_str()).data(&entry.json)
                }));
            }
            Err(forgotten) => {
                self.position = self.events.position();
                let event = sse::Event::default().id(self.position.to_string()).event("reset");
                self.ready.push_back(event.data(json!({ "reason": forgotten.to_string() }).to_string()));
            }
        }
    }
}
