//! Accounts and roles.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use serde_json::{Map, Value};

use super::guard::forbidden;
use super::{created, only, property};
use crate::bmc::account::{AccountError, Entry, Role, Wish};
use crate::bmc::documents::{ROOT, Refusal, account, error, missing};
use crate::bmc::state::{Bmc, Principal};

const WRITABLE: [&str; 5] = ["UserName", "Password", "RoleId", "Enabled", "PasswordChangeRequired"];

pub(super) async fn list(State(bmc): State<Bmc>) -> Json<Value> {
    Json(account::accounts(bmc.accounts().all()))
}

fn wish(object: Map<String, Value>) -> Result<Wish, Refusal> {
    property("account", &Value::Object(object))
}

fn refused(reason: AccountError) -> Refusal {
    let id =
        if matches!(reason, AccountError::Full) { "CreateLimitReachedForResource" } else { "PropertyValueFormatError" };
    error(StatusCode::BAD_REQUEST, id, reason.to_string())
}

pub(super) async fn add(State(bmc): State<Bmc>, body: Bytes) -> Result<Response, Refusal> {
    let more = ["AccountTypes", "Locked"];
    let known: Vec<&str> = WRITABLE.iter().chain(&more).copied().collect();
    let object = only(&body, &known)?;
    if let Some(missing) = ["UserName", "Password", "RoleId"].iter().find(|key| !object.contains_key(**key)) {
        return Err(error(StatusCode::BAD_REQUEST, "CreateFailedMissingReqProperties", format!("{missing} is needed")));
    }
    let mut accounts = bmc.accounts();
    let id = accounts.add(wish(object)?).map_err(refused)?.to_string();
    let document = accounts.get(&id).map(account::account).unwrap_or_default();
    Ok(created(format!("{ROOT}/AccountService/Accounts/{id}"), document))
}

fn find(bmc: &Bmc, id: &str) -> Result<Entry, Refusal> {
    bmc.accounts().get(id).cloned().ok_or_else(|| missing("account", id))
}

pub(super) async fn read(
    State(bmc): State<Bmc>,
    Path(id): Path<String>,
    Extension(who): Extension<Principal>,
) -> Result<Json<Value>, Refusal> {
    let entry = find(&bmc, &id)?;
    if who.account != Some(entry.id) && !who.has("ConfigureUsers") {
        return Err(forbidden("ConfigureUsers"));
    }
    Ok(Json(account::account(&entry)))
}

/// Changes an account; of one's own, everybody may change the password.
pub(super) async fn change(
    State(bmc): State<Bmc>,
    Path(id): Path<String>,
    Extension(who): Extension<Principal>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let entry = find(&bmc, &id)?;
    let object = only(&body, &WRITABLE)?;
    let own_password = who.account == Some(entry.id) && object.keys().all(|key| key == "Password");
    if !own_password && !who.has("ConfigureUsers") {
        return Err(forbidden("ConfigureUsers"));
    }
    bmc.accounts().change(entry.id, wish(object)?).map_err(refused)?;
    let entry = find(&bmc, &id)?;
    if !entry.enabled {
        bmc.sessions().close_of(&entry.user);
    }
    Ok(Json(account::account(&entry)))
}

pub(super) async fn remove(
    State(bmc): State<Bmc>,
    Path(id): Path<String>,
    Extension(who): Extension<Principal>,
) -> Result<StatusCode, Refusal> {
    let entry = find(&bmc, &id)?;
    if !who.has("ConfigureUsers") {
        return Err(forbidden("ConfigureUsers"));
    }
    bmc.accounts().remove(entry.id).map_err(refused)?;
    bmc.sessions().close_of(&entry.user);
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn role(Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let role = Role::ALL.into_iter().find(|role| role.name() == id);
    role.map(|role| Json(account::role(role))).ok_or_else(|| missing("role", &id))
}
