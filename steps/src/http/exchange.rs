//! One exchange: a request, whatever redirects it meets, and the answer. Redirects are followed here and not by the
//! library, because it is they who lead secrets astray: what a request says of us, and its body, are for the origin (scheme,
//! host and port) it was made for.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use cookie_store::{CookieStore, RawCookie};
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
    SET_COOKIE,
};
use reqwest::{Client, Method, StatusCode};
use url::Url;

use super::address::shown;
use super::coding::{self, Coding};
use super::error::HttpError;
use super::options::{Authorization, HttpOptions};
use super::proxy::Proxies;
use super::tls;

/// The most redirects that are followed; that of the Python agent.
const REDIRECTS: usize = 30;
/// Bodies that come slower than this are not waited for to their end.
const SLOWEST_BYTES_PER_SECOND: u64 = 64 << 10;

/// A request that can be sent more than once.
#[derive(Debug, Clone)]
pub struct Request {
    pub(super) url: Url,
    method: Method,
    headers: HeaderMap,
    body: Option<Bytes>,
}

impl Request {
    /// A request for the bytes as they are, not coded for transport.
    pub fn get(url: &Url) -> Self {
        Self::new(Method::GET, url).header(ACCEPT_ENCODING, "identity")
    }

    /// A request without a word on codings.
    pub fn new(method: Method, url: &Url) -> Self {
        Self { url: url.clone(), method, headers: HeaderMap::new(), body: None }
    }

    /// Adds a header, instead of one of that name. A value that cannot be one is left out.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Adds pairs to the query.
    #[must_use]
    pub fn query(mut self, pairs: &[(&str, String)]) -> Self {
        self.url.query_pairs_mut().extend_pairs(pairs);
        self
    }

    /// Sends this document.
    #[must_use]
    pub fn json(mut self, body: &serde_json::Value) -> Self {
        self.body = Some(body.to_string().into());
        self.header(CONTENT_TYPE, "application/json")
    }
}

/// A client without a login.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    client: Client,
    /// What only the origin of a URL is told.
    private: HeaderMap,
    timeout: Duration,
}

impl Exchange {
    /// By `options`; `timeout` limits connecting, waiting for the head of an answer, and each silence in its body.
    pub(super) fn new(options: &HttpOptions, timeout: Duration) -> Result<Self, HttpError> {
        let client = Client::builder()
            .user_agent(concat!("ferric/", env!("CARGO_PKG_VERSION")))
            // Silences are limited where bytes are waited for: reqwest's own limit goes on while nobody reads.
            .connect_timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .tls_backend_preconfigured(tls::client_config(&options.tls)?);
        let client = proxies(options)?.apply(client).build().map_err(HttpError::Client)?;
        Ok(Self { client, private: options.headers.map().clone(), timeout })
    }

    /// Sends a request, which says who we are to the origin of its URL. Any answer will do.
    pub(super) async fn send(&self, request: &Request, who: Option<&Authorization>) -> Result<Answer, HttpError> {
        let asked = shown(&request.url);
        let (mut url, in_url) = without_user(&request.url);
        let who = who.cloned().or(in_url);
        let (mut method, mut headers, mut body) =
            (request.method.clone(), request.headers.clone(), request.body.clone());
        let mut at_origin = true;
        let mut cookies = CookieStore::default();
        for _ in 0..=REDIRECTS {
            let mut sent = headers.clone();
            if at_origin {
                sent.extend(self.private.clone());
                sent.extend(authorization(who.as_ref()));
            }
            sent.extend(cookie_header(&cookies, &url));
            let mut builder = self.client.request(method.clone(), url.clone()).headers(sent);
            if let Some(body) = &body {
                builder = builder.body(body.clone());
            }
            let failed =
                |source: reqwest::Error| HttpError::Exchange { url: asked.clone(), source: source.without_url() };
            let silent = |_| HttpError::Silent { url: asked.clone(), limit: self.timeout };
            let response = tokio::time::timeout(self.timeout, builder.send()).await.map_err(silent)?.map_err(failed)?;
            keep_cookies(&mut cookies, response.headers(), &url);
            let status = response.status();
            let Some(location) = response.headers().get(LOCATION).filter(|_| follows(status)) else {
                return Ok(Answer { response, asked, timeout: self.timeout });
            };
            let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
            let refused = |target: String, reason| HttpError::Redirect { url: asked.clone(), target, reason };
            let next = url.join(&location).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            let next = next.ok_or_else(|| refused(crate::url_secrets::hide(&location), "it is no HTTP URL"))?;
            at_origin &= next.origin() == request.url.origin();
            let keeps_method = matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
            if !keeps_method && method != Method::HEAD {
                method = Method::GET;
                body = None;
                headers.remove(CONTENT_TYPE);
            }
            if body.is_some() && !at_origin {
                return Err(refused(shown(&next), "the request was meant for the first server only"));
            }
            url = next;
        }
        let reason = "there were too many redirects before";
        Err(HttpError::Redirect { target: shown(&url), url: asked, reason })
    }
}

