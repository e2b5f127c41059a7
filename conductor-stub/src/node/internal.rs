//! `driver_internal_info`: what the conductor remembers about a node.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::intent::Intent;
use super::plan::Plan;
use super::spec::Object;

/// What the conductor remembers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Internal {
    /// Where the agent takes commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_url: Option<String>,
    /// The token that it sends and is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_secret_token: Option<String>,
    /// Whether the ramdisk carries the token with it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub agent_secret_token_pregenerated: bool,
    /// Its certificate, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_verify_ca: Option<String>,
    /// When it was last heard, ISO 8601.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_last_heartbeat: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// Kernel parameters of the ramdisk that the next start boots, for machines that have no boot medium.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramdisk_parameters: Option<BTreeMap<String, String>>,
    /// What every start is to boot, for a BMC that only knows overrides for the next one: set again before each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redfish_boot_device: Option<String>,
    /// The URL that goes with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redfish_uefi_http_url: Option<String>,
    /// When the agent looked itself up, ISO 8601.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_looked_up: Option<String>,
    /// Whether the ramdisk was booted once more because nobody called.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub boot_retried: bool,
    /// Whether the config drive is in a virtual USB stick.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub config_drive_inserted: bool,
    /// When the media of the instance are to go, seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detach_at: Option<f64>,
    /// Whether they go only if the machine is off then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub detach_when_off: bool,
    /// The steps of the operation that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// What is being done to the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
}

impl Internal {
    /// Forgets the agent: after a power change another one will come.
    pub fn forget_agent(&mut self) {
        self.agent_url = None;
        self.agent_secret_token = None;
        self.agent_secret_token_pregenerated = false;
        self.agent_verify_ca = None;
        self.agent_last_heartbeat = None;
        self.agent_looked_up = None;
    }

    /// With Ironic's keys.
    pub fn view(&self) -> Object {
        let Ok(Value::Object(mut view)) = serde_json::to_value(self) else { return Object::new() };
        const OURS: [&str; 7] = [
            "plan",
            "intent",
            "agent_looked_up",
            "boot_retried",
            "config_drive_inserted",
            "detach_at",
            "detach_when_off",
        ];
        for ours in OURS {
            view.shift_remove(ours);
        }
        view.extend(self.plan.iter().flat_map(Plan::view));
        view
    }
}
