//! `/v1/drivers`: the hardware types.

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::body::Answer;
use super::node_view::HOST;
use super::resource::links;
use super::version::Version;
use crate::conductor::{Conductor, Shared};
use crate::driver::properties;
use crate::error::ApiError;
use crate::node::{Object, interface};

/// `GET /v1/drivers`.
///
/// # Errors
/// 400, 406.
pub async fn list(State(conductor): State<Shared>, version: Version, mut arguments: Arguments) -> Answer {
    let (kind, detail) = (arguments.text("type")?, arguments.boolean("detail")?);
    let fields = fields(&mut arguments, version)?;
    arguments.end()?;
    if fields.is_some() && detail == Some(true) {
        return Err(ApiError::Invalid("Can not specify ?detail=True and fields in the same request.".into()));
    }
    if kind.is_some() || detail.is_some() {
        version.needs(30)?;
    }
    let is_there = match kind.as_deref() {
        None | Some("dynamic") => true,
        Some("classic") => false,
        Some(_) => {
            return Err(ApiError::Invalid(
                "\"type\" filter must be one of \"classic\" or \"dynamic\", if specified.".into(),
            ));
        }
    };
    let names = conductor.drivers.names().filter(|_| is_there);
    let shown = names.map(|name| pick(description(&conductor, name, version, detail == Some(true)), fields.as_deref()));
    let drivers: Vec<Value> = shown.collect::<Result<_, _>>()?;
    Ok(axum::Json(json!({ "drivers": drivers })).into_response())
}

fn fields(arguments: &mut Arguments, version: Version) -> Result<Option<Vec<String>>, ApiError> {
    let fields = arguments.words("fields")?;
    if fields.is_some() && version.0 < 77 {
        return Err(ApiError::not_acceptable());
    }
    Ok(fields)
}

fn pick(mut driver: Object, fields: Option<&[String]>) -> Result<Value, ApiError> {
    let Some(fields) = fields else { return Ok(Value::Object(driver)) };
    if let Some(field) = fields.iter().find(|field| !driver.contains_key(*field)) {
        return Err(ApiError::Invalid(format!("Field(s) \"{field}\" are not valid")));
    }
    driver.retain(|key, _| key == "links" || fields.contains(key));
    Ok(Value::Object(driver))
}

/// `GET /v1/drivers/{name}`.
///
/// # Errors
/// 404.
pub async fn show(
    State(conductor): State<Shared>,
    version: Version,
    Path(name): Path<String>,
    mut arguments: Arguments,
) -> Answer {
    let fields = fields(&mut arguments, version)?;
    arguments.end()?;
    let name = find(&conductor, &name)?;
    Ok(axum::Json(pick(description(&conductor, name, version, true), fields.as_deref())?).into_response())
}

fn find(conductor: &Conductor, name: &str) -> Result<&'static str, ApiError> {
    let found = conductor.drivers.names().find(|known| *known == name);
    let missing = || ApiError::NoSuch(format!("Could not find the following driver(s) or hardware type(s): {name}."));
    found.ok_or_else(missing)
}

fn description(conductor: &Conductor, name: &str, version: Version, whole: bool) -> Object {
    let url = conductor.urls.public();
    let mut driver = Object::new();
    driver.insert("name".into(), name.into());
    driver.insert("hosts".into(), json!([HOST]));
    driver.insert("links".into(), links(url, &format!("drivers/{name}")));
    if version.0 >= 14 {
        driver.insert("properties".into(), links(url, &format!("drivers/{name}/properties")));
    }
    if version.0 < 30 {
        return driver;
    }
    driver.insert("type".into(), "dynamic".into());
    for kind in interface::KINDS.into_iter().filter(|_| whole) {
        let since = match kind {
            "storage" => 33,
            "rescue" => 38,
            "bios" => 40,
            "firmware" => 86,
            _ => 30,
        };
        if version.0 >= since {
            let there = interface::implementations(name, kind);
            driver.insert(format!("default_{kind}_interface"), json!(there.first()));
            driver.insert(format!("enabled_{kind}_interfaces"), json!(there));
        }
    }
    driver
}

/// `GET /v1/drivers/{name}/properties`: what `driver_info` can say.
///
/// # Errors
/// 404.
pub async fn properties(State(conductor): State<Shared>, Path(name): Path<String>) -> Answer {
    let known = properties::of(find(&conductor, &name)?).iter();
    let body: Object = known.map(|(key, text)| ((*key).to_owned(), (*text).into())).collect();
    Ok(axum::Json(body).into_response())
}

/// `GET /v1/drivers/{name}/vendor_passthru/methods`.
///
/// # Errors
/// 404.
pub async fn vendor_methods(State(conductor): State<Shared>, Path(name): Path<String>) -> Answer {
    find(&conductor, &name)?;
    Ok(axum::Json(json!({})).into_response())
}

/// `GET /v1/drivers/{name}/raid/logical_disk_properties`: what `target_raid_config` can say of a disk.
///
/// # Errors
/// 404, 406.
pub async fn raid(State(conductor): State<Shared>, version: Version, Path(name): Path<String>) -> Answer {
    find(&conductor, &name)?;
    if version.0 < 12 {
        return Err(ApiError::not_acceptable());
    }
    let body: Object = properties::LOGICAL_DISK.iter().map(|(key, text)| ((*key).to_owned(), (*text).into())).collect();
    Ok(axum::Json(body).into_response())
}
