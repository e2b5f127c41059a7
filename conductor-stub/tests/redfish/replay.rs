//! A BMC that is a file: a tree of documents, and habits that say how it answers what changes them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use conductor_stub::redfish::{Client, Settings};
use serde::Deserialize;
use serde_json::{Value, json};

/// The content of a file in `bmcs/`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// Public documents that tree and habits are modelled on.
    #[expect(dead_code, reason = "for readers")]
    source: Vec<String>,
    #[serde(default)]
    pub(crate) habits: Habits,
    /// Path → document.
    pub(crate) tree: BTreeMap<String, Value>,
}

/// What a BMC does its own way.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Habits {
    /// Members on a page of a collection.
    pub(crate) page: Option<usize>,
    /// Where ETags are: `header`, `body`, or `own` (in the header, required, and only `*` is accepted).
    pub(crate) etag: String,
    /// Further parameters that an insertion must have.
    pub(crate) insert_wants: Vec<String>,
    /// Parameters that it must not have.
    pub(crate) insert_refuses: Vec<String>,
    /// What an insertion becomes: `monitor`, `task` (answers 200 with its state), `dell` (a 200 that names one), `silent`
    /// (202 and nothing to watch).
    pub(crate) insert_task: String,
    /// How such a task ends.
    pub(crate) task_ends: String,
    /// Insertions that are answered 500 after an ejection.
    pub(crate) insert_after_eject: u32,
    /// Media are inserted by PATCH of the device, which says so in `Allow`.
    pub(crate) insert_by_patch: bool,
    /// Ejections need a body.
    pub(crate) eject_wants_body: bool,
    /// Looks at a device until an insertion shows.
    pub(crate) insert_shows_late: u32,
    /// Changes that are refused because of the power-on self-test.
    pub(crate) in_post: u32,
    /// `On` is refused this often after a switch-off.
    pub(crate) on_conflicts: u32,
    /// A request for the boot override must have target, duration and mode.
    pub(crate) whole_boot_request: bool,
    /// Such a request puts the mode back to `Legacy`.
    pub(crate) mode_is_lost: bool,
    /// A change of the mode waits for a start.
    pub(crate) mode_by_start: bool,
    /// `Continuous` is refused.
    pub(crate) once_only: bool,
    /// `GracefulShutdown` is not obeyed.
    pub(crate) stubborn: bool,
    /// Requests that a session lasts for.
    pub(crate) session_requests: Option<u32>,
    /// HTTP basic is refused.
    pub(crate) no_basic: bool,
    /// Answers that take the place of all others: method and path → status and body.
    pub(crate) answers: BTreeMap<String, (u16, Value)>,
    /// Where requests for a path are sent on to, with this status.
    pub(crate) moved: BTreeMap<String, (u16, String)>,
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Value,
    pub(crate) if_match: Option<String>,
    pub(crate) who: String,
}

#[derive(Debug, Default)]
struct Bmc {
    habits: Habits,
    tree: BTreeMap<String, Value>,
    log: Vec<Request>,
    revision: u64,
    session: Option<(String, u32)>,
    sessions: u32,
    pending_mode: Option<Value>,
    /// Looks that are left, and what is then to be true.
    task: Option<(u32, String, Value)>,
    late: Option<(u32, String, Value)>,
}

/// A running one.
pub(crate) struct Replay {
    pub(crate) url: String,
    bmc: Arc<Mutex<Bmc>>,
}