/// Statuses that mean: ask there instead.
fn follows(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Those that were named, else those of the environment.
fn proxies(options: &HttpOptions) -> Result<Proxies, HttpError> {
    let mut proxies = if options.proxies.is_empty() { Proxies::from_environment() } else { Proxies::default() };
    for (scheme, url) in &options.proxies {
        if !proxies.set(scheme, url) {
            return Err(HttpError::Proxy(scheme.clone()));
        }
    }
    if let Some(exceptions) = &options.no_proxy {
        proxies.set_exceptions(exceptions);
    }
    Ok(proxies)
}

/// The URL without user and password, and these. A path that a redirect gives would inherit them.
fn without_user(url: &Url) -> (Url, Option<Authorization>) {
    let mut bare = url.clone();
    // Both succeed for every URL that has a host, which http URLs have.
    let _ = (bare.set_username(""), bare.set_password(None));
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let has_user = !url.username().is_empty() || url.password().is_some();
    let who = || Authorization::Basic(decoded(url.username()), decoded(url.password().unwrap_or_default()));
    (bare, has_user.then(who))
}

fn authorization(who: Option<&Authorization>) -> HeaderMap {
    use base64::Engine;
    let text = match who {
        None => return HeaderMap::new(),
        Some(Authorization::Header(value)) => value.clone(),
        Some(Authorization::Basic(user, password)) => {
            let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
            format!("Basic {encoded}")
        }
    };
    let value = HeaderValue::from_str(&text).ok().map(|mut value| {
        value.set_sensitive(true);
        (AUTHORIZATION, value)
    });
    value.into_iter().collect()
}

fn cookie_header(cookies: &CookieStore, url: &Url) -> Option<(HeaderName, HeaderValue)> {
    let pairs: Vec<String> = cookies.get_request_values(url).map(|(name, value)| format!("{name}={value}")).collect();
    let mut value = HeaderValue::from_str(&pairs.join("; ")).ok().filter(|_| !pairs.is_empty())?;
    value.set_sensitive(true);
    Some((COOKIE, value))
}

fn keep_cookies(cookies: &mut CookieStore, headers: &HeaderMap, url: &Url) {
    let given = headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.store_response_cookies(given.filter_map(|text| RawCookie::parse(text.to_string()).ok()), url);
}

/// How much of a body is taken, and for how long it is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Bytes of its content.
    pub bytes: usize,
    /// From its first to its last byte.
    pub time: Duration,
}

impl Limit {
    /// So many bytes, in the time that they take on a slow network.
    pub const fn bytes(bytes: usize) -> Self {
        Self { bytes, time: Duration::from_secs(60 + bytes as u64 / SLOWEST_BYTES_PER_SECOND) }
    }
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub struct Answer {
    response: reqwest::Response,
    asked: String,
    timeout: Duration,
}

impl Answer {
    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Its headers.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Where it came from in the end.
    pub fn url(&self) -> &Url {
        self.response.url()
    }

