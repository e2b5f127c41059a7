//! What a BMC says when it refuses, and what happens before it can.

use std::time::Duration;

use serde_json::Value;

/// Characters of a BMC's text that are passed on.
const TEXT_LIMIT: usize = 500;

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
        /// How far the request got.
        failure: Failure,
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
        body: Box<Value>,
        /// When the BMC wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// An answer that lacks what the schema promises.
    #[error("BMC {url}: {problem}")]
    Document {
        /// What was asked.
        url: String,
        /// What is missing or odd.
        problem: String,
    },
    /// What the BMC was to do later did not succeed.
    #[error("BMC task {url} ended as {state}: {text}")]
    Task {
        /// The task.
        url: String,
        /// Its `TaskState`.
        state: String,
        /// Its messages.
        text: String,
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

/// How far a request without an answer got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// There was no connection: the BMC has seen nothing of it.
    NotSent,
    /// The BMC's certificate is not accepted; asking again does not help.
    Certificate,
    /// The answer did not come: it may have been done.
    NoAnswer,
}

/// Why a BMC wants to be asked again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    /// The machine is in its power-on self-test, which takes minutes.
    Post,
    /// It is at something shorter.
    Shortly,
}

impl RedfishError {
    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } | Self::Credentials { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether it is the BMC as a whole that does not answer, or not now.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. }) || matches!(self.status(), Some(429 | 502..=504))
    }

    /// Whether the refusal mentions `word` anywhere, message ids and properties included.
    pub fn mentions(&self, word: &str) -> bool {
        match self {
            Self::Refused { body, text, .. } => text.contains(word) || body.to_string().contains(word),
            _ => false,
        }
    }

    /// Whether the refusal has a message with this id, of whichever registry and version.
    pub fn has_id(&self, id: &str) -> bool {
        let Self::Refused { body, .. } = self else { return false };
        let ends = |value: &Value| value.as_str().is_some_and(|found| found.rsplit('.').next() == Some(id));
        ends(&body["error"]["code"]) || messages(body).any(|message| ends(&message["MessageId"]))
    }

    /// Whether the BMC wants to be told `parameter`, which it was not.
    pub fn misses(&self, parameter: &str) -> bool {
        let Self::Refused { body, text, .. } = self else { return false };
        let names = |value: &Value| match value {
            Value::String(text) => text.contains(parameter),
            Value::Array(list) => list.iter().any(|item| item.as_str().is_some_and(|text| text.contains(parameter))),
            _ => false,
        };
        let missing = ["ActionParameterMissing", "PropertyMissing", "CreateFailedMissingReqProperties"];
        let structured = messages(body).any(|message| {
            let id = message["MessageId"].as_str().unwrap_or_default();
            missing.iter().any(|missing| id.ends_with(missing))
                && ["MessageArgs", "RelatedProperties", "Message"].iter().any(|key| names(&message[key]))
        });
        // Some only say so in words, under a general id or none.
        let worded = ["missing", "required", "requires", "must "].iter().any(|word| text.contains(word));
        structured || (text.contains(parameter) && (worded || self.has_id("GeneralError")))
    }

    /// Whether the refusal is one that passes, and how soon.
    pub fn busy(&self) -> Option<Busy> {
        let Self::Refused { text, status, .. } = self else { return None };
        let post = ["UnableToModifyDuringSystemPOST", "InvalidOperationForSystemState"];
        if post.iter().any(|id| self.has_id(id)) || text.to_lowercase().contains("during post") {
            return Some(Busy::Post);
        }
        let ids = ["SYS518", "ServiceTemporarilyUnavailable", "ServiceInUnknownState", "ResourceInStandby"];
        let words = ["busy", "not ready", "try again", "retry", "temporarily", "in transition"];
        let lower = text.to_lowercase();
        let shortly = matches!(status, 429 | 503)
            || ids.iter().any(|id| self.has_id(id))
            || words.iter().any(|word| lower.contains(word));
        shortly.then_some(Busy::Shortly)
    }
}

