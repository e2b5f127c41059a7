//! What an operator wants to see after a failure.

use std::sync::Arc;

use ferric_steps::logs::{self, Request};

use crate::agent::Agent;
use crate::blocking::blocking;
use crate::error::Error;

/// The archive of logs as base64, with at most `journal_lines` of the journal.
///
/// # Errors
/// The archive could not be built.
pub async fn collect(agent: Arc<Agent>, journal_lines: Option<u32>) -> Result<String, Error> {
    let request = Request { journal_lines, secrets: agent.token.text().into_iter().collect() };
    let site = agent.site();
    Ok(blocking(move || logs::collect(&request, &site)).await??)
}
