//! The firmware settings of a machine (`Bios`): a few attributes that the machine obeys from its next start on.

use serde_json::{Map, Value, json};

/// Attributes that there are, with what they are by default.
pub(super) const ATTRIBUTES: [(&str, Kind); 3] =
    [("Cores", Kind::Number(1, 16)), ("BootMode", Kind::OneOf(&["Uefi", "Legacy"])), ("AssetTag", Kind::Text(32))];

/// What an attribute may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// From, to.
    Number(u64, u64),
    OneOf(&'static [&'static str]),
    /// Up to this long.
    Text(usize),
}

impl Kind {
    fn admits(self, value: &Value) -> bool {
        match self {
            Self::Number(from, to) => value.as_u64().is_some_and(|number| (from..=to).contains(&number)),
            Self::OneOf(values) => value.as_str().is_some_and(|value| values.contains(&value)),
            Self::Text(limit) => {
                value.as_str().is_some_and(|text| text.len() <= limit && !text.contains(char::is_control))
            }
        }
    }

    /// Its entry in the attribute registry.
    fn entry(self, name: &str) -> Value {
        let mut entry = json!({"AttributeName": name, "DisplayName": name, "ReadOnly": false, "ResetRequired": true});
        match self {
            Self::Number(from, to) => {
                entry["Type"] = "Integer".into();
                entry["LowerBound"] = from.into();
                entry["UpperBound"] = to.into();
            }
            Self::OneOf(values) => {
                entry["Type"] = "Enumeration".into();
                entry["Value"] =
                    values.iter().map(|value| json!({"ValueName": value, "ValueDisplayName": value})).collect();
            }
            Self::Text(limit) => {
                entry["Type"] = "String".into();
                entry["MaxLength"] = limit.into();
            }
        }
        entry
    }
}

/// The attribute registry's entries.
pub(super) fn registry() -> Vec<Value> {
    ATTRIBUTES.iter().map(|(name, kind)| kind.entry(name)).collect()
}

/// The settings of one machine.
#[derive(Debug, Clone)]
pub struct Settings {
    factory: Map<String, Value>,
    current: Map<String, Value>,
    pending: Map<String, Value>,
}

impl Settings {
    /// The factory's, with so many cores.
    pub fn new(cores: u32) -> Self {
        let factory = json!({"Cores": cores, "BootMode": "Uefi", "AssetTag": ""});
        let factory = factory.as_object().cloned().unwrap_or_default();
        Self { current: factory.clone(), pending: Map::new(), factory }
    }

    /// What is in force.
    pub fn current(&self) -> &Map<String, Value> {
        &self.current
    }

    /// What will be after the next start.
    pub fn pending(&self) -> &Map<String, Value> {
        &self.pending
    }

    /// Whether the next start changes something.
    pub fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Keeps changes for the next start.
    ///
    /// # Errors
    /// The name of an attribute that there is none of, or that cannot have that value; then nothing is kept.
    pub fn change(&mut self, changes: &Map<String, Value>) -> Result<(), String> {
        for (name, value) in changes {
            let known = ATTRIBUTES.iter().find(|(attribute, _)| attribute == name);
            if !known.is_some_and(|(_, kind)| kind.admits(value)) {
                return Err(name.clone());
            }
        }
        self.pending.extend(changes.clone());
        Ok(())
    }

    /// The factory's settings from the next start on.
    pub fn reset(&mut self) {
        self.pending = self.factory.clone();
    }

    /// The machine starts: what was kept comes into force.
    pub fn apply(&mut self) {
        self.current.append(&mut self.pending);
    }

    /// Sets one that is in force at once.
    pub fn set_now(&mut self, name: &str, value: Value) {
        self.current.insert(name.into(), value);
    }

    /// Whether the machine boots by BIOS.
    pub fn is_legacy(&self) -> bool {
        self.current["BootMode"] == "Legacy"
    }

    /// Processor cores.
    pub fn cores(&self) -> u32 {
        self.current["Cores"].as_u64().unwrap_or(1) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_wait_for_the_start_and_are_checked() {
        let mut settings = Settings::new(2);
        let change = |value: Value| value.as_object().cloned().unwrap();
        settings.change(&change(json!({"Cores": 4, "BootMode": "Legacy"}))).unwrap();
        assert_eq!((settings.cores(), settings.is_legacy()), (2, false));
        settings.apply();
        assert_eq!((settings.cores(), settings.is_legacy()), (4, true));
        for wrong in
            [json!({"Cores": 0}), json!({"BootMode": "Usb"}), json!({"Nonsense": 1}), json!({"AssetTag": "a\nb"})]
        {
            assert!(settings.change(&change(wrong)).is_err());
        }
        settings.reset();
        settings.apply();
        assert_eq!(settings.cores(), 2);
    }
}
