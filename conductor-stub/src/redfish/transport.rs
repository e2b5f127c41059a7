//! One exchange with the BMC: its origin and no other, bounded in time, bytes and redirects.

use std::io::Read;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, HeaderMap, IF_MATCH, LOCATION, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use url::Url;

use super::certificate;
use super::error::{Failure, RedfishError, text};
use super::settings::Settings;
use crate::http::{BodyError, whole};
use crate::metrics::{RedfishEnd, RedfishRequests};

const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// For one request that reads.
const READ_LIMIT: Duration = Duration::from_secs(60);
/// For one that changes something: some BMCs hold their answer until a medium has been fetched.
const WRITE_LIMIT: Duration = Duration::from_secs(180);
/// Of one answer; the longest that are published are attribute registries of a few MiB.
const BODY_LIMIT: usize = 16 << 20;
const REDIRECTS: usize = 5;
/// The longest pause that a BMC may ask for.
const PAUSE_LIMIT: Duration = Duration::from_secs(30);

/// The way to one BMC.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    root: Url,
    http: reqwest::Client,
    /// Where requests are counted.
    pub(super) requests: RedfishRequests,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Identity<'a> {
    Nobody,
    Token(&'a str),
    Basic(&'a str, &'a str),
}

/// What is asked.
#[derive(Debug, Clone)]
pub(super) struct Question<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) body: Option<&'a Value>,
    pub(super) etag: Option<&'a str>,
}

impl<'a> Question<'a> {
    /// A reading one.
    pub(super) fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, body: None, etag: None }
    }
}

/// Whatever came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) url: Url,
    pub(super) status: StatusCode,
    headers: HeaderMap,
    /// Null when the body is no JSON.
    pub(super) body: Value,
    raw: String,
}

impl Reply {
    /// A header's text.
    pub(super) fn header(&self, name: impl reqwest::header::AsHeaderName) -> Option<String> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    }

    /// How long the BMC wants to be left alone, within reason.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.header(RETRY_AFTER)?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds).min(PAUSE_LIMIT))
    }

    /// What it says, in words.
    pub(super) fn text(&self) -> String {
        text(&self.body, &self.raw)
    }

    /// The same as an error.
    pub(super) fn refusal(self) -> RedfishError {
        let (text, retry_after) = (self.text(), self.retry_after());
        RedfishError::Refused {
            url: self.url.into(),
            status: self.status.as_u16(),
            text,
            body: Box::new(self.body),
            retry_after,
        }
    }
}

