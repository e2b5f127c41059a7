//! JSON patch (RFC 6902) on the fields that clients may change.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::error::ApiError;

/// One operation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    op: String,
    path: String,
    #[serde(default, deserialize_with = "given")]
    value: Option<Value>,
}

/// Also `null` is a value.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Whether these are operations on `allowed` fields; the fields that they are on.
///
/// # Errors
/// 400 naming what is not.
pub fn check(operations: &[Operation], allowed: &[&str]) -> Result<Vec<String>, ApiError> {
    let mut fields = Vec::new();
    for Operation { op, path, .. } in operations {
        if !["add", "replace", "remove"].contains(&op.as_str()) {
            return Err(ApiError::Invalid(format!(
                "Schema error for patch: '{op}' is not one of ['add', 'replace', 'remove']"
            )));
        }
        let Some(rest) = path.strip_prefix('/').filter(|rest| !rest.is_empty()) else {
            return Err(ApiError::Invalid(format!("Schema error for patch: '{path}' is no path such as /extra/x")));
        };
        let field = rest.split('/').next().unwrap_or_default();
        if !allowed.contains(&field) {
            return Err(ApiError::Invalid(format!(
                "Cannot patch {path}. Only the following can be updated: {}",
                allowed.join(", ")
            )));
        }
        fields.push(field.to_owned());
    }
    Ok(fields)
}

/// Whether nothing is done but to remove what is at `path`.
pub fn removes(operations: &[Operation], path: &str) -> bool {
    matches!(operations, [only] if only.op == "remove" && only.path == path)
}

/// Applies the operations in order.
///
/// # Errors
/// 400 naming the operation that does not fit.
pub fn apply(document: &mut Value, operations: &[Operation]) -> Result<(), ApiError> {
    operations.iter().try_for_each(|operation| one(document, operation))
}

fn one(document: &mut Value, Operation { op, path, value }: &Operation) -> Result<(), ApiError> {
    let bad = |why: &str| ApiError::Invalid(format!("Couldn't apply patch '{op} {path}'. Reason: {why}"));
    let value = match (op.as_str(), value) {
        ("remove", _) => &Value::Null,
        (_, Some(value)) => value,
        (_, None) => return Err(bad("The operation does not contain a 'value' member")),
    };
    let (parent, key) = path.rsplit_once('/').ok_or_else(|| bad("the path does not begin with /"))?;
    let key = key.replace("~1", "/").replace("~0", "~");
    let parent = document.pointer_mut(parent).ok_or_else(|| bad("there is nothing at its parent"))?;
    match (parent, op.as_str()) {
        (Value::Object(map), "add") => {
            map.insert(key, value.clone());
        }
        (Value::Object(map), "replace") => {
            *map.get_mut(&key).ok_or_else(|| bad("there is nothing to replace"))? = value.clone();
        }
        (Value::Object(map), "remove") => {
            map.shift_remove(&key).ok_or_else(|| bad("there is nothing to remove"))?;
        }
        (Value::Array(list), "add") if key == "-" => list.push(value.clone()),
        (Value::Array(list), _) => {
            let index: usize =
                key.parse().ok().filter(|index| *index <= list.len()).ok_or_else(|| bad("no such index"))?;
            match op.as_str() {
                "add" => list.insert(index, value.clone()),
                "replace" if index < list.len() => list[index] = value.clone(),
                "remove" if index < list.len() => drop(list.remove(index)),
                _ => return Err(bad("not possible here")),
            }
        }
        _ => return Err(bad("not possible here")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patched(patch: Value) -> Result<Value, ApiError> {
        let mut document = json!({"name": null, "info": {"a/b": 1}, "list": [1, 2]});
        let operations: Vec<Operation> = serde_json::from_value(patch).unwrap();
        apply(&mut document, &operations).map(|()| document)
    }

    #[test]
    fn operations() {
        let document = patched(json!([
            {"op": "add", "path": "/name", "value": "n"},
            {"op": "add", "path": "/info/x", "value": {"y": 1}},
            {"op": "replace", "path": "/info/x/y", "value": 2},
            {"op": "remove", "path": "/info/a~1b"},
            {"op": "add", "path": "/list/-", "value": 3},
        ]));
        assert_eq!(document.unwrap(), json!({"name": "n", "info": {"x": {"y": 2}}, "list": [1, 2, 3]}));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (patch, word) in [
            (json!([{"op": "remove", "path": "/info/none"}]), "/info/none"),
            (json!([{"op": "add", "path": "/none/x", "value": 1}]), "/none/x"),
            (json!([{"op": "replace", "path": "/list/7", "value": 1}]), "/list/7"),
            (json!([{"op": "frob", "path": "/name", "value": 1}]), "frob"),
            (json!([{"op": "add", "path": "/name"}]), "'value' member"),
        ] {
            let error = patched(patch).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn only_what_may_be_changed_is() {
        let check = |patch: Value| {
            let operations: Vec<Operation> = serde_json::from_value(patch).unwrap();
            super::check(&operations, &["name", "info"]).map_err(|error| error.to_string())
        };
        assert_eq!(check(json!([{"op": "add", "path": "/info/x/y", "value": 1}])), Ok(vec!["info".to_owned()]));
        for (patch, word) in [
            (json!([{"op": "test", "path": "/name", "value": 1}]), "'test' is not one of"),
            (json!([{"op": "remove", "path": "name"}]), "'name' is no path"),
            (json!([{"op": "remove", "path": "/uuid"}]), "Only the following can be updated: name, info"),
        ] {
            let error = check(patch).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