/// The messages of an answer, wherever this BMC puts them.
fn messages(body: &Value) -> impl Iterator<Item = &Value> {
    let places = [&body["error"]["@Message.ExtendedInfo"], &body["@Message.ExtendedInfo"], &body["Messages"]];
    places.into_iter().flat_map(|place| match place {
        Value::Array(list) => list.as_slice(),
        Value::Object(_) => std::slice::from_ref(place),
        _ => &[],
    })
}

/// The text of an answer: its messages, else the error's, else the start of the body; one line of bounded length.
pub(super) fn text(body: &Value, raw: &str) -> String {
    let said = |message: &Value| {
        let words = message["Message"].as_str().filter(|words| !words.is_empty());
        words.or(message["MessageId"].as_str()).map(str::to_owned)
    };
    let mut all: Vec<String> = messages(body).filter_map(said).collect();
    all.dedup();
    let joined = match (all.is_empty(), body["error"]["message"].as_str()) {
        (false, _) => all.join("; "),
        (true, Some(message)) => message.to_owned(),
        (true, None) => raw.to_owned(),
    };
    let clean = joined.chars().take(TEXT_LIMIT).map(|c| if c.is_control() { ' ' } else { c });
    let clean: String = clean.collect();
    if clean.trim().is_empty() { "without a reason".into() } else { clean }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(status: u16, body: Value) -> RedfishError {
        RedfishError::Refused {
            url: "x".into(),
            status,
            text: text(&body, ""),
            body: Box::new(body),
            retry_after: None,
        }
    }

    fn with_message(id: &str, message: &str) -> RedfishError {
        refusal(400, json!({"error": {"@Message.ExtendedInfo": [{"MessageId": id, "Message": message}]}}))
    }

    #[test]
    fn a_text_is_one_bounded_line() {
        let error = with_message("x", &format!("no\nsuch\u{1b}[31mimage{}", "!".repeat(9000)));
        let said = error.to_string();
        assert!(said.starts_with("BMC x answered 400: no such [31mimage!"), "{said}");
        assert!(said.len() < 600 && !said.contains(char::is_control));
        assert!(refusal(403, Value::Null).to_string().ends_with("403: without a reason"));
    }

    #[test]
    fn busy_has_many_words() {
        for (id, message, expected) in [
            ("iLO.2.37.UnableToModifyDuringSystemPOST", "", Some(Busy::Post)),
            ("iLO.2.14.InvalidOperationForSystemState", "", Some(Busy::Post)),
            ("IDRAC.2.8.SYS518", "iDRAC is not ready.", Some(Busy::Shortly)),
            ("Base.1.8.GeneralError", "The resource is busy, please try again.", Some(Busy::Shortly)),
            ("Base.1.8.ServiceTemporarilyUnavailable", "", Some(Busy::Shortly)),
            ("Base.1.8.PropertyValueNotInList", "Continuous is not in the list", None),
        ] {
            assert_eq!(with_message(id, message).busy(), expected, "{id}");
        }
        assert_eq!(refusal(503, Value::Null).busy(), Some(Busy::Shortly));
    }

    #[test]
    fn a_missing_parameter_is_found_in_every_form() {
        let missing = |info: Value| refusal(400, json!({"error": {"@Message.ExtendedInfo": [info]}}));
        let id = "Base.1.18.1.ActionParameterMissing";
        for error in [
            missing(json!({"MessageId": id, "MessageArgs": ["InsertMedia", "TransferProtocolType"]})),
            missing(json!({"MessageId": id, "RelatedProperties": ["#/TransferProtocolType"]})),
            with_message("Base.1.4.GeneralError", "TransferProtocolType has to be given"),
            refusal(400, json!({"error": {"message": "The parameter TransferProtocolType is required"}})),
        ] {
            assert!(error.misses("TransferProtocolType") && !error.misses("UserName"), "{error}");
        }
        assert!(!with_message("Base.1.8.ActionParameterValueFormatError", "Inserted").misses("Inserted"));
    }
}
