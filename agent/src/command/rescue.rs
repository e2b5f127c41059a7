//! `rescue.*`: handing the machine over to an operator who logs in.

use std::sync::Arc;

use ferric_steps::rescue;
use serde_json::Value;

use super::{Arguments, Command, Extension, Mode, PLAIN, steps};
use crate::agent::{Agent, Ending};
use crate::error::{self, Error};

/// `rescue`.
pub const EXTENSION: Extension = Extension {
    name: "rescue",
    class: "RescueExtension",
    commands: &[Command {
        name: "finalize_rescue",
        mode: Mode::Sync,
        optional: &["rescue_password", "hashed"],
        run: |agent, arguments, _| Box::pin(finalize(agent, arguments)),
        ..PLAIN
    }],
};

async fn finalize(agent: Arc<Agent>, arguments: Arguments) -> Result<Value, Error> {
    let password = match arguments.get("rescue_password") {
        None => String::new(),
        Some(Value::String(password)) => password.clone(),
        Some(_) => return Err(Error::new(error::EXECUTION, "'rescue_password' must be a text.")),
    };
    let hashed = arguments.get("hashed").and_then(Value::as_bool).unwrap_or(false);
    let site = agent.site();
    steps::blocking(move || rescue::finalize(&password, hashed, &site)).await??;
    agent.end(Ending::Exit);
    Ok(Value::Null)
}
