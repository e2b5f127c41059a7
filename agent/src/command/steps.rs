//! What `clean`, `deploy` and `service` share: listing steps and executing one.

use ferric_steps::site::Site;
use ferric_steps::step::{Kind, Step};
use ferric_steps::{catalogue, python};
use serde_json::{Map, Value, json};
use tracing::info;

use crate::agent::Agent;
use crate::blocking::blocking;
use crate::error::{self, Error};
use crate::extension::{Arguments, Call, Extensions};

/// Refuses a node that is none: everything else would fail in stranger ways later.
pub(super) fn check_node(_: &Agent, _: Extensions, arguments: &Arguments) -> Result<(), Error> {
    match arguments.get("node") {
        None => Ok(()),
        Some(node) if node["uuid"].is_string() => Ok(()),
        Some(_) => Err(Error::new(error::INVALID_PARAMETERS, "'node' must be a node with a 'uuid'.")),
    }
}

/// `get_<kind>_steps`.
pub(super) async fn list(kind: Kind, call: Call) -> Result<Value, Error> {
    let site = step(&call).site;
    Ok(blocking(move || catalogue::list(kind, &site)).await??)
}

/// `execute_<kind>_step`.
pub(super) async fn execute(kind: Kind, call: Call) -> Result<Value, Error> {
    let running = step(&call);
    let mut arguments = call.arguments;
    let name = kind.as_str();
    check_version(&running.site, arguments.remove(&format!("{name}_version"))).await?;
    let step = arguments.remove("step").unwrap_or_default();
    let Some(step_name) = step["step"].as_str() else {
        return Err(Error::new(
            error::EXECUTION,
            format!("Malformed {name}_step, no \"step\" key: {}", python::repr(&step)),
        ));
    };
    arguments.remove("node");
    arguments.remove("ports");
    if let Some(own) = step["args"].as_object() {
        arguments.extend(own.clone());
    }
    info!(kind = name, step = step_name, "executing step");
    let shown = |result: &Value| json!({ format!("{name}_result"): result, format!("{name}_step"): step });
    match catalogue::execute(kind, step_name, arguments, running).await {
        Ok(result) => Ok(shown(&result)),
        Err(error) => {
            let result = error.result().map(shown).map(Box::new);
            Err(Error { result, ..error.into() })
        }
    }
}

/// What the step gets; the node that came with the request is kept.
fn step(call: &Call) -> Step {
    if let Some(node) = call.arguments.get("node") {
        call.agent.set_node(node.clone());
    }
    call.agent.step(&call.running, call.arguments.get("ports").cloned().unwrap_or_default())
}

/// The conductor sends back the versions that it was told with the steps; others mean that the agent has changed since.
async fn check_version(site: &Site, used: Option<Value>) -> Result<(), Error> {
    let Some(Value::Object(used)) = used else { return Ok(()) };
    let site = site.clone();
    let current = blocking(move || catalogue::versions(&site)).await?;
    let current = current.as_object().cloned().unwrap_or_default();
    if same(&current, &used) {
        return Ok(());
    }
    let (current, used) = (python::repr(&current.into()), python::repr(&used.into()));
    let text = format!("Current versions: {current}, versions used by ironic: {used}");
    Err(Error::new(error::VERSION_MISMATCH, text))
}

fn same(left: &Map<String, Value>, right: &Map<String, Value>) -> bool {
    left.len() == right.len() && left.iter().all(|(key, value)| right.get(key) == Some(value))
}