impl Transport {
    pub(super) fn new(settings: &Settings) -> Result<Self, RedfishError> {
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_LIMIT)
            // Some BMCs choke on kept connections.
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false);
        let http = match certificate::config(&settings.verify, settings.tls_minimum)? {
            Some(config) => builder.tls_backend_preconfigured(config),
            None => builder,
        };
        let wrong =
            |error: reqwest::Error| RedfishError::Setting { key: "redfish_verify_ca", problem: error.to_string() };
        let requests = RedfishRequests::default();
        Ok(Self { root: settings.root.clone(), http: http.build().map_err(wrong)?, requests })
    }

    /// The address that `link` stands for at this BMC. One with another host (its internal name, its other address, or
    /// somebody else's) leads to the same path here: credentials go nowhere else.
    pub(super) fn locate(&self, link: &str) -> Result<Url, RedfishError> {
        let odd = |problem: String| RedfishError::Document { url: self.root.to_string(), problem };
        let found = self.root.join(link).map_err(|error| odd(format!("link {link}: {error}")))?;
        if !matches!(found.scheme(), "http" | "https") {
            return Err(odd(format!("link {link} is no path")));
        }
        let mut url = self.root.clone();
        url.set_path(found.path());
        url.set_query(found.query());
        Ok(url)
    }

    /// Asks, and reads the answer whatever its status. Redirects are followed at this BMC, with the same method and body.
    pub(super) async fn exchange(&self, question: &Question<'_>, who: Identity<'_>) -> Result<Reply, RedfishError> {
        let mut url = self.locate(question.path)?;
        let mut method = question.method.clone();
        // Compressed answers make some BMCs send weak ETags.
        let mut plain = true;
        for _ in 0..=REDIRECTS {
            let reply = self.ask(&method, url.clone(), question, who, plain).await;
            self.requests.count(method.as_str(), end(&reply));
            let reply = reply?;
            if reply.status == StatusCode::NOT_ACCEPTABLE && method == Method::GET && plain {
                // HPE Gen10 Plus has some resources only compressed.
                plain = false;
                continue;
            }
            let Some(target) = reply.header(LOCATION).filter(|_| moved(reply.status)) else { return Ok(reply) };
            let odd = |problem: String| RedfishError::Document { url: url.to_string(), problem };
            let next = url.join(&target).map_err(|error| odd(format!("redirects to {target}: {error}")))?;
            if next.origin() != self.root.origin() {
                let text =
                    "redirects to another address, which is not followed; set redfish_address to it if it is right";
                return Err(odd(format!("{text}: {}", next.origin().ascii_serialization())));
            }
            if reply.status == StatusCode::SEE_OTHER {
                method = Method::GET;
            }
            url = next;
        }
        Err(RedfishError::Document { url: url.into(), problem: format!("more than {REDIRECTS} redirects") })
    }

    async fn ask(
        &self,
        method: &Method,
        url: Url,
        question: &Question<'_>,
        who: Identity<'_>,
        plain: bool,
    ) -> Result<Reply, RedfishError> {
        let limit = if *method == Method::GET { READ_LIMIT } else { WRITE_LIMIT };
        let mut request = self.http.request(method.clone(), url.clone()).timeout(limit);
        request = request.header("OData-Version", "4.0").header(CONNECTION, "close");
        if plain {
            request = request.header(ACCEPT_ENCODING, "identity");
        }
        request = match who {
            Identity::Nobody => request,
            Identity::Token(token) => request.header("X-Auth-Token", token),
            Identity::Basic(user, password) => request.basic_auth(user, Some(password)),
        };
        if *method == question.method {
            if let Some(body) = question.body {
                request = request.json(body);
            }
            if let Some(etag) = question.etag {
                request = request.header(IF_MATCH, etag);
            }
        }
        let failed = |error: reqwest::Error| unreachable(&url, &error);
        let response = request.send().await.map_err(failed)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut bytes = whole(response, BODY_LIMIT).await.map_err(|error| match error {
            BodyError::Broken(error) => failed(error),
            BodyError::TooLarge(_) => RedfishError::Document { url: url.to_string(), problem: error.to_string() },
        })?;
        if headers.get(CONTENT_ENCODING).is_some_and(|coding| coding == "gzip") {
            let mut unpacked = Vec::new();
            let reader = flate2::read::GzDecoder::new(&bytes[..]);
            let odd =
                |error: std::io::Error| RedfishError::Document { url: url.to_string(), problem: error.to_string() };
            reader.take(BODY_LIMIT as u64).read_to_end(&mut unpacked).map_err(odd)?;
            bytes = unpacked;
        }
        // serde_json gives up at a depth of 128.
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        let raw = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]).into_owned();
        Ok(Reply { url, status, headers, body, raw })
    }
}

/// What a request came to, for counting.
fn end(reply: &Result<Reply, RedfishError>) -> RedfishEnd {
    match reply {
        Ok(reply) if reply.status.is_server_error() => RedfishEnd::Failed,
        Ok(reply) if reply.status.is_client_error() => RedfishEnd::Refused,
        Ok(_) => RedfishEnd::Ok,
        Err(_) => RedfishEnd::Unreachable,
    }
}

fn moved(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn unreachable(url: &Url, error: &reqwest::Error) -> RedfishError {
    let mut failure = if error.is_connect() { Failure::NotSent } else { Failure::NoAnswer };
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if is_tls(cause) {
            failure = Failure::Certificate;
        }
        reason = cause.to_string();
        source = cause.source();
    }
    if error.is_timeout() {
        reason = "no answer in time".into();
    }
    RedfishError::Unreachable { url: url.to_string(), reason, failure }
}

/// Whether TLS is what failed; its errors travel inside those of sockets.
fn is_tls(cause: &(dyn std::error::Error + 'static)) -> bool {
    let inside = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    cause.is::<rustls::Error>() || inside.is_some_and(|inner| is_tls(inner))
}
