//! The BMC and everything that it keeps.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::Mutex;

use super::account::{Account, Accounts, Role};
use super::definition::Definition;
use super::documents::{Refusal, missing};
use super::event::Events;
use super::fault::Fault;
use super::session::Sessions;
use super::system::System;
use super::task::Tasks;

/// The BMC: its machines, its accounts and what is to go wrong.
#[derive(Debug, Clone)]
pub struct Bmc(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) uuid: String,
    pub(super) systems: BTreeMap<String, Arc<Mutex<System>>>,
    accounts: std::sync::Mutex<Accounts>,
    sessions: std::sync::Mutex<Sessions>,
    faults: std::sync::Mutex<Vec<Fault>>,
    firmware: std::sync::Mutex<String>,
    served: std::sync::Mutex<(bool, u16)>,
    /// Held by who changes something that must still be as it was seen.
    pub(super) changing: Mutex<()>,
    pub(super) tasks: Tasks,
    pub(super) events: Events,
    /// Fetches media and firmware, delivers events.
    pub(super) client: reqwest::Client,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Principal {
    pub(super) user: String,
    /// The account; none where there are no accounts.
    pub(super) account: Option<u32>,
    pub(super) role: Role,
    pub(super) password_change_required: bool,
}

impl Principal {
    pub(super) fn has(&self, privilege: &str) -> bool {
        self.role.privileges().contains(&privilege)
    }
}

impl Bmc {
    /// A BMC for `machines`, all of them off. Without an account everybody may do everything.
    pub fn new(machines: Vec<Definition>, account: Option<Account>, client: reqwest::Client) -> Self {
        let systems = machines
            .into_iter()
            .map(|machine| (machine.uuid.to_string(), Arc::new(Mutex::new(System::new(machine)))))
            .collect();
        Self(Arc::new(Shared {
            uuid: uuid::Uuid::new_v4().to_string(),
            systems,
            accounts: Accounts::new(account).into(),
            sessions: Default::default(),
            faults: Default::default(),
            firmware: env!("CARGO_PKG_VERSION").to_owned().into(),
            served: (false, 0).into(),
            changing: Mutex::default(),
            tasks: Tasks::default(),
            events: Events::default(),
            client,
        }))
    }

    /// Takes the power of every machine away.
    pub async fn switch_off(&self) {
        for system in self.0.systems.values() {
            system.lock().await.switch_off();
        }
    }

    /// How it is served: by TLS or not, and on which port.
    pub(super) fn set_served(&self, tls: bool, port: u16) {
        *lock(&self.0.served) = (tls, port);
    }

    pub(super) fn served(&self) -> (bool, u16) {
        *lock(&self.0.served)
    }

    pub(super) fn system(&self, id: &str) -> Result<Arc<Mutex<System>>, Refusal> {
        self.0.systems.get(id).cloned().ok_or_else(|| missing("system", id))
    }

    pub(super) fn accounts(&self) -> MutexGuard<'_, Accounts> {
        lock(&self.0.accounts)
    }

    pub(super) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        lock(&self.0.sessions)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Vec<Fault>> {
        lock(&self.0.faults)
    }

    /// The version of the BMC's own firmware.
    pub(super) fn firmware(&self) -> MutexGuard<'_, String> {
        lock(&self.0.firmware)
    }

    /// Who sends these headers.
    pub(super) fn identify(&self, headers: &HeaderMap) -> Option<Principal> {
        let accounts = self.accounts();
        if accounts.is_empty() {
            let user = "anybody".into();
            return Some(Principal { user, account: None, role: Role::Administrator, password_change_required: false });
        }
        let entry = match headers.get("x-auth-token") {
            Some(token) => accounts.of(&self.sessions().user_of(token.as_bytes())?)?,
            None => {
                let basic = headers.get("authorization")?.to_str().ok()?.strip_prefix("Basic ")?;
                let text = String::from_utf8(STANDARD.decode(basic.trim()).ok()?).ok()?;
                let (user, password) = text.split_once(':')?;
                accounts.log_in(user, password)?
            }
        };
        Some(Principal {
            user: entry.user.clone(),
            account: Some(entry.id),
            role: entry.role,
            password_change_required: entry.password_change_required,
        })
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
