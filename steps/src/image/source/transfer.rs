//! One file over HTTP, whatever happens on the way.
//!
//! ```text
//! first request   |=========x                      the connection breaks
//! second request            |======x               Range: bytes=10-, If-Range: the same object only
//! third, other URL                 |============|  same length, and the digest decides in the end
//! ```
//! Ranges only save time. A server that refuses one is asked for all again, and what is here already is skipped.

use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{IF_RANGE, RANGE};
use tokio::runtime::Handle;
use url::Url;

use super::coded::Decoding;
use super::object::{ContentRange, Object};
use super::{Closed, Feed, Received, Terms};
use crate::http::{self, Answer, Client, HttpError, Request, Tries};
use crate::image::error::{Failure, Failures};
use crate::image::{ImageError, Location};

mod access;

pub(crate) use self::access::HttpAccess;

/// So many new bytes are progress; less is a server that drips and breaks.
const PROGRESS: u64 = 1 << 20;
/// After so long without an answer, or without bytes, whoever watches is told.
const SILENCE: Duration = Duration::from_secs(1);
/// So often a server may fail at a range before it is asked for the whole file.
const RANGE_FAILURES: u32 = 2;

/// A transfer with an answer whose body is about to be read.
pub(crate) struct Transfer {
    client: Client,
    terms: Terms,
    mirrors: Vec<Mirror>,
    /// Index of the mirror that `answer` came from.
    current: usize,
    /// The first answer's description, and the URL that gave it.
    object: Option<(Url, Object)>,
    answer: Option<Answer>,
    /// Bytes of the answer that are here already.
    skip: u64,
    /// Where the answer ends, when it is only a part of the file.
    part_end: Option<u64>,
    tries: Tries,
    failures: Failures,
    received: Received,
}

/// One of the places where the file is.
#[derive(Debug, Clone)]
struct Mirror {
    url: Url,
    /// How often it failed at a range.
    range_failures: u32,
}

impl Mirror {
    fn serves_ranges(&self) -> bool {
        self.range_failures < RANGE_FAILURES
    }
}

impl Transfer {
    pub(crate) async fn open(locations: &[Location], terms: Terms) -> Result<Self, ImageError> {
        let urls = locations.iter().filter_map(|location| match location {
            Location::Http(url) => Some(Mirror { url: url.clone(), range_failures: 0 }),
            Location::File(_) => None,
        });
        let mut transfer = Self {
            client: Client::new(&terms.http, terms.retries.timeout)?.with_login(terms.login.clone()),
            mirrors: urls.collect(),
            current: 0,
            object: None,
            answer: None,
            skip: 0,
            part_end: None,
            tries: Tries::new(&terms.retries).shown(&terms.progress),
            failures: Failures::default(),
            received: Received::default(),
            terms,
        };
        transfer.connect().await?;
        Ok(transfer)
    }

    /// Size of the file; nobody says that of a file that comes coded.
    pub(crate) fn total_bytes(&self) -> Option<u64> {
        let (_, object) = self.object.as_ref()?;
        object.total.filter(|_| object.coding.is_none())
    }

    /// What the server has to send.
    fn sent_bytes(&self) -> Option<u64> {
        self.object.as_ref().and_then(|(_, object)| object.total)
    }

    /// Random access by Range, if the server has it; to be called inside the runtime.
    pub(crate) fn access(&self) -> Option<HttpAccess> {
        let (url, object) = self.object.clone()?;
        HttpAccess::new(self.client.clone(), self.terms.clone(), url, object, Handle::current())
    }

