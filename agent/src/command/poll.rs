//! `poll.*`: for a conductor that the agent cannot reach and that asks by itself.

use serde_json::Value;

use crate::error::{self, Error};
use crate::extension::{Call, Command, Extension, Mode, PLAIN};
use crate::{inventory, lookup};

/// `poll`.
pub(super) const EXTENSION: Extension = Extension {
    name: "poll",
    class: "PollExtension",
    commands: &[
        Command {
            name: "get_hardware_info",
            mode: Mode::Sync,
            run: |call| Box::pin(async move { inventory::inventory(&call.agent).await }),
            ..PLAIN
        },
        Command {
            name: "set_node_info",
            mode: Mode::Sync,
            optional: &["node_info"],
            run: |call| Box::pin(set_node_info(call)),
            ..PLAIN
        },
    ],
};

async fn set_node_info(call: Call) -> Result<Value, Error> {
    if !call.agent.settings().standalone {
        let text = "Node lookup data can only be set when the agent is running in standalone mode.";
        return Err(Error::new(error::INVALID_COMMAND, text));
    }
    let answer = call.arguments.get("node_info").cloned().unwrap_or_default();
    match lookup::parse(answer) {
        Ok(answer) => {
            lookup::apply(&call.agent, answer);
            Ok(Value::Null)
        }
        Err(reason) => Err(Error::new(error::INVALID_PARAMETERS, reason)),
    }
}
