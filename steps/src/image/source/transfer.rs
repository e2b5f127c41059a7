//! One file over HTTP, whatever happens on the way.
//!
//! ```text
//! first request   |=========x                      the connection breaks
//! second request            |======x               Range: bytes=10-, If-Range: the same object only
//! third, other URL                 |============|  same length, and the digest decides in the end
//! ```
//! A server that does not resume sends all again; what is here already is skipped.

use std::future::Future;
use std::time::{Duration, Instant};

use reqwest::{Response, StatusCode};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::backoff::Backoff;
use super::http::{self, Http, Refusal};
use super::object::{ContentRange, Object};
use super::{Closed, Feed, Received, coding};
use crate::image::decode::{Compression, Members};
use crate::image::{HttpOptions, ImageError, Location, Retries};

mod access;

pub(crate) use self::access::HttpAccess;

/// So many new bytes are progress; less is a server that drips and breaks.
const PROGRESS: u64 = 1 << 20;

/// A transfer with an answer whose body is about to be read.
pub(crate) struct Transfer {
    http: Http,
    urls: Vec<Url>,
    /// Index of the URL that `response` came from.
    current: usize,
    /// Whether bytes of two servers may be joined, because a digest decides in the end.
    checked: bool,
    /// The first answer's description, and the URL that gave it.
    object: Option<(Url, Object)>,
    response: Option<Response>,
    /// Bytes of the answer that are here already.
    skip: u64,
    backoff: Backoff,
    cancel: CancellationToken,
    received: Received,
}

impl Transfer {
    pub(crate) async fn open(
        locations: &[Location],
        checked: bool,
        http: &HttpOptions,
        retries: &Retries,
        cancel: &CancellationToken,
    ) -> Result<Self, ImageError> {
        let urls = locations.iter().filter_map(|location| match location {
            Location::Http(url) => Some(url.clone()),
            Location::File(_) => None,
        });
        let mut transfer = Self {
            http: Http::new(http, retries.timeout)?,
            urls: urls.collect(),
            current: 0,
            checked,
            object: None,
            response: None,
            skip: 0,
            backoff: Backoff::new(retries.clone()),
            cancel: cancel.clone(),
            received: Received::default(),
        };
        transfer.connect().await?;
        Ok(transfer)
    }

    /// Size of the file; nobody says that of a file that comes coded.
    pub(crate) fn total_bytes(&self) -> Option<u64> {
        self.sent_bytes().filter(|_| self.coding().is_none())
    }

    /// What the server has to send.
    fn sent_bytes(&self) -> Option<u64> {
        self.object.as_ref().and_then(|(_, object)| object.total)
    }

    fn coding(&self) -> Option<Compression> {
        self.object.as_ref().and_then(|(_, object)| object.coding)
    }

    /// Random access by Range, if the server has it; to be called inside the runtime.
    pub(crate) fn access(&self) -> Option<HttpAccess> {
        let (url, object) = self.object.clone()?;
        HttpAccess::new(self.http.clone(), url, object, Handle::current())
    }

    /// Reads the file to its end, however often that takes.
    pub(crate) async fn run(mut self, mut feed: Feed) -> Result<Received, ImageError> {
        let started = Instant::now();
        let mut progress_at = PROGRESS;
        // Its state outlives connections: the next one goes on in the coded bytes.
        let mut coded = self.coding().map(Members::new).transpose()?;
        loop {
            let broken = match self.next().await? {
                Ok(Some(bytes)) => {
                    let known = bytes.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
                    self.skip -= known as u64;
                    self.received.bytes += (bytes.len() - known) as u64;
                    let put = match &mut coded {
                        None => feed.put(&bytes[known..]).await,
                        Some(members) => {
                            feed.decode(&bytes[known..], members).await.map_err(|error| self.damaged(&error))?
                        }
                    };
                    if let Err(Closed) = put {
                        break;
                    }
                    if self.received.bytes >= progress_at {
                        progress_at = self.received.bytes + PROGRESS;
                        self.backoff.progressed();
                    }
                    continue;
                }
                Ok(None) if self.sent_bytes().is_none_or(|total| total == self.received.bytes) && self.skip == 0 => {
                    if let Some(members) = &coded {
                        members.end().map_err(|error| self.damaged(&error))?;
                    }
                    // Nobody takes the last piece when the other stages have failed.
                    let _ = feed.send();
                    break;
                }
                Ok(None) => "the body ended early".to_string(),
                Err(error) => http::chain(&error),
            };
            let url = self.name();
            let at = self.received.bytes;
            let pause = self.backoff.failed(format!("URL: {url}; Error: at byte {at}: {broken}"))?;
            self.response = None;
            self.pause(pause).await?;
            self.connect().await?;
            self.received.resumes += 1;
            self.received.notes.push(format!("{url} broke off at byte {at} ({broken}); went on from {}", self.name()));
        }
        self.received.busy = started.elapsed().saturating_sub(feed.waited);
        self.received.location = self.name();
        if let Some(coding) = self.coding() {
            let text = format!("{} came with Content-Encoding {}: decoded on the way", self.name(), coding.name());
            self.received.notes.push(text);
        }
        Ok(self.received)
    }

