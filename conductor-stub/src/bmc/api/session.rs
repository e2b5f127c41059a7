//! Sessions.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use super::guard::{forbidden, unauthorized};
use super::{created, only, parse, property};
use crate::bmc::documents::{self, ROOT, Refusal, error, missing, service, wrong};
use crate::bmc::session::{LIMIT, TIMEOUTS};
use crate::bmc::state::{Bmc, Principal};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Login {
    user_name: String,
    password: String,
}

pub(super) async fn service(State(bmc): State<Bmc>) -> Json<Value> {
    Json(service::session_service(bmc.sessions().timeout))
}

pub(super) async fn change_service(State(bmc): State<Bmc>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let wish = only(&body, &["SessionTimeout"])?;
    let timeout: u64 = property("SessionTimeout", &wish["SessionTimeout"])?;
    if !TIMEOUTS.contains(&timeout) {
        return Err(wrong("SessionTimeout", format!("from {} to {} seconds", TIMEOUTS.start(), TIMEOUTS.end())));
    }
    bmc.sessions().timeout = timeout;
    Ok(Json(service::session_service(timeout)))
}

pub(super) async fn list(State(bmc): State<Bmc>) -> Json<Value> {
    Json(service::sessions(bmc.sessions().open().keys().cloned()))
}

pub(super) async fn open(State(bmc): State<Bmc>, body: Bytes) -> Result<Response, Refusal> {
    let login: Login = parse(&body)?;
    let must_change = {
        let accounts = bmc.accounts();
        let entry = accounts.log_in(&login.user_name, &login.password);
        if entry.is_none() && !accounts.is_empty() {
            return Err(unauthorized());
        }
        entry.is_some_and(|entry| entry.password_change_required)
    };
    let mut sessions = bmc.sessions();
    let Some((id, token)) = sessions.begin(&login.user_name) else {
        let text = format!("There are {LIMIT} sessions already");
        return Err(error(StatusCode::SERVICE_UNAVAILABLE, "SessionLimitExceeded", text));
    };
    let mut document = service::session(&id, &sessions.open()[&id]);
    if must_change {
        document["@Message.ExtendedInfo"] =
            json!([documents::message("PasswordChangeRequired", "The password must be changed first")]);
    }
    let mut response = created(format!("{ROOT}/SessionService/Sessions/{id}"), document);
    response.headers_mut().extend(
        HeaderValue::from_str(&token).ok().map(|token| (axum::http::HeaderName::from_static("x-auth-token"), token)),
    );
    Ok(response)
}

pub(super) async fn read(State(bmc): State<Bmc>, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let mut sessions = bmc.sessions();
    let session = sessions.open().get(&id).ok_or_else(|| missing("session", &id))?;
    Ok(Json(service::session(&id, session)))
}

/// Ends one's own session; an administrator, anybody's.
pub(super) async fn close(
    State(bmc): State<Bmc>,
    Path(id): Path<String>,
    Extension(who): Extension<Principal>,
) -> Result<StatusCode, Refusal> {
    let mut sessions = bmc.sessions();
    let session = sessions.open().get(&id).ok_or_else(|| missing("session", &id))?;
    if session.user != who.user && !who.has("ConfigureManager") {
        return Err(forbidden("ConfigureManager"));
    }
    sessions.close(&id);
    Ok(StatusCode::NO_CONTENT)
}
