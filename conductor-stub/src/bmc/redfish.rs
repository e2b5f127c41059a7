//! The Redfish API: routes, who may ask, and what each request does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::definition::Definition;
use super::documents::{self, ROOT, Refusal, error};
use super::fault::{self, Fault};
use super::media;
use super::session::{self, Account, Sessions};
use super::system::{Enabled, Medium, Override, Power, System, Target};
use super::task::Tasks;

/// The BMC: its machines, its account and what is to go wrong.
#[derive(Debug, Clone)]
pub struct Bmc(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    uuid: String,
    systems: BTreeMap<String, Arc<Mutex<System>>>,
    account: Option<Account>,
    sessions: std::sync::Mutex<Sessions>,
    faults: std::sync::Mutex<Vec<Fault>>,
    tasks: Tasks,
    client: reqwest::Client,
}

impl Bmc {
    /// A BMC for `machines`, all of them off. Without an account everybody may ask.
    pub fn new(machines: Vec<Definition>, account: Option<Account>, client: reqwest::Client) -> Self {
        let systems = machines
            .into_iter()
            .map(|machine| (machine.uuid.to_string(), Arc::new(Mutex::new(System::new(machine)))))
            .collect();
        let uuid = uuid::Uuid::new_v4().to_string();
        Self(Arc::new(Shared {
            uuid,
            systems,
            account,
            sessions: Default::default(),
            faults: Default::default(),
            tasks: Tasks::default(),
            client,
        }))
    }

    /// Takes the power of every machine away.
    pub async fn switch_off(&self) {
        for system in self.0.systems.values() {
            system.lock().await.switch_off();
        }
    }

    fn system(&self, id: &str) -> Result<Arc<Mutex<System>>, Refusal> {
        let system = self.0.systems.get(id).cloned();
        system.ok_or_else(|| {
            let text = format!("There is no system {id}");
            error(StatusCode::NOT_FOUND, "ResourceMissingAtURI", text)
        })
    }
}

/// The API of `bmc`, for a server or for a test in this process.
pub fn router(bmc: Bmc) -> Router {
    let system = format!("{ROOT}/Systems/{{id}}");
    let media = format!("{system}/VirtualMedia");
    Router::new()
        .route("/redfish", get(async || Json(json!({"v1": format!("{ROOT}/")}))))
        .route(ROOT, get(service_root))
        .route(&format!("{ROOT}/"), get(service_root))
        .route(&format!("{ROOT}/SessionService"), get(async || Json(documents::session_service())))
        .route(&format!("{ROOT}/SessionService/Sessions"), get(async || Json(documents::sessions())).post(open_session))
        .route(&format!("{ROOT}/SessionService/Sessions/{{id}}"), delete(close_session))
        .route(&format!("{ROOT}/TaskService/TaskMonitors/{{id}}"), get(look_at_task))
        .route(&format!("{ROOT}/{{kind}}"), get(machines))
        .route(&system, get(read_system).patch(patch_system))
        .route(&format!("{system}/Actions/ComputerSystem.Reset"), post(reset))
        .route(&format!("{system}/EthernetInterfaces"), get(ethernet_interfaces))
        .route(&format!("{system}/EthernetInterfaces/{{mac}}"), get(ethernet_interface))
        .route(&media, get(async |Path(id): Path<String>| Json(documents::virtual_media(&id))))
        .route(&format!("{media}/Cd"), get(virtual_cd))
        .route(&format!("{media}/Cd/Actions/VirtualMedia.InsertMedia"), post(insert))
        .route(&format!("{media}/Cd/Actions/VirtualMedia.EjectMedia"), post(eject))
        .route(&format!("{ROOT}/Managers/{{id}}"), get(async |Path(id): Path<String>| Json(documents::manager(&id))))
        .route(&format!("{ROOT}/Chassis/{{id}}"), get(async |Path(id): Path<String>| Json(documents::chassis(&id))))
        .route("/faults", get(list_faults).post(add_faults).delete(clear_faults))
        .layer(middleware::from_fn_with_state(bmc.clone(), guard))
        .with_state(bmc)
}

/// Faults first, then credentials; the version header goes on every answer.
async fn guard(State(bmc): State<Bmc>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_string();
    let wrong = if path == "/faults" {
        None
    } else {
        let mut faults = bmc.0.faults.lock().unwrap_or_else(|e| e.into_inner());
        fault::take(&mut faults, request.method().as_str(), &path)
    };
    if let Some(fault) = wrong {
        tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
        if let Some(status) = fault.status.and_then(|status| StatusCode::from_u16(status).ok()) {
            return error(status, "GeneralError", fault.message).into_response();
        }
        if let Some(ms) = fault.task_ms.filter(|_| admitted(&bmc, &request)) {
            let (id, answer) = bmc.0.tasks.open();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                bmc.0.tasks.close(&id, next.run(request).await);
            });
            return answer;
        }
    }
    let mut response = if admitted(&bmc, &request) { next.run(request).await } else { unauthorized().into_response() };
    response.headers_mut().insert("OData-Version", HeaderValue::from_static("4.0"));
    response
}

