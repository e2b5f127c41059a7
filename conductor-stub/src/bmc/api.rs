//! The Redfish API: every route, and what is the same for all of them.

mod account;
mod event;
mod guard;
mod media;
mod session;
mod system;
mod update;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router, middleware};
use serde_json::{Value, json};

use super::documents::{self, ROOT, Refusal, error, missing};
use super::fault::Fault;
use super::state::Bmc;
use super::system::System;

/// The API of `bmc`, for a server or for a test in this process.
pub fn router(bmc: Bmc) -> Router {
    let services = services().into_iter().chain(systems()).chain(machines());
    let router = services.fold(Router::new(), |router, (path, allow, methods)| {
        let allow = HeaderValue::from_static(allow);
        let say = move |mut response: Response| {
            response.headers_mut().insert(header::ALLOW, allow.clone());
            std::future::ready(response)
        };
        router.route(&path, methods.layer(middleware::map_response(say)))
    });
    let router = router
        .route("/faults", get(list_faults).post(add_faults).delete(clear_faults))
        .fallback(async |request: axum::extract::Request| missing("resource", request.uri().path()))
        .with_state(bmc.clone());
    // Around all of it, so that the guard can look at what a request would change.
    Router::new().fallback_service(router).layer(middleware::from_fn_with_state(bmc, guard::guard))
}

