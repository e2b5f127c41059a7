//! The REST API: routes of `/`, `/v1/`, `/v1/status` and `/v1/commands/`.

use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use tracing::info;

use crate::agent::Agent;
use crate::command;
use crate::error::Fault;
use crate::server::Connection;
use crate::{VERSION, mask, metrics};

/// The longest body of a request. A config drive may have 64 MiB before it is encoded.
const MOST_BODY_BYTES: usize = 128 << 20;
/// How long one may take, over a slow network.
const BODY_LIMIT: Duration = Duration::from_secs(300);

/// The service.
pub fn router(agent: Arc<Agent>) -> Router {
    let commands = || get(list).post(start).route_layer(from_fn_with_state(agent.clone(), require_token));
    let one = || get(show).route_layer(from_fn_with_state(agent.clone(), require_token));
    Router::new()
        .route("/", get(versions))
        .route("/v1", any(redirect))
        .route("/v1/", get(version_1))
        .route("/v1/status", get(status))
        .route("/status", get(status))
        .route("/v1/commands", any(redirect))
        .route("/commands", any(redirect))
        .route("/v1/commands/", commands())
        .route("/commands/", commands())
        .route("/v1/commands/{id}", one())
        .route("/commands/{id}", one())
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn(log))
        .with_state(agent)
}

/// Everything about commands needs the token, in the query. It is asked before the body is read.
async fn require_token(State(agent): State<Arc<Agent>>, request: Request, next: Next) -> Response {
    if agent.token.admits(query(request.uri(), "agent_token").as_deref()) {
        agent.commands.mark_read();
        next.run(request).await
    } else {
        Fault::http(StatusCode::UNAUTHORIZED, "Token invalid.").into_response()
    }
}

async fn log(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_string();
    let query = mask::masked_query(request.uri().query().unwrap_or_default());
    let client = client(&request);
    let response = next.run(request).await;
    let (status, milliseconds) = (response.status().as_u16(), started.elapsed().as_millis());
    info!(%method, path, query, status, milliseconds, client, "request");
    response
}

/// Who asks: what proxies say, else the other end of the connection.
fn client(request: &Request) -> String {
    let header = |name: &str| request.headers().get(name)?.to_str().ok()?.split(',').next().map(str::trim);
    match header("x-forwarded-for").or_else(|| header("x-real-ip")) {
        Some(address) => address.to_string(),
        None => request.extensions().get::<Connection>().map(|peer| peer.address.to_string()).unwrap_or_default(),
    }
}

/// The first value of a query parameter.
fn query(uri: &Uri, name: &str) -> Option<String> {
    let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn base_url(headers: &HeaderMap, connection: Option<&Connection>) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let scheme = if connection.is_some_and(|connection| connection.encrypted) { "https" } else { "http" };
    format!("{scheme}://{host}")
}

/// The address that the client used, for links.
struct Base(String);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Base {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(base_url(&parts.headers, parts.extensions.get::<Connection>())))
    }
}

fn version_links(base: &str) -> Value {
    json!([
        {"href": format!("{base}/v1"), "rel": "self"},
        {"href": "https://docs.openstack.org/ironic-python-agent/", "rel": "describedby", "type": "text/html"},
    ])
}

async fn versions(Base(base): Base) -> Json<Value> {
    let version = json!({"id": "v1", "links": version_links(&base)});
    Json(json!({
        "name": "OpenStack Ironic Python Agent API",
        "description": "Ironic Python Agent is a provisioning agent for OpenStack Ironic",
        "versions": [version],
        "default_version": version,
    }))
}

async fn version_1(Base(base): Base) -> Json<Value> {
    let links = |name: &str| {
        json!([
            {"href": format!("{base}/v1/{name}"), "rel": "self"},
            {"href": format!("{base}/{name}"), "rel": "bookmark"},
        ])
    };
    Json(json!({
        "commands": links("commands"),
        "status": links("status"),
        "media_types": [{
            "base": "application/json",
            "type": "application/vnd.openstack.ironic-python-agent.v1+json",
        }],
        "id": "v1",
        "links": version_links(&base),
    }))
}