/// The service root and logging in need no credentials (DSP0266, 13.3.5).
fn admitted(bmc: &Bmc, request: &Request) -> bool {
    let Some(account) = &bmc.0.account else { return true };
    let path = request.uri().path().trim_end_matches('/');
    let open = path == "/redfish"
        || path == ROOT
        || (request.method() == Method::POST && path == format!("{ROOT}/SessionService/Sessions"));
    open || bmc.0.sessions.lock().unwrap_or_else(|e| e.into_inner()).admit(account, request.headers())
}

fn unauthorized() -> Refusal {
    error(StatusCode::UNAUTHORIZED, "NoValidSession", "Wrong or missing credentials")
}

async fn service_root(State(bmc): State<Bmc>) -> Json<Value> {
    Json(documents::service_root(&bmc.0.uuid))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Login {
    user_name: String,
    password: String,
}

async fn open_session(State(bmc): State<Bmc>, body: Bytes) -> Result<Response, Refusal> {
    let login: Login = parse(&body)?;
    if let Some(account) = &bmc.0.account
        && !session::is_account(account, &login.user_name, &login.password)
    {
        return Err(unauthorized());
    }
    let (id, token) = bmc.0.sessions.lock().unwrap_or_else(|e| e.into_inner()).open();
    let document = documents::session(&id, &login.user_name);
    let location = format!("{ROOT}/SessionService/Sessions/{id}");
    Ok((StatusCode::CREATED, [("X-Auth-Token", token), ("Location", location)], Json(document)).into_response())
}

async fn close_session(State(bmc): State<Bmc>, Path(id): Path<String>) -> Response {
    if bmc.0.sessions.lock().unwrap_or_else(|e| e.into_inner()).close(&id) {
        StatusCode::NO_CONTENT.into_response()
    } else {
        error(StatusCode::NOT_FOUND, "ResourceMissingAtURI", format!("There is no session {id}")).into_response()
    }
}

async fn look_at_task(State(bmc): State<Bmc>, Path(id): Path<String>) -> Response {
    bmc.0.tasks.look(&id)
}

async fn machines(State(bmc): State<Bmc>, Path(kind): Path<String>) -> Response {
    match kind.as_str() {
        "Systems" | "Managers" | "Chassis" => {
            Json(documents::machines(&kind, bmc.0.systems.keys().cloned())).into_response()
        }
        _ => error(StatusCode::NOT_FOUND, "ResourceMissingAtURI", format!("There is no {ROOT}/{kind}")).into_response(),
    }
}

async fn read_system(State(bmc): State<Bmc>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let system = bmc.system(&id)?;
    let mut system = system.lock().await;
    let document = documents::system(&mut system);
    Ok(([(header::ETAG, etag(&system))], Json(document)).into_response())
}

fn etag(system: &System) -> String {
    format!("\"{}\"", system.revision)
}

#[derive(Deserialize)]
struct SystemPatch {
    #[serde(rename = "Boot")]
    boot: BootPatch,
}

#[derive(Deserialize)]
struct BootPatch {
    #[serde(rename = "BootSourceOverrideEnabled")]
    enabled: Option<Enabled>,
    #[serde(rename = "BootSourceOverrideTarget")]
    target: Option<Target>,
    #[serde(rename = "BootSourceOverrideMode")]
    mode: Option<String>,
    #[serde(rename = "HttpBootUri", default, deserialize_with = "present")]
    http_boot_uri: Option<Option<String>>,
}

/// Tells `null` (clear it) from absent (leave it).
fn present<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(value).map(Some)
}

