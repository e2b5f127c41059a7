//! Root device hints: Ironic's little language that says which disk to install to.

mod compare;
mod expression;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::{Map, Value};

use self::compare::Nonsense;
use super::device::BlockDevice;
use crate::units::Bytes;

const KEYS: [&str; 12] = [
    "size",
    "model",
    "wwn",
    "serial",
    "vendor",
    "wwn_with_extension",
    "wwn_vendor_extension",
    "name",
    "rotational",
    "hctl",
    "by_path",
    "tran",
];

/// Parsed hints, in the order in which they were written. A device fits when all of them do.
#[derive(Debug, Clone, PartialEq)]
pub struct Hints(Vec<(String, Want)>);

/// What one hint asks for; texts are in normalized form, operator first.
#[derive(Debug, Clone, PartialEq)]
enum Want {
    Text(String),
    Size(String),
    Flag(bool),
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(expression) | Self::Size(expression) => write!(f, "{expression}"),
            Self::Flag(flag) => write!(f, "{flag}"),
        }
    }
}

/// Hints that cannot be understood, or cannot be compared with a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HintError {
    /// The hints are no JSON object, or an empty one.
    #[error("root device hints must be a JSON object with at least one hint, not {0}")]
    NotHints(String),
    /// A key that is no hint.
    #[error("\"{0}\" is no root device hint; valid ones are {keys}", keys = KEYS.join(", "))]
    UnknownHint(String),
    /// A hint whose value is malformed.
    #[error("root device hint \"{hint}\" is {problem}: {value}")]
    Malformed {
        /// The hint.
        hint: String,
        /// What is wrong.
        problem: &'static str,
        /// The value as it was given.
        value: String,
    },
    /// A hint that has no sense for the value of a device.
    #[error("root device hint \"{hint}\" ({wanted}) cannot be compared with {value} of {device}: {problem}")]
    Incomparable {
        /// The hint.
        hint: String,
        /// Its normalized form.
        wanted: String,
        /// The device.
        device: String,
        /// The device's value.
        value: String,
        /// Why not.
        problem: String,
    },
}

impl Hints {
    /// Parses a JSON object of hints.
    ///
    /// # Errors
    /// When the value is no object, is empty, or a hint is unknown or malformed.
    pub fn parse(value: &Value) -> Result<Self, HintError> {
        let object = value.as_object().filter(|object| !object.is_empty());
        let object = object.ok_or_else(|| HintError::NotHints(value.to_string()))?;
        if let Some(unknown) = object.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(HintError::UnknownHint(unknown.clone()));
        }
        object.iter().map(|(key, value)| Ok((key.clone(), want(key, value)?))).collect::<Result<_, _>>().map(Self)
    }

    /// The hints in normalized form, as they are compared: values in lower case and percent-encoded.
    pub fn normalized(&self) -> Map<String, Value> {
        let value = |want: &Want| match want {
            Want::Text(expression) | Want::Size(expression) => Value::from(expression.as_str()),
            Want::Flag(flag) => Value::from(*flag),
        };
        self.0.iter().map(|(key, want)| (key.clone(), value(want))).collect()
    }

    /// Whether `device` fits all hints.
    ///
    /// # Errors
    /// When a hint cannot be compared with the device's value (a number against a text).
    pub fn fit(&self, device: &BlockDevice) -> Result<bool, HintError> {
        Ok(self.mismatch(device)?.is_none())
    }

    /// Whether they name one device, by its name or place.
    pub(super) fn name_a_device(&self) -> bool {
        self.0.iter().any(|(key, _)| key == "name" || key == "by_path")
    }

    /// The first hint that `device` does not fit, in words; nothing when it fits all.
    ///
    /// # Errors
    /// As [`Hints::fit`].
    pub fn mismatch(&self, device: &BlockDevice) -> Result<Option<String>, HintError> {
        for (key, want) in &self.0 {
            if let Some(value) = refusal(key, want, device)? {
                return Ok(Some(format!("{key} is {value}, wanted {want}")));
            }
        }
        Ok(None)
    }
}

