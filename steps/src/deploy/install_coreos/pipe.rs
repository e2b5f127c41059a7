//! The way of an image whose digest is known to coreos-installer, which compares none: a server on this machine whose
//! only file is fetched, and verified, while it is served. The last bytes are kept back until the digest is right, so
//! that coreos-installer never sees a whole image that is wrong.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::DropGuard;
use uuid::Uuid;

use super::located::Located;
use crate::deploy::image_info::ImageInfo;
use crate::image::{Digest, ImageError, Location, Stream, Terms};
use crate::step::Step;
use crate::{ErrorKind, StepError};

/// How far the image has come.
#[derive(Debug)]
enum Passage {
    /// Nobody has read it to its end.
    Unfinished,
    /// All of it was handed out, and is what it should be.
    Verified,
    /// It cannot be had, or is another one.
    Failed(ImageError),
}

/// What every request needs.
#[derive(Clone)]
struct Served {
    locations: Vec<Location>,
    terms: Terms,
    digest: Digest,
    buffer_budget: ferric_hardware::units::Bytes,
    passage: Arc<Mutex<Passage>>,
}

/// The server; gone when this is dropped.
pub(super) struct Pipe {
    url: String,
    passage: Arc<Mutex<Passage>>,
    server: JoinHandle<()>,
    _cancel: DropGuard,
}

impl Pipe {
    /// Finds out what the image's digest has to be, and is ready to serve it. The image itself is not asked for yet.
    ///
    /// # Errors
    /// Those of a checksum that cannot be had or used; [`ImageError`] of a registry.
    pub(super) async fn open(info: &ImageInfo, step: &Step) -> Result<Self, StepError> {
        let Located { found, digest, http } = Located::of(info, step).await?;
        let options = &step.site.options;
        let cancel = step.cancel.child_token();
        let served = Served {
            locations: found.locations,
            terms: Terms {
                http,
                login: found.login,
                retries: options.download.retries.clone(),
                algorithm: Some(digest.algorithm),
                progress: step.progress.clone(),
                cancel: cancel.clone(),
            },
            digest,
            buffer_budget: options.image.buffer_budget,
            passage: Arc::new(Mutex::new(Passage::Unfinished)),
        };
        let passage = Arc::clone(&served.passage);
        let unusable = |error: std::io::Error| {
            ErrorKind::Deployment.error("cannot serve the image to coreos-installer").because(error)
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(unusable)?;
        let address = listener.local_addr().map_err(unusable)?;
        // Nobody else on this machine knows the name.
        let path = format!("/{}", Uuid::new_v4());
        let router = Router::new().route(&path, get(serve)).with_state(served);
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the image is no longer served");
            }
        });
        Ok(Self { url: format!("http://{address}{path}"), passage, server, _cancel: cancel.drop_guard() })
    }

    /// Where coreos-installer gets the image.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Why the image could not be had, if that is so.
    pub(super) fn failure(&self) -> Option<ImageError> {
        let mut passage = lock(&self.passage);
        match std::mem::replace(&mut *passage, Passage::Unfinished) {
            Passage::Failed(error) => Some(error),
            other => {
                *passage = other;
                None
            }
        }
    }

    /// Whether all of it was handed out and has its digest.
    pub(super) fn is_verified(&self) -> bool {
        matches!(*lock(&self.passage), Passage::Verified)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock(passage: &Mutex<Passage>) -> std::sync::MutexGuard<'_, Passage> {
    passage.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(State(served): State<Served>) -> Response {
    *lock(&served.passage) = Passage::Unfinished;
    let Served { locations, terms, digest, buffer_budget, passage } = served;
    let stream = match Stream::open(&locations, &terms, digest, buffer_budget).await {
        Ok(stream) => stream,
        Err(error) => {
            *lock(&passage) = Passage::Failed(error);
            return StatusCode::BAD_GATEWAY.into_response();
        }
    };
    let length = stream.total_bytes().map(|bytes| [(header::CONTENT_LENGTH, bytes)]);
    let body = stream::unfold(Some(stream), move |stream| {
        let passage = Arc::clone(&passage);
        async move {
            let mut stream = stream?;
            let next = tokio::task::spawn_blocking(move || (stream.next(), stream));
            let (next, stream) = next.await.ok()?;
            match next {
                Ok(chunk) => {
                    // Nobody asks for what follows the last of a known number of bytes.
                    if stream.is_verified() {
                        *lock(&passage) = Passage::Verified;
                    }
                    chunk.map(|chunk| (Ok(Bytes::from_owner(chunk)), Some(stream)))
                }
                Err(error) => {
                    let text = error.to_string();
                    *lock(&passage) = Passage::Failed(error);
                    Some((Err(std::io::Error::other(text)), None))
                }
            }
        }
    });
    (length, Body::from_stream(body)).into_response()
}
