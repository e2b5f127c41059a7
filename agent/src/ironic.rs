//! Talking to Ironic: several base URLs, API version, texts of errors.

use std::sync::Mutex;

use ferric_steps::error::chain;
use ferric_steps::options::Tls;
use ferric_steps::proxy::Proxies;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tracing::{info, warn};

use crate::config::settings::Conductor;
use crate::tls;

/// An API version: major, minor.
pub type Version = (u32, u32);

/// Taken when Ironic does not tell its version.
const FALLBACK: Version = (1, 31);

/// From here on `agent_version` is known.
pub const AGENT_VERSION: Version = (1, 36);
/// From here on `agent_token` is known.
pub const AGENT_TOKEN: Version = (1, 62);
/// From here on `agent_verify_ca` is known.
pub const AGENT_VERIFY_CA: Version = (1, 68);

const VERSION_HEADER: &str = "x-openstack-ironic-api-version";
const REQUEST_ID_HEADER: &str = "x-openstack-request-id";

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No URL could be reached.
    #[error("cannot reach {url}: {reason}")]
    Connection {
        /// The last URL.
        url: String,
        /// The cause, with its causes.
        reason: String,
    },
    /// Another answer than expected.
    #[error("error {status}: {text}")]
    Status {
        /// HTTP status.
        status: u16,
        /// What Ironic says.
        text: String,
    },
    /// The expected status, but not the expected content.
    #[error("{0}")]
    Content(String),
}

impl Failure {
    /// The HTTP status, when there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// A client of Ironic.
#[derive(Debug)]
pub struct Ironic {
    http: Client,
    urls: Mutex<Vec<String>>,
    version: Mutex<Option<Version>>,
}

impl Ironic {
    /// A client for its base URLs, in their order of preference.
    ///
    /// # Errors
    /// The options for TLS are not usable.
    pub fn new(conductor: &Conductor, tls: &Tls) -> anyhow::Result<Self> {
        Ok(Self {
            http: http_client(conductor, tls)?,
            urls: Mutex::new(conductor.urls.list().to_vec()),
            version: Mutex::new(conductor.api_version),
        })
    }

