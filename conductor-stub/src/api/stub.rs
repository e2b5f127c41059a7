//! The stub's own interface under `/stub/`: what the page and tests read.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::{Value, json};

use super::body::{Answer, Json};
use super::fault::{Fault, Faults};
use super::paging::{beside, write_json};
use crate::clock;
use crate::conductor::{Conductor, Shared};
use crate::error::ApiError;
use crate::node::{Node, Progress, Summary};
use crate::store::listing::{Listing, Table};

/// A node as lists show it.
#[derive(Debug, Serialize)]
struct Line {
    #[serde(flatten)]
    summary: Summary,
    /// How far its running step is.
    progress: Option<Progress>,
    /// Whether an operation has its lock.
    locked: bool,
}

impl Line {
    fn of(conductor: &Conductor, node: &Node) -> Self {
        Self {
            summary: Summary::of(node),
            progress: conductor.running.of(node.uuid),
            locked: conductor.locks.is_taken(node.uuid),
        }
    }
}

/// `GET /stub/nodes`: every node in a line, and the event from which on changes are to be followed.
///
/// # Errors
/// When the database fails.
pub async fn nodes(State(conductor): State<Shared>) -> Answer {
    beside(move || {
        // Before the nodes are read: what changes meanwhile is told again.
        let position = conductor.store.events().position();
        let mut body = format!("{{\"position\":\"{position}\",\"now\":{},\"nodes\":[", clock::seconds()).into_bytes();
        let nodes = conductor.store.records::<Node>(Table::Nodes, &Listing::first(usize::MAX))?;
        for (number, node) in nodes.enumerate() {
            if number > 0 {
                body.push(b',');
            }
            write_json(&Line::of(&conductor, &node?), &mut body);
        }
        body.extend_from_slice(b"]}");
        Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
    })
    .await
}

/// `GET /stub/nodes/{node}`: one node with its plan, its agent and its history, and whether it has a console.
///
/// # Errors
/// 404.
pub async fn node(State(conductor): State<Shared>, Path(ident): Path<String>) -> Answer {
    let position = conductor.store.events().position();
    let node = conductor.find(&ident)?;
    let history = conductor.store.history(node.uuid)?;
    let plan = node.internal.plan.as_ref().and_then(|plan| Some((plan, plan.steps.as_ref()?)));
    let plan = plan.map(|(plan, steps)| {
        let names: Vec<&str> = steps.iter().map(|step| step.step.as_str()).collect();
        json!({"family": plan.family, "steps": names, "index": plan.index, "started": plan.started})
    });
    let body = json!({
        "position": position.to_string(),
        "now": clock::seconds(),
        "node": Line::of(&conductor, &node),
        "plan": plan,
        "agent": {
            "url": node.internal.agent_url,
            "version": node.internal.agent_version,
            "last_heartbeat": node.internal.agent_last_heartbeat,
        },
        "console": conductor.consoles.file(&node, &conductor.store.ports_of(node.uuid)?).is_some(),
        "history": history.iter().map(|entry| entry.view(node.uuid)).collect::<Vec<_>>(),
    });
    Ok(axum::Json(body).into_response())
}

/// `GET /stub/media`: the files that are kept, and what is published for which node and how much of it is the node's own.
///
/// # Errors
/// When the database or the folder cannot be read.
pub async fn media(State(conductor): State<Shared>) -> Answer {
    let shelf = conductor.media.shelf();
    let kept = shelf.entries().map_err(|error| ApiError::Internal(error.to_string()))?;
    let body = json!({
        "limit_bytes": shelf.limit_bytes(),
        "bytes": kept.iter().map(|entry| entry.bytes).sum::<u64>(),
        "kept": kept,
        "published": conductor.store.published()?,
    });
    Ok(axum::Json(body).into_response())
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
