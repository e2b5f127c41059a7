//! The stub's own interface under `/stub/`: what the page and tests read.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::body::{Answer, Json};
use super::fault::{Fault, Faults};
use crate::conductor::Shared;

/// `GET /stub/nodes`: every node with its running step, progress and history.
///
/// # Errors
/// When the database fails.
pub async fn nodes(State(conductor): State<Shared>) -> Answer {
    let mut nodes = Vec::new();
    for node in conductor.store.nodes()? {
        let step = node.internal.plan.as_ref().and_then(|plan| plan.current.as_ref());
        nodes.push(json!({
            "uuid": node.uuid,
            "name": node.spec.name,
            "driver": node.spec.driver,
            "provision_state": node.provision_state,
            "target_provision_state": node.target_provision_state,
            "power_state": node.power_state,
            "last_error": node.last_error,
            "locked": conductor.locks.is_taken(node.uuid),
            "maintenance": node.spec.maintenance,
            "step": step.map(|step| &step.step),
            "running": conductor.progress.of(node.uuid),
            "history": conductor.store.history(node.uuid)?,
        }));
    }
    Ok(axum::Json(json!({ "nodes": nodes })).into_response())
}

/// `GET /stub/journal`: every request seen and sent.
///
/// # Errors
/// None.
pub async fn journal(State(conductor): State<Shared>) -> Answer {
    Ok(axum::Json(json!({ "entries": conductor.journal.entries() })).into_response())
}

/// `GET /stub/faults`.
///
/// # Errors
/// None.
pub async fn faults(State(faults): State<Arc<Faults>>) -> Answer {
    Ok(axum::Json(json!({ "faults": faults.all() })).into_response())
}

/// `POST /stub/faults`: one fault.
///
/// # Errors
/// 400 for a fault that is none.
pub async fn add_fault(State(faults): State<Arc<Faults>>, Json(fault): Json<Fault>) -> Answer {
    faults.add(fault);
    Ok((StatusCode::CREATED, axum::Json(Value::Null)).into_response())
}

/// `DELETE /stub/faults`: no more faults.
///
/// # Errors
/// None.
pub async fn clear_faults(State(faults): State<Arc<Faults>>) -> Answer {
    faults.clear();
    Ok(StatusCode::NO_CONTENT.into_response())
}
