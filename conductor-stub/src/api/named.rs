//! The node that a path names, and what is asked about it.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use uuid::Uuid;

use super::arguments::Arguments;
use super::version::Version;
use crate::conductor::{Conductor, Shared};
use crate::error::ApiError;
use crate::node::Node;
use crate::node::spec::is_logical_name;

/// The node at `{node}`.
#[derive(Debug)]
pub struct Named {
    /// The record.
    pub node: Node,
    /// What stands in the path.
    pub ident: String,
}

/// What is asked about the node at `{node}`.
#[derive(Debug)]
pub struct Question {
    /// Who is asked.
    pub conductor: Shared,
    /// In which version.
    pub version: Version,
    /// The record.
    pub node: Node,
    /// What stands in the path.
    pub ident: String,
    /// The query.
    pub arguments: Arguments,
}

/// The node with this UUID or, for clients that know names, this name.
///
/// # Errors
/// 400 for what names nothing, 404 for what is not there.
pub fn find(conductor: &Conductor, version: Version, ident: &str) -> Result<Node, ApiError> {
    if !is_logical_name(ident) {
        return Err(ApiError::Ident { kind: "node", ident: ident.to_owned() });
    }
    if version.0 < 5 && ident.parse::<Uuid>().is_err() {
        return Err(ApiError::Missing { kind: "Node", ident: ident.to_owned() });
    }
    conductor.find(ident)
}

impl FromRequestParts<Shared> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, conductor: &Shared) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, conductor).await;
        let params = params.map_err(|error| ApiError::Invalid(error.to_string()))?;
        let ident = params.iter().find(|(name, _)| *name == "node").map(|(_, value)| value.to_owned());
        let ident = ident.ok_or(ApiError::NoRoute)?;
        Ok(Self { node: find(conductor, Version::of(parts), &ident)?, ident })
    }
}

impl FromRequestParts<Shared> for Question {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, conductor: &Shared) -> Result<Self, ApiError> {
        let Named { node, ident } = Named::from_request_parts(parts, conductor).await?;
        let arguments = Arguments::from_request_parts(parts, conductor).await?;
        Ok(Self { conductor: Shared::clone(conductor), version: Version::of(parts), node, ident, arguments })
    }
}