    /// What was asked, without secrets.
    pub fn asked(&self) -> &str {
        &self.asked
    }

    /// The error that an answer with this status is.
    pub fn refusal(&self) -> HttpError {
        let retry_after =
            self.headers().get(RETRY_AFTER).and_then(|value| wait(value.to_str().ok()?, SystemTime::now()));
        HttpError::Status { url: self.asked.clone(), status: self.status().as_u16(), retry_after }
    }

    /// How the body is coded.
    ///
    /// # Errors
    /// [`HttpError::Coded`] when nobody here can undo that.
    pub(crate) fn coding(&self) -> Result<Option<Coding>, HttpError> {
        coding::of(self.headers()).map_err(|coding| HttpError::Coded { url: self.asked.clone(), coding })
    }

    /// The next bytes of the body, as coded; nothing at its end. How long ago somebody asked last does not matter.
    ///
    /// # Errors
    /// When the connection breaks, or nothing comes for too long.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        let chunk = tokio::time::timeout(self.timeout, self.response.chunk()).await;
        let chunk = chunk.map_err(|_| HttpError::Silent { url: self.asked.clone(), limit: self.timeout })?;
        chunk.map_err(|source| HttpError::Exchange { url: self.asked.clone(), source: source.without_url() })
    }

    /// All of the body, decoded.
    ///
    /// # Errors
    /// When it is longer or slower than `limit`, or cannot be read or decoded.
    pub async fn collect(mut self, limit: Limit) -> Result<Vec<u8>, HttpError> {
        let coding = self.coding()?;
        let deadline = Instant::now() + limit.time.max(self.timeout);
        let mut body = Vec::new();
        loop {
            let next = tokio::time::timeout_at(deadline.into(), self.chunk()).await;
            let too_slow = |_| HttpError::TooSlow { url: self.asked.clone(), limit: limit.time.max(self.timeout) };
            let Some(chunk) = next.map_err(too_slow)?? else { break };
            body.extend_from_slice(&chunk);
            if body.len() > limit.bytes {
                return Err(HttpError::TooLong { url: self.asked, limit_bytes: limit.bytes });
            }
        }
        let Some(coding) = coding else { return Ok(body) };
        let content = coding::decode(&body, coding, limit.bytes).map_err(|source| HttpError::Undecodable {
            url: self.asked.clone(),
            coding: coding.name(),
            source,
        })?;
        if content.len() > limit.bytes {
            return Err(HttpError::TooLong { url: self.asked, limit_bytes: limit.bytes });
        }
        Ok(content)
    }
}

/// The pause that a `Retry-After` header asks for: seconds, or a date (RFC 9110 section 10.2.3).
fn wait(value: &str, now: SystemTime) -> Option<Duration> {
    match value.trim().parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(value.trim()).ok()?.duration_since(now).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_say_when_to_come_again_in_seconds_or_by_date() {
        let now = httpdate::parse_http_date("Sat, 01 Jan 2000 00:00:00 GMT").unwrap();
        assert_eq!(wait(" 7 ", now), Some(Duration::from_secs(7)));
        assert_eq!(wait("Sat, 01 Jan 2000 00:01:30 GMT", now), Some(Duration::from_secs(90)));
        for nothing in ["Sat, 01 Jan 2000 00:00:00 GMT", "Fri, 31 Dec 1999 23:59:59 GMT", "soon", "-1", ""] {
            assert_eq!(wait(nothing, now).filter(|wait| !wait.is_zero()), None, "{nothing}");
        }
    }

    #[test]
    fn the_user_in_a_url_is_taken_out_of_it() {
        let (url, who) = without_user(&"http://me:a%40b@host/x".parse().unwrap());
        assert_eq!((url.as_str(), who), ("http://host/x", Some(Authorization::Basic("me".into(), "a@b".into()))));
        assert_eq!(without_user(&"http://host/x".parse().unwrap()).1, None);
    }
}
