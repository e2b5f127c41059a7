//! `/v1/nodes` and `/v1/nodes/detail`: lists of nodes.

use axum::extract::State;

use super::arguments::Arguments;
use super::body::Answer;
use super::fields::Wanted;
use super::node_view::{FIELDS, HOST, SHORT, view};
use super::paging::{Page, beside, write_json};
use super::resource::links;
use super::version::Version;
use crate::conductor::{Conductor, Shared};
use crate::error::ApiError;
use crate::node::Node;
use crate::state::ProvisionState;
use crate::store::listing::{Listing, Parts, Table};

/// From this version on, states are called as they are stored.
const STATES_AS_STORED: u32 = 39;

/// What a node's `fault` can be.
const FAULTS: [&str; 4] = ["power failure", "clean failure", "rescue abort failure", "service failure"];

/// `GET /v1/nodes`.
///
/// # Errors
/// 400 and 406 for arguments that do not fit; 404 for a marker that is gone.
pub async fn list(State(conductor): State<Shared>, version: Version, mut arguments: Arguments) -> Answer {
    let wanted = Wanted::read(&mut arguments, version, FIELDS, Some(SHORT))?;
    beside(move || answer(&conductor, version, arguments, &wanted, "nodes")).await
}

/// `GET /v1/nodes/detail`.
///
/// # Errors
/// As [`list`].
pub async fn detail(State(conductor): State<Shared>, version: Version, arguments: Arguments) -> Answer {
    beside(move || answer(&conductor, version, arguments, &Wanted::All, "nodes/detail")).await
}

fn answer(conductor: &Conductor, version: Version, mut arguments: Arguments, wanted: &Wanted, path: &str) -> Answer {
    let page = Page::read(&mut arguments, version, FIELDS)?;
    let listing = filters(page.listing(), version, &mut arguments)?;
    arguments.end()?;
    if let Some(marker) = page.marker {
        conductor.find(&marker.to_string())?;
    }
    let url = format!("{}/v1/{path}", conductor.urls.public());
    let places = wanted.places(FIELDS).filter(|_| version.0 >= STATES_AS_STORED);
    let Some(fields) = places else {
        let nodes = conductor.store.records(Table::Nodes, &listing)?;
        let write = |node: &Node, body: &mut Vec<u8>| write_json(&wanted.of(view(conductor, node, version)), body);
        return page.answer("nodes", &url, nodes, |node| node.uuid, write);
    };
    let places: Vec<&str> = fields.iter().map(|(_, place)| *place).collect();
    let rows = conductor.store.parts(Table::Nodes, &listing, &places)?;
    let write = |row: &Parts, body: &mut Vec<u8>| {
        body.push(b'{');
        for ((name, _), value) in fields.iter().zip(&row.values) {
            body.extend_from_slice(format!("\"{name}\":{value},").as_bytes());
        }
        body.extend_from_slice(b"\"links\":");
        write_json(&links(conductor.urls.public(), &format!("nodes/{}", row.uuid)), body);
        body.push(b'}');
    };
    page.answer("nodes", &url, rows.into_iter().map(Ok), |row| row.uuid.parse().unwrap_or_default(), write)
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
