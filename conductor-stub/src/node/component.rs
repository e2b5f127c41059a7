//! A part of a machine that has firmware, with Ironic's names (ironic/objects/firmware.py).

use serde::{Deserialize, Serialize};

/// A part and the version of its firmware, as a BMC tells them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// `bios`, `bmc`, `nic:` with a serial number.
    pub component: String,
    /// The version that runs.
    pub version: String,
    /// Who made the part.
    pub vendor: Option<String>,
    /// What it is called.
    pub model: Option<String>,
    /// Its serial number.
    pub serial_number: Option<String>,
}

/// A part and the versions that its firmware had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// When it was first seen, ISO 8601.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: Option<String>,
    /// `bios`, `bmc`, `nic:` with a serial number.
    pub component: String,
    /// The version that was seen first.
    pub initial_version: String,
    /// The version that runs.
    pub current_version: Option<String>,
    /// The version that took another's place last.
    pub last_version_flashed: Option<String>,
    /// Who made the part.
    pub vendor: Option<String>,
    /// What it is called.
    pub model: Option<String>,
    /// Its serial number.
    pub serial_number: Option<String>,
}

impl Component {
    /// A part that is seen for the first time, `now`.
    pub fn new(version: Version, now: String) -> Self {
        Self {
            created_at: now,
            updated_at: None,
            component: version.component,
            initial_version: version.version.clone(),
            current_version: Some(version.version),
            last_version_flashed: None,
            vendor: version.vendor,
            model: version.model,
            serial_number: version.serial_number,
        }
    }

    /// The part as it is seen `now`.
    pub fn learn(&mut self, seen: Version, now: String) {
        let before = self.clone();
        let Version { component: _, version, vendor, model, serial_number } = seen;
        if self.current_version.as_ref() != Some(&version) {
            self.last_version_flashed = Some(version.clone());
            self.current_version = Some(version);
        }
        (self.vendor, self.model, self.serial_number) = (vendor, model, serial_number);
        if *self != before {
            self.updated_at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(version: &str) -> Version {
        let (component, version) = ("bios".to_owned(), version.to_owned());
        Version { component, version, vendor: None, model: None, serial_number: None }
    }

    #[test]
    fn versions_are_remembered() {
        let mut bios = Component::new(version("1"), "then".into());
        bios.learn(version("1"), "now".into());
        assert_eq!((bios.updated_at.as_deref(), bios.last_version_flashed.as_deref()), (None, None));
        bios.learn(version("2"), "now".into());
        bios.learn(version("2"), "later".into());
        assert_eq!((bios.initial_version.as_str(), bios.current_version.as_deref()), ("1", Some("2")));
        assert_eq!((bios.updated_at.as_deref(), bios.last_version_flashed.as_deref()), (Some("now"), Some("2")));
    }
}
