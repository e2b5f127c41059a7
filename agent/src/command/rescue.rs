//! `rescue.*`: handing the machine over to an operator who logs in.

use ferric_steps::rescue;
use serde_json::Value;

use crate::agent::Ending;
use crate::blocking::blocking;
use crate::error::{self, Error};
use crate::extension::{Call, Command, Extension, Mode, PLAIN};

/// `rescue`.
pub(super) const EXTENSION: Extension = Extension {
    name: "rescue",
    class: "RescueExtension",
    commands: &[Command {
        name: "finalize_rescue",
        mode: Mode::Sync,
        optional: &["rescue_password", "hashed"],
        run: |call| Box::pin(finalize(call)),
        ..PLAIN
    }],
};

async fn finalize(call: Call) -> Result<Value, Error> {
    let password = match call.arguments.get("rescue_password") {
        None => String::new(),
        Some(Value::String(password)) => password.clone(),
        Some(_) => return Err(Error::new(error::EXECUTION, "'rescue_password' must be a text.")),
    };
    let hashed = call.arguments.get("hashed").and_then(Value::as_bool).unwrap_or(false);
    let site = call.agent.site();
    blocking(move || rescue::finalize(&password, hashed, &site)).await??;
    call.agent.end(Ending::Exit);
    Ok(Value::Null)
}
