//! `/v1/nodes/{node}/maintenance`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::arguments::WithBody;
use super::body::Answer;
use super::named::Named;
use crate::conductor::Shared;
use crate::flow::task::Task;
use crate::node::Node;

/// `PUT …/maintenance`, with a reason or without.
///
/// # Errors
/// 400, 404, 409 for a locked node.
pub async fn set(
    State(conductor): State<Shared>,
    Named { node, .. }: Named,
    WithBody(mut arguments): WithBody,
) -> Answer {
    let reason = arguments.text("reason")?;
    arguments.end()?;
    keep(&conductor, &node, true, reason)
}

/// `DELETE …/maintenance`.
///
/// # Errors
/// 404, 409 for a locked node.
pub async fn clear(State(conductor): State<Shared>, Named { node, .. }: Named) -> Answer {
    keep(&conductor, &node, false, None)
}

fn keep(conductor: &Shared, node: &Node, on: bool, reason: Option<String>) -> Answer {
    let mut task = Task::take(conductor, node.uuid)?;
    task.node.spec.maintenance = on;
    task.node.maintenance_reason = reason;
    if !on {
        task.node.fault = None;
    }
    task.save()?;
    Ok(StatusCode::ACCEPTED.into_response())
}
