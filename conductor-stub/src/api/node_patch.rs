//! `PATCH /v1/nodes/{node}`: what may be changed, and when.

use axum::extract::State;
use axum::response::IntoResponse;
use serde_json::Value;

use super::arguments::Arguments;
use super::body::{Answer, Json};
use super::fields::refuse_newer;
use super::named::Named;
use super::node_check::{check_driver, check_instance, resolve_parent};
use super::node_view::{FIELDS, view};
use super::patch::{self, Operation};
use super::version::Version;
use crate::conductor::Shared;
use crate::error::ApiError;
use crate::flow::allocation;
use crate::flow::task::Task;
use crate::node::{Node, Spec, interface};
use crate::state::ProvisionState as S;

/// What a patch may change.
const PATCHED: [&str; 37] = [
    "automated_clean",
    "bios_interface",
    "boot_interface",
    "chassis_uuid",
    "conductor_group",
    "console_interface",
    "deploy_interface",
    "description",
    "disable_power_off",
    "driver",
    "driver_info",
    "extra",
    "inspect_interface",
    "instance_info",
    "instance_name",
    "instance_uuid",
    "lessee",
    "maintenance",
    "management_interface",
    "name",
    "network_data",
    "network_interface",
    "owner",
    "power_interface",
    "properties",
    "protected",
    "protected_reason",
    "raid_interface",
    "rescue_interface",
    "resource_class",
    "retired",
    "retired_reason",
    "shard",
    "storage_interface",
    "vendor_interface",
    "parent_node",
    "firmware_interface",
];

/// `PATCH /v1/nodes/{node}`.
///
/// # Errors
/// 400 for a patch that does not fit, 409 for a locked node, or one in a state that does not let it.
pub async fn patch(
    State(conductor): State<Shared>,
    version: Version,
    Named { node, ident }: Named,
    mut arguments: Arguments,
    Json(operations): Json<Vec<Operation>>,
) -> Answer {
    let reset = arguments.boolean("reset_interfaces")?;
    arguments.end()?;
    if reset.is_some() && version.0 < 45 {
        return Err(ApiError::not_acceptable());
    }
    let fields = patch::check(&operations, &PATCHED)?;
    refuse_newer(fields.iter().map(String::as_str), version, FIELDS)?;
    let changes_driver = fields.iter().any(|field| field == "driver");
    if reset == Some(true) && !changes_driver {
        return Err(ApiError::Invalid(
            "The reset_interfaces parameter can only be used when changing the node's driver.".into(),
        ));
    }
    let mut task = Task::take(&conductor, node.uuid)?;
    let before = task.node.clone();
    // What is to be taken from a machine in maintenance may be taken at any time.
    let lets_go = before.spec.maintenance && patch::removes(&operations, "/instance_uuid");
    if before.target_provision_state.is_some() && !before.provision_state.allows_update() && !lets_go {
        return Err(ApiError::Conflict(format!(
            "Node {ident} can not be updated while a state transition is in progress."
        )));
    }
    let mut document = serde_json::to_value(&before.spec).map_err(|error| ApiError::Internal(error.to_string()))?;
    if reset == Some(true)
        && let Value::Object(spec) = &mut document
    {
        for kind in interface::KINDS {
            spec.insert(format!("{kind}_interface"), Value::Null);
        }
    }
    patch::apply(&mut document, &operations)?;
    if let Value::Object(spec) = &mut document {
        resolve_parent(&conductor, spec, Some(before.uuid))?;
        if let Some(chassis) = spec.get("chassis_uuid").filter(|value| !value.is_null()) {
            return Err(ApiError::Invalid(format!("Chassis {chassis} could not be found.")));
        }
    }
    task.node.spec = Spec::read(document).map_err(|error| renamed(error.into(), &ident))?;
    check_change(&before, &mut task.node)?;
    check_driver(&conductor, &task.node)?;
    check_instance(&conductor, &task.node)?;
    if let Some(uuid) = before.allocation_uuid.filter(|_| task.node.spec.instance_uuid.is_none()) {
        allocation::may_let_go(&before, uuid)?;
        allocation::end(&mut task)?;
    }
    task.save()?;
    let node = task.node.clone();
    drop(task);
    Ok(axum::Json(view(&conductor, &node, version)).into_response())
}

/// Says of a bad name that it cannot become the node's.
fn renamed(error: ApiError, ident: &str) -> ApiError {
    match error {
        ApiError::Invalid(text) => match text.strip_prefix("Cannot create node with invalid name ") {
            Some(name) => ApiError::Invalid(format!("Node {ident}: Cannot change name to invalid name {name}")),
            None => ApiError::Invalid(text),
        },
        other => other,
    }
}

/// Whether that change is allowed in the node's state, and what follows from it.
fn check_change(before: &Node, node: &mut Node) -> Result<(), ApiError> {
    let (old, new, state) = (&before.spec, &mut node.spec, before.provision_state);
    if old.maintenance && !new.maintenance {
        node.maintenance_reason = None;
        node.fault = None;
    }
    if !new.protected {
        if old.protected {
            new.protected_reason = None;
        } else if new.protected_reason != old.protected_reason && new.protected_reason.is_some() {
            return Err(ApiError::Invalid("The protected_reason field can only be set when protected is True".into()));
        }
    } else if !old.protected && !matches!(state, S::Active | S::Rescue) {
        return Err(ApiError::Conflict(format!(
            "Node {} can only be made protected in provision states 'active' or 'rescue', the current state is '{state}'",
            node.uuid
        )));
    }
    check_retired(before, new)?;
    if old.instance_uuid.is_some() && new.instance_uuid.is_some() && old.instance_uuid != new.instance_uuid {
        return Err(ApiError::Conflict(format!(
            "Node {} is associated with instance {}.",
            node.uuid,
            old.instance_uuid.unwrap_or_default()
        )));
    }
    let at_rest = [S::Enroll, S::Inspecting, S::InspectWait, S::Manageable, S::Available];
    let (resting, in_maintenance) = (at_rest.contains(&state), new.maintenance);
    let refused = |field: &str, maintenance: &str| {
        let allowed = at_rest.map(S::as_str).join(", ");
        ApiError::Conflict(format!(
            "Node {} can not have {field} updated unless it is in one of allowed ({allowed}) states{maintenance}. Current \
             state is '{state}'.",
            node.uuid
        ))
    };
    for kind in interface::KINDS {
        if before.interface(kind) != new.interface(kind).unwrap_or_default() && !resting && !in_maintenance {
            return Err(refused(&format!("{kind}_interface"), " or in maintenance mode"));
        }
    }
    if old.resource_class.is_some() && old.resource_class != new.resource_class && !resting {
        return Err(refused("resource_class", ""));
    }
    let shown_name = new.instance_info.get("display_name").and_then(Value::as_str);
    if new.instance_name.is_none() && old.instance_info != new.instance_info {
        new.instance_name = shown_name.map(str::to_owned);
    }
    Ok(())
}

fn check_retired(before: &Node, new: &mut Spec) -> Result<(), ApiError> {
    let (old, state) = (&before.spec, before.provision_state);
    if !new.retired {
        if old.retired {
            new.retired_reason = None;
        } else if new.retired_reason != old.retired_reason && new.retired_reason.is_some() {
            return Err(ApiError::Invalid("The retired_reason field can only be set when retired is True".into()));
        }
    } else if !old.retired && state == S::Available {
        return Err(ApiError::Conflict(format!(
            "Node {} can not have 'retired' set in provision state 'available', the current state is '{state}'",
            before.uuid
        )));
    }
    Ok(())
}
