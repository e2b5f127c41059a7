//! `log.*`: what an operator wants to see after a failure.

use std::sync::Arc;

use ferric_steps::logs::{self, Request};
use serde_json::json;

use super::{Command, Extension, Mode, PLAIN, steps};
use crate::agent::Agent;
use crate::error::Error;

/// `log`.
pub const EXTENSION: Extension = Extension {
    name: "log",
    class: "LogExtension",
    commands: &[Command {
        name: "collect_system_logs",
        mode: Mode::Sync,
        run: |agent, _, _| Box::pin(async move { Ok(json!({ "system_logs": collect(agent, None).await? })) }),
        ..PLAIN
    }],
};

/// The archive of logs as base64, with at most `journal_lines` of the journal.
///
/// # Errors
/// The archive could not be built.
pub async fn collect(agent: Arc<Agent>, journal_lines: Option<u32>) -> Result<String, Error> {
    let site = agent.site();
    let request = Request { journal_lines, secrets: agent.token.text().into_iter().collect() };
    Ok(steps::blocking(move || logs::collect(&request, &site)).await??)
}
