//! Keys and types of a config, version by version.

use ignition_config::{v3_0, v3_1, v3_2, v3_3, v3_4, v3_5, v3_6};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Track;

use super::Finding;

/// Returns what Ignition would not look at: keys that the version does not have.
///
/// # Errors
/// The first value of a wrong type, or a key that is missing.
pub(super) fn check(config: &Value, minor: u32) -> Result<Vec<Finding>, Finding> {
    match minor {
        0 => read::<v3_0::Config>(config),
        1 => read::<v3_1::Config>(config),
        2 => read::<v3_2::Config>(config),
        3 => read::<v3_3::Config>(config),
        4 => read::<v3_4::Config>(config),
        5 => read::<v3_5::Config>(config),
        _ => read::<v3_6::Config>(config),
    }
}

fn read<T: DeserializeOwned>(config: &Value) -> Result<Vec<Finding>, Finding> {
    let mut unknown = Vec::new();
    let mut track = Track::new();
    let tracked = serde_path_to_error::Deserializer::new(config, &mut track);
    let read: Result<T, _> = serde_ignored::deserialize(tracked, |path| unknown.push(place(&path)));
    match read {
        Ok(_) => Ok(unknown
            .into_iter()
            .map(|place| Finding { place, text: "a key that this version does not have; it is ignored".to_owned() })
            .collect()),
        Err(error) => Err(Finding { place: track.path().to_string(), text: error.to_string() }),
    }
}

fn place(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path::*;
    match path {
        Root => String::new(),
        Seq { parent, index } => format!("{}[{index}]", place(parent)),
        Map { parent, key } => match place(parent) {
            above if above.is_empty() => key.clone(),
            above => format!("{above}.{key}"),
        },
        Some { parent } | NewtypeStruct { parent } | NewtypeVariant { parent } => place(parent),
    }
}