/// The file of that name.
pub(crate) fn file(name: &str) -> File {
    let path = format!("{}/tests/redfish/bmcs/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap_or_else(|error| panic!("{path}: {error}"))
}

impl Replay {
    pub(crate) async fn start(file: File) -> Replay {
        conductor_stub::tls::use_ring();
        let bmc = Arc::new(Mutex::new(Bmc { habits: file.habits, tree: file.tree, ..Bmc::default() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&bmc));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Replay { url, bmc }
    }

    /// The BMC of that name.
    pub(crate) async fn of(name: &str) -> Replay {
        Self::start(file(name)).await
    }

    pub(crate) fn client(&self) -> Client {
        self.client_with(json!({}))
    }

    pub(crate) fn client_with(&self, more: Value) -> Client {
        let mut info = json!({"redfish_address": self.url, "redfish_username": "admin", "redfish_password": "secret"});
        for (key, value) in more.as_object().unwrap() {
            info[key] = value.clone();
        }
        Client::new(Settings::from_driver_info(&info).unwrap()).unwrap().with_pause(Duration::from_millis(5))
    }

    pub(crate) fn log(&self) -> Vec<Request> {
        self.bmc.lock().unwrap().log.clone()
    }

    /// Bodies of the requests with that method whose path contains `part`.
    pub(crate) fn bodies(&self, method: &str, part: &str) -> Vec<Value> {
        let fits = |request: &Request| request.method == method && request.path.contains(part);
        self.log().into_iter().filter(fits).map(|request| request.body).collect()
    }

    pub(crate) fn document(&self, path: &str) -> Value {
        self.bmc.lock().unwrap().tree[path].clone()
    }
}

async fn answer(
    State(bmc): State<Arc<Mutex<Bmc>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let who = match (header("x-auth-token"), header("authorization")) {
        (token, _) if !token.is_empty() => token,
        (_, basic) if basic.starts_with("Basic ") => "basic".into(),
        _ => "nobody".into(),
    };
    let request = Request {
        method: method.to_string(),
        path: uri.to_string(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        if_match: headers.get(header::IF_MATCH).map(|tag| tag.to_str().unwrap().to_owned()),
        who,
    };
    let mut bmc = bmc.lock().unwrap();
    bmc.log.push(request.clone());
    bmc.answer(&request)
}

fn refusal(status: u16, id: &str, message: &str) -> Response {
    let error = json!({"error": {"code": id, "message": "See @Message.ExtendedInfo",
        "@Message.ExtendedInfo": [{"MessageId": id, "Message": message, "MessageArgs": [message]}]}});
    reply(status, &error)
}

fn reply(status: u16, body: &Value) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::from_u16(status).unwrap(), json, body.to_string()).into_response()
}

fn located(status: u16, place: &str, body: &Value) -> Response {
    let mut response = reply(status, body);
    response.headers_mut().insert(header::LOCATION, place.parse().unwrap());
    response
}

impl Bmc {
    fn answer(&mut self, request: &Request) -> Response {
        let path = request.path.split('?').next().unwrap().trim_end_matches('/').to_owned();
        if let Some((status, place)) = self.habits.moved.get(&path) {
            return located(*status, place, &Value::Null);
        }
        if let Some((status, body)) = self.habits.answers.get(&format!("{} {path}", request.method)) {
            return reply(*status, body);
        }
        if path.ends_with("/SessionService/Sessions") && request.method == "POST" {
            return self.log_in(request, &path);
        }
        if path != "/redfish/v1" && !self.admits(request) {
            return refusal(401, "Base.1.8.NoValidSession", "There is no valid session");
        }
        match request.method.as_str() {
            "GET" => self.get(&path, &request.path),
            "PATCH" => self.patch(&path, request),
            "POST" => self.post(&path, request),
            "DELETE" => {
                self.session = None;
                reply(204, &Value::Null)
            }
            _ => reply(405, &Value::Null),
        }
    }

    fn log_in(&mut self, request: &Request, path: &str) -> Response {
        if request.body["Password"] != "secret" {
            return refusal(401, "Base.1.8.NoValidSession", "wrong");
        }
        self.sessions += 1;
        let token = format!("token-{}", self.sessions);
        self.session = Some((token.clone(), self.habits.session_requests.unwrap_or(u32::MAX)));
        // As iLO: with the BMC's own name.
        let mut response = located(201, &format!("https://bmc.internal{path}/{}/", self.sessions), &json!({}));
        response.headers_mut().insert("X-Auth-Token", token.parse().unwrap());
        response
    }

    fn admits(&mut self, request: &Request) -> bool {
        match &mut self.session {
            _ if request.who == "basic" => !self.habits.no_basic,
            Some((token, left)) if *token == request.who && *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }

    fn get(&mut self, path: &str, with_query: &str) -> Response {
        if let Some((left, device, medium)) = self.late.take() {
            match left {
                0 => self.set(&device, medium),
                _ => self.late = Some((left - 1, device, medium)),
            }
        }
        if path.contains("/TaskService/") || path.ends_with("/Tasks/7") {
            return self.look_at_task(path);
        }
        let Some(mut document) = self.tree.get(path).cloned() else {
            return refusal(404, "Base.1.8.ResourceMissingAtURI", "nothing here");
        };
        if let (Some(size), Some(members)) = (self.habits.page, document["Members"].as_array().cloned()) {
            let skip: usize = with_query.split_once("$skip=").map_or(0, |(_, skip)| skip.parse().unwrap());
            document["Members"] = members.iter().skip(skip).take(size).cloned().collect();
            if skip + size < members.len() {
                document["Members@odata.nextLink"] = format!("{path}?$skip={}", skip + size).into();
            }
        }
        let tag = format!("W/\"{}\"", self.revision);
        if self.habits.etag == "body" {
            document["@odata.etag"] = tag.clone().into();
        }
        let mut response = reply(200, &document);
        if matches!(self.habits.etag.as_str(), "header" | "own") {
            response.headers_mut().insert(header::ETAG, tag.parse().unwrap());
        }
        let allow = if self.habits.insert_by_patch { "GET, HEAD, PATCH" } else { "GET, HEAD" };
        response.headers_mut().insert(header::ALLOW, allow.parse().unwrap());
        response
    }

    fn set(&mut self, path: &str, changes: Value) {
        let document = self.tree.get_mut(path).unwrap();
        for (key, value) in changes.as_object().unwrap() {
            document[key] = value.clone();
        }
        self.revision += 1;
    }

    fn patch(&mut self, path: &str, request: &Request) -> Response {
        let expected = match self.habits.etag.as_str() {
            "own" => Some("*".to_owned()),
            "header" | "body" => Some(format!("W/\"{}\"", self.revision)),
            _ => None,
        };
        if expected.is_some() && request.if_match != expected {
            return refusal(412, "Base.1.8.PreconditionFailed", "the ETag does not match");
        }
        if self.habits.in_post > 0 {
            self.habits.in_post -= 1;
            return refusal(400, "iLO.2.37.UnableToModifyDuringSystemPOST", "");
        }
        if request.body.get("Image").is_some() {
            self.set(path, request.body.clone());
            return reply(200, &json!({}));
        }
        let boot = request.body["Boot"].as_object().unwrap().clone();
        let has = |key: &str| boot.contains_key(key);
        let target = has("BootSourceOverrideTarget");
        if self.habits.whole_boot_request
            && !(target && has("BootSourceOverrideEnabled") && has("BootSourceOverrideMode"))
        {
            return refusal(400, "Base.1.8.PropertyMissing", "target, duration and mode must come together");
        }
        if self.habits.once_only && boot.get("BootSourceOverrideEnabled") == Some(&json!("Continuous")) {
            return refusal(400, "Base.1.8.PropertyValueNotInList", "BootSourceOverrideEnabled");
        }
        let mut now = self.tree[path]["Boot"].clone();
        if self.habits.mode_is_lost && target && !has("BootSourceOverrideMode") {
            now["BootSourceOverrideMode"] = "Legacy".into();
        }
        for (key, value) in boot {
            if key == "BootSourceOverrideMode" && self.habits.mode_by_start {
                self.pending_mode = Some(value);
            } else {
                now[key] = value;
            }
        }
        self.set(path, json!({"Boot": now}));
        reply(200, &json!({}))
    }

    fn post(&mut self, path: &str, request: &Request) -> Response {
        let (resource, action) = path.split_once("/Actions/").unwrap();
        match action {
            "ComputerSystem.Reset" => self.reset(resource, request.body["ResetType"].as_str().unwrap()),
            "VirtualMedia.InsertMedia" => self.insert(resource, &request.body),
            "VirtualMedia.EjectMedia" if self.habits.eject_wants_body && !request.body.is_object() => {
                refusal(400, "Base.1.4.MalformedJSON", "no body")
            }
            "VirtualMedia.EjectMedia" => {
                self.set(resource, json!({"Image": null, "Inserted": false}));
                reply(204, &Value::Null)
            }
            _ => reply(404, &Value::Null),
        }
    }

    fn reset(&mut self, system: &str, kind: &str) -> Response {
        let now = self.tree[system]["PowerState"].as_str().unwrap().to_owned();
        let to = match kind {
            "On" if now == "On" => return refusal(409, "Base.1.8.ResourceInUse", "The host is already powered on"),
            "On" if self.habits.on_conflicts > 0 => {
                self.habits.on_conflicts -= 1;
                return refusal(409, "Base.1.8.ActionParameterValueConflict", "On");
            }
            "GracefulShutdown" if self.habits.stubborn => return reply(204, &Value::Null),
            "ForceOff" | "GracefulShutdown" => "Off",
            _ => "On",
        };
        let mut boot = self.tree[system]["Boot"].clone();
        if let Some(mode) = self.pending_mode.take_if(|_| to == "On") {
            boot["BootSourceOverrideMode"] = mode;
        }
        self.set(system, json!({"PowerState": to, "Boot": boot}));
        reply(204, &Value::Null)
    }

    fn insert(&mut self, device: &str, body: &Value) -> Response {
        if self.habits.insert_after_eject > 0 && self.log.iter().any(|request| request.path.contains("EjectMedia")) {
            self.habits.insert_after_eject -= 1;
            return refusal(500, "IDRAC.2.8.SYS439", "Unable to perform the operation");
        }
        if let Some(missing) = self.habits.insert_wants.iter().find(|wanted| body.get(wanted.as_str()).is_none()) {
            return refusal(400, "Base.1.18.1.ActionParameterMissing", missing);
        }
        if let Some(extra) = self.habits.insert_refuses.iter().find(|refused| body.get(refused.as_str()).is_some()) {
            return refusal(400, "Base.1.4.ActionParameterUnknown", extra);
        }
        let medium = json!({"Image": body["Image"], "Inserted": true});
        if self.habits.insert_shows_late > 0 {
            self.late = Some((self.habits.insert_shows_late, device.to_owned(), medium));
            return reply(204, &Value::Null);
        }
        let task = json!({"@odata.id": "/redfish/v1/TaskService/Tasks/7", "Id": "7", "TaskState": "Running"});
        self.task = Some((2, device.to_owned(), medium.clone()));
        match self.habits.insert_task.as_str() {
            "monitor" => located(202, "https://bmc.internal/redfish/v1/TaskService/TaskMonitors/7", &Value::Null),
            "task" => reply(202, &task),
            "dell" => located(200, "/redfish/v1/TaskService/Tasks/7", &Value::Null),
            "silent" => {
                self.set(device, medium);
                reply(202, &Value::Null)
            }
            _ => {
                self.set(device, medium);
                reply(204, &Value::Null)
            }
        }
    }

    fn look_at_task(&mut self, path: &str) -> Response {
        let monitor = path.contains("TaskMonitors");
        match self.task.take() {
            Some((0, device, medium)) => {
                if !self.habits.task_ends.is_empty() {
                    let message = json!({"MessageId": "x.1.0.Failed", "Message": "cannot fetch the image"});
                    self.task = Some((0, device, medium));
                    let ended = json!({"Id": "7", "TaskState": self.habits.task_ends, "Messages": [message]});
                    return reply(200, &ended);
                }
                self.set(&device, medium);
                if monitor {
                    reply(204, &Value::Null)
                } else {
                    reply(200, &json!({"Id": "7", "TaskState": "Completed"}))
                }
            }
            Some((left, device, medium)) => {
                self.task = Some((left - 1, device, medium));
                let running = json!({"Id": "7", "TaskState": "Running"});
                let mut response = if monitor { reply(202, &Value::Null) } else { reply(200, &running) };
                response.headers_mut().insert(header::RETRY_AFTER, "0".parse().unwrap());
                response
            }
            None => reply(404, &Value::Null),
        }
    }
}
