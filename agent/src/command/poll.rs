//! `poll.*`: for a conductor that the agent cannot reach and that asks by itself.

use std::sync::Arc;

use serde_json::Value;

use super::{Arguments, Command, Extension, Mode, PLAIN};
use crate::agent::Agent;
use crate::config::options;
use crate::error::{self, Error};
use crate::{inspection, lookup};

/// `poll`.
pub const EXTENSION: Extension = Extension {
    name: "poll",
    class: "PollExtension",
    commands: &[
        Command {
            name: "get_hardware_info",
            mode: Mode::Sync,
            run: |agent, _, _| Box::pin(async move { inspection::inventory(&agent).await }),
            ..PLAIN
        },
        Command {
            name: "set_node_info",
            mode: Mode::Sync,
            optional: &["node_info"],
            run: |agent, arguments, _| Box::pin(set_node_info(agent, arguments)),
            ..PLAIN
        },
    ],
};

async fn set_node_info(agent: Arc<Agent>, arguments: Arguments) -> Result<Value, Error> {
    if !agent.config().flag(&options::STANDALONE) {
        let text = "Node lookup data can only be set when the agent is running in standalone mode.";
        return Err(Error::new(error::INVALID_COMMAND, text));
    }
    let answer = arguments.get("node_info").cloned().unwrap_or_default();
    match lookup::parse(answer) {
        Ok(answer) => {
            lookup::apply(&agent, answer);
            Ok(Value::Null)
        }
        Err(reason) => Err(Error::new(error::INVALID_PARAMETERS, reason)),
    }
}
