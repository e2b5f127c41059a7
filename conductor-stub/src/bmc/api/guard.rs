//! Before and after every request: faults, credentials, privileges and versions; headers.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::bmc::documents::{ROOT, Refusal, error};
use crate::bmc::fault;
use crate::bmc::state::{Bmc, Principal};

/// Of a request.
const REQUEST_LIMIT: usize = 1 << 20;
/// Of one of our own documents.
const DOCUMENT_LIMIT: usize = 4 << 20;

/// Answers, and adds what belongs on every answer.
pub(super) async fn guard(State(bmc): State<Bmc>, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let head = request.method() == Method::HEAD;
    let unless = request.headers().get(header::IF_NONE_MATCH).cloned();
    let (parts, body) = request.into_parts();
    // Read before anything is answered: a connection with an unread body cannot be kept.
    let mut response = match to_bytes(body, REQUEST_LIMIT).await {
        Ok(bytes) => answer(&bmc, Request::from_parts(parts, Body::from(bytes)), next).await,
        Err(_) => error(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge", "More than 1 MiB").into_response(),
    };
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let allow = response.headers().get(header::ALLOW).cloned();
        response = error(StatusCode::METHOD_NOT_ALLOWED, "OperationNotAllowed", "Not with this method").into_response();
        response.headers_mut().extend(allow.map(|allow| (header::ALLOW, allow)));
    }
    if reads && response.status() == StatusCode::OK {
        response = described(response).await;
        if unless.is_some() && unless == response.headers().get(header::ETAG).cloned() {
            let (mut parts, _) = response.into_parts();
            parts.status = StatusCode::NOT_MODIFIED;
            response = Response::from_parts(parts, Body::empty());
        }
    }
    if head {
        *response.body_mut() = Body::empty();
    }
    let headers = response.headers_mut();
    headers.insert("OData-Version", HeaderValue::from_static("4.0"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

async fn answer(bmc: &Bmc, mut request: Request, next: Next) -> Response {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PATCH, Method::PUT, Method::DELETE, Method::OPTIONS];
    if !known.contains(request.method()) {
        return error(StatusCode::NOT_IMPLEMENTED, "OperationNotAllowed", "There is no such method").into_response();
    }
    if request.headers().get("odata-version").is_some_and(|version| version != "4.0") {
        return error(StatusCode::PRECONDITION_FAILED, "HeaderInvalid", "OData-Version must be 4.0").into_response();
    }
    let query = request.uri().query().unwrap_or_default();
    if let Some(unknown) = query.split('&').find(|part| part.starts_with('$')) {
        let text = format!("The query parameter {} is not supported", unknown.split('=').next().unwrap_or_default());
        return error(StatusCode::NOT_IMPLEMENTED, "QueryNotSupported", text).into_response();
    }
    let fault = strike(bmc, &request);
    if let Some(fault) = &fault {
        tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
        if let Some(status) = fault.status.and_then(|status| StatusCode::from_u16(status).ok()) {
            return error(status, "GeneralError", fault.message.clone()).into_response();
        }
    }
    match admit(bmc, &request) {
        Ok(Some(principal)) => drop(request.extensions_mut().insert(principal)),
        Ok(None) => {}
        Err(refusal) => return refusal.into_response(),
    }
    // Of two who have seen the same, one comes too late.
    let mut _one_at_a_time = None;
    if let Some((expected, look)) = condition(&request) {
        _one_at_a_time = Some(bmc.0.changing.lock().await);
        if let Err(refusal) = is_current(&expected, look, next.clone()).await {
            return refusal.into_response();
        }
    }
    if request.method() == Method::HEAD {
        *request.method_mut() = Method::GET;
    }
    match fault.and_then(|fault| fault.task_ms) {
        Some(ms) => {
            let tasks = bmc.clone();
            let id = bmc.0.tasks.open("What a fault has put off", "Running");
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                tasks.0.tasks.close(id, next.run(request).await, "Done");
            });
            crate::bmc::task::announce(id)
        }
        None => next.run(request).await,
    }
}

fn strike(bmc: &Bmc, request: &Request) -> Option<fault::Fault> {
    let path = request.uri().path();
    if path == "/faults" {
        return None;
    }
    fault::take(&mut bmc.faults(), request.method().as_str(), path)
}

