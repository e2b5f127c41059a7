//! A setting of a machine's firmware, with Ironic's names (ironic/objects/bios.py).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// One setting, as its BMC told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value, as text.
    pub value: Option<String>,
    /// `Enumeration`, `String`, `Integer`, `Boolean`, `Password`; this and what follows only where the BMC has a registry.
    pub attribute_type: Option<String>,
    /// What an enumeration may be.
    pub allowable_values: Option<Vec<String>>,
    /// The least that a number may be.
    pub lower_bound: Option<i64>,
    /// The most that a number may be.
    pub upper_bound: Option<i64>,
    /// The shortest that a text may be, in characters.
    pub min_length: Option<i64>,
    /// The longest that a text may be, in characters.
    pub max_length: Option<i64>,
    /// It cannot be changed.
    pub read_only: Option<bool>,
    /// A change needs a start.
    pub reset_required: Option<bool>,
    /// It is different on every machine.
    pub unique: Option<bool>,
}

impl Setting {
    /// A setting with this value; `entry` describes it in the registry.
    pub fn new(name: &str, value: &Value, entry: Option<&Value>) -> Self {
        let entry = entry.unwrap_or(&Value::Null);
        let names = |values: &Vec<Value>| {
            let name =
                |value: &Value| value["ValueName"].as_str().or(value["ValueDisplayName"].as_str()).map(str::to_owned);
            values.iter().filter_map(name).collect()
        };
        Self {
            name: name.to_owned(),
            value: text(value),
            attribute_type: entry["Type"].as_str().map(str::to_owned),
            allowable_values: entry["Value"].as_array().map(names),
            lower_bound: entry["LowerBound"].as_i64(),
            upper_bound: entry["UpperBound"].as_i64(),
            min_length: entry["MinLength"].as_i64(),
            max_length: entry["MaxLength"].as_i64(),
            read_only: entry["ReadOnly"].as_bool(),
            reset_required: entry["ResetRequired"].as_bool(),
            unique: entry["IsSystemUniqueProperty"].as_bool(),
        }
    }

    /// `wanted` as the BMC wants it: clients give all of them as text.
    ///
    /// # Errors
    /// Why it cannot be that.
    pub fn admit(&self, wanted: &Value) -> Result<Value, String> {
        let refused = |why: &str| format!("{}: {why}", self.name);
        if self.read_only == Some(true) {
            return Err(refused("it cannot be changed"));
        }
        let given = text(wanted).ok_or_else(|| refused("neither text nor a number nor a boolean"))?;
        match self.attribute_type.as_deref() {
            Some("Enumeration") if self.allowable_values.as_ref().is_some_and(|all| !all.contains(&given)) => {
                Err(refused(&format!(
                    "{given} is not one of {}",
                    self.allowable_values.clone().unwrap_or_default().join(", ")
                )))
            }
            Some("Integer") => match given.parse::<i64>() {
                Ok(number)
                    if self.lower_bound.is_none_or(|least| number >= least)
                        && self.upper_bound.is_none_or(|most| number <= most) =>
                {
                    Ok(number.into())
                }
                _ => Err(refused(&format!("{given} is no number in its bounds"))),
            },
            Some("Boolean") => match given.to_ascii_lowercase().as_str() {
                "true" => Ok(true.into()),
                "false" => Ok(false.into()),
                _ => Err(refused(&format!("{given} is no boolean"))),
            },
            Some("String") => {
                let length = i64::try_from(given.chars().count()).unwrap_or(i64::MAX);
                let fits = self.min_length.is_none_or(|least| length >= least)
                    && self.max_length.is_none_or(|most| length <= most);
                if fits { Ok(given.into()) } else { Err(refused("its length is not allowed")) }
            }
            Some(_) => Ok(given.into()),
            // Without a registry it is for the BMC to judge.
            None => Ok(wanted.clone()),
        }
    }

    /// Whether `value` is what it is.
    pub fn is(&self, value: &Value) -> bool {
        self.value == text(value)
    }
}

/// As Ironic keeps values: Python's words.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(true) => Some("True".into()),
        Value::Bool(false) => Some("False".into()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The description of the argument of `bios.apply_configuration`.
pub fn argsinfo() -> Value {
    json!({"settings": {"description": "A list of BIOS settings to be applied", "required": true}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_setting_may_be_is_known_from_the_registry() {
        let cores = json!({"Type": "Integer", "LowerBound": 1, "UpperBound": 16, "ReadOnly": false});
        let cores = Setting::new("Cores", &json!(2), Some(&cores));
        assert_eq!(cores.value.as_deref(), Some("2"));
        assert_eq!(cores.admit(&json!("4")), Ok(json!(4)));
        assert_eq!(cores.admit(&json!(16)), Ok(json!(16)));
        assert!(cores.admit(&json!("17")).is_err() && cores.admit(&json!("many")).is_err());
        let mode = json!({"Type": "Enumeration", "Value": [{"ValueName": "Uefi"}, {"ValueDisplayName": "Legacy"}]});
        let mode = Setting::new("BootMode", &json!("Uefi"), Some(&mode));
        assert_eq!(mode.admit(&json!("Legacy")), Ok(json!("Legacy")));
        assert_eq!(mode.admit(&json!("Usb")), Err("BootMode: Usb is not one of Uefi, Legacy".into()));
        let turbo = Setting::new("Turbo", &json!(true), Some(&json!({"Type": "Boolean"})));
        assert!(turbo.is(&json!(true)) && turbo.is(&json!("True")) && !turbo.is(&json!(false)));
        assert_eq!(turbo.admit(&json!("false")), Ok(json!(false)));
        let fixed = Setting::new("Serial", &json!("7"), Some(&json!({"Type": "String", "ReadOnly": true})));
        assert_eq!(fixed.admit(&json!("8")), Err("Serial: it cannot be changed".into()));
        assert_eq!(Setting::new("Any", &json!(1), None).admit(&json!(2)), Ok(json!(2)));
    }
}