type Route = (String, &'static str, MethodRouter<Bmc>);

const READ: &str = "GET, HEAD";
const CHANGE: &str = "GET, HEAD, PATCH";
const ADD: &str = "GET, HEAD, POST";
const REMOVE: &str = "GET, HEAD, DELETE";

fn services() -> Vec<Route> {
    let fixed = |document: fn() -> Value| get(move || std::future::ready(Json(document())));
    let root = || get(async |State(bmc): State<Bmc>| Json(documents::service::root(&bmc.0.uuid)));
    let xml = [(header::CONTENT_TYPE, "application/xml")];
    let session = format!("{ROOT}/SessionService");
    let account = format!("{ROOT}/AccountService");
    let event = format!("{ROOT}/EventService");
    let update = format!("{ROOT}/UpdateService");
    let task = format!("{ROOT}/TaskService");
    let registry = format!("{ROOT}/Registries/{}", documents::service::registry_name());
    vec![
        ("/redfish".into(), READ, get(async || Json(json!({"v1": format!("{ROOT}/")})))),
        (ROOT.into(), READ, root()),
        (format!("{ROOT}/"), READ, root()),
        (format!("{ROOT}/odata"), READ, fixed(documents::service::odata)),
        (format!("{ROOT}/$metadata"), READ, get(move || std::future::ready((xml, documents::service::metadata())))),
        (session.clone(), CHANGE, get(session::service).patch(session::change_service)),
        (format!("{session}/Sessions"), ADD, get(session::list).post(session::open)),
        (format!("{session}/Sessions/Members"), "POST", post(session::open)),
        (format!("{session}/Sessions/{{id}}"), REMOVE, get(session::read).delete(session::close)),
        (account.clone(), READ, fixed(documents::account::service)),
        (format!("{account}/Accounts"), ADD, get(account::list).post(account::add)),
        (format!("{account}/Accounts/Members"), "POST", post(account::add)),
        (
            format!("{account}/Accounts/{{id}}"),
            "GET, HEAD, PATCH, DELETE",
            get(account::read).patch(account::change).delete(account::remove),
        ),
        (format!("{account}/Roles"), READ, fixed(documents::account::roles)),
        (format!("{account}/Roles/{{id}}"), READ, get(account::role)),
        (event.clone(), READ, fixed(documents::service::event_service)),
        (format!("{event}/SSE"), READ, get(event::stream)),
        (format!("{event}/Actions/EventService.SubmitTestEvent"), "POST", post(event::test)),
        (format!("{event}/Subscriptions"), ADD, get(event::list).post(event::subscribe)),
        (format!("{event}/Subscriptions/Members"), "POST", post(event::subscribe)),
        (format!("{event}/Subscriptions/{{id}}"), REMOVE, get(event::read).delete(event::unsubscribe)),
        (update.clone(), READ, fixed(documents::service::update_service)),
        (format!("{update}/Actions/UpdateService.SimpleUpdate"), "POST", post(update::update)),
        (format!("{update}/FirmwareInventory"), READ, get(update::inventory)),
        (format!("{update}/FirmwareInventory/{{id}}"), READ, get(update::read)),
        (task.clone(), READ, fixed(documents::service::task_service)),
        (
            format!("{task}/Tasks"),
            READ,
            get(async |State(bmc): State<Bmc>| Json(documents::service::tasks(bmc.0.tasks.ids()))),
        ),
        (format!("{task}/Tasks/{{id}}"), REMOVE, get(read_task).delete(forget_task)),
        (
            format!("{task}/TaskMonitors/{{id}}"),
            READ,
            get(async |State(bmc): State<Bmc>, Path(id): Path<String>| bmc.0.tasks.look(&id)),
        ),
        (format!("{ROOT}/Registries"), READ, fixed(documents::service::registries)),
        (registry.clone(), READ, fixed(documents::service::registry_file)),
        (format!("{registry}/en"), READ, fixed(documents::service::registry)),
    ]
}

/// The three lists that have every machine under its id, and what the managers and chassis have.
fn machines() -> Vec<Route> {
    let list = |kind: &'static str, schema: &'static str| {
        let answer = move |State(bmc): State<Bmc>| async move {
            let members = bmc.0.systems.keys().map(|id| format!("{ROOT}/{kind}/{id}"));
            Json(documents::collection(&format!("{ROOT}/{kind}"), schema, kind, members))
        };
        (format!("{ROOT}/{kind}"), READ, get(answer))
    };
    let manager = format!("{ROOT}/Managers/{{id}}");
    vec![
        list("Systems", "ComputerSystem"),
        list("Managers", "Manager"),
        list("Chassis", "Chassis"),
        (format!("{ROOT}/Chassis/{{id}}"), READ, of_machine(documents::manager::chassis)),
        (manager.clone(), CHANGE, get(system::manager).patch(system::change_manager)),
        (format!("{manager}/NetworkProtocol"), READ, get(system::network_protocol)),
    ]
}

fn systems() -> Vec<Route> {
    use documents::system as d;
    let system = format!("{ROOT}/Systems/{{id}}");
    let media = format!("{system}/VirtualMedia/{{drive}}");
    vec![
        (system.clone(), CHANGE, of_machine(d::system).patch(system::change)),
        (format!("{system}/Actions/ComputerSystem.Reset"), "POST", post(system::reset)),
        (format!("{system}/EthernetInterfaces"), READ, of_machine(|s| d::ethernet_interfaces(s))),
        (
            format!("{system}/EthernetInterfaces/{{item}}"),
            READ,
            item("interface", |s, id| d::ethernet_interface(s, id)),
        ),
        (format!("{system}/Processors"), READ, of_machine(|s| d::processors(s))),
        (format!("{system}/Processors/CPU0"), READ, of_machine(|s| d::processor(s))),
        (format!("{system}/Memory"), READ, of_machine(|s| d::memory(s))),
        (format!("{system}/Memory/DIMM0"), READ, of_machine(|s| d::dimm(s))),
        (format!("{system}/Storage"), READ, of_machine(|s| d::storage_list(s))),
        (format!("{system}/Storage/1"), READ, of_machine(|s| d::storage(s))),
        (format!("{system}/Storage/1/Drives/{{item}}"), READ, item("drive", |s, id| d::disk(s, id))),
        (format!("{system}/BootOptions"), READ, of_machine(|s| d::boot_options(s))),
        (format!("{system}/BootOptions/{{item}}"), READ, item("boot option", |s, id| d::boot_option(s, id))),
        (format!("{system}/Bios"), READ, of_machine(|s| d::bios(s))),
        (format!("{system}/Bios/Settings"), CHANGE, of_machine(|s| d::bios_settings(s)).patch(system::change_bios)),
        (format!("{system}/Bios/Actions/Bios.ResetBios"), "POST", post(system::reset_bios)),
        (format!("{system}/SecureBoot"), CHANGE, of_machine(|s| d::secure_boot(s)).patch(system::change_secure_boot)),
        (format!("{system}/SecureBoot/Actions/SecureBoot.ResetKeys"), "POST", post(system::reset_keys)),
        (format!("{system}/VirtualMedia"), READ, of_machine(|s| d::virtual_media(s))),
        (media.clone(), READ, get(media::read)),
        (format!("{media}/Actions/VirtualMedia.InsertMedia"), "POST", post(media::insert)),
        (format!("{media}/Actions/VirtualMedia.EjectMedia"), "POST", post(media::eject)),
    ]
}

/// A document of the machine in the path.
fn of_machine(document: fn(&mut System) -> Value) -> MethodRouter<Bmc> {
    get(move |State(bmc): State<Bmc>, Path(id): Path<String>| async move {
        let system = bmc.system(&id)?;
        let mut system = system.lock().await;
        Ok::<_, Refusal>(Json(document(&mut system)))
    })
}

/// A document of something that a machine may have.
fn item(kind: &'static str, document: fn(&mut System, &str) -> Option<Value>) -> MethodRouter<Bmc> {
    get(move |State(bmc): State<Bmc>, Path((id, item)): Path<(String, String)>| async move {
        let system = bmc.system(&id)?;
        let mut system = system.lock().await;
        document(&mut system, &item).map(Json).ok_or_else(|| missing(kind, &item))
    })
}

async fn read_task(State(bmc): State<Bmc>, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    bmc.0.tasks.document(&id).map(Json).ok_or_else(|| missing("task", &id))
}

async fn forget_task(State(bmc): State<Bmc>, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    if bmc.0.tasks.remove(&id) { Ok(StatusCode::NO_CONTENT) } else { Err(missing("task", &id)) }
}

async fn list_faults(State(bmc): State<Bmc>) -> Json<Vec<Fault>> {
    Json(bmc.faults().clone())
}

async fn add_faults(State(bmc): State<Bmc>, body: axum::body::Bytes) -> Result<StatusCode, Refusal> {
    let faults: Vec<Fault> = parse(&body)?;
    bmc.faults().extend(faults);
    Ok(StatusCode::NO_CONTENT)
}

async fn clear_faults(State(bmc): State<Bmc>) -> StatusCode {
    bmc.faults().clear();
    StatusCode::NO_CONTENT
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|failure| error(StatusCode::BAD_REQUEST, "MalformedJSON", format!("Not understood: {failure}")))
}

/// A request's object, of which every property must be among these.
fn only(body: &[u8], known: &[&str]) -> Result<serde_json::Map<String, Value>, Refusal> {
    let object: serde_json::Map<String, Value> = parse(body)?;
    if object.is_empty() {
        return Err(error(StatusCode::BAD_REQUEST, "MalformedJSON", "Nothing to change is named"));
    }
    match object.keys().find(|key| !known.contains(&key.as_str()) && !key.starts_with('@')) {
        Some(key) => Err(error(StatusCode::BAD_REQUEST, "PropertyUnknown", format!("{key} cannot be written here"))),
        None => Ok(object),
    }
}

/// One property as the type that it is to have.
fn property<T: serde::de::DeserializeOwned>(name: &str, value: &Value) -> Result<T, Refusal> {
    serde_json::from_value(value.clone()).map_err(|reason| documents::wrong(name, reason))
}

/// What was made, and where it is.
fn created(place: String, document: Value) -> Response {
    (StatusCode::CREATED, [(header::LOCATION, place)], Json(document)).into_response()
}
