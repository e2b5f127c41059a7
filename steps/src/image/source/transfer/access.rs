//! Random access to a file by Range requests.

use ferric_hardware::units::Bytes;
use reqwest::StatusCode;
use tokio::runtime::Handle;
use url::Url;

use crate::image::source::http::{self, Http, Refusal};
use crate::image::source::object::{ContentRange, Object};
use crate::image::{ImageError, Location, RandomAccess};

/// Tries per range; a server that has answered a moment ago needs few.
const TRIES: u32 = 3;

/// One object on one server.
pub(crate) struct HttpAccess {
    http: Http,
    url: Url,
    object: Object,
    total: u64,
    handle: Handle,
}

impl HttpAccess {
    /// Nothing when the size is not known, or the bytes of the file are not where it says.
    pub(crate) fn new(http: Http, url: Url, object: Object, handle: Handle) -> Option<Self> {
        let total = object.total.filter(|_| object.coding.is_none())?;
        Some(Self { http, url, object, total, handle })
    }

    /// Whether the server serves ranges of this object. Blocks.
    pub(crate) fn works(&self) -> bool {
        self.total > 0 && self.handle.block_on(self.fetch(0, 1)).is_ok()
    }

    /// Exactly `len` bytes (at least one) at `at`.
    async fn fetch(&self, at: u64, len: usize) -> Result<Vec<u8>, ImageError> {
        let mut tries = Vec::new();
        for _ in 0..TRIES {
            match self.try_fetch(at, len).await {
                Ok(bytes) => return Ok(bytes),
                Err(Refusal::Fatal(text)) => return Err(ImageError::DownloadFatal(text)),
                Err(Refusal::Again(text)) => tries.push(text),
            }
        }
        Err(ImageError::Download(tries))
    }

    async fn try_fetch(&self, at: u64, len: usize) -> Result<Vec<u8>, Refusal> {
        let name = Location::Http(self.url.clone()).to_string();
        let last = at.saturating_add(len as u64) - 1;
        let request = self.http.get_range(&self.url, &format!("{at}-{last}"), self.object.if_range());
        let mut response = http::uncoded(self.http.send(request, &name).await?, &name)?;
        let range = ContentRange::of(response.headers());
        let wanted = ContentRange { first: at, last, total: Some(self.total) };
        if response.status() != StatusCode::PARTIAL_CONTENT || range != Some(wanted) {
            return Err(Refusal::Fatal(format!("{name} does not serve the range {at}-{last}")));
        }
        if let Some(difference) = self.object.differs(&Object::of(response.status(), response.headers())) {
            return Err(Refusal::Fatal(format!("{name} changed: {difference}")));
        }
        let mut bytes = Vec::with_capacity(len);
        loop {
            match response.chunk().await {
                Ok(Some(part)) if bytes.len() + part.len() <= len => bytes.extend_from_slice(&part),
                Ok(None) if bytes.len() == len => return Ok(bytes),
                Ok(_) => return Err(Refusal::Again(format!("{name} sent another length than it announced"))),
                Err(error) => return Err(Refusal::Again(format!("URL: {name}; Error: {}", http::chain(&error)))),
            }
        }
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
