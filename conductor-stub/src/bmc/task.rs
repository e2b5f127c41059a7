//! Tasks: work that goes on after the answer, whose outcome is fetched from a monitor (DSP0266, "Asynchronous operations").

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::documents::{self, ROOT, error, missing};

/// How many are remembered.
const LIMIT: usize = 64;

/// One task.
#[derive(Debug)]
struct Task {
    name: String,
    begun: OffsetDateTime,
    ended: Option<OffsetDateTime>,
    /// `Running`, `Pending`, `Completed`, `Exception`.
    state: &'static str,
    message: String,
    /// What the monitor answers, once.
    outcome: Option<Response>,
}

/// Tasks by their ids, which grow.
#[derive(Debug, Default)]
pub(super) struct Tasks(Mutex<(u64, BTreeMap<u64, Task>)>);

impl Tasks {
    fn known(&self) -> MutexGuard<'_, (u64, BTreeMap<u64, Task>)> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Opens a task, which is at work or waits for the machine's next start; returns its id.
    pub(super) fn open(&self, name: &str, state: &'static str) -> u64 {
        let mut known = self.known();
        known.0 += 1;
        let id = known.0;
        let begun = OffsetDateTime::now_utc();
        known
            .1
            .insert(id, Task { name: name.into(), begun, ended: None, state, message: String::new(), outcome: None });
        while known.1.len() > LIMIT {
            known.1.pop_first();
        }
        id
    }

    /// The work is done and would have been answered like this.
    pub(super) fn close(&self, id: u64, outcome: Response, message: &str) {
        if let Some(task) = self.known().1.get_mut(&id) {
            task.state = if outcome.status().is_success() { "Completed" } else { "Exception" };
            task.ended = Some(OffsetDateTime::now_utc());
            task.message = message.into();
            task.outcome = Some(outcome);
        }
    }

    /// The ids of those that are remembered.
    pub(super) fn ids(&self) -> Vec<u64> {
        self.known().1.keys().copied().collect()
    }

    /// What the monitor answers: the outcome, once.
    pub(super) fn look(&self, id: &str) -> Response {
        let mut known = self.known();
        match id.parse().ok().and_then(|id| known.1.get_mut(&id)) {
            Some(task) if task.ended.is_none() => announce(id),
            Some(task) => task.outcome.take().unwrap_or_else(|| missing("task monitor", id).into_response()),
            None => missing("task monitor", id).into_response(),
        }
    }

    /// The task as a resource.
    pub(super) fn document(&self, id: &str) -> Option<Value> {
        let known = self.known();
        let task = known.1.get(&id.parse().ok()?)?;
        let failed = task.state == "Exception";
        let mut rest = json!({"TaskState": task.state, "TaskStatus": if failed { "Critical" } else { "OK" },
            "StartTime": documents::instant(task.begun), "TaskMonitor": monitor(id), "HidePayload": true,
            "PercentComplete": if task.ended.is_some() { 100 } else { 0 }});
        if let Some(ended) = task.ended {
            rest["EndTime"] = documents::instant(ended).into();
            let id = if failed { "GeneralError" } else { "Success" };
            rest["Messages"] = json!([documents::message(id, &task.message)]);
        }
        Some(documents::resource(&format!("{ROOT}/TaskService/Tasks/{id}"), "Task.v1_4_3", id, &task.name, rest))
    }

    /// Forgets a task.
    pub(super) fn remove(&self, id: &str) -> bool {
        id.parse().ok().is_some_and(|id| self.known().1.remove(&id).is_some())
    }
}

fn monitor(id: &str) -> String {
    format!("{ROOT}/TaskService/TaskMonitors/{id}")
}

/// There is a task, and this is its monitor. Body and `Retry-After` may be left out, and sushy 5.14 stumbles over both: it asks
/// the task instead of the monitor, and cannot wait for a number that is text.
pub(super) fn announce(id: impl std::fmt::Display) -> Response {
    (StatusCode::ACCEPTED, [(header::LOCATION, monitor(&id.to_string()))]).into_response()
}

/// The outcome of work that has failed.
pub(super) fn failure(text: &str) -> Response {
    error(StatusCode::INTERNAL_SERVER_ERROR, "GeneralError", text).into_response()
}
