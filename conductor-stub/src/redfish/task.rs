//! What the BMC finishes after its answer: where that can be watched, and how it went (DSP0266, "Asynchronous operations").

use std::time::Duration;

use reqwest::header::LOCATION;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::error::{RedfishError, text};
use super::transport::Reply;

/// Between two looks, when the BMC names no time.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// Where a task can be watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The monitor, or the task itself.
    pub path: String,
    /// Another place, should the first one vanish.
    pub also: Option<String>,
}

/// The task that an answer announces, in any of the ways that BMCs have: a monitor in `Location` with 202, the task as a
/// body, or, with iDRAC, a job in the `Location` of a success. A 202 with neither has nothing that can be watched.
pub(super) fn announced(reply: &Reply, method: &Method) -> Option<Task> {
    let location = reply.header(LOCATION);
    let is_task = reply.body.get("TaskState").is_some();
    let mut id = reply.body["@odata.id"].as_str().map(str::to_owned).filter(|id| is_task || leads_to_task(id));
    if *method == Method::GET {
        return None;
    }
    let monitor = match reply.status {
        StatusCode::ACCEPTED => location,
        _ if is_task => location,
        _ => location.filter(|path| leads_to_task(path)),
    };
    let path = monitor.or_else(|| id.take())?;
    Some(Task { also: id.filter(|id| *id != path), path })
}

fn leads_to_task(path: &str) -> bool {
    ["/TaskService/", "/Tasks/", "/TaskMonitors/", "/JobService/", "/Jobs/"].iter().any(|part| path.contains(part))
}

/// How a task that has not failed is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It is not over.
    Running {
        /// Look again after this long.
        pause: Duration,
        /// Its `TaskState`, where that is told.
        state: Option<String>,
    },
    /// It is over, with this outcome.
    Done(Value),
}

/// Judges what monitor or task answered, which was no error; `pause` is for a BMC that names none.
pub(super) fn progress(reply: Reply, pause: Duration) -> Result<Progress, RedfishError> {
    let pause = reply.retry_after().unwrap_or(pause);
    match reply.body["TaskState"].as_str() {
        Some(state) => match judge(state, &reply.body) {
            Verdict::Running => Ok(Progress::Running { pause, state: Some(state.to_owned()) }),
            Verdict::Done => Ok(Progress::Done(reply.body)),
            Verdict::Failed => {
                let (state, text) = (state.to_owned(), text(&reply.body, ""));
                Err(RedfishError::Task { url: reply.url.into(), state, text })
            }
        },
        None if reply.status == StatusCode::ACCEPTED => Ok(Progress::Running { pause, state: None }),
        None => Ok(Progress::Done(reply.body)),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Running,
    Done,
    Failed,
}

fn judge(state: &str, task: &Value) -> Verdict {
    match state {
        "Completed" if task["TaskStatus"] == "Critical" => Verdict::Failed,
        "Completed" => Verdict::Done,
        "Exception" | "Killed" | "Cancelled" => Verdict::Failed,
        _ => Verdict::Running,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_state_is_judged() {
        for state in ["New", "Starting", "Running", "Suspended", "Pending", "Stopping", "Interrupted", "Cancelling"] {
            assert_eq!(judge(state, &json!({})), Verdict::Running, "{state}");
        }
        assert_eq!(judge("Completed", &json!({"TaskStatus": "OK"})), Verdict::Done);
        assert_eq!(judge("Completed", &json!({"TaskStatus": "Warning"})), Verdict::Done);
        for state in ["Completed", "Exception", "Killed", "Cancelled"] {
            assert_eq!(judge(state, &json!({"TaskStatus": "Critical"})), Verdict::Failed, "{state}");
        }
    }
}
