//! How commands reach an agent and answers come back (ironic/drivers/modules/agent_client.py).

mod pinning;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use rustls::ClientConfig;
use serde_json::{Value, json};

use crate::http::{self, BodyError};
use crate::journal::{self, Entry, Journal};
use crate::node::{Node, Object};
use crate::token;

/// The largest answer; a list of commands has their results in it.
const LIMIT_BYTES: usize = 64 << 20;

/// An agent did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// No HTTP answer.
    #[error("Connection to agent failed: {text}")]
    Connection {
        /// Why.
        text: String,
        /// Whether the machine says that nobody listens there.
        refused: bool,
    },
    /// The agent is at work on another command.
    #[error("Agent command {command} is in progress: {text}")]
    Busy {
        /// The command that was refused.
        command: String,
        /// The agent's words.
        text: String,
    },
    /// The agent refused, or its answer is not one.
    #[error("Agent API error: {0}")]
    Api(String),
    /// The command ran and failed.
    #[error("Agent returned error for {command}: {text}")]
    Failed {
        /// The command.
        command: String,
        /// The agent's words.
        text: String,
    },
}

impl AgentError {
    fn connection(text: impl Into<String>) -> Self {
        Self::Connection { text: text.into(), refused: false }
    }
}

/// A command in the agent's list.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// The bare name, `execute_clean_step`.
    pub name: String,
    /// `RUNNING`, `SUCCEEDED`, `FAILED`, `CLEAN_VERSION_MISMATCH`.
    pub status: String,
    /// What it came to.
    pub result: Value,
    /// Why it failed.
    pub error: Value,
    /// How far it is, if the agent says so.
    pub progress: Value,
}

impl Command {
    fn read(value: &Value) -> Result<Self, AgentError> {
        let text = |key: &str| {
            value
                .get(key)
                .and_then(Value::as_str)
                .map(str::to_owned)
                .ok_or_else(|| AgentError::Api(format!("no {key} in {value}")))
        };
        let get = |key: &str| value.get(key).cloned().unwrap_or_default();
        Ok(Self {
            name: text("command_name")?,
            status: text("command_status")?,
            result: get("command_result"),
            error: get("command_error"),
            progress: get("progress"),
        })
    }

    /// The error in words: details, else message, else all of it.
    pub fn error_text(&self) -> String {
        match &self.error {
            Value::String(text) => text.clone(),
            Value::Object(error) => ["details", "message"]
                .iter()
                .find_map(|key| error.get(*key)?.as_str().filter(|text| !text.is_empty()))
                .map_or_else(|| self.error.to_string(), str::to_owned),
            Value::Null => "Invalid agent response: no command_error".into(),
            other => other.to_string(),
        }
    }

    /// This command, or the reason why it failed.
    ///
    /// # Errors
    /// When its status is anything but `SUCCEEDED`.
    pub fn succeeded(self) -> Result<Self, AgentError> {
        match self.status.as_str() {
            "SUCCEEDED" => Ok(self),
            "FAILED" => Err(AgentError::Failed { text: self.error_text(), command: self.name }),
            status => Err(AgentError::Failed { text: format!("unexpected status {status}"), command: self.name }),
        }
    }
}

/// The agent of one node, as its last heartbeat described it.
#[derive(Debug)]
pub struct Agent {
    client: Client,
    url: String,
    token: String,
    limits: RequestLimits,
    journal: Arc<Journal>,
}

/// How long requests may take.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    /// For one request.
    pub timeout: Duration,
    /// Tries when the connection fails.
    pub attempts: u32,
}

impl Agent {
    /// The agent of `node`; its certificate is the one from the heartbeat and no other.
    ///
    /// # Errors
    /// When no agent has been heard, or its certificate is none.
    pub fn of(node: &Node, limits: RequestLimits, journal: Arc<Journal>) -> Result<Self, AgentError> {
        let url = node
            .internal
            .agent_url
            .as_deref()
            .ok_or_else(|| AgentError::Api("Agent has not heartbeated yet: agent_url is unknown".into()))?;
        let client = match url.starts_with("https://") {
            true => {
                let certificate = node.internal.agent_verify_ca.as_deref();
                let certificate = certificate.ok_or_else(|| AgentError::connection("the agent sent no certificate"))?;
                client(pinning::config(certificate))?
            }
            false => plain()?,
        };
        let token = token::of(node).unwrap_or_default().to_owned();
        Ok(Self { client, url: url.trim_end_matches('/').to_owned(), token, limits, journal })
    }

