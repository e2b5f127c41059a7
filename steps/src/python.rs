//! The words of the Python agent's language, in which operators and their tools know some errors.

use serde_json::Value;

/// A value as Python prints it.
pub fn repr(value: &Value) -> String {
    let joined = |items: Vec<String>| items.join(", ");
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", joined(items.iter().map(repr).collect())),
        Value::Object(object) => {
            let pair = |(key, value): (&String, &Value)| format!("{}: {}", quoted(key), repr(value));
            format!("{{{}}}", joined(object.iter().map(pair).collect()))
        }
    }
}

/// The name of a value's type.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// That `function` was called without the parameters `names`, of which there is one at least.
pub fn missing_arguments(function: &str, names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    let (text, plural) = match quoted.as_slice() {
        [] | [_] => (quoted.concat(), ""),
        [first, second] => (format!("{first} and {second}"), "s"),
        [before @ .., last] => (format!("{}, and {last}", before.join(", ")), "s"),
    };
    format!("{function} missing {} required positional argument{plural}: {text}", names.len())
}

/// That `function` was called with a parameter that it does not know.
pub fn unexpected_argument(function: &str, name: &str) -> String {
    format!("{function} got an unexpected keyword argument '{name}'")
}

/// Double quotes only where they spare a backslash.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut quoted = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\\' => quoted.push_str("\\\\"),
            c if c == quote => quoted.extend(['\\', c]),
            c => quoted.push(c),
        }
    }
    quoted.push(quote);
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_printed_as_python_prints_them() {
        let value = json!({"a": [1, 2.5, true, null], "it's": "a \"b\" it's\n", "c": "it's"});
        assert_eq!(repr(&value), r#"{'a': [1, 2.5, True, None], "it's": 'a "b" it\'s\n', 'c': "it's"}"#);
    }

    #[test]
    fn missing_arguments_are_listed_as_in_a_sentence() {
        assert_eq!(missing_arguments("f()", &["a"]), "f() missing 1 required positional argument: 'a'");
        assert_eq!(missing_arguments("f()", &["a", "b"]), "f() missing 2 required positional arguments: 'a' and 'b'");
        assert_eq!(
            missing_arguments("f()", &["a", "b", "c"]),
            "f() missing 3 required positional arguments: 'a', 'b', and 'c'"
        );
    }
}
