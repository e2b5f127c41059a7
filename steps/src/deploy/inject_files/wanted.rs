//! What is to be injected.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::deploy::mounted::Attributes;
use crate::{ErrorKind, StepError, python};

const KNOWN: [&str; 8] = ["path", "partition", "content", "deleted", "mode", "dirmode", "owner", "group"];

/// One file.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Path inside its file system.
    pub(super) path: String,
    pub(super) place: Place,
    pub(super) content: Content,
    pub(super) attributes: Attributes,
}

/// In which file system it goes.
#[derive(Debug, PartialEq)]
pub(super) enum Place {
    /// A partition of the root device.
    Number(u32),
    /// A device by its path.
    Device(String),
    /// The first partition of the root device that has this directory.
    Anywhere(String),
}

/// What it is to hold.
#[derive(PartialEq)]
pub(super) enum Content {
    Deleted,
    Bytes(Vec<u8>),
    /// Fetched, after the node's values were filled in.
    Url(String),
}

impl std::fmt::Debug for Content {
    /// Files hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<...>")
    }
}

/// Reads both lists; everything that is wrong is said at once.
pub(super) fn read(of_node: &Value, of_step: &Value) -> Result<Vec<Wanted>, StepError> {
    let mut failures = Vec::new();
    let mut wanted = Vec::new();
    for (list, what) in [(of_node, "The `inject_files` node property"), (of_step, "The `files` argument")] {
        match list {
            Value::Null => {}
            Value::Array(files) => {
                for file in files {
                    match one(file) {
                        Ok(file) => wanted.push(file),
                        Err(reasons) => failures.extend(reasons),
                    }
                }
            }
            other => {
                let text = format!("{what} must be a list, got {}", python::type_name(other));
                return Err(ErrorKind::InvalidParameters.error(text));
            }
        }
    }
    if failures.is_empty() {
        return Ok(wanted);
    }
    Err(ErrorKind::InvalidParameters.error(format!("Validation of files failed: {}", failures.join("; "))))
}

fn one(file: &Value) -> Result<Wanted, Vec<String>> {
    let Some(map) = file.as_object() else { return Err(vec!["a file must be an object".to_string()]) };
    let mut failures = Vec::new();
    let path = map.get("path").and_then(Value::as_str).unwrap_or_default();
    let unknown: Vec<&str> = map.keys().map(String::as_str).filter(|key| !KNOWN.contains(key)).collect();
    if !unknown.is_empty() {
        failures.push(format!("unexpected fields in {path}: {}", unknown.join(", ")));
    }
    let place = place(map, path).map_err(|reason| failures.push(reason));
    let content = content(map, path).map_err(|reason| failures.push(reason));
    let mut number = |field: &str| match map.get(field) {
        None => None,
        Some(value) => {
            let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
            if number.is_none() {
                failures.push(format!("{field} must be a number in {path}"));
            }
            number
        }
    };
    let attributes = Attributes {
        mode: number("mode"),
        directory_mode: number("dirmode"),
        owner: number("owner"),
        group: number("group"),
    };
    match (place, content) {
        (Ok(place), Ok(content)) if failures.is_empty() => {
            Ok(Wanted { path: path.to_string(), place, content, attributes })
        }
        _ => Err(failures),
    }
}

fn place(map: &Map<String, Value>, path: &str) -> Result<Place, String> {
    if path.is_empty() {
        return Err("expected a path in a file".to_string());
    }
    if path.ends_with('/') {
        return Err(format!("directories not supported for {path}"));
    }
    match map.get("partition") {
        Some(Value::Number(number)) => {
            let number = number.as_u64().and_then(|number| u32::try_from(number).ok());
            number.map(Place::Number).ok_or_else(|| format!("partition is no partition number in {path}"))
        }
        Some(Value::String(text)) if !text.is_empty() => {
            Ok(text.parse().map_or_else(|_| Place::Device(text.clone()), Place::Number))
        }
        None | Some(Value::Null | Value::String(_)) => {
            let mut parts = path.split('/').filter(|part| !["", "."].contains(part));
            match (parts.next(), parts.next()) {
                (Some(first), Some(_)) if first != ".." => Ok(Place::Anywhere(first.to_string())),
                _ => Err(format!("{path} in root directory requires \"partition\"")),
            }
        }
        Some(_) => Err(format!("partition must be a number or a device in {path}")),
    }
}

