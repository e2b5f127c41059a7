//! Talking to Ironic: several base URLs, API version, texts of errors.

use std::sync::Mutex;

use ferric_steps::http::{self, Client, HttpError, HttpOptions, Limit, Request};
use ferric_steps::options::Tls;
use reqwest::header::{ACCEPT, HeaderName};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tracing::{info, warn};

use crate::config::settings::Conductor;

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

const VERSION_HEADER: HeaderName = HeaderName::from_static("x-openstack-ironic-api-version");
const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// Answers of Ironic hold one node at most.
const ANSWER_LIMIT: Limit = Limit::bytes(16 << 20);

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No URL could be reached.
    #[error("cannot reach {url}")]
    Connection {
        /// The last URL.
        url: String,
        /// The cause.
        #[source]
        source: HttpError,
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
    client: JsonClient,
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
            client: JsonClient::new(conductor, tls)?,
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
        prepare: impl Fn(Request) -> Request,
    ) -> Result<Value, Failure> {
        let version = self.version().await.min(ceiling);
        let header = format!("{}.{}", version.0, version.1);
        let prepared = |request: Request| prepare(request.header(VERSION_HEADER, &header));
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
        prepare: impl Fn(Request) -> Request,
    ) -> Result<(StatusCode, Value), Failure> {
        let mut failure = Failure::Content("no URL of Ironic is known".to_string());
        for url in self.urls() {
            let request = http::url(&format!("{url}{path}")).map(|url| prepare(Request::new(method.clone(), &url)));
            let answer = match request {
                Ok(request) => self.client.send(request).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(answer) => {
                    self.prefer(&url);
                    return Ok(answer);
                }
                Err(source) => failure = Failure::Connection { url, source },
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
}

/// How Ironic, and whoever takes inspection data, is spoken to: documents out, documents in.
#[derive(Debug, Clone)]
pub struct JsonClient {
    client: Client,
    request_id: Option<String>,
}

impl JsonClient {
    /// With the options for TLS, and its time limit for connecting and for every silence.
    ///
    /// # Errors
    /// The options for TLS are not usable.
    pub fn new(conductor: &Conductor, tls: &Tls) -> anyhow::Result<Self> {
        let client = Client::new(&HttpOptions::of(tls), conductor.timeout)?;
        Ok(Self { client, request_id: conductor.request_id.clone() })
    }

    /// Posts a document without naming an API version.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn post(&self, url: &str, body: &Value) -> Result<(StatusCode, Value), Failure> {
        let failed = |source| Failure::Connection { url: url.to_string(), source };
        let parsed = http::url(url).map_err(failed)?;
        self.send(Request::new(Method::POST, &parsed).json(body)).await.map_err(failed)
    }

    /// Status and body; a body that is not JSON becomes a string, an empty one null.
    async fn send(&self, request: Request) -> Result<(StatusCode, Value), HttpError> {
        let mut request = request.header(ACCEPT, "application/json");
        if let Some(id) = &self.request_id {
            request = request.header(REQUEST_ID_HEADER, id);
        }
        let answer = self.client.ask(&request).await?;
        let status = answer.status();
        let body = answer.collect(ANSWER_LIMIT).await?;
        let body = match String::from_utf8_lossy(&body).as_ref() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
        };
        Ok((status, body))
    }
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
