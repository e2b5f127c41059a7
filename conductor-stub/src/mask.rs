//! What must not be read in answers, history, journal and log: passwords, tokens, keys and signatures (in URLs too), config
//! drives, Ignition, authorization.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

/// Stands for what is hidden, as in Ironic.
pub const MASK: &str = "******";

/// Words that make the value of a key secret, wherever it stands.
const SECRET: [&str; 17] = [
    "configdrive",
    "system_logs",
    "password",
    "passphrase",
    "token",
    "secret",
    "credential",
    "content",
    "authorization",
    "ignition",
    "userdata",
    "user_data",
    "private_key",
    "priv_key",
    "auth_key",
    "api_key",
    "encrypted_key",
];

/// Values shorter than this are not looked for in texts: they would be found everywhere.
const SHORTEST_SECRET: usize = 4;

/// Whether the value under this key is a secret.
fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    SECRET.iter().any(|word| key.contains(word))
}

/// `value` with every secret in it replaced. In an operation of a JSON patch, the path names the key.
pub fn value(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(object(map)),
        Value::Array(items) => items.iter().map(self::value).collect(),
        Value::String(text) => Value::from(self::text(text)),
        other => other.clone(),
    }
}

/// An object with every secret in it replaced.
pub fn object(map: &Map<String, Value>) -> Map<String, Value> {
    let path = map.get("path").and_then(Value::as_str).filter(|_| map.contains_key("op"));
    let of_secret_path = path.is_some_and(is_secret);
    map.iter()
        .map(|(key, value)| {
            let hide = !value.is_null() && (is_secret(key) || (of_secret_path && key == "value"));
            (key.clone(), if hide { MASK.into() } else { self::value(value) })
        })
        .collect()
}

/// A parameter of a query, by a name that says that its value opens something: `X-Amz-Signature`, `sig` (Azure),
/// `temp_url_sig` (Swift), `agent_token`. The name is the first group.
static PARAMETER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let word = "signature|token|password|secret|credential|api[-_]?key|access[-_]?key";
    let name = r#"[^=&\s"']*"#;
    Regex::new(&format!(r#"(?i)([?&](?:{name}(?:{word}){name}|(?:{name}[-_])?sig)=)[^&\s"'<>#]+"#)).ok()
});

/// User and password of a URL. Both ends stay.
static USER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"(://)[^/?#\s"'@]*:[^/?#\s"']*(@)"#).ok());

/// `password=…`, `"X-Auth-Token": "…"`, `Authorization: Basic …` in the words of others.
static ASSIGNMENT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let word = "password|passphrase|token|secret|authorization|private[-_]?key";
    Regex::new(&format!(r#"(?i)((?:{word})[\w-]*["']?\s*[:=]\s*["']?(?:basic |bearer )?)[^\s"',;&}}]+"#)).ok()
});

/// Where a secret of ours is part of a path: the URL of an artefact.
static ARTEFACT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(/artefacts/)[\w-]+").ok());

/// `text` with what looks like a secret hidden.
pub fn text(text: &str) -> String {
    let mut shown = text.to_owned();
    // Each of the patterns has one of these in it, and most texts have none.
    if !text.contains(['=', ':', '/']) {
        return shown;
    }
    let patterns =
        [(&PARAMETER, "${1}******"), (&USER, "${1}******${2}"), (&ASSIGNMENT, "${1}******"), (&ARTEFACT, "${1}******")];
    for (pattern, replacement) in patterns {
        let Some(pattern) = &**pattern else { continue };
        let hidden = match pattern.replace_all(&shown, replacement) {
            Cow::Owned(hidden) => hidden,
            Cow::Borrowed(_) => continue,
        };
        shown = hidden;
    }
    shown
}

/// `text` without the secrets that are known to be in `records`, and without what looks like one.
pub fn text_without<'a>(text: &str, records: impl IntoIterator<Item = &'a Map<String, Value>>) -> String {
    let mut known = Vec::new();
    for record in records {
        collect(record, &mut known);
    }
    let mut shown = text.to_owned();
    for secret in known {
        shown = shown.replace(secret, MASK);
    }
    self::text(&shown)
}

/// The secret texts in `map`.
fn collect<'a>(map: &'a Map<String, Value>, found: &mut Vec<&'a str>) {
    for (key, value) in map {
        match value {
            Value::String(text) if is_secret(key) && text.len() >= SHORTEST_SECRET => found.push(text),
            Value::Object(map) => collect(map, found),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_hidden_at_any_depth() {
        let shown = value(&json!({
            "step": {"args": {"configdrive": "H4sI", "image_info": [{"image_request_authorization": "Basic x"}]}},
            "rescue_password": "p", "snmp_auth_key": "k", "clean_version": {"a": "1"}, "configdrive": null,
        }));
        assert_eq!(
            shown,
            json!({"step": {"args": {"configdrive": MASK, "image_info": [{"image_request_authorization": MASK}]}},
                   "rescue_password": MASK, "snmp_auth_key": MASK, "clean_version": {"a": "1"}, "configdrive": null})
        );
    }

    #[test]
    fn a_patch_hides_by_its_path() {
        let patch = json!([{"op": "add", "path": "/driver_info/redfish_password", "value": "calvin"},
            {"op": "add", "path": "/driver_info", "value": {"a": 1, "snmp_priv_key": "k"}}, {"op": "add", "path": "/name", "value": "n"}]);
        let shown = value(&patch);
        assert_eq!(shown[0]["value"], MASK);
        assert_eq!(shown[1]["value"], json!({"a": 1, "snmp_priv_key": MASK}));
        assert_eq!(shown[2]["value"], "n");
    }

    #[test]
    fn texts_keep_everything_but_secrets() {
        for (given, shown) in [
            ("http://me:pw@host/a", "http://******@host/a"),
            (
                "get https://h/a?X-Amz-Date=1&X-Amz-Signature=abc&x=2 now",
                "get https://h/a?X-Amz-Date=1&X-Amz-Signature=******&x=2 now",
            ),
            ("https://h/a?sv=1&sig=a%2Bb%3D", "https://h/a?sv=1&sig=******"),
            (
                "http://a:9/v1/commands/?agent_token=abc&wait=true",
                "http://a:9/v1/commands/?agent_token=******&wait=true",
            ),
            (r#"{"X-Auth-Token": "abc", "x": 1}"#, r#"{"X-Auth-Token": "******", "x": 1}"#),
            ("Authorization: Basic YTpi, denied", "Authorization: Basic ******, denied"),
            ("http://h/artefacts/wFPW3b-y_r/agent.efi", "http://h/artefacts/******/agent.efi"),
            ("check redfish_username and redfish_password", "check redfish_username and redfish_password"),
            ("get http://host:80/a@b then ftp://me@host", "get http://host:80/a@b then ftp://me@host"),
        ] {
            assert_eq!(text(given), shown);
        }
    }

    #[test]
    fn known_secrets_are_found_in_any_words() {
        let record = json!({"redfish_password": "calvin", "deeper": {"token": "abcd"}, "pin_password": "1"});
        let shown = text_without("'calvin' is wrong, so is abcd; 1 try left", record.as_object());
        assert_eq!(shown, "'******' is wrong, so is ******; 1 try left");
    }
}
