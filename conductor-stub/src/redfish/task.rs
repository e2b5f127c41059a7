//! What the BMC finishes after its answer: where that can be watched, and how it went (DSP0266, "Asynchronous operations").

use std::time::Duration;

use reqwest::header::LOCATION;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::error::text;
use super::transport::Reply;

/// Between two looks, when the BMC names no time.
const PAUSE: Duration = Duration::from_secs(1);

/// Where a task can be watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    /// The monitor, or the task itself.
    pub(super) path: String,
    /// Another place, should the first one vanish.
    pub(super) also: Option<String>,
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

/// How a task is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// Look again after this long.
    Running(Duration),
    Done,
    Failed {
        state: String,
        text: String,
    },
}

/// Judges what monitor or task answered, which was no error.
pub(super) fn progress(reply: &Reply) -> Progress {
    let pause = reply.retry_after().unwrap_or(PAUSE);
    match reply.body["TaskState"].as_str() {
        Some(state) => judge(state, &reply.body, pause),
        None if reply.status == StatusCode::ACCEPTED => Progress::Running(pause),
        None => Progress::Done,
    }
}

fn judge(state: &str, task: &Value, pause: Duration) -> Progress {
    let failed = || Progress::Failed { state: state.to_owned(), text: text(task, "") };
    match state {
        "Completed" if task["TaskStatus"] == "Critical" => failed(),
        "Completed" => Progress::Done,
        "Exception" | "Killed" | "Cancelled" => failed(),
        _ => Progress::Running(pause),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_state_is_judged() {
        for state in ["New", "Starting", "Running", "Suspended", "Pending", "Stopping", "Interrupted", "Cancelling"] {
            assert_eq!(judge(state, &json!({}), PAUSE), Progress::Running(PAUSE), "{state}");
        }
        assert_eq!(judge("Completed", &json!({"TaskStatus": "OK"}), PAUSE), Progress::Done);
        assert_eq!(judge("Completed", &json!({"TaskStatus": "Warning"}), PAUSE), Progress::Done);
        let task = json!({"TaskStatus": "Critical", "Messages": [{"Message": "cannot fetch the image"}]});
        for state in ["Completed", "Exception", "Killed", "Cancelled"] {
            let text = "cannot fetch the image".to_owned();
            assert_eq!(judge(state, &task, PAUSE), Progress::Failed { state: state.to_owned(), text });
        }
    }
}
