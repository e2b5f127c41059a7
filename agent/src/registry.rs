//! The commands since the start, oldest first, and the one that runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard};

use ferric_steps::progress::Progress;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::{self, Error};

/// What a running command gets besides its parameters.
#[derive(Debug, Clone, Default)]
pub struct Running {
    /// Where it says how far it is.
    pub progress: Progress,
    /// Asks it to stop.
    pub cancel: CancellationToken,
}

/// Where a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// In the background.
    #[serde(rename = "RUNNING")]
    Running,
    /// Ended as wished.
    #[serde(rename = "SUCCEEDED")]
    Succeeded,
    /// Ended otherwise.
    #[serde(rename = "FAILED")]
    Failed,
    /// Not begun, because the conductor's list of steps is of another version.
    #[serde(rename = "CLEAN_VERSION_MISMATCH")]
    VersionMismatch,
}

/// State, error and result of a command.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CommandResult {
    /// Where it is.
    pub status: Status,
    /// Why it failed.
    pub error: Option<Error>,
    /// What it returned.
    pub result: Value,
}

impl CommandResult {
    fn running() -> Self {
        Self { status: Status::Running, error: None, result: Value::Null }
    }

    /// It ended with this result.
    pub fn succeeded(result: Value) -> Self {
        Self { status: Status::Succeeded, error: None, result }
    }

    /// It failed, perhaps with something to show.
    pub fn failed(mut error: Error) -> Self {
        let result = error.result.take().map(|result| *result).unwrap_or_default();
        Self { status: Status::Failed, error: Some(error), result }
    }

    /// The steps were listed by another version.
    pub fn version_mismatch(error: Error) -> Self {
        Self { status: Status::VersionMismatch, error: Some(error), result: Value::Null }
    }
}

/// One command of the list.
#[derive(Debug)]
pub struct Entry {
    id: Uuid,
    name: String,
    result: watch::Sender<CommandResult>,
    running: Running,
}

/// A command as it is kept for a restart.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    id: Uuid,
    name: String,
    #[serde(flatten)]
    result: CommandResult,
}

impl Entry {
    fn new(name: &str, result: CommandResult) -> Arc<Self> {
        let result = watch::Sender::new(result);
        Arc::new(Self { id: Uuid::new_v4(), name: name.to_string(), result, running: Running::default() })
    }

    /// Its name as it is shown.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its state now.
    pub fn result(&self) -> CommandResult {
        self.result.borrow().clone()
    }

    /// What it gets while it runs.
    pub(crate) fn running(&self) -> Running {
        self.running.clone()
    }

    /// Waits until it has ended.
    pub async fn ended(&self) {
        let mut result = self.result.subscribe();
        // The sender lives as long as we do.
        let _ = result.wait_for(|result| result.status != Status::Running).await;
    }

    /// The document that the conductor reads.
    pub fn document(&self) -> Value {
        let result = self.result.borrow();
        let mut document = json!({
            "id": self.id,
            "command_name": self.name,
            "command_status": result.status,
            "command_error": result.error,
            "command_result": result.result,
        });
        if let Some(progress) = self.running.progress.snapshot() {
            document["progress"] = json!(progress);
        }
        document
    }
}

/// All commands since the start.
#[derive(Debug, Default)]
pub struct Registry {
    entries: RwLock<Vec<Arc<Entry>>>,
    slot: Mutex<()>,
    unread: AtomicBool,
}

