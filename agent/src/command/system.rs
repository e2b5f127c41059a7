//! `system.*`: the end of an agent on a machine that nobody can switch off.

use serde_json::Value;

use super::{Command, Extension, Mode, PLAIN};
use crate::agent::Ending;

/// `system`.
pub const EXTENSION: Extension = Extension {
    name: "system",
    class: "SystemExtension",
    commands: &[Command {
        name: "lockdown",
        mode: Mode::Sync,
        run: |agent, _, _| {
            Box::pin(async move {
                agent.end(Ending::Lockdown);
                Ok(Value::Null)
            })
        },
        ..PLAIN
    }],
};
