//! `/v1/nodes` and `/v1/nodes/detail`: lists of nodes.

use axum::extract::State;
use axum::response::IntoResponse;

use super::arguments::Arguments;
use super::body::Answer;
use super::fields::Wanted;
use super::node_view::{FIELDS, HOST, SHORT, view};
use super::paging::Page;
use super::version::Version;
use crate::conductor::Shared;
use crate::error::ApiError;
use crate::node::Node;
use crate::state::ProvisionState;
use crate::store::listing::{Listing, Table};

/// What a node's `fault` can be.
const FAULTS: [&str; 4] = ["power failure", "clean failure", "rescue abort failure", "service failure"];

/// `GET /v1/nodes`.
///
/// # Errors
/// 400 and 406 for arguments that do not fit; 404 for a marker that is gone.
pub async fn list(State(conductor): State<Shared>, version: Version, mut arguments: Arguments) -> Answer {
    let wanted = Wanted::read(&mut arguments, version, FIELDS, Some(SHORT))?;
    answer(&conductor, version, arguments, &wanted, "nodes")
}

/// `GET /v1/nodes/detail`.
///
/// # Errors
/// As [`list`].
pub async fn detail(State(conductor): State<Shared>, version: Version, arguments: Arguments) -> Answer {
    answer(&conductor, version, arguments, &Wanted::All, "nodes/detail")
}

fn answer(conductor: &Shared, version: Version, mut arguments: Arguments, wanted: &Wanted, path: &str) -> Answer {
    let page = Page::read(&mut arguments, version, FIELDS)?;
    let listing = filters(page.listing(), version, &mut arguments)?;
    arguments.end()?;
    if let Some(marker) = page.marker {
        conductor.find(&marker.to_string())?;
    }
    let nodes: Vec<Node> = conductor.store.list(Table::Nodes, &listing)?;
    let url = format!("{}/v1/{path}", conductor.urls.public());
    let shown = |node: &Node| wanted.of(view(conductor, node, version));
    Ok(axum::Json(page.answer("nodes", &url, nodes, |node| node.uuid, shown)).into_response())
}

/// Narrows `listing` to what the arguments ask for. Parts of other nodes are left out unless they are asked for.
fn filters(mut listing: Listing, version: Version, arguments: &mut Arguments) -> Result<Listing, ApiError> {
    for (name, since, place) in [
        ("driver", 16, "$.spec.driver"),
        ("resource_class", 21, "$.spec.resource_class"),
        ("owner", 50, "$.spec.owner"),
        ("lessee", 65, "$.spec.lessee"),
        ("instance_name", 104, "$.spec.instance_name"),
    ] {
        if let Some(text) = arguments.text(name)? {
            version.needs(since)?;
            listing = listing.equal(place, text);
        }
    }
    for (name, since, place) in [("maintenance", 1, "$.spec.maintenance"), ("retired", 1, "$.spec.retired")] {
        if let Some(flag) = arguments.boolean(name)? {
            version.needs(since)?;
            listing = listing.equal(place, i64::from(flag));
        }
    }
    if let Some(state) = arguments.text("provision_state")? {
        version.needs(9)?;
        state
            .parse::<ProvisionState>()
            .map_err(|_| ApiError::Invalid(format!("Provision state \"{state}\" is not valid")))?;
        listing = listing.filter("provision_state = ?", [state.into()]);
    }
    if let Some(fault) = arguments.text("fault")? {
        version.needs(42)?;
        if !FAULTS.contains(&fault.as_str()) {
            let allowed = FAULTS.join("', '");
            let text = format!("Unrecognized fault \"{fault}\" is specified, allowed faults are ('{allowed}')");
            return Err(ApiError::Invalid(text));
        }
        listing = listing.equal("$.fault", fault);
    }
    if let Some(group) = arguments.text("conductor_group")? {
        version.needs(46)?;
        listing = listing.equal("$.spec.conductor_group", group.to_lowercase());
    }
    if let Some(host) = arguments.text("conductor")? {
        version.needs(49)?;
        listing = listing.filter("?", [i64::from(host == HOST).into()]);
    }
    if let Some(uuid) = arguments.uuid("instance_uuid")? {
        listing = listing.equal("$.spec.instance_uuid", uuid.to_string());
    }
    if let Some(is_associated) = arguments.boolean("associated")? {
        listing = listing.present("$.spec.instance_uuid", is_associated);
    }
    if let Some(project) = arguments.text("project")? {
        let either = "json_extract(document, '$.spec.owner') = ? OR json_extract(document, '$.spec.lessee') = ?";
        listing = listing.filter(either, [project.clone().into(), project.into()]);
    }
    if let Some(part) = arguments.text("description_contains")? {
        version.needs(51)?;
        listing = listing.containing("$.spec.description", &part);
    }
    if let Some(shards) = arguments.words("shard")? {
        version.needs(82)?;
        listing = listing.one_of("$.spec.shard", shards);
    }
    if let Some(is_sharded) = arguments.boolean("sharded")? {
        version.needs(82)?;
        listing = listing.present("$.spec.shard", is_sharded);
    }
    if let Some(chassis) = arguments.uuid("chassis_uuid")? {
        return Err(ApiError::Missing { kind: "Chassis", ident: chassis.to_string() });
    }
    let (children, parent) = (arguments.boolean("include_children")?, arguments.text("parent_node")?);
    if children.is_some() || parent.is_some() {
        version.needs(83)?;
    }
    Ok(match parent {
        Some(parent) => listing.equal("$.spec.parent_node", parent),
        None if children == Some(true) => listing,
        None => listing.present("$.spec.parent_node", false),
    })
}