/// Understands the value of the hint `key`.
fn want(key: &str, value: &Value) -> Result<Want, HintError> {
    let malformed = |problem| HintError::Malformed { hint: key.to_string(), problem, value: value.to_string() };
    let unreadable = |_| malformed("an operator without its operand");
    match key {
        "rotational" => flag(value).map(Want::Flag).ok_or_else(|| malformed("not a boolean")),
        "size" => {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => return Err(malformed("not an integer")),
            };
            let stripped = expression::strip(&text).to_lowercase();
            if stripped.is_empty() {
                return Err(malformed("empty"));
            }
            let (operator, values) = expression::operands(&stripped).map_err(unreadable)?;
            for value in values {
                match compare::positive_integer(value) {
                    None => return Err(malformed("not an integer")),
                    Some(false) => return Err(malformed("not a positive integer")),
                    Some(true) => {}
                }
            }
            Ok(Want::Size(if operator.is_some() { text } else { format!("== {text}") }))
        }
        _ => {
            let text = value.as_str().ok_or_else(|| malformed("not a string"))?;
            let normalized = expression::normalize(text).map_err(unreadable)?.ok_or_else(|| malformed("empty"))?;
            let parsed = expression::parse(&normalized).map_err(unreadable)?;
            Ok(Want::Text(if parsed.operator.is_some() { normalized } else { format!("s== {normalized}") }))
        }
    }
}

/// The device's value, in words, when it does not fit; nothing when it does.
fn refusal(key: &str, want: &Want, device: &BlockDevice) -> Result<Option<String>, HintError> {
    let incomparable = |value: String, problem: Nonsense| HintError::Incomparable {
        hint: key.to_string(),
        wanted: want.to_string(),
        device: device.name.clone(),
        value,
        problem: match problem {
            Nonsense::NotANumber(text) => format!("\"{text}\" is not a number"),
            Nonsense::WrongOperator(operator) => format!("{operator} does not apply to it"),
            Nonsense::Unreadable => "an operator lacks its operand".to_string(),
        },
    };
    match want {
        Want::Flag(wanted) => {
            let value = device.rotational;
            Ok((value != Some(*wanted)).then(|| value.map_or("unknown".to_string(), |v| v.to_string())))
        }
        Want::Size(expression) => {
            let gib = device.size_bytes as f64 / Bytes::gib(1).0 as f64;
            let fits = compare::number(gib, expression).map_err(|e| incomparable(format!("{gib} GiB"), e))?;
            Ok((!fits).then(|| format!("{gib} GiB")))
        }
        Want::Text(expression) => match values(key, device) {
            Values::One(value) => {
                // A value that is missing counts as the word none.
                let shown = format!("{:?}", value.unwrap_or("none"));
                let normalized = expression::normalize(value.unwrap_or("none"))
                    .map_err(|e| incomparable(shown.clone(), e.into()))?;
                let fits = match normalized {
                    None => false,
                    Some(text) => compare::text(&text, expression).map_err(|e| incomparable(shown.clone(), e))?,
                };
                Ok((!fits).then_some(shown))
            }
            Values::Any(values) => {
                // A place has several equally good names: a disk is not elsewhere because one of them differs.
                let all_must_fit = key == "by_path" && compare::is_negative(expression);
                let mut refused = false;
                for value in values {
                    let normalized =
                        expression::normalize(value).map_err(|e| incomparable(format!("{value:?}"), e.into()))?;
                    match normalized.map(|text| compare::text(&text, expression)) {
                        Some(Ok(true)) if !all_must_fit => return Ok(None),
                        Some(Ok(true)) => {}
                        // An alternative that is no number is merely none that fits.
                        None | Some(Ok(false) | Err(Nonsense::NotANumber(_))) => refused = true,
                        Some(Err(error)) => return Err(incomparable(format!("{value:?}"), error)),
                    }
                }
                if all_must_fit && !refused {
                    return Ok(None);
                }
                Ok(Some(format!("{values:?}")))
            }
        },
    }
}

/// A text attribute of a device: one value, or alternatives of which one must fit.
enum Values<'a> {
    One(Option<&'a str>),
    Any(&'a [String]),
}

fn values<'a>(key: &str, device: &'a BlockDevice) -> Values<'a> {
    if let Some(alternatives) = device.alternatives.get(key) {
        return Values::Any(alternatives);
    }
    let one = match key {
        "name" => return Values::One(Some(&device.name)),
        "serial" => &device.serial,
        "wwn" => &device.wwn,
        "model" => &device.model,
        "vendor" => &device.vendor,
        "wwn_with_extension" => &device.wwn_with_extension,
        "wwn_vendor_extension" => &device.wwn_vendor_extension,
        "hctl" => &device.hctl,
        "by_path" => &device.by_path,
        "tran" => &device.tran,
        _ => &None,
    };
    Values::One(one.as_deref())
}

/// A boolean in any of the spellings that Ironic takes.
fn flag(value: &Value) -> Option<bool> {
    let text = match value {
        Value::Bool(flag) => return Some(*flag),
        Value::String(text) => expression::strip(text).to_lowercase(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    match text.as_str() {
        "1" | "t" | "true" | "on" | "y" | "yes" => Some(true),
        "0" | "f" | "false" | "off" | "n" | "no" => Some(false),
        _ => None,
    }
}