fn content(map: &Map<String, Value>, path: &str) -> Result<Content, String> {
    let deleted = map.get("deleted") == Some(&Value::Bool(true));
    match map.get("content") {
        Some(Value::String(text)) if deleted && !text.is_empty() => {
            Err(format!("content cannot be used with deleted in {path}"))
        }
        _ if deleted => Ok(Content::Deleted),
        Some(Value::String(text)) if text.contains("://") => Ok(Content::Url(text.clone())),
        Some(Value::String(text)) => {
            let compact: String = text.split_whitespace().collect();
            STANDARD.decode(compact).map(Content::Bytes).map_err(|_| format!("content is not base64 in {path}"))
        }
        _ => Err(format!("expected content in {path}")),
    }
}

/// Fills `{node[KEY]…}` and `{ports[N]…}` into a URL; `{{` and `}}` are braces.
pub(super) fn fill_in(template: &str, node: &Value, ports: &Value) -> Result<String, StepError> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with("{{") || rest.starts_with("}}") {
            filled.push_str(&rest[..1]);
            rest = &rest[2..];
            continue;
        }
        let unknown =
            || ErrorKind::InvalidParameters.error(format!("{template} names a value that the node does not have"));
        let (name, after) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).ok_or_else(unknown)?;
        let (root, keys) = name.split_once('[').unwrap_or((name, ""));
        let mut value = match root {
            "node" => node,
            "ports" => ports,
            _ => return Err(unknown()),
        };
        for key in keys.split('[').map(|key| key.trim_end_matches(']')).filter(|key| !key.is_empty()) {
            let next = key.parse::<usize>().ok().and_then(|index| value.get(index)).or_else(|| value.get(key));
            value = next.ok_or_else(unknown)?;
        }
        match value {
            Value::String(text) => filled.push_str(text),
            other => filled.push_str(&other.to_string()),
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_problems_are_said_at_once() {
        let files = json!([{"path": "/x", "content": ""}, {"path": "/etc/a/", "content": ""},
            {"path": "/etc/a", "content": "", "colour": 1, "mode": "0644"}, {"path": "/etc/a"},
            {"path": "/etc/a", "content": "YQ==", "deleted": true}, {"path": "/etc/a", "content": "", "owner": true}]);
        let error = read(&Value::Null, &files).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidParameters);
        let text = error.to_string();
        for expected in [
            "/x in root directory requires \"partition\"",
            "directories not supported for /etc/a/",
            "unexpected fields in /etc/a: colour",
            "mode must be a number in /etc/a",
            "expected content in /etc/a",
            "content cannot be used with deleted in /etc/a",
            "owner must be a number in /etc/a",
        ] {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
    }

    #[test]
    fn files_of_the_node_come_first_and_places_are_understood() {
        let of_node = json!([{"path": "etc/a", "content": "YQ=="}]);
        let of_step = json!([{"path": "/b", "partition": "2", "content": ""}, {"path": "/c", "partition": "/dev/sdb1",
            "deleted": true}]);
        let files = read(&of_node, &of_step).unwrap();
        let places: Vec<&Place> = files.iter().map(|file| &file.place).collect();
        assert_eq!(places, [&Place::Anywhere("etc".into()), &Place::Number(2), &Place::Device("/dev/sdb1".into())]);
        assert_eq!(files[0].content, Content::Bytes(b"a".to_vec()));
        assert_eq!(files[2].content, Content::Deleted);
    }

    #[test]
    fn values_of_the_node_are_filled_into_urls() {
        let node = json!({"uuid": "1-2", "properties": {"vendor": "x"}});
        let ports = json!([{"address": "aa:bb"}]);
        let url = fill_in("http://h/{node[uuid]}/{node[properties][vendor]}/{ports[0][address]}/{{}}", &node, &ports);
        assert_eq!(url.unwrap(), "http://h/1-2/x/aa:bb/{}");
        assert!(fill_in("http://h/{node[name]}", &node, &ports).is_err());
        assert!(fill_in("http://h/{", &node, &ports).is_err());
    }
}
