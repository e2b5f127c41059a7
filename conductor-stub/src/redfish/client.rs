//! Requests that survive a real BMC: expired sessions, busy firmware, ETags it does not keep to, tasks and pages.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ALLOW, ETAG};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::error::{Busy, Failure, RedfishError};
use super::session::{self, Session};
use super::settings::Settings;
use super::task::{self, Progress, Task};
use super::transport::{Question, Reply, Transport};
use crate::metrics::RedfishRequests;

/// How often a request is sent while the BMC cannot be reached or is busy.
pub(super) const ATTEMPTS: u32 = 5;
/// How often while the machine is in its power-on self-test, with growing pauses.
const POST_ATTEMPTS: u32 = 14;
/// The longest pause between attempts, in first pauses.
const LONGEST_PAUSE: u32 = 10;
/// How long a task may take.
const TASK_LIMIT: Duration = Duration::from_secs(900);
/// Of a collection: pages, and members on all of them.
const PAGES: usize = 100;
const MEMBERS: usize = 4096;

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

/// A connection to one BMC. Its session, if it has one, is deleted when this is dropped.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    transport: Arc<Transport>,
    session: Mutex<Session>,
    /// Pause between attempts.
    pause: Duration,
}

impl Client {
    /// Prepares a connection; nothing is sent yet.
    ///
    /// # Errors
    /// When the certificates cannot be used.
    pub fn new(settings: Settings) -> Result<Self, RedfishError> {
        let transport = Arc::new(Transport::new(&settings)?);
        Ok(Self { settings, transport, session: Mutex::new(Session::NotYet), pause: Duration::from_secs(3) })
    }

    /// The same, with another pause between attempts (default 3 s), and at most that between looks at a task (1 s).
    #[must_use]
    pub fn with_pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// The same, with every request counted.
    #[must_use]
    pub fn counted(mut self, requests: &RedfishRequests) -> Self {
        let mut transport = (*self.transport).clone();
        transport.requests = requests.clone();
        self.transport = Arc::new(transport);
        self
    }

    /// What was given as settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The pause before attempt `number` (from 1) when each is to be longer.
    pub(super) fn growing_pause(&self, number: u32) -> Duration {
        self.pause * 2u32.saturating_pow(number.saturating_sub(1)).min(LONGEST_PAUSE)
    }

    /// Reads `path`.
    ///
    /// # Errors
    /// See [`RedfishError`].
    pub async fn get(&self, path: &str) -> Result<Resource, RedfishError> {
        let reply = self.send(&Question::get(path)).await?;
        if !reply.body.is_object() {
            let problem = format!("answered without a JSON object: {}", reply.text());
            return Err(RedfishError::Document { url: reply.url.into(), problem });
        }
        let in_body = reply.body["@odata.etag"].as_str().map(str::to_owned);
        let etag = reply.header(ETAG).or(in_body).filter(|tag| !tag.is_empty());
        let allow = reply.header(ALLOW).unwrap_or_default();
        Ok(Resource { path: path.to_string(), body: reply.body, etag, allow })
    }

    /// The paths of a collection's members, on all of its pages.
    ///
    /// # Errors
    /// See [`RedfishError`]; also when the pages do not end.
    pub async fn members(&self, collection: &str) -> Result<Vec<String>, RedfishError> {
        let (mut members, mut seen, mut next) = (Vec::new(), BTreeSet::new(), Some(collection.to_owned()));
        while let Some(page) = next {
            let document = self.get(&page).await?.body;
            let listed = document["Members"].as_array().into_iter().flatten();
            members.extend(listed.filter_map(|member| member["@odata.id"].as_str()).map(str::to_owned));
            if !seen.insert(page) || seen.len() > PAGES || members.len() > MEMBERS {
                let problem = "the list of members does not end".into();
                return Err(RedfishError::Document { url: collection.to_owned(), problem });
            }
            next = document["Members@odata.nextLink"].as_str().filter(|link| !link.is_empty()).map(str::to_owned);
        }
        Ok(members)
    }

    /// Starts the action at `path`; what the BMC makes of it later is waited for.
    ///
    /// # Errors
    /// See [`RedfishError`].
    pub async fn post(&self, path: &str, body: Option<&Value>) -> Result<Value, RedfishError> {
        self.change(&Question { method: Method::POST, path, body, etag: None }).await
    }

