//! Who may ask: Redfish sessions (`X-Auth-Token`) and HTTP basic.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// User name and password of the BMC's one account.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Open sessions: id → token.
#[derive(Debug, Default)]
pub(super) struct Sessions(BTreeMap<String, String>);

impl Sessions {
    /// Opens a session; returns its id and token.
    pub(super) fn open(&mut self) -> (String, String) {
        let id = Uuid::new_v4().simple().to_string();
        let token = Uuid::new_v4().simple().to_string();
        self.0.insert(id.clone(), token.clone());
        (id, token)
    }

    /// Closes a session; false when there is none of that id.
    pub(super) fn close(&mut self, id: &str) -> bool {
        self.0.remove(id).is_some()
    }

    /// Whether `headers` carry an open session's token or the account's password.
    pub(super) fn admit(&self, account: &Account, headers: &HeaderMap) -> bool {
        if let Some(token) = headers.get("x-auth-token") {
            return self.0.values().any(|known| token.as_bytes().ct_eq(known.as_bytes()).into());
        }
        let basic = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let Some(credentials) = basic.strip_prefix("Basic ").and_then(|text| STANDARD.decode(text.trim()).ok()) else {
            return false;
        };
        credentials.ct_eq(format!("{}:{}", account.user, account.password).as_bytes()).into()
    }
}

/// Whether a session request names the account.
pub(super) fn is_account(account: &Account, user: &str, password: &str) -> bool {
    let user = user.as_bytes().ct_eq(account.user.as_bytes());
    let password = password.as_bytes().ct_eq(account.password.as_bytes());
    (user & password).into()
}