async fn patch_system(
    State(bmc): State<Bmc>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let patch: SystemPatch = parse(&body)?;
    let system = bmc.system(&id)?;
    let mut system = system.lock().await;
    if let Some(wanted) = headers.get(header::IF_MATCH)
        && wanted.as_bytes() != etag(&system).as_bytes()
    {
        return Err(error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", "The system has changed since"));
    }
    if let Some(mode) = patch.boot.mode.filter(|mode| mode != "UEFI") {
        let text = format!("BootSourceOverrideMode {mode} is not supported, only UEFI");
        return Err(error(StatusCode::BAD_REQUEST, "PropertyValueNotInList", text));
    }
    let old = system.boot.clone();
    system.boot = Override {
        enabled: patch.boot.enabled.unwrap_or(old.enabled),
        target: patch.boot.target.unwrap_or(old.target),
        http_boot_uri: patch.boot.http_boot_uri.unwrap_or(old.http_boot_uri),
    };
    system.revision += 1;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct ResetRequest {
    #[serde(rename = "ResetType")]
    reset_type: String,
}

async fn reset(State(bmc): State<Bmc>, Path(id): Path<String>, body: Bytes) -> Result<StatusCode, Refusal> {
    let request: ResetRequest = parse(&body)?;
    let shared = bmc.system(&id)?;
    let mut system = shared.lock().await;
    let power = system.power();
    let failed = |error_: std::io::Error| {
        error(StatusCode::INTERNAL_SERVER_ERROR, "GeneralError", format!("The machine did not obey: {error_}"))
    };
    let (way, end) = match (request.reset_type.as_str(), power) {
        (_, Power::PoweringOn | Power::PoweringOff) => {
            return Err(error(StatusCode::CONFLICT, "ResourceInUse", "A power change is under way"));
        }
        ("On", Power::On) | ("ForceOff" | "GracefulShutdown", Power::Off) => return Ok(StatusCode::NO_CONTENT),
        ("GracefulShutdown", Power::On) => {
            system.shut_down().map_err(failed)?;
            return Ok(StatusCode::NO_CONTENT);
        }
        ("On" | "ForceRestart" | "GracefulRestart", _) => (Power::PoweringOn, Power::On),
        ("ForceOff", _) => (Power::PoweringOff, Power::Off),
        (other, _) => {
            let text = format!("ResetType {other} is not supported");
            return Err(error(StatusCode::BAD_REQUEST, "ActionParameterNotSupported", text));
        }
    };
    let delay = Duration::from_millis(system.definition.transition_ms);
    if delay.is_zero() {
        arrive(&mut system, end).map_err(failed)?;
    } else {
        system.set_transition(Some(way));
        let shared = shared.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let mut system = shared.lock().await;
            system.set_transition(None);
            if let Err(error) = arrive(&mut system, end) {
                tracing::error!(machine = %system.definition.name, %error, "power change failed");
            }
        });
    }
    Ok(StatusCode::NO_CONTENT)
}

fn arrive(system: &mut System, power: Power) -> std::io::Result<()> {
    system.switch_off();
    if power == Power::On { system.switch_on() } else { Ok(()) }
}

async fn ethernet_interfaces(State(bmc): State<Bmc>, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    Ok(Json(documents::ethernet_interfaces(&*bmc.system(&id)?.lock().await)))
}

async fn ethernet_interface(
    State(bmc): State<Bmc>,
    Path((id, mac)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let system = bmc.system(&id)?;
    let system = system.lock().await;
    if !system.definition.macs.contains(&mac) {
        return Err(error(StatusCode::NOT_FOUND, "ResourceMissingAtURI", format!("There is no interface {mac}")));
    }
    Ok(Json(documents::ethernet_interface(&system, &mac)))
}

async fn virtual_cd(State(bmc): State<Bmc>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let system = bmc.system(&id)?;
    let system = system.lock().await;
    Ok(([(header::ETAG, etag(&system))], Json(documents::virtual_cd(&system))).into_response())
}

#[derive(Deserialize)]
struct InsertRequest {
    #[serde(rename = "Image")]
    image: String,
}

async fn insert(State(bmc): State<Bmc>, Path(id): Path<String>, body: Bytes) -> Result<StatusCode, Refusal> {
    let request: InsertRequest = parse(&body)?;
    let system = bmc.system(&id)?;
    let mut system = system.lock().await;
    if system.medium.is_some() {
        return Err(error(StatusCode::BAD_REQUEST, "ResourceInUse", "Another medium is inserted: eject it first"));
    }
    let failed = |text: String| error(StatusCode::BAD_REQUEST, "GeneralError", text);
    let file = match system.media_dir() {
        Some(directory) => {
            let file = media::download(&bmc.0.client, &request.image, &directory).await;
            Some(file.map_err(|error| failed(error.to_string()))?)
        }
        None => None,
    };
    let medium = Medium { url: request.image, file };
    system.change_medium(Some(medium)).map_err(|error| failed(error.to_string()))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn eject(State(bmc): State<Bmc>, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    let system = bmc.system(&id)?;
    let mut system = system.lock().await;
    system.change_medium(None).map_err(|failure| {
        error(StatusCode::INTERNAL_SERVER_ERROR, "GeneralError", format!("The drive did not open: {failure}"))
    })?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_faults(State(bmc): State<Bmc>) -> Json<Vec<Fault>> {
    Json(bmc.0.faults.lock().unwrap_or_else(|e| e.into_inner()).clone())
}

async fn add_faults(State(bmc): State<Bmc>, body: Bytes) -> Result<StatusCode, Refusal> {
    let faults: Vec<Fault> = parse(&body)?;
    bmc.0.faults.lock().unwrap_or_else(|e| e.into_inner()).extend(faults);
    Ok(StatusCode::NO_CONTENT)
}

async fn clear_faults(State(bmc): State<Bmc>) -> StatusCode {
    bmc.0.faults.lock().unwrap_or_else(|e| e.into_inner()).clear();
    StatusCode::NO_CONTENT
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|failure| error(StatusCode::BAD_REQUEST, "MalformedJSON", format!("Not understood: {failure}")))
}
