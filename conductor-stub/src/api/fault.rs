//! Faults as data: what the conductor's HTTP server is told to do wrong, and for how many requests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use super::page::is_own;

/// One fault.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fault {
    /// Only requests with this method.
    #[serde(default)]
    pub method: Option<String>,
    /// Only requests whose path contains this.
    pub path: String,
    /// Requests that pass unharmed first.
    #[serde(default)]
    pub skip: u32,
    /// Requests harmed afterwards; without it, all.
    #[serde(default)]
    pub times: Option<u32>,
    /// What goes wrong.
    #[serde(flatten)]
    pub action: Action,
}

/// What goes wrong.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Answer with this status instead.
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// Answer late.
    Delay {
        /// By this many milliseconds.
        milliseconds: u64,
    },
    /// Cut the connection after this many bytes of the body.
    Truncate {
        /// Bytes that still arrive.
        after_bytes: u64,
    },
    /// Turn over the bits of one byte of the body.
    Corrupt {
        /// Offset in this answer's body.
        at_byte: u64,
    },
    /// Answer a range request with the whole.
    IgnoreRange,
}

/// The faults in force.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    /// Adds a fault.
    pub fn add(&self, fault: Fault) {
        self.list().push(fault);
    }

    /// Removes all faults.
    pub fn clear(&self) {
        self.list().clear();
    }

    /// The faults in force, with what is left of their counts.
    pub fn all(&self) -> Vec<Fault> {
        self.list().clone()
    }

    /// What happens to this request; counts are used up.
    fn strike(&self, method: &str, path: &str) -> Vec<Action> {
        let mut actions = Vec::new();
        for fault in self.list().iter_mut() {
            if !path.contains(&fault.path)
                || fault.method.as_deref().is_some_and(|wanted| !wanted.eq_ignore_ascii_case(method))
            {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            match &mut fault.times {
                Some(0) => continue,
                Some(left) => *left -= 1,
                None => {}
            }
            actions.push(fault.action.clone());
        }
        actions
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Applies the faults in force to one request and its answer.
pub async fn apply(State(faults): State<Arc<Faults>>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    if is_own(&path) {
        return next.run(request).await;
    }
    let actions = faults.strike(request.method().as_str(), &path);
    for action in &actions {
        match action {
            Action::Status { status } => {
                return StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response();
            }
            Action::Delay { milliseconds } => tokio::time::sleep(Duration::from_millis(*milliseconds)).await,
            Action::IgnoreRange => {
                request.headers_mut().remove(header::RANGE);
            }
            Action::Truncate { .. } | Action::Corrupt { .. } => {}
        }
    }
    let mut response = next.run(request).await;
    for action in actions {
        response = match action {
            Action::Truncate { after_bytes } => response.map(|body| truncated(body, after_bytes)),
            Action::Corrupt { at_byte } => response.map(|body| corrupted(body, at_byte)),
            _ => response,
        };
    }
    response
}

fn truncated(body: Body, after_bytes: u64) -> Body {
    let mut left = after_bytes;
    Body::from_stream(body.into_data_stream().map(move |chunk| {
        let mut chunk = chunk.map_err(std::io::Error::other)?;
        if left == 0 {
            return Err(std::io::Error::other("cut by a fault"));
        }
        chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= chunk.len() as u64;
        Ok(chunk)
    }))
}

fn corrupted(body: Body, at_byte: u64) -> Body {
    let mut offset = 0;
    Body::from_stream(body.into_data_stream().map(move |chunk| {
        let chunk: Bytes = chunk?;
        let start = offset;
        offset += chunk.len() as u64;
        if !(start..offset).contains(&at_byte) {
            return Ok::<_, axum::Error>(chunk);
        }
        let mut bytes = chunk.to_vec();
        if let Some(byte) = bytes.get_mut((at_byte - start) as usize) {
            *byte ^= 0xff;
        }
        Ok(bytes.into())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_skips_and_ends() {
        let faults = Faults::default();
        faults.add(
            serde_json::from_str(r#"{"path": "/v1/x", "skip": 1, "times": 1, "action": "status", "status": 503}"#)
                .unwrap(),
        );
        let hits: Vec<usize> = (0..3).map(|_| faults.strike("GET", "/v1/x/y").len()).collect();
        assert_eq!(hits, [0, 1, 0]);
        assert!(faults.strike("GET", "/other").is_empty());
    }
}
