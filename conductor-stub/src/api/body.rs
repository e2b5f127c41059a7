//! Bodies: JSON that comes in, within limits of size, time and of what all of them take together.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::error::ApiError;

/// What the bodies under way may take together.
const TOGETHER_BYTES: usize = 256 << 20;
/// A body of which nothing comes for so long is given up.
const SILENCE: Duration = Duration::from_secs(30);
/// A body takes no longer than this.
const WHOLE: Duration = Duration::from_secs(300);

/// Room for the bodies of all requests.
#[derive(Debug, Clone)]
pub struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(TOGETHER_BYTES)))
    }
}

/// How large the body of a request may be, and the room for it.
#[derive(Debug, Clone)]
pub struct Limit {
    bytes: usize,
    room: Room,
}

impl Limit {
    /// At most so many KiB.
    pub fn kib(kib: usize, room: &Room) -> Self {
        Self { bytes: kib << 10, room: room.clone() }
    }
}

/// Refuses what says that it is too large before any of it comes, and has [`Json`] keep to the limit.
pub async fn limit(State(limit): State<Limit>, mut request: Request, next: Next) -> Response {
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > limit.bytes) {
        return ApiError::TooLarge(limit.bytes).into_response();
    }
    request.extensions_mut().insert(limit);
    next.run(request).await
}

/// A JSON body; the refusal is Ironic's.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let (bytes, _taken) = whole(request).await?;
        parse(&bytes).map(Self)
    }
}

/// A JSON body that may be missing or `null`.
#[derive(Debug)]
pub struct OptionalJson<T>(pub Option<T>);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for OptionalJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let (bytes, _taken) = whole(request).await?;
        if bytes.is_empty() { Ok(Self(None)) } else { parse(&bytes).map(Self) }
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| ApiError::Invalid(format!("Invalid input: {error}")))
}

/// The room that a body takes.
#[derive(Debug, Default)]
pub struct Taken(Option<OwnedSemaphorePermit>);

/// The whole body of a request. Without a limit it is one of our own making.
///
/// # Errors
/// 413, 408, 503 when there is no room, 400 when the connection fails.
pub(super) async fn whole(request: Request) -> Result<(Bytes, Taken), ApiError> {
    let limit = request.extensions().get::<Limit>().cloned();
    let mut stream = request.into_body().into_data_stream();
    let (mut bytes, mut taken) = (Vec::new(), Taken::default());
    let start = Instant::now();
    loop {
        let pause = SILENCE.min(WHOLE.saturating_sub(start.elapsed()));
        let Ok(next) = timeout(pause, stream.next()).await else { return Err(ApiError::TooSlow) };
        let Some(chunk) = next else { return Ok((bytes.into(), taken)) };
        let chunk = chunk.map_err(|error| ApiError::Invalid(format!("reading the body: {error}")))?;
        if let Some(limit) = &limit {
            if bytes.len() + chunk.len() > limit.bytes {
                return Err(ApiError::TooLarge(limit.bytes));
            }
            let wanted = u32::try_from(chunk.len()).map_err(|_| ApiError::TooLarge(limit.bytes))?;
            match timeout(SILENCE, Arc::clone(&limit.room.0).acquire_many_owned(wanted)).await {
                Ok(Ok(permit)) => match &mut taken.0 {
                    Some(earlier) => earlier.merge(permit),
                    none => *none = Some(permit),
                },
                _ => return Err(ApiError::Unavailable),
            }
        }
        bytes.extend_from_slice(&chunk);
    }
}

/// An answer with a JSON body.
pub type Answer = Result<Response, ApiError>;
