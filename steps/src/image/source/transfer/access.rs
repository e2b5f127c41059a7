//! Random access to a file by Range requests. It only saves time: who cannot have it reads the file in order.

use std::time::Duration;

use ferric_hardware::units::Bytes;
use reqwest::StatusCode;
use reqwest::header::{IF_RANGE, RANGE};
use tokio::runtime::Handle;
use url::Url;

use crate::http::{self, Client, HttpError, Limit, Request, Tries};
use crate::image::source::Terms;
use crate::image::source::object::{ContentRange, Object};
use crate::image::{ImageError, RandomAccess};
use crate::options::Retries;

/// Tries after the first, per range; a server that has answered a moment ago needs few.
const RETRIES: u32 = 2;
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// What is asked for to find out whether ranges are served: bytes that are known already, and not the first ones, which a
/// server may send whatever it is asked for.
const PROBE: std::ops::Range<usize> = 512..1024;

/// One object on one server.
pub(crate) struct HttpAccess {
    client: Client,
    terms: Terms,
    url: Url,
    object: Object,
    total: u64,
    handle: Handle,
}

impl HttpAccess {
    /// Nothing when the size is not known, or the bytes of the file are not where it says.
    pub(super) fn new(client: Client, terms: Terms, url: Url, object: Object, handle: Handle) -> Option<Self> {
        let total = object.total.filter(|_| object.coding.is_none())?;
        Some(Self { client, terms, url, object, total, handle })
    }

    /// Whether the server serves ranges of this object, which begins with `known`. Blocks.
    pub(crate) fn works(&self, known: &[u8]) -> bool {
        let Some(expected) = known.get(PROBE) else { return false };
        self.handle.block_on(self.fetch(PROBE.start as u64, PROBE.len())).is_ok_and(|bytes| bytes == expected)
    }

    /// Exactly `len` bytes (at least one) at `at`.
    async fn fetch(&self, at: u64, len: usize) -> Result<Vec<u8>, ImageError> {
        let interval = self.terms.retries.interval.min(LONGEST_PAUSE);
        let mut tries = Tries::new(&Retries { count: RETRIES, interval, ..self.terms.retries.clone() });
        let fetched = async {
            loop {
                match self.try_fetch(at, len).await {
                    Ok(bytes) => break Ok(bytes),
                    Err(error) => tries.again(error).await?,
                }
            }
        };
        tokio::select! {
            fetched = fetched => fetched.map_err(ImageError::Http),
            () = self.terms.cancel.cancelled() => Err(ImageError::Cancelled),
        }
    }

    async fn try_fetch(&self, at: u64, len: usize) -> Result<Vec<u8>, HttpError> {
        let last = at.saturating_add(len as u64) - 1;
        let request = Request::get(&self.url).header(RANGE, &format!("bytes={at}-{last}"));
        let request = match self.object.if_range() {
            Some(value) => request.header(IF_RANGE, value),
            None => request,
        };
        let answer = self.client.send(&request).await?;
        let other = || HttpError::Range { url: http::shown(&self.url) };
        let wanted = ContentRange { first: at, last, total: Some(self.total) };
        if answer.status() != StatusCode::PARTIAL_CONTENT || ContentRange::of(answer.headers()) != Some(wanted) {
            return Err(other());
        }
        let described = Object::of(answer.status(), answer.headers(), answer.coding()?);
        if self.object.differs(&described).is_some() {
            return Err(other());
        }
        let bytes = answer.collect(Limit::bytes(len)).await?;
        if bytes.len() == len { Ok(bytes) } else { Err(HttpError::EndedEarly { url: http::shown(&self.url) }) }
    }
}

impl RandomAccess for HttpAccess {
    fn total_bytes(&self) -> Bytes {
        Bytes(self.total)
    }

    fn read_at(&self, at: Bytes, len: usize) -> Result<Vec<u8>, ImageError> {
        if len == 0 {
            return Ok(Vec::new());
        }
        self.handle.block_on(self.fetch(at.0, len))
    }
}
