//! How far a running step is, as its agent says.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::mask;

/// Characters that are kept of what an agent says it is doing.
const LONGEST_TEXT: usize = 200;
/// Devices that are kept.
const MOST_DEVICES: usize = 256;

/// The progress of a command, and of the bytes that it moves if it moves any.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The agent's command, `execute_deploy_step`.
    pub command: String,
    /// `RUNNING`, `SUCCEEDED`…
    pub status: String,
    /// How far all of it is.
    #[serde(flatten)]
    pub amounts: Amounts,
    /// What holds it up now, `connection refused, attempt 3 of 10, next in 4 s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// The devices that are worked on, when there are several things going on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceProgress>,
}

/// How far one device is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceProgress {
    /// Its path in the machine.
    pub device: String,
    /// How far it is.
    #[serde(flatten)]
    pub amounts: Amounts,
}

/// What is being done, and how much of it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Amounts {
    /// What is being done, `writing /dev/sda`.
    pub activity: Option<String>,
    /// Bytes done.
    pub done_bytes: Option<u64>,
    /// Bytes in all, when known.
    pub total_bytes: Option<u64>,
    /// Bytes per second.
    pub rate_bytes_per_second: Option<u64>,
    /// Seconds left, when the total is known.
    pub eta_seconds: Option<u64>,
}

impl Progress {
    /// From a command of the agent's list and the object `progress` in it; what is no progress is left out.
    pub fn read(command: &str, status: &str, said: &Value) -> Self {
        let devices = said["devices"].as_array().into_iter().flatten().take(MOST_DEVICES);
        let device =
            |said: &Value| Some(DeviceProgress { device: text(&said["device"])?, amounts: Amounts::read(said) });
        Self {
            command: short(command),
            status: short(status),
            amounts: Amounts::read(said),
            trouble: text(&said["trouble"]),
            devices: devices.filter_map(device).collect(),
        }
    }
}

impl Amounts {
    fn read(said: &Value) -> Self {
        let number = |key: &str| said[key].as_u64();
        Self {
            activity: text(&said["activity"]),
            done_bytes: number("done_bytes"),
            total_bytes: number("total_bytes"),
            rate_bytes_per_second: number("rate_bytes_per_second"),
            eta_seconds: number("eta_seconds"),
        }
    }
}

fn text(said: &Value) -> Option<String> {
    said.as_str().map(short)
}

fn short(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).take(LONGEST_TEXT).collect();
    mask::text(&text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_known_is_kept() {
        let said = json!({"activity": "writing\n".repeat(100), "done_bytes": 7, "total_bytes": null, "eta_seconds": "1", "x": [1]});
        let Progress { amounts, trouble, devices, .. } = Progress::read("execute_deploy_step", "RUNNING", &said);
        assert_eq!(amounts.activity.as_ref().map(String::len), Some(LONGEST_TEXT));
        assert_eq!((amounts.done_bytes, amounts.total_bytes, amounts.eta_seconds), (Some(7), None, None));
        assert_eq!((trouble, devices), (None, Vec::new()));
        assert_eq!(Progress::read("c", "RUNNING", &Value::Null).amounts.activity, None);
    }

    #[test]
    fn trouble_and_devices_are_passed_on() {
        let device = json!({"device": "/dev/nvme0n1", "activity": "erasing", "done_bytes": 1, "total_bytes": 4,
            "rate_bytes_per_second": 1, "eta_seconds": 3});
        let mut said = json!({"activity": "erasing 2 devices", "trouble": "https://u:secret@host/: refused, attempt 3 of 10",
            "devices": [device, {"activity": "no name"}, "no object"]});
        let progress = Progress::read("execute_clean_step", "RUNNING", &said);
        assert_eq!(progress.trouble.as_deref(), Some("https://******@host/: refused, attempt 3 of 10"));
        let [only] = progress.devices.as_slice() else { panic!("{:?}", progress.devices) };
        assert_eq!(json!(only), device);
        said["devices"] = vec![device; MOST_DEVICES + 1].into();
        assert_eq!(Progress::read("c", "RUNNING", &said).devices.len(), MOST_DEVICES);
    }
}
