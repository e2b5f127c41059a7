//! What a BMC says when it refuses, and what happens before it can.

use serde_json::Value;

/// A Redfish request failed.
#[derive(Debug, thiserror::Error)]
pub enum RedfishError {
    /// `driver_info` lacks something or holds something wrong.
    #[error("driver_info/{key}: {problem}")]
    Setting {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// No answer.
    #[error("BMC {url} cannot be reached: {reason}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// The cause, to its root.
        reason: String,
    },
    /// Wrong user name or password.
    #[error("BMC {url} refuses the credentials ({status}): check redfish_username and redfish_password")]
    Credentials {
        /// What was asked.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// An error answer.
    #[error("BMC {url} answered {status}: {text}")]
    Refused {
        /// What was asked.
        url: String,
        /// HTTP status.
        status: u16,
        /// The error's text.
        text: String,
        /// The whole answer.
        body: Value,
    },
    /// An answer that lacks what the schema promises.
    #[error("BMC {url}: {problem}")]
    Document {
        /// What was asked.
        url: String,
        /// What is missing or odd.
        problem: String,
    },
    /// The machine did not get there in time.
    #[error("the machine is still {found} after {seconds} s, wanted {wanted}")]
    Power {
        /// Wanted power state.
        wanted: &'static str,
        /// Power state found last.
        found: String,
        /// How long was waited.
        seconds: u64,
    },
    /// Every virtual media device refused.
    #[error("no virtual media device takes {image}: {reasons}")]
    NoMedia {
        /// The image's URL.
        image: String,
        /// What each device said.
        reasons: String,
    },
}

impl RedfishError {
    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } | Self::Credentials { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the refusal mentions `word` anywhere, message ids and properties included.
    pub fn mentions(&self, word: &str) -> bool {
        match self {
            Self::Refused { body, text, .. } => text.contains(word) || body.to_string().contains(word),
            _ => false,
        }
    }
}

/// The text of an error answer: the extended messages, else the message, else the start of the body.
pub(super) fn text(body: &Value, raw: &str) -> String {
    let error = &body["error"];
    let extended: Vec<&str> = error["@Message.ExtendedInfo"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|info| info["Message"].as_str())
        .filter(|message| !message.is_empty())
        .collect();
    if !extended.is_empty() {
        return extended.join("; ");
    }
    match error["message"].as_str() {
        Some(message) => message.to_string(),
        None => raw.chars().take(200).collect(),
    }
}
