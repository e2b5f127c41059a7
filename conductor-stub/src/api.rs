//! The HTTP interface: Ironic's API subset, the artefacts, and the stub's own pages under `/stub/`.
//!
//! - [`version`]: microversions and the headers on every answer
//! - [`root`], [`nodes`], [`states`], [`vmedia`], [`ports`]: what clients call
//! - [`ramdisk`]: what agents call
//! - [`artefacts`]: what firmware and agents fetch
//! - [`own`]: journal, faults, progress and the page
//! - [`access`], [`auth`]: who may ask; [`body`]: bodies that come in; [`journal`]: every request written down; [`fault`]: what is to go wrong

pub mod access;
pub mod artefacts;
pub mod auth;
pub mod body;
pub mod fault;
pub mod journal;
pub mod nodes;
pub mod own;
pub mod patch;
pub mod ports;
pub mod ramdisk;
pub mod root;
pub mod states;
pub mod version;
pub mod vmedia;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post, put};
use tower::ServiceExt;

use crate::conductor::Shared;
use crate::error::ApiError;
use access::Access;
use body::{Limit, Room};
use fault::Faults;

/// A heartbeat has a certificate in it and nothing larger.
const HEARTBEAT_KIB: usize = 64;

/// All routes over one conductor, who may use them, and what is to go wrong with their answers.
///
/// Agents, firmware and whoever asks for versions bring no name and password: that is `open`. Everything else is `closed`,
/// also what there is not.
pub fn router(conductor: Shared, access: Arc<Access>, faults: Arc<Faults>) -> Router {
    let room = Room::default();
    let config = &conductor.config;
    let limited = |kib| from_fn_with_state(Limit::kib(kib, &room), body::limit);
    let ordinary = config.max_json_body_size;
    let open = Router::new()
        .route("/", get(root::root))
        .route("/v1", get(root::v1))
        .route("/v1/lookup", get(ramdisk::lookup))
        .route("/v1/heartbeat/{node}", post(ramdisk::heartbeat).layer(limited(HEARTBEAT_KIB)))
        .route(
            "/v1/continue_inspection",
            post(ramdisk::continue_inspection).layer(limited(config.max_json_body_size_inspection)),
        )
        .with_state(Arc::clone(&conductor));
    let closed = Router::new()
        .route("/v1/drivers", get(root::drivers))
        .route("/v1/drivers/{name}", get(root::driver))
        .route("/v1/conductors", get(root::conductors))
        .route("/v1/nodes", get(nodes::list).post(nodes::create))
        .route("/v1/nodes/detail", get(nodes::detail))
        .route("/v1/nodes/{node}", get(nodes::show).patch(nodes::patch).delete(nodes::delete))
        .route("/v1/nodes/{node}/validate", get(nodes::validate))
        .route("/v1/nodes/{node}/inventory", get(nodes::inventory))
        .route("/v1/nodes/{node}/history", get(nodes::history))
        .route("/v1/nodes/{node}/ports", get(ports::of_node))
        .route("/v1/nodes/{node}/maintenance", put(nodes::set_maintenance).delete(nodes::clear_maintenance))
        .route("/v1/nodes/{node}/states", get(states::show))
        .route("/v1/nodes/{node}/states/power", put(states::power))
        .route("/v1/nodes/{node}/states/raid", put(states::raid))
        .route("/v1/nodes/{node}/vmedia", get(vmedia::list).post(vmedia::attach).delete(vmedia::detach))
        .route("/v1/ports", get(ports::list).post(ports::create))
        .route("/v1/ports/detail", get(ports::list))
        .route("/v1/ports/{port}", get(ports::show).patch(ports::patch).delete(ports::delete))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(limited(ordinary))
        .route(
            "/v1/nodes/{node}/states/provision",
            put(states::provision).layer(limited(config.max_json_body_size_provision)),
        )
        .layer(from_fn_with_state(Arc::clone(&access), access::authenticate))
        .with_state(Arc::clone(&conductor));
    let own = Router::new()
        .route("/stub/nodes", get(own::nodes))
        .route("/stub/journal", get(own::journal))
        .route(
            "/stub/faults",
            get(own::faults).post(own::add_fault).delete(own::clear_faults).with_state(Arc::clone(&faults)),
        )
        .layer(limited(ordinary))
        .layer(from_fn_with_state(Arc::clone(&access), access::authenticate));
    let inner = Router::new()
        .route("/artefacts/{secret}/{name}", get(artefacts::serve).with_state(Arc::clone(&conductor.artefacts)))
        .merge(own)
        .fallback_service(open.merge(closed).layer(from_fn(version::negotiate)))
        .layer(from_fn_with_state(faults, fault::apply))
        .layer(from_fn_with_state(Arc::clone(&conductor), journal::write))
        .layer(from_fn_with_state(access, access::check))
        .with_state(conductor);
    // A slash at the end means nothing to Ironic; axum would not find the route.
    Router::new().fallback_service(inner.map_request(without_trailing_slash))
}

/// The files for machines alone.
pub fn files(conductor: &Shared, access: Arc<Access>, faults: Arc<Faults>) -> Router {
    Router::new()
        .route("/artefacts/{secret}/{name}", get(artefacts::serve).with_state(Arc::clone(&conductor.artefacts)))
        .fallback(async || ApiError::NotFound)
        .layer(from_fn_with_state(faults, fault::apply))
        .layer(from_fn_with_state(Arc::clone(conductor), journal::write))
        .layer(from_fn_with_state(access, access::check))
}

fn without_trailing_slash(mut request: Request) -> Request {
    let uri = request.uri();
    let path = uri.path();
    if path.len() > 1 && path.ends_with('/') {
        let trimmed = path.trim_end_matches('/');
        let rest = uri.query().map_or_else(String::new, |query| format!("?{query}"));
        if let Ok(uri) = format!("{}{rest}", if trimmed.is_empty() { "/" } else { trimmed }).parse::<Uri>() {
            *request.uri_mut() = uri;
        }
    }
    request
}
