//! The HTTP interface: Ironic's API subset, the artefacts, and the stub's own pages under `/stub/`.
//!
//! - [`version`]: microversions and the headers on every answer
//! - [`root`]: the documents about versions
//! - [`nodes`], [`node_list`], [`node_patch`], and below a node [`states`], [`management`], [`maintenance`], [`history`], [`traits`], [`bios`], [`firmware`], [`vifs`], [`vmedia`];
//!   [`ports`], [`allocations`], [`drivers`], [`conductors`]: what clients call; [`absent`]: what there is not
//! - [`arguments`], [`fields`], [`paging`], [`patch`], [`named`]: what requests say; [`resource`]: what is the same for all that they name; [`node_check`], [`node_view`]: what is true of nodes, and what is seen of them
//! - [`ramdisk`]: what agents call
//! - [`artefacts`]: what firmware and agents fetch
//! - [`page`]: what people see; [`stub`], [`events`], [`console`]: what it shows, and journal and faults; [`metrics`]: figures
//! - [`access`], [`auth`]: who may ask; [`body`]: bodies that come in; [`journal`]: every request written down; [`fault`]: what is to go wrong

pub mod absent;
pub mod access;
pub mod allocations;
pub mod arguments;
pub mod artefacts;
pub mod auth;
pub mod bios;
pub mod body;
pub mod conductors;
pub mod console;
pub mod drivers;
pub mod events;
pub mod fault;
pub mod fields;
pub mod firmware;
pub mod history;
pub mod journal;
pub mod maintenance;
pub mod management;
pub mod metrics;
pub mod named;
pub mod node_check;
pub mod node_list;
pub mod node_patch;
pub mod node_view;
pub mod nodes;
pub mod page;
pub mod paging;
pub mod patch;
pub mod ports;
pub mod ramdisk;
pub mod resource;
pub mod root;
pub mod states;
pub mod stub;
pub mod traits;
pub mod version;
pub mod vifs;
pub mod vmedia;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, delete, get, post, put};
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
    let closed = resources()
        .into_iter()
        .fold(absent::router(), |router, (path, methods)| router.route(&format!("/v1{path}"), methods))
        .fallback(async || ApiError::NoRoute)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(limited(ordinary))
        .route(
            "/v1/nodes/{node}/states/provision",
            put(states::provision).layer(limited(config.max_json_body_size_provision)),
        )
        .layer(from_fn_with_state(Arc::clone(&access), access::authenticate))
        .with_state(Arc::clone(&conductor));
    let stub = Router::new()
        .route("/page", get(page::list))
        .route("/page/nodes/{node}", get(page::machine))
        .route("/page/{name}", get(page::asset))
        .route("/metrics", get(metrics::show))
        .route("/stub/events", get(events::stream))
        .route("/stub/nodes", get(stub::nodes))
        .route("/stub/nodes/{node}", get(stub::node))
        .route("/stub/nodes/{node}/console", get(console::stream))
        .route("/stub/journal", get(stub::journal))
        .route("/stub/media", get(stub::media))
        .route(
            "/stub/faults",
            get(stub::faults).post(stub::add_fault).delete(stub::clear_faults).with_state(Arc::clone(&faults)),
        )
        .layer(limited(ordinary))
        .layer(from_fn_with_state(Arc::clone(&access), access::authenticate));
    let inner = Router::new()
        .route("/artefacts/{secret}/{name}", get(artefacts::serve).with_state(Arc::clone(&conductor.artefacts)))
        .merge(stub)
        .layer(from_fn(metrics::note_route))
        .fallback_service(open.merge(closed).layer(from_fn(metrics::note_route)).layer(from_fn(version::negotiate)))
        .layer(from_fn_with_state(faults, fault::apply))
        .layer(from_fn_with_state(Arc::clone(&conductor), journal::write))
        .layer(from_fn_with_state(access, access::check))
        .layer(from_fn_with_state(Arc::clone(&conductor), metrics::measure))
        .with_state(conductor);
    // A slash at the end means nothing to Ironic; axum would not find the route.
    Router::new().fallback_service(inner.map_request(without_trailing_slash))
}

