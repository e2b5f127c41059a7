//! `log.*`: what an operator wants to see after a failure.

use serde_json::json;

use crate::extension::{Command, Extension, Mode, PLAIN};
use crate::logs;

/// `log`.
pub(super) const EXTENSION: Extension = Extension {
    name: "log",
    class: "LogExtension",
    commands: &[Command {
        name: "collect_system_logs",
        mode: Mode::Sync,
        run: |call| Box::pin(async move { Ok(json!({ "system_logs": logs::collect(call.agent, None).await? })) }),
        ..PLAIN
    }],
};