    /// Runs `name`, `extension.command`; `wait` has the agent answer when it is done.
    ///
    /// # Errors
    /// As [`AgentError`]; a command that ran and failed is not an error here.
    pub async fn command(&self, name: &str, params: Value, wait: bool) -> Result<Command, AgentError> {
        let bare = name.split_once('.').map_or(name, |(_, bare)| bare);
        let body = json!({"name": name, "params": params});
        let url = format!("{}/v1/commands/?wait={wait}", self.url);
        let mut failure = AgentError::connection("no attempt made");
        for _ in 0..self.limits.attempts.max(1) {
            match self.request(Method::POST, &url, Some(&body)).await {
                Ok(answer) => return Command::read(&answer),
                Err(error @ AgentError::Connection { .. }) => failure = error,
                Err(AgentError::Busy { text, .. }) => return Err(AgentError::Busy { command: bare.into(), text }),
                Err(other) => return Err(other),
            }
            // The command may have arrived although its answer did not.
            if let Ok(list) = self.commands().await
                && let Some(last) = list.last().filter(|last| last.name == bare && last.status == "RUNNING")
            {
                return Ok(last.clone());
            }
        }
        Err(failure)
    }

    /// Runs `name` in the background and looks at it until it has ended.
    ///
    /// # Errors
    /// As [`Agent::command`], and when it fails or `looks` looks were not enough.
    pub async fn command_to_end(
        &self,
        name: &str,
        params: Value,
        pause: Duration,
        looks: u32,
    ) -> Result<Command, AgentError> {
        let mut command = self.command(name, params, false).await?;
        let bare = command.name.clone();
        for _ in 0..looks {
            if command.status != "RUNNING" {
                return command.succeeded();
            }
            tokio::time::sleep(pause).await;
            if let Some(newest) = self.commands().await?.into_iter().rev().find(|newest| newest.name == bare) {
                command = newest;
            }
        }
        Err(AgentError::Failed { command: bare, text: format!("still running after {looks} looks") })
    }

    /// The agent's commands since it started, oldest first.
    ///
    /// # Errors
    /// When the agent cannot be asked.
    pub async fn commands(&self) -> Result<Vec<Command>, AgentError> {
        let answer = self.request(Method::GET, &format!("{}/v1/commands/", self.url), None).await?;
        let list = answer
            .get("commands")
            .and_then(Value::as_array)
            .ok_or_else(|| AgentError::Api(format!("no commands in {answer}")))?;
        list.iter().map(Command::read).collect()
    }

    async fn request(&self, method: Method, url: &str, body: Option<&Value>) -> Result<Value, AgentError> {
        let started = journal::now();
        let request = self.client.request(method.clone(), url).timeout(self.limits.timeout);
        let mut request = request.query(&[("agent_token", &self.token)]);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = async {
            let response = request.send().await.map_err(|error| unreachable(&error))?;
            let status = response.status();
            let body = http::whole(response, LIMIT_BYTES).await.map_err(|error| match error {
                BodyError::Broken(error) => unreachable(&error),
                BodyError::TooLarge(_) => AgentError::Api(error.to_string()),
            });
            Ok::<_, AgentError>((status, body?))
        }
        .await;
        let (status, response) = match &answer {
            Ok((status, bytes)) => (status.as_u16(), journal::body(bytes)),
            Err(error) => (0, error.to_string().into()),
        };
        // Looks at the list come every second; they would push everything else out.
        if method != Method::GET || status != 200 {
            self.journal.add(Entry {
                at: started,
                direction: "out",
                method: method.to_string(),
                target: url.to_owned(),
                version: None,
                request: body.cloned().unwrap_or_default(),
                status,
                response,
                milliseconds: ((journal::now() - started) * 1000.0) as u64,
            });
        }
        let (status, bytes) = answer?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|_| {
            AgentError::Api(format!(
                "status {status} with a body that is not JSON: {}",
                String::from_utf8_lossy(&bytes)
            ))
        })?;
        if status.is_success() {
            return Ok(value);
        }
        let text = fault_text(value.as_object())
            .ok_or_else(|| AgentError::Api(format!("status {status} without faultstring: {value}")))?;
        if status == 409 || text.to_lowercase().contains("agent is busy") {
            return Err(AgentError::Busy { command: String::new(), text });
        }
        Err(AgentError::Api(format!("status {status}: {text}")))
    }
}

fn client(tls: Result<ClientConfig, String>) -> Result<Client, AgentError> {
    let builder = Client::builder().no_proxy().redirect(Policy::none()).referer(false);
    // A connection to a machine that was started anew meanwhile is of no use.
    let builder = builder.pool_max_idle_per_host(0);
    let builder = builder.use_preconfigured_tls(tls.map_err(AgentError::connection)?);
    builder.build().map_err(|error| unreachable(&error))
}

/// The client for all agents without TLS: to make one takes longer than a request.
fn plain() -> Result<Client, AgentError> {
    static PLAIN: OnceLock<Client> = OnceLock::new();
    match PLAIN.get() {
        Some(client) => Ok(client.clone()),
        None => client(pinning::nobody()).map(|made| PLAIN.get_or_init(|| made).clone()),
    }
}

fn fault_text(body: Option<&Object>) -> Option<String> {
    Some(body?.get("faultstring")?.as_str()?.to_owned())
}

fn unreachable(error: &reqwest::Error) -> AgentError {
    let mut causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    let refused = causes.any(|cause| {
        let cause = cause.downcast_ref::<std::io::Error>();
        cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::ConnectionRefused)
    });
    AgentError::Connection { text: http::words(error), refused }
}
