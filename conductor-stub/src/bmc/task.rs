//! Tasks: work that goes on after the answer, whose outcome is fetched from a monitor (DSP0266, "Asynchronous operations").

use std::collections::BTreeMap;
use std::sync::Mutex;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::documents::{self, ROOT, error};

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
        let answer = (StatusCode::ACCEPTED, [(header::LOCATION, monitor(&id))], documents::task(&id));
        (id, answer.into_response())
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
                let headers = [(header::LOCATION, monitor(id)), (header::RETRY_AFTER, "1".into())];
                (StatusCode::ACCEPTED, headers, documents::task(id)).into_response()
            }
            None => {
                error(StatusCode::NOT_FOUND, "ResourceMissingAtURI", format!("There is no task {id}")).into_response()
            }
        }
    }
}

fn monitor(id: &str) -> String {
    format!("{ROOT}/TaskService/TaskMonitors/{id}")
}