    /// Starts the action at `path`, and returns the task that the BMC makes of it, for whoever can wait longer.
    ///
    /// # Errors
    /// See [`RedfishError`].
    pub async fn start(&self, path: &str, body: &Value) -> Result<Option<Task>, RedfishError> {
        let question = Question { method: Method::POST, path, body: Some(body), etag: None };
        Ok(task::announced(&self.send(&question).await?, &question.method))
    }

    /// Changes `resource`, saying which version is meant. A BMC that does not recognise its own ETag gets it in other forms,
    /// then as it is by now, then none, then any.
    ///
    /// # Errors
    /// See [`RedfishError`].
    pub async fn patch(&self, resource: &Resource, body: &Value) -> Result<(), RedfishError> {
        self.patch_and(resource, body, true).await
    }

    /// As [`Client::patch`]; the task that waits for the machine's next start is not followed.
    ///
    /// # Errors
    /// See [`RedfishError`].
    pub async fn patch_for_next_start(&self, resource: &Resource, body: &Value) -> Result<(), RedfishError> {
        self.patch_and(resource, body, false).await
    }

    /// As [`Client::post`]; the task that waits for the machine's next start is not followed.
    ///
    /// # Errors
    /// See [`RedfishError`].
    pub async fn post_for_next_start(&self, path: &str) -> Result<(), RedfishError> {
        let empty = json!({});
        self.send(&Question { method: Method::POST, path, body: Some(&empty), etag: None }).await.map(drop)
    }

    async fn patch_and(&self, resource: &Resource, body: &Value, follow: bool) -> Result<(), RedfishError> {
        let mut tags: Vec<Option<String>> = Vec::new();
        if let Some(tag) = &resource.etag {
            tags.push(Some(tag.clone()));
            tags.extend(tag.strip_prefix("W/").map(|strong| Some(strong.to_owned())));
        }
        tags.push(None);
        let (mut at, mut read_again, mut any) = (0, false, false);
        loop {
            let etag = tags[at].as_deref();
            let question = Question { method: Method::PATCH, path: &resource.path, body: Some(body), etag };
            let outcome = match follow {
                true => self.change(&question).await.map(drop),
                false => self.send(&question).await.map(drop),
            };
            let error = match outcome {
                Ok(()) => return Ok(()),
                Err(error) if matches!(error.status(), Some(412 | 428)) => error,
                Err(error) => return Err(error),
            };
            if !read_again {
                // It may have changed indeed, and this is a change of what is to be, whatever was before.
                read_again = true;
                let now = self.get(&resource.path).await?.etag;
                if now.is_some() && now != resource.etag {
                    tags.insert(at + 1, now);
                }
            }
            at += 1;
            if at == tags.len() {
                if any {
                    return Err(error);
                }
                any = true;
                tags.push(Some("*".into()));
            }
        }
    }

    /// Deletes what is at `path`.
    ///
    /// # Errors
    /// See [`RedfishError`].
    pub async fn delete(&self, path: &str) -> Result<(), RedfishError> {
        self.change(&Question { method: Method::DELETE, path, body: None, etag: None }).await.map(drop)
    }

    /// Closes the session, if there is one. BMCs have few of them.
    pub async fn log_out(&self) {
        let session = std::mem::replace(&mut *self.session.lock().await, Session::NotYet);
        if let Session::Open { token, path: Some(path) } = session {
            session::close(&self.transport, &token, &path).await;
        }
    }

    /// Sends what changes something and sees it through to its end.
    async fn change(&self, question: &Question<'_>) -> Result<Value, RedfishError> {
        let reply = self.send(question).await?;
        match task::announced(&reply, &question.method) {
            Some(task) => self.follow(task).await,
            None => Ok(reply.body),
        }
    }

    /// Sends until the BMC has understood or there is no point in asking again.
    async fn send(&self, question: &Question<'_>) -> Result<Reply, RedfishError> {
        let mut attempt = 1;
        loop {
            let error = match self.attempt(question).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let Some(pause) = self.pause_before_retry(&question.method, &error, attempt) else { return Err(error) };
            tracing::info!(%error, attempt, "the BMC is asked again");
            attempt += 1;
            tokio::time::sleep(pause).await;
        }
    }