/// Does `work`, and tells the metrics under IPA's name how long it took.
async fn measured<T>(agent: &Agent, name: &str, work: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let done = work.await;
    metrics::timer(agent, &format!("api.app.{name}"), started.elapsed());
    done
}

async fn status(State(agent): State<Arc<Agent>>) -> Json<Value> {
    measured(&agent, "get_status", async {
        let started = agent.started_at.duration_since(UNIX_EPOCH).map(|since| since.as_secs_f64()).unwrap_or_default();
        Json(json!({ "started_at": started, "version": VERSION }))
    })
    .await
}

async fn list(State(agent): State<Arc<Agent>>) -> Json<Value> {
    measured(&agent, "list_commands", async { Json(json!({ "commands": agent.commands.documents() })) }).await
}

async fn show(State(agent): State<Arc<Agent>>, Path(id): Path<String>, uri: Uri) -> Result<Json<Value>, Fault> {
    measured(&agent, "get_command", async {
        let entry = agent.commands.get(&id)?;
        if wants_to_wait(&uri) {
            entry.ended().await;
        }
        Ok(Json(entry.document()))
    })
    .await
}

async fn start(State(agent): State<Arc<Agent>>, uri: Uri, body: Body) -> Result<Json<Value>, Fault> {
    measured(&agent, "run_command", async {
        let (name, arguments) = parse(&whole(body).await?)?;
        let entry = command::start(&agent, &name, arguments).await?;
        if wants_to_wait(&uri) {
            entry.ended().await;
            agent.commands.mark_read();
        }
        Ok(Json(entry.document()))
    })
    .await
}

/// A body within its limits; what is announced as longer is not even begun.
async fn whole(body: Body) -> Result<Bytes, Fault> {
    if body.size_hint().lower() > MOST_BODY_BYTES as u64 {
        return Err(Fault::http(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The data value transmitted exceeds the capacity limit.",
        ));
    }
    match tokio::time::timeout(BODY_LIMIT, axum::body::to_bytes(body, MOST_BODY_BYTES)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) => Err(Fault::http(StatusCode::BAD_REQUEST, &format!("The body cannot be read: {error}"))),
        Err(_) => Err(Fault::http(StatusCode::REQUEST_TIMEOUT, "The body took too long.")),
    }
}

fn wants_to_wait(uri: &Uri) -> bool {
    query(uri, "wait").is_some_and(|wait| wait.eq_ignore_ascii_case("true"))
}

fn parse(body: &[u8]) -> Result<(String, Map<String, Value>), Fault> {
    let bad = |text: &str| Fault::http(StatusCode::BAD_REQUEST, text);
    let body: Value =
        serde_json::from_slice(body).map_err(|error| bad(&format!("Failed to decode JSON object: {error}")))?;
    match (&body["name"], &body["params"]) {
        (Value::String(name), Value::Object(params)) => Ok((name.clone(), params.clone())),
        _ => Err(bad("Missing or invalid name or params")),
    }
}

/// The same address with a slash at its end.
async fn redirect(Base(base): Base, uri: Uri) -> Response {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = format!("{base}{}/{query}", uri.path());
    let page = format!(
        "<!doctype html>\n<title>Redirecting...</title>\n<p>The resource is at <a href=\"{base}{path}/\">{path}/</a>.\n",
        path = uri.path()
    );
    let headers = [(header::LOCATION, location), (header::CONTENT_TYPE, "text/html; charset=utf-8".to_string())];
    (StatusCode::PERMANENT_REDIRECT, headers, page).into_response()
}

async fn not_found() -> Fault {
    Fault::http(
        StatusCode::NOT_FOUND,
        "The requested URL was not found on the server. If you entered the URL manually please check your spelling \
         and try again.",
    )
}

async fn method_not_allowed() -> Fault {
    Fault::http(StatusCode::METHOD_NOT_ALLOWED, "The method is not allowed for the requested URL.")
}
