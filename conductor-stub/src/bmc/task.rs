//! Tasks: work that goes on after the answer, whose outcome is fetched from a monitor (DSP0266, "Asynchronous operations").

use std::collections::BTreeMap;
use std::sync::Mutex;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::documents::{ROOT, error};

/// Tasks whose outcome has not been fetched: none while the work goes on.
#[derive(Debug, Default)]
pub(super) struct Tasks(Mutex<BTreeMap<String, Option<Response>>>);

impl Tasks {
    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Option<Response>>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Opens a task; returns its id and the answer that announces it.
    pub(super) fn open(&self) -> (String, Response) {
        let id = Uuid::new_v4().simple().to_string();
        self.known().insert(id.clone(), None);
        let answer = announce(&id);
        (id, answer)
    }

    /// The work is done and would have been answered like this.
    pub(super) fn close(&self, id: &str, outcome: Response) {
        self.known().insert(id.to_owned(), Some(outcome));
    }

    /// What the monitor answers: the outcome, once.
    pub(super) fn look(&self, id: &str) -> Response {
        let mut known = self.known();
        match known.remove(id) {
            Some(Some(outcome)) => outcome,
            Some(None) => {
                known.insert(id.to_owned(), None);
                announce(id)
            }
            None => {
                error(StatusCode::NOT_FOUND, "ResourceMissingAtURI", format!("There is no task {id}")).into_response()
            }
        }
    }
}

/// There is a task, and this is its monitor. Body and `Retry-After` may be left out, and sushy 5.14 stumbles over both: it asks
/// the task instead of the monitor, and cannot wait for a number that is text.
fn announce(id: &str) -> Response {
    (StatusCode::ACCEPTED, [(header::LOCATION, format!("{ROOT}/TaskService/TaskMonitors/{id}"))]).into_response()
}