    /// Reads the file to its end, however often that takes.
    pub(crate) async fn run(mut self, mut feed: Feed) -> Result<Received, ImageError> {
        let started = Instant::now();
        let mut progress_at = PROGRESS;
        let coding = self.object.as_ref().and_then(|(_, object)| object.coding);
        let mut decoding = coding.map(|coding| Decoding::new(coding, self.terms.algorithm));
        loop {
            let error = match self.next().await? {
                Ok(Some(bytes)) => {
                    let known = bytes.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
                    self.skip -= known as u64;
                    self.received.bytes += (bytes.len() - known) as u64;
                    let put = match &mut decoding {
                        None => feed.put(&bytes[known..]).await,
                        Some(decoding) => {
                            let put = decoding.put(&bytes[known..], &mut feed).await;
                            put.map_err(|error| self.damaged(&error))?
                        }
                    };
                    if let Err(Closed) = put {
                        break;
                    }
                    self.tries.recovered();
                    if self.received.bytes >= progress_at {
                        progress_at = self.received.bytes + PROGRESS;
                        self.tries.progressed();
                    }
                    continue;
                }
                Ok(None) if self.sent_bytes().is_none_or(|total| total == self.received.bytes) && self.skip == 0 => {
                    if let Some(decoding) = decoding.take() {
                        let coded = decoding.end(&mut feed).await.map_err(|error| self.damaged(&error))?;
                        self.received.coded = Some(coded);
                    }
                    // Nobody takes the last piece when the other stages have failed.
                    let _ = feed.send();
                    break;
                }
                // A server that gives no more at one time is asked for the next part.
                Ok(None) if self.part_end.take() == Some(self.received.bytes) && self.skip == 0 => {
                    self.connect().await?;
                    continue;
                }
                Ok(None) => HttpError::EndedEarly { url: self.name() },
                Err(error) => error,
            };
            let (url, at, brief) = (self.name(), self.received.bytes, error.brief());
            self.answer = None;
            self.failed(error).await?;
            self.connect().await?;
            self.received.resumes += 1;
            self.received.notes.push(format!("{url} broke off at byte {at} ({brief}); went on from {}", self.name()));
        }
        self.received.busy = started.elapsed().saturating_sub(feed.waited);
        self.received.location = self.name();
        if let Some(coded) = &self.received.coded {
            let what = if coded.is_true { "decoded on the way" } else { "its content is in no coding" };
            let text = format!("{} came with Content-Encoding {}: {what}", self.name(), coded.name);
            self.received.notes.push(text);
        }
        Ok(self.received)
    }

    /// The coded bytes make no sense.
    fn damaged(&self, error: &ImageError) -> ImageError {
        let coding = self.object.as_ref().and_then(|(_, object)| object.coding).map_or("identity", |c| c.name());
        ImageError::Damaged(format!("{} comes with Content-Encoding {coding}: {}", self.name(), error.chain()))
    }

    /// The next bytes of the body; nothing at its end.
    async fn next(&mut self) -> Result<Result<Option<Bytes>, HttpError>, ImageError> {
        let Some(mut answer) = self.answer.take() else { return Ok(Ok(None)) };
        let next = self.limited(self.noticed(answer.chunk())).await?;
        self.answer = Some(answer);
        Ok(next)
    }

    /// Gets an answer that goes on at the byte where we are, from any URL that still may have it.
    async fn connect(&mut self) -> Result<(), ImageError> {
        loop {
            let Some(mirror) = self.mirrors.get(self.current).cloned() else {
                return Err(ImageError::DownloadFatal(std::mem::take(&mut self.failures)));
            };
            let by_range = self.received.bytes > 0 && mirror.serves_ranges();
            let request = self.request(&mirror.url, by_range);
            let answer = self.limited(self.noticed(self.client.send(&request))).await?;
            let outcome = match answer {
                Ok(answer) => self.accept(&mirror.url, answer, by_range)?,
                Err(error) => Err(error),
            };
            let Err(error) = outcome else {
                self.tries.recovered();
                return Ok(());
            };
            if by_range && self.is_about_ranges(&error) {
                let (url, reason) = (http::shown(&mirror.url), error.brief());
                self.received
                    .notes
                    .push(format!("{url} refuses a range of bytes ({reason}): asked for the whole file"));
                self.mirrors[self.current].range_failures = RANGE_FAILURES;
                continue;
            }
            self.mirrors[self.current].range_failures += u32::from(by_range && error.status().is_some());
            if error.is_passing() {
                self.failed(error).await?;
                self.current = (self.current + 1) % self.mirrors.len().max(1);
            } else {
                self.failures.add(self.failure(error));
                self.mirrors.remove(self.current);
                // The list is empty only when every URL has refused for good.
                self.current %= self.mirrors.len().max(1);
            }
        }
    }

