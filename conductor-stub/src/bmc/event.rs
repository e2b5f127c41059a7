//! Events: what happens to the machines, sent to who has asked for it, by POST or as a stream (DSP0266, "Eventing").

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::documents;

/// How many can have asked.
const LIMIT: usize = 16;
/// Events that a slow reader may be behind.
const BACKLOG: usize = 64;
const DELIVERY_LIMIT: Duration = Duration::from_secs(5);
pub(super) const ATTEMPTS: u32 = 3;
pub(super) const PAUSE: Duration = Duration::from_secs(2);

/// What somebody asks for.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Wish {
    pub(super) destination: String,
    pub(super) protocol: String,
    #[serde(default)]
    pub(super) context: Option<String>,
}

/// A subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    /// None for a stream.
    pub(super) destination: Option<String>,
    pub(super) context: String,
    sender: Option<AbortHandle>,
}

/// Everybody who has asked.
#[derive(Debug)]
pub(super) struct Events {
    channel: broadcast::Sender<Value>,
    subscriptions: Mutex<BTreeMap<String, Subscription>>,
}

impl Default for Events {
    fn default() -> Self {
        Self { channel: broadcast::channel(BACKLOG).0, subscriptions: Mutex::default() }
    }
}

impl Events {
    pub(super) fn subscriptions(&self) -> MutexGuard<'_, BTreeMap<String, Subscription>> {
        self.subscriptions.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Tells everybody that something has happened to the resource at `origin`.
    pub(super) fn tell(&self, id: &str, text: &str, origin: &str) {
        let mut record = documents::message("Success", text);
        let now = documents::instant(time::OffsetDateTime::now_utc());
        let event = Uuid::new_v4().to_string();
        for (key, value) in [
            ("MessageId", format!("ResourceEvent.1.0.{id}").into()),
            ("EventType", json!("Alert")),
            ("EventId", event.clone().into()),
            ("EventTimestamp", now.into()),
            ("MemberId", "0".into()),
            ("OriginOfCondition", json!({"@odata.id": origin})),
        ] {
            record[key] = value;
        }
        if let Some(record) = record.as_object_mut() {
            record.remove("@odata.type");
        }
        // Without anybody who has asked this fails, which is fine.
        let _ = self
            .channel
            .send(json!({"@odata.type": "#Event.v1_7_0.Event", "Id": event, "Name": "Event", "Events": [record]}));
    }

    /// A stream's subscription, and what comes; none when too many have asked.
    pub(super) fn stream(&self) -> Option<(String, broadcast::Receiver<Value>)> {
        let receiver = self.channel.subscribe();
        let id = self.insert(Subscription { destination: None, context: "stream".into(), sender: None })?;
        Some((id, receiver))
    }

    /// Sends events to `wish.destination` from now on; none when too many have asked.
    pub(super) fn send(&self, wish: Wish, client: reqwest::Client) -> Option<String> {
        let context = wish.context.unwrap_or_default();
        let (mut receiver, words, url) = (self.channel.subscribe(), context.clone(), wish.destination.clone());
        let sender = tokio::spawn(async move {
            loop {
                let mut event = match receiver.recv().await {
                    Ok(event) => event,
                    Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => break,
                };
                event["Context"] = words.clone().into();
                for attempt in 1..=ATTEMPTS {
                    let sent = client.post(&url).timeout(DELIVERY_LIMIT).json(&event).send().await;
                    if sent.is_ok_and(|answer| answer.status().is_success()) {
                        break;
                    }
                    tracing::debug!(url, attempt, "an event was not taken");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        });
        let sender = Some(sender.abort_handle());
        self.insert(Subscription { destination: Some(wish.destination), context, sender })
    }

    fn insert(&self, subscription: Subscription) -> Option<String> {
        let mut all = self.subscriptions();
        if all.len() >= LIMIT {
            return None;
        }
        let id = Uuid::new_v4().simple().to_string();
        all.insert(id.clone(), subscription);
        Some(id)
    }

    /// Ends a subscription; false when there is none of that id.
    pub(super) fn end(&self, id: &str) -> bool {
        self.subscriptions().remove(id).is_some()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(sender) = &self.sender {
            sender.abort();
        }
    }
}
