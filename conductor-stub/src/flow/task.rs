//! One operation on one node: the right to change it, its record, and what controls its machine.

use serde_json::Value;
use uuid::Uuid;

use crate::agent_client::{Agent, AgentError};
use crate::clock;
use crate::conductor::Shared;
use crate::driver::firmware::Firmware;
use crate::driver::{Connection, Driver, DriverError};
use crate::error::ApiError;
use crate::flow::error::FlowError;
use crate::lock::Lock;
use crate::mask;
use crate::node::{Intent, Node};
use crate::state::{Event, NoTransition};
use crate::store::StoreError;
use crate::store::history::HistoryEntry;

/// An operation in progress. While there is one, nobody else changes its node.
#[derive(Debug)]
pub struct Task {
    /// Who is at work.
    pub conductor: Shared,
    /// The record; [`Task::save`] writes it.
    pub node: Node,
    /// What happened and is not written yet.
    notes: Vec<HistoryEntry>,
    /// Open from the first use on.
    connection: Option<Box<dyn Connection>>,
    _lock: Lock,
}

impl Task {
    /// Takes the lock of a node and reads its record.
    ///
    /// # Errors
    /// 409 when another operation has it, 404 when it is gone.
    pub fn take(conductor: &Shared, node: Uuid) -> Result<Self, ApiError> {
        Self::with(conductor, conductor.lock(node)?)
    }

    /// Reads the record of a node whose lock was taken.
    ///
    /// # Errors
    /// 404 when it is gone.
    pub fn with(conductor: &Shared, lock: Lock) -> Result<Self, ApiError> {
        let node = conductor.find(&lock.node().to_string())?;
        Ok(Self { conductor: Shared::clone(conductor), node, notes: Vec::new(), connection: None, _lock: lock })
    }

    /// Writes the record, and what was noted since.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn save(&mut self) -> Result<(), StoreError> {
        self.node.updated_at = Some(clock::now());
        self.conductor.store.save_node(&self.node, &std::mem::take(&mut self.notes))
    }

    /// Writes the record together with the data that the agent sent.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn save_received(&mut self, data: &Value) -> Result<(), StoreError> {
        self.node.updated_at = Some(clock::now());
        self.conductor.store.save_received(&self.node, &std::mem::take(&mut self.notes), data)
    }

    /// Writes the record together with what inspection came to; the agent's data are dealt with.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn save_inspected(&mut self, inventory: &Value) -> Result<(), StoreError> {
        self.node.updated_at = Some(clock::now());
        self.node.internal.intent = None;
        self.conductor.store.save_inspected(&self.node, &std::mem::take(&mut self.notes), inventory)
    }

    /// Notes that something happened; it is written with the record.
    pub fn note(&mut self, kind: &str, text: &str, detail: &Value) {
        let text = self.node.without_secrets(text);
        self.notes.push(HistoryEntry::now(&self.node, kind, &text, mask::value(detail)));
    }

    /// Writes what is done next, before it is done.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn intend(&mut self, intent: Intent) -> Result<(), StoreError> {
        self.node.internal.intent = Some(intent);
        self.save()
    }

    /// Moves the node along `event`, without writing it yet.
    ///
    /// # Errors
    /// When there is no such way from where it is.
    pub fn enter(&mut self, event: Event) -> Result<(), NoTransition> {
        let from = self.node.provision_state;
        let next = from.follow(event)?;
        let text = format!("{from} -> {next}");
        tracing::info!(node = %self.node.label(), "{text}");
        if let Some(operation) = self.node.enter(next) {
            self.conductor.metrics.flow(operation.flow, event.end(), clock::seconds() - operation.began);
        }
        self.note("state", &text, &Value::Null);
        Ok(())
    }

    /// Moves the node along `event` and writes it; whatever was intended is done.
    ///
    /// # Errors
    /// When there is no such way from where it is, or the database refuses.
    pub fn step_to(&mut self, event: Event) -> Result<(), FlowError> {
        self.enter(event)?;
        self.node.internal.intent = None;
        Ok(self.save()?)
    }

    /// The hardware type.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn driver(&self) -> Result<&dyn Driver, DriverError> {
        self.conductor.drivers.of(&self.node)
    }

    /// What controls the machine, and the record that it may change.
    ///
    /// # Errors
    /// When `driver_info` does not say how to reach it.
    pub fn machine(&mut self) -> Result<(&mut dyn Connection, &mut Node), DriverError> {
        let connection = match self.connection.take() {
            Some(open) => open,
            None => self.conductor.drivers.of(&self.node)?.connect(&self.node)?,
        };
        Ok((self.connection.insert(connection).as_mut(), &mut self.node))
    }

    /// What reads and changes the firmware of the machine, for steps of `interface`.
    ///
    /// # Errors
    /// When the hardware type has nothing that does.
    pub fn firmware(&mut self, interface: &str) -> Result<&mut dyn Firmware, DriverError> {
        let (machine, node) = self.machine()?;
        let text = format!("Driver {} does not support {interface} (disabled or not implemented).", node.spec.driver);
        machine.firmware().ok_or(DriverError(text))
    }

    /// The agent.
    ///
    /// # Errors
    /// When none has been heard.
    pub fn agent(&self) -> Result<Agent, AgentError> {
        self.conductor.agent(&self.node)
    }

    /// Ends it; without this, a BMC keeps its session until that expires.
    pub async fn end(mut self) {
        if let Some(mut connection) = self.connection.take() {
            connection.close().await;
        }
    }
}
