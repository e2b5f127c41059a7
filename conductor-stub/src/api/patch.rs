//! JSON patch (RFC 6902) on the fields that clients may change.

use serde::Deserialize;
use serde_json::Value;

use crate::error::ApiError;

/// One operation.
#[derive(Debug, Deserialize)]
pub struct Operation {
    op: String,
    path: String,
    #[serde(default)]
    value: Value,
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
        (Value::Object(map), "test") if map.get(&key) == Some(value) => {}
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
        (_, "test") => return Err(bad("the value differs")),
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
            (json!([{"op": "frob", "path": "/name"}]), "frob"),
        ] {
            let error = patched(patch).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
