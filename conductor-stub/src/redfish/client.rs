//! Requests to a BMC: sessions or HTTP basic, ETags, and patience with busy firmware.

use std::time::Duration;

use reqwest::header::{ETAG, IF_MATCH, LOCATION, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::settings::{Login, Settings, Verify};
use super::{RedfishError, error};

const CONNECT_LIMIT: Duration = Duration::from_secs(30);
const REQUEST_LIMIT: Duration = Duration::from_secs(60);
/// How often a request is sent while the BMC cannot be reached or is busy.
const ATTEMPTS: u32 = 5;
/// How long a task that the BMC finishes later may take.
const TASK_LIMIT: Duration = Duration::from_secs(300);

/// A resource as it was read.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Path it was read from.
    pub path: String,
    /// Its document.
    pub body: Value,
    /// Its ETag.
    pub etag: Option<String>,
    /// The methods it allows, when the BMC says so.
    pub allow: String,
}

/// A connection to one BMC.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    http: reqwest::Client,
    session: Mutex<Session>,
    /// Pause between attempts.
    pause: Duration,
}

#[derive(Debug)]
enum Session {
    NotYet,
    Open {
        token: String,
        path: Option<String>,
    },
    /// The BMC has none (or refused one): HTTP basic from here on.
    Basic,
}