    /// The coded bytes make no sense.
    fn damaged(&self, error: &ImageError) -> ImageError {
        let coding = self.coding().map_or("identity", Compression::name);
        ImageError::Damaged(format!("{} comes with Content-Encoding {coding}: {}", self.name(), error.chain()))
    }

    /// The next bytes of the body; nothing at its end.
    async fn next(&mut self) -> Result<reqwest::Result<Option<bytes::Bytes>>, ImageError> {
        let Some(mut response) = self.response.take() else { return Ok(Ok(None)) };
        let next = self.limited(response.chunk()).await?;
        self.response = Some(response);
        Ok(next)
    }

    /// Gets an answer that goes on at the byte where we are, from any URL that still may have it.
    async fn connect(&mut self) -> Result<(), ImageError> {
        loop {
            let Some(url) = self.urls.get(self.current).cloned() else {
                return Err(ImageError::DownloadFatal(self.backoff.history().join("\n ")));
            };
            let refusal = match self.limited(self.request(&url)).await? {
                Ok(response) => match self.accept(&url, response)? {
                    Ok(()) => return Ok(()),
                    Err(refusal) => refusal,
                },
                Err(refusal) => refusal,
            };
            match refusal {
                Refusal::Fatal(text) => {
                    self.backoff.note(text);
                    self.urls.remove(self.current);
                    // The list is empty only when every URL has refused for good.
                    self.current %= self.urls.len().max(1);
                }
                Refusal::Again(text) => {
                    let pause = self.backoff.failed(text)?;
                    self.current = (self.current + 1) % self.urls.len().max(1);
                    self.pause(pause).await?;
                }
            }
        }
    }

    async fn request(&self, url: &Url) -> Result<Response, Refusal> {
        let at = self.received.bytes;
        let request = match &self.object {
            Some((origin, object)) if at > 0 => {
                let if_range = object.if_range().filter(|_| origin == url);
                self.http.get_range(url, &format!("{at}-"), if_range)
            }
            _ => self.http.get(url),
        };
        let name = Location::Http(url.clone()).to_string();
        let response = self.http.send(request, &name).await?;
        match coding::of(response.headers()) {
            Ok(_) => Ok(response),
            Err(unknown) => Err(http::coded(&name, &unknown)),
        }
    }

    /// Takes an answer when it is the same object, at the right byte.
    fn accept(&mut self, url: &Url, response: Response) -> Result<Result<(), Refusal>, ImageError> {
        let name = Location::Http(url.clone()).to_string();
        let at = self.received.bytes;
        let status = response.status();
        let answer = Object::of(status, response.headers());
        if status == StatusCode::PARTIAL_CONTENT {
            let first = ContentRange::of(response.headers()).map(|range| range.first);
            if at == 0 || first != Some(at) {
                return Ok(Err(Refusal::Fatal(format!("{name} answered 206 with a range that was not asked for"))));
            }
        }
        if let Some((origin, object)) = &self.object {
            let same_server = origin == url;
            let difference = match same_server {
                true => object.differs(&answer),
                false => object.differs_in_bytes(&answer),
            };
            if let Some(difference) = difference {
                return Err(ImageError::Changed(format!("{name} changed: {difference}")));
            }
            if at > 0 && !self.checked && !(same_server && object.is_recognisable()) {
                return Err(ImageError::Changed(format!("{name}: nothing proves that it is still the same file")));
            }
        }
        self.skip = 0;
        if status == StatusCode::OK && at > 0 {
            self.skip = at;
            self.received.notes.push(format!("{name} cannot resume: received again from byte 0"));
        }
        self.object.get_or_insert((url.clone(), answer));
        self.response = Some(response);
        Ok(Ok(()))
    }

    /// The URL that is asked now.
    pub(crate) fn location(&self) -> Option<Location> {
        self.urls.get(self.current).map(|url| Location::Http(url.clone()))
    }

    /// The same in words.
    fn name(&self) -> String {
        self.location().map(|location| location.to_string()).unwrap_or_default()
    }

    async fn pause(&self, pause: Duration) -> Result<(), ImageError> {
        self.limited(tokio::time::sleep(pause)).await
    }

    /// Waits for `work`, but not past the limit of the transfer or its cancellation.
    async fn limited<T>(&self, work: impl Future<Output = T>) -> Result<T, ImageError> {
        let deadline = self.backoff.deadline();
        let over = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            done = work => Ok(done),
            () = self.cancel.cancelled() => Err(ImageError::Cancelled),
            () = over => Err(ImageError::DownloadTimeout(format!(
                "{} was not received within its time limit; {} bytes had come", self.name(), self.received.bytes
            ))),
        }
    }
}
