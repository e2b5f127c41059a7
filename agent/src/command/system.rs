//! `system.*`: the end of an agent on a machine that nobody can switch off.

use serde_json::Value;

use crate::agent::Ending;
use crate::extension::{Command, Extension, Mode, PLAIN};

/// `system`.
pub(super) const EXTENSION: Extension = Extension {
    name: "system",
    class: "SystemExtension",
    commands: &[Command {
        name: "lockdown",
        mode: Mode::Sync,
        run: |call| {
            Box::pin(async move {
                call.agent.end(Ending::Lockdown);
                Ok(Value::Null)
            })
        },
        ..PLAIN
    }],
};