    /// How long to wait before asking again after `error`; none when that does not help, or must not be: an action that got
    /// no answer may have been done.
    fn pause_before_retry(&self, method: &Method, error: &RedfishError, attempt: u32) -> Option<Duration> {
        let asked = match error {
            RedfishError::Refused { retry_after, .. } => *retry_after,
            _ => None,
        };
        let passing = match error {
            RedfishError::Unreachable { failure: Failure::NotSent, .. } => true,
            RedfishError::Unreachable { failure: Failure::NoAnswer, .. } => *method != Method::POST,
            // What is not implemented will not be so shortly.
            RedfishError::Refused { status, .. } => *status >= 500 && *status != 501 && *method == Method::GET,
            _ => false,
        };
        match error.busy() {
            Some(Busy::Post) if attempt < POST_ATTEMPTS => Some(self.growing_pause(attempt)),
            Some(Busy::Shortly) if attempt < ATTEMPTS => Some(asked.unwrap_or(self.growing_pause(attempt))),
            None if passing && attempt < ATTEMPTS => Some(self.pause),
            _ => None,
        }
    }

    /// Sends once; a session that the BMC has closed meanwhile is opened again.
    async fn attempt(&self, question: &Question<'_>) -> Result<Reply, RedfishError> {
        let error = match self.once(question).await {
            Err(error) if matches!(error.status(), Some(401 | 403)) => error,
            other => return other,
        };
        let mut session = self.session.lock().await;
        if !matches!(*session, Session::Open { .. }) {
            return Err(error);
        }
        *session = session::open(&self.transport, &self.settings).await?;
        drop(session);
        self.once(question).await
    }

    async fn once(&self, question: &Question<'_>) -> Result<Reply, RedfishError> {
        let mut session = self.session.lock().await;
        if matches!(*session, Session::NotYet) {
            *session = session::open(&self.transport, &self.settings).await?;
        }
        let reply = self.transport.exchange(question, session.identity(&self.settings.credentials)).await?;
        drop(session);
        match reply.status {
            StatusCode::UNAUTHORIZED => {
                Err(RedfishError::Credentials { url: reply.url.into(), status: reply.status.as_u16() })
            }
            status if status.is_success() => Ok(reply),
            _ => Err(reply.refusal()),
        }
    }

    /// Watches a task to its end.
    async fn follow(&self, mut task: Task) -> Result<Value, RedfishError> {
        let start = tokio::time::Instant::now();
        let mut trouble = 0;
        loop {
            let pause = match self.look(&mut task).await {
                Ok(Progress::Done(body)) => return Ok(body),
                Ok(Progress::Running { pause, .. }) => pause,
                Err(error) => {
                    trouble += 1;
                    if !error.is_passing() || trouble >= ATTEMPTS {
                        return Err(error);
                    }
                    self.pause
                }
            };
            if start.elapsed() >= TASK_LIMIT {
                let text = format!("not done after {} s", TASK_LIMIT.as_secs());
                return Err(RedfishError::Task { url: task.path, state: "Running".into(), text });
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Looks at a task once. One that has vanished is over; whether it did what it should is seen elsewhere.
    ///
    /// # Errors
    /// When it has failed: a monitor's error is the outcome, except a [passing](RedfishError::is_passing) one, of the BMC as a
    /// whole.
    pub async fn look(&self, task: &mut Task) -> Result<Progress, RedfishError> {
        loop {
            match self.attempt(&Question::get(&task.path)).await {
                Ok(reply) => return task::progress(reply, self.pause.min(task::PAUSE)),
                Err(error) if matches!(error.status(), Some(404 | 410)) => match task.also.take() {
                    Some(also) => task.path = also,
                    None => return Ok(Progress::Done(Value::Null)),
                },
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Client {
    /// Whoever was stopped in the middle gives the session back, too.
    fn drop(&mut self) {
        let session = std::mem::replace(self.session.get_mut(), Session::NotYet);
        if let Session::Open { token, path: Some(path) } = session
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let transport = Arc::clone(&self.transport);
            runtime.spawn(async move { session::close(&transport, &token, &path).await });
        }
    }
}