impl Registry {
    /// The right to start a command; requests queue for it while a sync command runs.
    pub(crate) async fn slot(&self) -> MutexGuard<'_, ()> {
        self.slot.lock().await
    }

    /// The command that runs in the background. Only the last one can.
    pub fn running(&self) -> Option<Arc<Entry>> {
        self.all().last().filter(|entry| entry.result.borrow().status == Status::Running).cloned()
    }

    pub(crate) fn begin(&self, name: &str) -> Arc<Entry> {
        self.push(Entry::new(name, CommandResult::running()))
    }

    pub(crate) fn finished(&self, name: &str, result: CommandResult) -> Arc<Entry> {
        self.push(Entry::new(name, result))
    }

    pub(crate) fn end(&self, entry: &Entry, result: CommandResult) {
        entry.result.send_replace(result);
        self.mark_unread();
    }

    /// Notes that the conductor has come to see how things are.
    pub fn mark_read(&self) {
        self.unread.store(false, Ordering::Release);
    }

    /// Notes that there is something to see.
    pub fn mark_unread(&self) {
        self.unread.store(true, Ordering::Release);
    }

    /// Whether there is something to see, such as a command that has ended, since the conductor came last.
    pub fn is_unread(&self) -> bool {
        self.unread.load(Ordering::Acquire)
    }

    /// All commands, oldest first.
    pub fn documents(&self) -> Vec<Value> {
        self.all().iter().map(|entry| entry.document()).collect()
    }

    /// The command of that id.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, id: &str) -> Result<Arc<Entry>, Error> {
        let found = self.all().iter().find(|entry| entry.id.to_string() == id).cloned();
        found.ok_or_else(|| Error::new(error::NOT_FOUND, format!("Command Result with id {id} not found.")))
    }

    /// What is kept for a restart.
    pub fn records(&self) -> Vec<Record> {
        let record = |entry: &Arc<Entry>| Record { id: entry.id, name: entry.name.clone(), result: entry.result() };
        self.all().iter().map(record).collect()
    }

    /// Takes over the commands of the agent that ran before. What was running then has failed.
    pub fn restore(&self, records: Vec<Record>) {
        for Record { id, name, mut result } in records {
            if result.status == Status::Running {
                let text = format!("the agent was restarted while {name} was running");
                result = CommandResult::failed(Error::new(error::EXECUTION, text));
                self.mark_unread();
            }
            self.push(Arc::new(Entry { id, name, result: watch::Sender::new(result), running: Running::default() }));
        }
    }

    /// Forgets everything; the conductor has begun anew.
    pub fn clear(&self) {
        self.entries.write().unwrap_or_else(|poisoned| poisoned.into_inner()).clear();
        self.mark_read();
    }

    fn push(&self, entry: Arc<Entry>) -> Arc<Entry> {
        self.entries.write().unwrap_or_else(|poisoned| poisoned.into_inner()).push(entry.clone());
        entry
    }

    fn all(&self) -> RwLockReadGuard<'_, Vec<Arc<Entry>>> {
        self.entries.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_shows_what_it_has_and_a_restart_does_not_lose_it() {
        let before = Registry::default();
        let error = Error { result: Some(Box::new(json!({"clean_result": 1}))), ..Error::new(error::EXECUTION, "no") };
        before.finished("execute_clean_step", CommandResult::failed(error));
        let after = Registry::default();
        after.restore(serde_json::from_str(&serde_json::to_string(&before.records()).unwrap()).unwrap());
        for document in before.documents().into_iter().chain(after.documents()) {
            assert_eq!(document["command_result"], json!({"clean_result": 1}));
            assert_eq!(document["command_error"].as_object().unwrap().len(), 4, "{document}");
        }
    }

    #[test]
    fn a_command_that_ran_during_a_crash_has_failed() {
        let before = Registry::default();
        before.finished("get_clean_steps", CommandResult::succeeded(json!({"clean_steps": {}})));
        before.begin("execute_clean_step");
        let kept = serde_json::to_string(&before.records()).unwrap();

        let after = Registry::default();
        after.restore(serde_json::from_str(&kept).unwrap());
        let documents = after.documents();
        assert_eq!(documents[0]["command_status"], "SUCCEEDED");
        assert_eq!(documents[0]["id"], before.documents()[0]["id"]);
        assert_eq!(documents[1]["command_status"], "FAILED");
        assert!(documents[1]["command_error"]["details"].as_str().unwrap().contains("restarted"));
        assert!(after.running().is_none() && after.is_unread());
    }
}
