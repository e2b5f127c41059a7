//! Who we are to the BMC: a session's token, or HTTP basic.

use reqwest::Method;
use reqwest::header::LOCATION;
use serde_json::{Value, json};

use super::error::RedfishError;
use super::settings::{Login, Settings};
use super::transport::{Identity, Question, Reply, Transport};

/// How requests are made known as ours.
#[derive(Debug)]
pub(super) enum Session {
    /// Nothing was asked for yet.
    NotYet,
    /// A session, with its token and where it is deleted.
    Open { token: String, path: Option<String> },
    /// The BMC has no sessions, or none left: HTTP basic.
    Basic,
}

impl Session {
    /// Who a request is from.
    pub(super) fn identity<'a>(&'a self, credentials: &'a Option<(String, String)>) -> Identity<'a> {
        match (self, credentials) {
            (_, None) => Identity::Nobody,
            (Self::Open { token, .. }, _) => Identity::Token(token),
            (_, Some((user, password))) => Identity::Basic(user, password),
        }
    }
}

/// Opens a session where the service root says that sessions are made.
pub(super) async fn open(transport: &Transport, settings: &Settings) -> Result<Session, RedfishError> {
    let Some((user, password)) = &settings.credentials else { return Ok(Session::Basic) };
    if settings.login == Login::Basic {
        return Ok(Session::Basic);
    }
    let root = transport.exchange(&Question::get(settings.root.path()), Identity::Nobody).await?;
    if root.status.is_server_error() {
        return Err(root.refusal());
    }
    let Some(sessions) = list(&root, settings) else {
        return without(settings, "the BMC has no session service");
    };
    let body = json!({"UserName": user, "Password": password});
    let question = Question { method: Method::POST, path: &sessions, body: Some(&body), etag: None };
    let reply = transport.exchange(&question, Identity::Nobody).await?;
    match reply.header("X-Auth-Token") {
        Some(token) if reply.status.is_success() => {
            let path = reply.header(LOCATION).or_else(|| reply.body["@odata.id"].as_str().map(str::to_owned));
            Ok(Session::Open { token, path })
        }
        _ => without(settings, &format!("the BMC answered {} to a session request: {}", reply.status, reply.text())),
    }
}

/// Where sessions are made: by link, or, where not even the root is shown to strangers, where everybody has them.
fn list(root: &Reply, settings: &Settings) -> Option<String> {
    let link = |value: &Value| value["@odata.id"].as_str().map(str::to_owned);
    if !root.status.is_success() {
        return Some(format!("{}/SessionService/Sessions", settings.root.path().trim_end_matches('/')));
    }
    let service = || link(&root.body["SessionService"]).map(|path| format!("{}/Sessions", path.trim_end_matches('/')));
    link(&root.body["Links"]["Sessions"]).or_else(service)
}

fn without(settings: &Settings, reason: &str) -> Result<Session, RedfishError> {
    if settings.login == Login::Session {
        let url = settings.root.to_string();
        return Err(RedfishError::Document { url, problem: format!("{reason}, and redfish_auth_type is session") });
    }
    tracing::debug!(reason, "HTTP basic it is");
    Ok(Session::Basic)
}

/// Deletes a session; a failure only means that it lasts until it expires.
pub(super) async fn close(transport: &Transport, token: &str, path: &str) {
    let question = Question { method: Method::DELETE, path, body: None, etag: None };
    if let Err(error) = transport.exchange(&question, Identity::Token(token)).await {
        tracing::debug!(%error, "the session stays open until it expires");
    }
}
