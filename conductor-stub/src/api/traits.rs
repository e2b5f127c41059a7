//! `/v1/nodes/{node}/traits`: words for what a machine can do.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::arguments::WithBody;
use super::body::Answer;
use super::named::Named;
use super::version::Version;
use crate::conductor::Shared;
use crate::error::ApiError;
use crate::flow::task::Task;

/// Traits that a node may have.
const MOST: usize = 50;
const LONGEST: usize = 255;

/// Whether this is a trait: `CUSTOM_…`, or a word as OpenStack's list of standard ones has them, which is not kept here.
///
/// # Errors
/// 400.
pub fn check(place: &str, word: &Value) -> Result<String, ApiError> {
    let plain = |word: &str| {
        let upper = word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        let families = ["CUSTOM_", "COMPUTE_", "HW_", "MISC_", "OWNER_", "STORAGE_"];
        let prefix = families.iter().find(|family| word.starts_with(**family));
        upper && word.len() <= LONGEST && prefix.is_some_and(|prefix| word.len() > prefix.len())
    };
    match word.as_str().filter(|word| plain(word)) {
        Some(word) => Ok(word.to_owned()),
        None => Err(ApiError::Invalid(format!("Schema error for {place}: {word} is no trait such as CUSTOM_GOLD"))),
    }
}

/// `GET …/traits`.
///
/// # Errors
/// 404.
pub async fn list(version: Version, Named { node, .. }: Named) -> Answer {
    needs(version)?;
    Ok(axum::Json(json!({ "traits": node.traits })).into_response())
}

fn needs(version: Version) -> Result<(), ApiError> {
    if version.0 < 37 { Err(ApiError::not_acceptable()) } else { Ok(()) }
}

/// What both ways to set traits are for.
const HOW: &str = "A single node trait may be added via PUT /v1/nodes/<node identifier>/traits/<trait> with no body, or all \
    node traits may be replaced via PUT /v1/nodes/<node identifier>/traits with the list of traits specified in the \
    request body.";

/// `PUT …/traits`: all of them.
///
/// # Errors
/// 400, 404, 409.
pub async fn replace(
    State(conductor): State<Shared>,
    version: Version,
    Named { node, .. }: Named,
    WithBody(mut arguments): WithBody,
) -> Answer {
    needs(version)?;
    let list = arguments.any("traits");
    arguments.end()?;
    let Some(Value::Array(list)) = list else { return Err(ApiError::Invalid(HOW.into())) };
    let traits = list.iter().map(|word| check("body", word)).collect::<Result<_, _>>()?;
    let mut task = Task::take(&conductor, node.uuid)?;
    task.node.traits = traits;
    save(task)
}

/// `PUT …/traits/{trait}`: one more.
///
/// # Errors
/// 400, 404, 409.
pub async fn add(
    State(conductor): State<Shared>,
    version: Version,
    Named { node, ident }: Named,
    Path((_, word)): Path<(String, String)>,
    WithBody(arguments): WithBody,
) -> Answer {
    needs(version)?;
    arguments.end().map_err(|_| ApiError::Invalid(HOW.into()))?;
    let word = check("trait", &word.into())?;
    let mut task = Task::take(&conductor, node.uuid)?;
    let location = format!("{}/v1/nodes/{ident}/traits/{word}", conductor.urls.public());
    task.node.traits.insert(word);
    Ok(([(header::LOCATION, location)], save(task)?).into_response())
}

fn save(mut task: Task) -> Answer {
    if task.node.traits.len() > MOST {
        return Err(ApiError::Invalid(format!("A node cannot have more than {MOST} traits")));
    }
    task.save()?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `DELETE …/traits`: all of them.
///
/// # Errors
/// 404, 409.
pub async fn clear(State(conductor): State<Shared>, version: Version, Named { node, .. }: Named) -> Answer {
    needs(version)?;
    let mut task = Task::take(&conductor, node.uuid)?;
    task.node.traits.clear();
    save(task)
}

/// `DELETE …/traits/{trait}`: one of them.
///
/// # Errors
/// 404 when it is not there, 409.
pub async fn remove(
    State(conductor): State<Shared>,
    version: Version,
    Named { node, .. }: Named,
    Path((_, word)): Path<(String, String)>,
) -> Answer {
    needs(version)?;
    let mut task = Task::take(&conductor, node.uuid)?;
    if !task.node.traits.remove(&word) {
        return Err(ApiError::NoSuch(format!("Node {} doesn't have a trait '{word}'", node.uuid)));
    }
    save(task)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traits_are_upper_case_words_of_known_families() {
        for word in ["CUSTOM_A", "HW_CPU_X86_VMX", "CUSTOM_RAID1", "STORAGE_DISK_SSD"] {
            assert!(check("trait", &json!(word)).is_ok(), "{word}");
        }
        for word in [json!("nonsense"), json!("CUSTOM_"), json!("CUSTOM_a"), json!("OTHER_X"), json!(7), json!("")] {
            assert!(check("trait", &word).is_err(), "{word}");
        }
    }
}