    /// Whether a refusal is of the range that was asked for, and perhaps not of the file.
    fn is_about_ranges(&self, error: &HttpError) -> bool {
        match error {
            HttpError::Range { .. } => true,
            HttpError::Status { .. } => !error.is_passing(),
            _ => false,
        }
    }

    fn request(&self, url: &Url, by_range: bool) -> Request {
        let request = Request::get(url);
        let Some((origin, object)) = self.object.as_ref().filter(|_| by_range) else { return request };
        let request = request.header(RANGE, &format!("bytes={}-", self.received.bytes));
        match object.if_range().filter(|_| origin == url) {
            Some(value) => request.header(IF_RANGE, value),
            None => request,
        }
    }

    /// Takes an answer when it is the same object and begins no later than at the byte where we are.
    fn accept(&mut self, url: &Url, answer: Answer, by_range: bool) -> Result<Result<(), HttpError>, ImageError> {
        let name = http::shown(url);
        let at = self.received.bytes;
        let coding = match answer.coding() {
            Ok(coding) => coding,
            Err(error) => return Ok(Err(error)),
        };
        let described = Object::of(answer.status(), answer.headers(), coding);
        let (mut first, mut part_end) = (0, None);
        if answer.status() == StatusCode::PARTIAL_CONTENT {
            let range = ContentRange::of(answer.headers()).filter(|range| range.first <= at && range.last >= at);
            let Some(range) = range.filter(|range| by_range || range.first == 0) else {
                return Ok(Err(HttpError::Range { url: name }));
            };
            (first, part_end) = (range.first, Some(range.last + 1));
        }
        if let Some((origin, object)) = &self.object {
            let same_server = origin == url;
            let difference = match same_server {
                true => object.differs(&described),
                false => object.differs_in_bytes(&described),
            };
            if let Some(difference) = difference {
                return Err(ImageError::Changed(format!("{name} changed: {difference}")));
            }
            if at > 0 && self.terms.algorithm.is_none() && !(same_server && object.is_recognisable()) {
                return Err(ImageError::Changed(format!("{name}: nothing proves that it is still the same file")));
            }
        }
        if at > 0 && first == 0 {
            self.received.notes.push(format!("{name} cannot resume: received again from byte 0"));
        }
        self.skip = at - first;
        self.part_end = part_end;
        self.object.get_or_insert((url.clone(), described));
        self.answer = Some(answer);
        Ok(Ok(()))
    }

    /// The URL that is asked now.
    pub(crate) fn location(&self) -> Option<Location> {
        self.mirrors.get(self.current).map(|mirror| Location::Http(mirror.url.clone()))
    }

    /// The same in words.
    fn name(&self) -> String {
        self.location().map(|location| location.to_string()).unwrap_or_default()
    }

    fn failure(&self, error: HttpError) -> Failure {
        Failure { error, at_byte: self.received.bytes, after: self.tries.elapsed() }
    }

    /// Notes a failure that may pass, and waits for the next try.
    async fn failed(&mut self, error: HttpError) -> Result<(), ImageError> {
        let pause = self.tries.failed(&error);
        self.failures.add(self.failure(error));
        match pause {
            Some(pause) => self.limited(tokio::time::sleep(pause)).await,
            None => Err(ImageError::Download(std::mem::take(&mut self.failures))),
        }
    }

    /// Waits for `work`, and says so to whoever watches when that takes long.
    async fn noticed<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        match tokio::time::timeout(SILENCE, &mut work).await {
            Ok(done) => done,
            Err(_) => {
                let host = self.mirrors.get(self.current).and_then(|mirror| mirror.url.host_str());
                self.terms.progress.trouble(Some(format!("waiting for {}", host.unwrap_or_default())));
                work.await
            }
        }
    }

    /// Waits for `work`, but not past the limit of the transfer or its cancellation.
    async fn limited<T>(&self, work: impl Future<Output = T>) -> Result<T, ImageError> {
        let deadline = self.tries.deadline();
        let over = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            done = work => Ok(done),
            () = self.terms.cancel.cancelled() => Err(ImageError::Cancelled),
            () = over => Err(ImageError::DownloadTimeout(format!(
                "{} was not received within its time limit; {} bytes had come", self.name(), self.received.bytes
            ))),
        }
    }
}