    /// The base URLs; the one that worked last comes first.
    pub fn urls(&self) -> Vec<String> {
        self.urls.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// The highest version that Ironic offers. When it cannot be found out, an old one is assumed this time.
    pub async fn version(&self) -> Version {
        let known = *self.version.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(version) = known {
            return version;
        }
        let detected = match self.request(Method::GET, "/", |request| request).await {
            Ok((StatusCode::OK, document)) => document["default_version"]["version"].as_str().and_then(parse_version),
            _ => None,
        };
        match detected {
            Some(version) => {
                info!(version = %format!("{}.{}", version.0, version.1), "Ironic found");
                *self.version.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(version);
                version
            }
            None => {
                warn!("cannot find out the API version of Ironic, assuming 1.31 for now");
                FALLBACK
            }
        }
    }

    /// Sends a request with the version header `min(version of Ironic, ceiling)` and expects `expected`.
    ///
    /// # Errors
    /// No connection on any URL, another status, an answer that is not JSON where one is expected.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        ceiling: Version,
        expected: StatusCode,
        prepare: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Value, Failure> {
        let version = self.version().await.min(ceiling);
        let header = format!("{}.{}", version.0, version.1);
        let prepared = |request: RequestBuilder| prepare(request.header(VERSION_HEADER, &header));
        match self.request(method, path, prepared).await? {
            (status, body) if status == expected => Ok(body),
            (status, body) => Err(Failure::Status { status: status.as_u16(), text: error_text(&body) }),
        }
    }

    /// Tries all URLs in order; a connection that fails moves on to the next, and the one that works becomes the first.
    async fn request(
        &self,
        method: Method,
        path: &str,
        prepare: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<(StatusCode, Value), Failure> {
        let mut failure = Failure::Content("no URL of Ironic is known".to_string());
        for url in self.urls() {
            match send(prepare(self.http.request(method.clone(), format!("{url}{path}")))).await {
                Ok(answer) => {
                    self.prefer(&url);
                    return Ok(answer);
                }
                Err(reason) => failure = Failure::Connection { url, reason },
            }
        }
        Err(failure)
    }

    fn prefer(&self, url: &str) {
        let mut urls = self.urls.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(at) = urls.iter().position(|other| other == url) {
            urls[..=at].rotate_right(1);
        }
    }

    /// Posts a document to a full URL without naming an API version.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn post(&self, url: &str, body: &Value) -> Result<(StatusCode, Value), Failure> {
        post(&self.http, url, body).await
    }
}

/// Posts a document to a full URL without naming an API version.
///
/// # Errors
/// The connection fails.
pub async fn post(http: &Client, url: &str, body: &Value) -> Result<(StatusCode, Value), Failure> {
    send(http.post(url).json(body)).await.map_err(|reason| Failure::Connection { url: url.to_string(), reason })
}

/// A client with the options for TLS, timeouts and the headers that every request carries.
///
/// # Errors
/// The options for TLS are not usable.
pub fn http_client(conductor: &Conductor, tls: &Tls) -> anyhow::Result<Client> {
    let timeout = conductor.timeout;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(id) = conductor.request_id.as_deref().and_then(|id| HeaderValue::from_str(id).ok()) {
        headers.insert(REQUEST_ID_HEADER, id);
    }
    let client = Proxies::from_environment()
        .apply(Client::builder())
        .tls_backend_preconfigured(tls::client_config(tls)?)
        .connect_timeout(timeout)
        .read_timeout(timeout)
        .default_headers(headers)
        .user_agent(concat!("ferric-agent/", env!("CARGO_PKG_VERSION")))
        .build()?;
    Ok(client)
}

/// Status and body; a body that is not JSON becomes a string, an empty one null.
async fn send(request: RequestBuilder) -> Result<(StatusCode, Value), String> {
    let response = request.send().await.map_err(|error| chain(&error))?;
    let status = response.status();
    let text = response.text().await.map_err(|error| chain(&error))?;
    let body = match text.as_str() {
        "" => Value::Null,
        text => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
    };
    Ok((status, body))
}

/// What Ironic says in an error: `error_message` is an object, or a text that holds one.
pub fn error_text(body: &Value) -> String {
    let message = &body["error_message"];
    let message = match message.as_str() {
        Some(text) => serde_json::from_str(text).unwrap_or_else(|_| message.clone()),
        None => message.clone(),
    };
    let named = ["faultstring", "title"].iter().find_map(|key| message[*key].as_str());
    match (named, &message, body) {
        (Some(text), ..) => text.to_string(),
        (None, Value::String(text), _) | (None, _, Value::String(text)) => text.clone(),
        (None, _, body) => body.to_string(),
    }
}

fn parse_version(text: &str) -> Option<Version> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Config;
    use crate::config::settings::Urls;

    #[test]
    fn the_text_of_an_error_is_found_wherever_it_stands() {
        let inside = r#"{"faultcode": "Client", "faultstring": "Node is locked", "debuginfo": null}"#;
        assert_eq!(error_text(&json!({ "error_message": inside })), "Node is locked");
        assert_eq!(error_text(&json!({"error_message": {"faultstring": "a"}})), "a");
        assert_eq!(error_text(&json!({"error_message": {"title": "Not Acceptable"}})), "Not Acceptable");
        assert_eq!(error_text(&json!({"error_message": "plain"})), "plain");
        assert_eq!(error_text(&json!("<html>")), "<html>");
        assert_eq!(error_text(&json!({"other": 1})), r#"{"other":1}"#);
    }

    #[tokio::test]
    async fn the_url_that_worked_comes_first() {
        let mut conductor = Config::with_defaults().settings().conductor;
        conductor.urls = Urls::At(["a", "b", "c"].map(str::to_string).to_vec());
        let ironic = Ironic::new(&conductor, &Tls::default()).unwrap();
        ironic.prefer("b");
        assert_eq!(ironic.urls(), ["b", "a", "c"]);
    }
}