/// What clients call, below `/v1`.
fn resources() -> Vec<(&'static str, MethodRouter<Shared>)> {
    vec![
        ("/drivers", get(drivers::list)),
        ("/drivers/{name}", get(drivers::show)),
        ("/drivers/{name}/properties", get(drivers::properties)),
        ("/drivers/{name}/raid/logical_disk_properties", get(drivers::raid)),
        ("/drivers/{name}/vendor_passthru/methods", get(drivers::vendor_methods)),
        ("/conductors", get(conductors::list)),
        ("/conductors/{host}", get(conductors::show)),
        ("/allocations", get(allocations::list).post(allocations::create)),
        ("/allocations/{allocation}", get(allocations::show).patch(allocations::patch).delete(allocations::delete)),
        ("/nodes/{node}/allocation", get(allocations::show_of_node).delete(allocations::delete_of_node)),
        ("/nodes", get(node_list::list).post(nodes::create)),
        ("/nodes/detail", get(node_list::detail)),
        ("/nodes/validate", get(nodes::validate_by_query)),
        ("/nodes/{node}", get(nodes::show).patch(node_patch::patch).delete(nodes::delete)),
        ("/nodes/{node}/validate", get(nodes::validate)),
        ("/nodes/{node}/inventory", get(nodes::inventory)),
        ("/nodes/{node}/bios", get(bios::list)),
        ("/nodes/{node}/bios/{setting}", get(bios::show)),
        ("/nodes/{node}/firmware", get(firmware::list)),
        ("/nodes/{node}/children", get(nodes::children)),
        ("/nodes/{node}/history", get(history::list)),
        ("/nodes/{node}/history/{event}", get(history::show)),
        ("/nodes/{node}/ports", get(ports::of_node)),
        ("/nodes/{node}/maintenance", put(maintenance::set).delete(maintenance::clear)),
        ("/nodes/{node}/traits", get(traits::list).put(traits::replace).delete(traits::clear)),
        ("/nodes/{node}/traits/{trait}", put(traits::add).delete(traits::remove)),
        ("/nodes/{node}/vifs", get(vifs::list).post(vifs::attach)),
        ("/nodes/{node}/vifs/{vif}", delete(vifs::detach)),
        ("/nodes/{node}/states", get(states::show)),
        ("/nodes/{node}/states/power", put(states::power)),
        ("/nodes/{node}/states/boot_mode", put(states::boot_mode)),
        ("/nodes/{node}/states/secure_boot", put(states::secure_boot)),
        ("/nodes/{node}/management/boot_device", get(management::boot_device).put(management::set_boot_device)),
        ("/nodes/{node}/management/boot_device/supported", get(management::boot_devices)),
        ("/nodes/{node}/management/inject_nmi", put(management::inject_nmi)),
        ("/nodes/{node}/states/raid", put(states::raid)),
        ("/nodes/{node}/vmedia", get(vmedia::list).post(vmedia::attach).delete(vmedia::detach)),
        ("/ports", get(ports::list).post(ports::create)),
        ("/ports/detail", get(ports::detail)),
        ("/ports/{port}", get(ports::show).patch(ports::patch).delete(ports::delete)),
    ]
}

/// The files for machines alone.
pub fn files(conductor: &Shared, access: Arc<Access>, faults: Arc<Faults>) -> Router {
    Router::new()
        .route("/artefacts/{secret}/{name}", get(artefacts::serve).with_state(Arc::clone(&conductor.artefacts)))
        .layer(from_fn(metrics::note_route))
        .fallback(async || ApiError::NotFound)
        .layer(from_fn_with_state(faults, fault::apply))
        .layer(from_fn_with_state(Arc::clone(conductor), journal::write))
        .layer(from_fn_with_state(access, access::check))
        .layer(from_fn_with_state(Arc::clone(conductor), metrics::measure))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The page that says what there is.
    const PAGE: &str = include_str!("../../docs/api.md");

    /// What the first cells of a table's rows name, below this heading.
    fn named(heading: &str) -> Vec<(&'static str, &'static str)> {
        let section = PAGE.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        rows.map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            (cells[1].trim_matches('`'), cells[if heading == "Routes" { 3 } else { 2 }])
        })
        .collect()
    }

    #[test]
    fn the_page_has_every_route() {
        let listed = named("Routes");
        let there = resources().into_iter().map(|(path, _)| path);
        for (path, is_there) in there.map(|path| (path, true)).chain(absent::ABSENT.map(|(path, _)| (path, false))) {
            let path = format!("/v1{path}").replace("{name}", "{driver}").replace("{host}", "{conductor}");
            let row = listed.iter().find(|(listed, _)| *listed == path);
            let verdict = row.unwrap_or_else(|| panic!("{path} is not in docs/api.md")).1;
            assert_eq!(verdict != "absent", is_there, "{path}");
        }
    }

    #[test]
    fn the_page_has_every_field() {
        for (heading, fields, more) in [
            ("Fields of a node", node_view::FIELDS, ["links", "ports", "states"].as_slice()),
            ("Fields of a port", ports::FIELDS, &["links"]),
            ("Fields of an allocation", allocations::FIELDS, &["links"]),
        ] {
            let mut listed: Vec<&str> =
                named(heading).into_iter().filter(|(_, verdict)| *verdict != "absent").map(|(name, _)| name).collect();
            let mut there: Vec<&str> = fields.iter().map(|field| field.name).chain(more.iter().copied()).collect();
            listed.sort_unstable();
            there.sort_unstable();
            assert_eq!(listed, there, "{heading}");
        }
    }
}
