//! Facts that a demonstration replaces: a file with a part of an inventory, laid over the real one. Never disks.
//!
//! The file is a JSON object with any of the inventory's keys except `disks`. Objects are merged key by key, everything
//! else is replaced:
//!
//! ```json
//! {
//!     "system_vendor": {"product_name": "PowerThing R650", "serial_number": "SN-4711", "manufacturer": "Acme Corp."},
//!     "interfaces": [{"name": "eno1", "mac_address": "52:54:00:aa:00:01", "has_carrier": true}],
//!     "bmc_address": "192.0.2.17"
//! }
//! ```

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::document::Inventory;

/// The facts of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulated(Map<String, Value>);

/// Why a file of simulated facts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SimulatedError {
    /// The file cannot be read.
    #[error("cannot read simulated hardware from {path}: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// The content is no part of an inventory.
    #[error("simulated hardware in {path} is not a part of an inventory: {cause}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: serde_json::Error,
    },
    /// The content tells of disks.
    #[error("simulated hardware in {0} must not contain disks: they are always the real ones")]
    Disks(PathBuf),
}

impl Simulated {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When the file cannot be read, is no part of an inventory, or has disks in it.
    pub fn read(path: &Path) -> Result<Self, SimulatedError> {
        let text = std::fs::read(path).map_err(|cause| SimulatedError::Unreadable { path: path.into(), cause })?;
        let malformed = |cause| SimulatedError::Malformed { path: path.into(), cause };
        let facts: Map<String, Value> = serde_json::from_slice(&text).map_err(malformed)?;
        if facts.contains_key("disks") {
            return Err(SimulatedError::Disks(path.into()));
        }
        let simulated = Self(facts);
        simulated.over(&Inventory::default()).map_err(malformed)?;
        Ok(simulated)
    }

    /// The inventory with these facts laid over it.
    pub(crate) fn over(&self, real: &Inventory) -> serde_json::Result<Inventory> {
        let mut merged = serde_json::to_value(real)?;
        merge(&mut merged, &Value::Object(self.0.clone()));
        serde_json::from_value(merged)
    }
}

fn merge(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                merge(under.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Simulated, SimulatedError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Simulated::read(file.path())
    }

    #[test]
    fn facts_are_merged_and_lists_replaced() {
        let simulated = read(
            r#"{"system_vendor": {"serial_number": "SN-1", "firmware": {"vendor": "Acme"}},
                "interfaces": [{"name": "eno1", "mac_address": "52:54:00:aa:00:01"}], "bmc_mac": "52:54:00:aa:00:02"}"#,
        )
        .unwrap();
        let mut real = Inventory { interfaces: vec![Default::default(); 3], ..Inventory::default() };
        real.system_vendor.product_name = "Real".into();
        let shown = simulated.over(&real).unwrap();
        assert_eq!(shown.system_vendor.product_name, "Real");
        assert_eq!(shown.system_vendor.serial_number, "SN-1");
        assert_eq!(shown.system_vendor.firmware.vendor, "Acme");
        assert_eq!(shown.interfaces.len(), 1);
        assert_eq!(shown.bmc_mac.as_deref(), Some("52:54:00:aa:00:02"));
    }

    #[test]
    fn disks_and_unknown_facts_are_refused() {
        assert!(matches!(read(r#"{"disks": []}"#), Err(SimulatedError::Disks(_))));
        for text in [r#"{"colour": "red"}"#, r#"{"interfaces": 1}"#, "[]", "{"] {
            assert!(matches!(read(text), Err(SimulatedError::Malformed { .. })), "{text}");
        }
    }
}
