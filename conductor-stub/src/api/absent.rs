//! What Ironic's API has and this conductor does not: each says so, instead of looking like a misspelt path.

use axum::Router;
use axum::routing::any;

use crate::conductor::Shared;
use crate::error::ApiError;

/// Below `/v1`, and what it is.
pub const ABSENT: [(&str, &str); 14] = [
    ("/chassis", "chassis"),
    ("/portgroups", "portgroups"),
    ("/volume", "volumes"),
    ("/deploy_templates", "deploy templates"),
    ("/runbooks", "runbooks"),
    ("/inspection_rules", "inspection rules"),
    ("/events", "receiver of events"),
    ("/shards", "list of shards"),
    ("/nodes/{node}/portgroups", "portgroups"),
    ("/nodes/{node}/volume", "volumes"),
    ("/nodes/{node}/vendor_passthru", "vendor passthru"),
    ("/nodes/{node}/management/indicators", "indicators"),
    ("/drivers/{name}/vendor_passthru", "vendor passthru"),
    ("/nodes/{node}/states/console", "consoles"),
];

/// A route for each, and for all that Ironic has below it.
pub fn router() -> Router<Shared> {
    ABSENT.into_iter().fold(Router::new(), |router, (path, what)| {
        let answer = any(async move || ApiError::Absent(what));
        router.route(&format!("/v1{path}"), answer.clone()).route(&format!("/v1{path}/{{*rest}}"), answer)
    })
}