/// Who asks, if they may; nobody where nobody has to be known (DSP0266, "Resource and operation authentication requirements").
fn admit(bmc: &Bmc, request: &Request) -> Result<Option<Principal>, Refusal> {
    let (method, path) = (request.method(), request.uri().path().trim_end_matches('/'));
    let below = path.strip_prefix(ROOT);
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let public = path == "/redfish" || matches!(below, Some("" | "/odata" | "/$metadata"));
    let session = matches!(below, Some("/SessionService/Sessions" | "/SessionService/Sessions/Members"));
    if (public && reads) || (session && *method == Method::POST) {
        return Ok(None);
    }
    let who = bmc.identify(request.headers()).ok_or_else(unauthorized)?;
    let own_account = who.account.is_some_and(|id| below == Some(&format!("/AccountService/Accounts/{id}")));
    let sessions = below.is_some_and(|path| path.starts_with("/SessionService/Sessions/"));
    if who.password_change_required && !own_account && !sessions {
        return Err(error(StatusCode::FORBIDDEN, "PasswordChangeRequired", "The password must be changed first"));
    }
    let part = below.unwrap_or(path).trim_start_matches('/').split('/').next().unwrap_or_default();
    let needed = match (reads, part) {
        (true, "faults") => "ConfigureManager",
        (true, _) => "Login",
        // Whose it is is looked at where that is known.
        (false, "AccountService") if own_account => "ConfigureSelf",
        (false, "AccountService") => "ConfigureUsers",
        (false, "SessionService") if sessions => "ConfigureSelf",
        (false, "Systems" | "EventService" | "TaskService") => "ConfigureComponents",
        (false, _) => "ConfigureManager",
    };
    match who.has(needed) {
        true => Ok(Some(who)),
        false => Err(forbidden(needed)),
    }
}

pub(super) fn unauthorized() -> Refusal {
    error(StatusCode::UNAUTHORIZED, "NoValidSession", "Wrong or missing credentials")
}

pub(super) fn forbidden(privilege: &str) -> Refusal {
    error(StatusCode::FORBIDDEN, "InsufficientPrivilege", format!("The privilege {privilege} is needed"))
}

/// The version that is meant to be changed, and the request that shows the present one.
fn condition(request: &Request) -> Option<(HeaderValue, Request)> {
    let expected = request.headers().get(header::IF_MATCH)?;
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::POST) || expected == "*" {
        return None;
    }
    let mut look = Request::new(Body::empty());
    *look.uri_mut() = request.uri().clone();
    if let Some(who) = request.extensions().get::<Principal>() {
        look.extensions_mut().insert(who.clone());
    }
    Some((expected.clone(), look))
}

/// Whether what is to be changed is still what the client has seen.
async fn is_current(expected: &HeaderValue, look: Request, next: Next) -> Result<(), Refusal> {
    let now = described(next.run(look).await).await;
    match now.headers().get(header::ETAG) == Some(expected) || now.status() != StatusCode::OK {
        true => Ok(()),
        false => Err(error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", "It has changed since")),
    }
}

/// Adds what can be told from a document: its version, and where its schema is.
async fn described(response: Response) -> Response {
    let json = HeaderValue::from_static("application/json");
    if response.headers().get(header::CONTENT_TYPE) != Some(&json) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, DOCUMENT_LIMIT).await.unwrap_or_default();
    let mut document: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    // A clock makes no new version.
    let mut versioned = document.clone();
    if let Some(object) = versioned.as_object_mut() {
        object.remove("DateTime");
    }
    let etag = format!("\"{}\"", hex::encode(&Sha256::digest(versioned.to_string())[..8]));
    if document.get("@odata.id").is_some() {
        document["@odata.etag"] = etag.clone().into();
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(HeaderValue::from_str(&etag).ok().map(|etag| (header::ETAG, etag)));
    let kind = document["@odata.type"].as_str().unwrap_or_default();
    if let Some((schema, _)) = kind.trim_start_matches('#').rsplit_once('.') {
        let link = format!("<http://redfish.dmtf.org/schemas/v1/{schema}.json>; rel=describedby");
        parts.headers.extend(HeaderValue::from_str(&link).ok().map(|link| (header::LINK, link)));
    }
    Response::from_parts(parts, Body::from(document.to_string()))
}