impl Client {
    /// Prepares a connection; nothing is sent yet.
    ///
    /// # Errors
    /// When the CA file cannot be used.
    pub fn new(settings: Settings) -> Result<Self, RedfishError> {
        let wrong = |problem: String| RedfishError::Setting { key: "redfish_verify_ca", problem };
        // Compressed answers make some BMCs send weak ETags, and some choke on kept connections.
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_LIMIT)
            .timeout(REQUEST_LIMIT)
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::limited(5));
        match &settings.verify {
            Verify::System => {}
            Verify::No => builder = builder.danger_accept_invalid_certs(true),
            Verify::File(file) => {
                let pem = std::fs::read(file).map_err(|error| wrong(format!("{file}: {error}")))?;
                let certificates =
                    reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| wrong(format!("{file}: {error}")))?;
                builder = builder.tls_certs_only(certificates);
            }
        }
        let http = builder.build().map_err(|error| wrong(error.to_string()))?;
        let session = match settings.login {
            Login::Basic => Session::Basic,
            Login::Auto | Login::Session => Session::NotYet,
        };
        Ok(Self { settings, http, session: Mutex::new(session), pause: Duration::from_secs(3) })
    }

    /// The same, with another pause between attempts (default 3 s).
    #[must_use]
    pub fn with_pause(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// What was given as settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Reads `path`.
    ///
    /// # Errors
    /// See [`RedfishError`].
    pub async fn get(&self, path: &str) -> Result<Resource, RedfishError> {
        self.send(Method::GET, path, None, None).await
    }

    /// Starts the action at `path`; a task that the BMC makes of it is waited for.
    ///
    /// # Errors
    /// See [`RedfishError`].
    pub async fn post(&self, path: &str, body: Option<&Value>) -> Result<Resource, RedfishError> {
        self.send(Method::POST, path, body, None).await
    }

    /// Changes `resource`, saying which version is meant; when the BMC is confused by its own ETags, without.
    ///
    /// # Errors
    /// See [`RedfishError`].
    pub async fn patch(&self, resource: &Resource, body: &Value) -> Result<(), RedfishError> {
        let mut tags: Vec<Option<&str>> = Vec::new();
        if let Some(tag) = resource.etag.as_deref().filter(|tag| !tag.is_empty()) {
            tags.push(Some(tag));
            tags.extend(tag.strip_prefix("W/").map(Some));
        }
        tags.push(None);
        let last = tags.len() - 1;
        for (attempt, tag) in tags.into_iter().enumerate() {
            match self.send(Method::PATCH, &resource.path, Some(body), tag).await {
                Err(error) if error.status() == Some(412) && attempt < last => {}
                other => return other.map(drop),
            }
        }
        Ok(())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        etag: Option<&str>,
    ) -> Result<Resource, RedfishError> {
        let mut logged_in_again = false;
        let mut attempt = 1;
        loop {
            let outcome = self.send_once(&method, path, body, etag).await;
            let error = match outcome {
                Ok(resource) => return Ok(resource),
                Err(error) => error,
            };
            // A session may have been closed by the BMC.
            let expired = matches!(error, RedfishError::Credentials { .. })
                && matches!(*self.session.lock().await, Session::Open { .. });
            if expired && !logged_in_again {
                logged_in_again = true;
                *self.session.lock().await = Session::NotYet;
                continue;
            }
            if attempt >= ATTEMPTS || !worth_repeating(&method, &error) {
                return Err(error);
            }
            tracing::info!(%error, attempt, "the BMC is asked again");
            attempt += 1;
            tokio::time::sleep(self.pause).await;
        }
    }

    async fn send_once(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        etag: Option<&str>,
    ) -> Result<Resource, RedfishError> {
        let mut request = self.request(method.clone(), path).await?;
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(etag) = etag {
            request = request.header(IF_MATCH, etag);
        }
        let answer = self.read(request, path).await?;
        match answer.task {
            Some(monitor) => self.wait_for_task(&monitor).await.map(|()| answer.resource),
            None => Ok(answer.resource),
        }
    }

    async fn request(&self, method: Method, path: &str) -> Result<reqwest::RequestBuilder, RedfishError> {
        let url = self.url(path)?;
        let request =
            self.http.request(method, url).header("OData-Version", "4.0").header("Accept-Encoding", "identity");
        let Some((user, password)) = &self.settings.credentials else { return Ok(request) };
        let mut session = self.session.lock().await;
        if matches!(*session, Session::NotYet) {
            *session = self.log_in(user, password).await?;
        }
        Ok(match &*session {
            Session::Open { token, .. } => request.header("X-Auth-Token", token),
            Session::Basic | Session::NotYet => request.basic_auth(user, Some(password)),
        })
    }

    fn url(&self, path: &str) -> Result<url::Url, RedfishError> {
        let root = &self.settings.root;
        root.join(path)
            .map_err(|error| RedfishError::Document { url: root.to_string(), problem: format!("{path}: {error}") })
    }

    /// Opens a session where the service root says that sessions are made.
    async fn log_in(&self, user: &str, password: &str) -> Result<Session, RedfishError> {
        let root = self.settings.root.path().to_string();
        let plain = |method, url: url::Url| {
            self.http.request(method, url).header("OData-Version", "4.0").header("Accept-Encoding", "identity")
        };
        let document = self.read(plain(Method::GET, self.url(&root)?), &root).await?.resource.body;
        let Some(sessions) = document["Links"]["Sessions"]["@odata.id"].as_str() else {
            return self.without_session("the BMC has no session service");
        };
        let body = json!({"UserName": user, "Password": password});
        let request = plain(Method::POST, self.url(sessions)?).json(&body);
        let response = request.send().await.map_err(|error| unreachable(sessions, &error))?;
        let header =
            |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_string);
        match header("X-Auth-Token") {
            Some(token) if response.status().is_success() => {
                Ok(Session::Open { token, path: header(LOCATION.as_str()) })
            }
            _ => self.without_session(&format!("the BMC answered {} to a session request", response.status())),
        }
    }

    fn without_session(&self, reason: &str) -> Result<Session, RedfishError> {
        if self.settings.login == Login::Session {
            let url = self.settings.root.to_string();
            return Err(RedfishError::Document { url, problem: format!("{reason}, and redfish_auth_type is session") });
        }
        tracing::debug!(reason, "HTTP basic it is");
        Ok(Session::Basic)
    }

    /// Closes the session, if there is one. BMCs have few of them.
    pub async fn log_out(&self) {
        let session = std::mem::replace(&mut *self.session.lock().await, Session::NotYet);
        let Session::Open { token, path: Some(path) } = session else { return };
        let Ok(url) = self.url(&path) else { return };
        if let Err(error) = self.http.delete(url).header("X-Auth-Token", token).send().await {
            tracing::debug!(%error, "the session stays open until it expires");
        }
    }

    async fn read(&self, request: reqwest::RequestBuilder, path: &str) -> Result<Answer, RedfishError> {
        let url = self.url(path)?.to_string();
        let response = request.send().await.map_err(|error| unreachable(&url, &error))?;
        let status = response.status();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_string);
        let etag = header(ETAG);
        let allow = header(reqwest::header::ALLOW).unwrap_or_default();
        let task = header(LOCATION).filter(|_| status == StatusCode::ACCEPTED);
        let raw = response.text().await.map_err(|error| unreachable(&url, &error))?;
        let body: Value = serde_json::from_str(&raw).unwrap_or_default();
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            return Err(RedfishError::Credentials { url, status: status.as_u16() });
        }
        if !status.is_success() {
            let text = error::text(&body, &raw);
            return Err(RedfishError::Refused { url, status: status.as_u16(), text, body });
        }
        Ok(Answer { resource: Resource { path: path.to_string(), body, etag, allow }, task })
    }

    /// Polls a task monitor until it is done; one that has vanished is done.
    async fn wait_for_task(&self, monitor: &str) -> Result<(), RedfishError> {
        let start = tokio::time::Instant::now();
        loop {
            let request = self.request(Method::GET, monitor).await?;
            let url = self.url(monitor)?.to_string();
            let response = request.send().await.map_err(|error| unreachable(&url, &error))?;
            match response.status() {
                StatusCode::ACCEPTED if start.elapsed() < TASK_LIMIT => {
                    let pause = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                    let seconds = pause.and_then(|text| text.parse().ok()).unwrap_or(1).clamp(1, 30);
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                }
                StatusCode::ACCEPTED => {
                    let problem = format!("the task is not done after {} s", TASK_LIMIT.as_secs());
                    return Err(RedfishError::Document { url, problem });
                }
                StatusCode::NOT_FOUND => return Ok(()),
                status if status.is_success() => return Ok(()),
                status => {
                    let raw = response.text().await.unwrap_or_default();
                    let body: Value = serde_json::from_str(&raw).unwrap_or_default();
                    let text = error::text(&body, &raw);
                    return Err(RedfishError::Refused { url, status: status.as_u16(), text, body });
                }
            }
        }
    }
}

struct Answer {
    resource: Resource,
    task: Option<String>,
}

fn unreachable(url: &str, error: &reqwest::Error) -> RedfishError {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        reason = cause.to_string();
        source = cause.source();
    }
    RedfishError::Unreachable { url: url.to_string(), reason }
}

/// Errors that pass: no connection, and 5xx to a read. Actions are repeated only when the BMC says that it is busy
/// (Dell's SYS518, HPE's InvalidOperationForSystemState), because they may have been done.
fn worth_repeating(method: &Method, error: &RedfishError) -> bool {
    match error {
        RedfishError::Unreachable { reason, .. } => !reason.contains("certificate"),
        RedfishError::Refused { status, .. } => {
            let busy =
                error.mentions("SYS518") || (error.mentions("iLO") && error.mentions("InvalidOperationForSystemState"));
            (*status >= 500 && *method == Method::GET) || busy || *status == 503
        }
        _ => false,
    }
}
