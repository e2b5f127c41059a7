//! Who there is, and what each may do: accounts with one of the three standard roles (DSP0266, "Roles").

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How many accounts there can be.
const LIMIT: usize = 16;

/// User name and password of the account that the BMC has from the start.
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

/// The standard roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// May do everything.
    Administrator,
    /// May operate the machines.
    Operator,
    /// May look, and change their own password.
    ReadOnly,
}

impl Role {
    pub(super) const ALL: [Self; 3] = [Self::Administrator, Self::Operator, Self::ReadOnly];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Administrator => "Administrator",
            Self::Operator => "Operator",
            Self::ReadOnly => "ReadOnly",
        }
    }

    pub(super) fn privileges(self) -> &'static [&'static str] {
        match self {
            Self::Administrator => {
                &["Login", "ConfigureManager", "ConfigureUsers", "ConfigureComponents", "ConfigureSelf"]
            }
            Self::Operator => &["Login", "ConfigureComponents", "ConfigureSelf"],
            Self::ReadOnly => &["Login", "ConfigureSelf"],
        }
    }
}

/// One account.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) id: u32,
    pub(super) user: String,
    secret: Secret,
    pub(super) role: Role,
    pub(super) enabled: bool,
    pub(super) password_change_required: bool,
}

#[derive(Clone)]
struct Secret {
    salt: [u8; 16],
    digest: [u8; 32],
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    fn of(password: &str) -> Self {
        let salt = rand::random();
        Self { salt, digest: Self::digest(salt, password) }
    }

    fn digest(salt: [u8; 16], password: &str) -> [u8; 32] {
        Sha256::new().chain_update(salt).chain_update(password).finalize().into()
    }

    fn is(&self, password: &str) -> bool {
        self.digest.ct_eq(&Self::digest(self.salt, password)).into()
    }
}

/// What an account is to be.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Wish {
    pub(super) user_name: Option<String>,
    pub(super) password: Option<String>,
    pub(super) role_id: Option<Role>,
    pub(super) enabled: Option<bool>,
    pub(super) password_change_required: Option<bool>,
}

/// Why an account cannot be so.
#[derive(Debug, thiserror::Error)]
pub(super) enum AccountError {
    #[error("a user name of 1 to 32 letters, digits, `.`, `-` and `_` is needed, which nobody else has")]
    Name,
    #[error("a password of 8 to 64 characters is needed")]
    Password,
    #[error("there are {LIMIT} accounts already")]
    Full,
    #[error("the last enabled administrator must stay one")]
    Last,
}

/// All accounts. None at all: everybody may do everything.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    all: Vec<Entry>,
    next: u32,
}

impl Accounts {
    pub(super) fn new(first: Option<Account>) -> Self {
        let mut accounts = Self { all: Vec::new(), next: 1 };
        if let Some(Account { user, password }) = first {
            // Whatever its password is: its owner has chosen it.
            accounts.push(user, Secret::of(&password), Role::Administrator);
        }
        accounts
    }

    fn push(&mut self, user: String, secret: Secret, role: Role) -> u32 {
        let id = self.next;
        self.next += 1;
        self.all.push(Entry { id, user, secret, role, enabled: true, password_change_required: false });
        id
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn all(&self) -> &[Entry] {
        &self.all
    }

    pub(super) fn get(&self, id: &str) -> Option<&Entry> {
        self.all.iter().find(|entry| entry.id.to_string() == id)
    }

    /// The account of that name, when it may be used.
    pub(super) fn of(&self, user: &str) -> Option<&Entry> {
        self.all.iter().find(|entry| entry.user == user && entry.enabled)
    }

    /// The account of that name and password.
    pub(super) fn log_in(&self, user: &str, password: &str) -> Option<&Entry> {
        self.of(user).filter(|entry| entry.secret.is(password))
    }

    pub(super) fn add(&mut self, wish: Wish) -> Result<u32, AccountError> {
        if self.all.len() >= LIMIT {
            return Err(AccountError::Full);
        }
        let user = wish.user_name.clone().unwrap_or_default();
        let password = wish.password.clone().unwrap_or_default();
        self.check_name(&user)?;
        check_password(&password)?;
        let id = self.push(user, Secret::of(&password), wish.role_id.unwrap_or(Role::ReadOnly));
        if let Some(entry) = self.all.last_mut() {
            entry.enabled = wish.enabled.unwrap_or(true);
            entry.password_change_required = wish.password_change_required.unwrap_or(false);
        }
        Ok(id)
    }

    pub(super) fn change(&mut self, id: u32, wish: Wish) -> Result<(), AccountError> {
        let Some(at) = self.all.iter().position(|entry| entry.id == id) else { return Ok(()) };
        let mut entry = self.all[at].clone();
        if let Some(user) = wish.user_name.filter(|user| *user != entry.user) {
            self.check_name(&user)?;
            entry.user = user;
        }
        if let Some(password) = wish.password {
            check_password(&password)?;
            entry.secret = Secret::of(&password);
            entry.password_change_required = false;
        }
        entry.role = wish.role_id.unwrap_or(entry.role);
        entry.enabled = wish.enabled.unwrap_or(entry.enabled);
        entry.password_change_required = wish.password_change_required.unwrap_or(entry.password_change_required);
        if !is_in_charge(&entry) && !self.others_in_charge(id) {
            return Err(AccountError::Last);
        }
        self.all[at] = entry;
        Ok(())
    }

    pub(super) fn remove(&mut self, id: u32) -> Result<(), AccountError> {
        if !self.others_in_charge(id) {
            return Err(AccountError::Last);
        }
        self.all.retain(|entry| entry.id != id);
        Ok(())
    }

    fn others_in_charge(&self, id: u32) -> bool {
        self.all.iter().any(|entry| entry.id != id && is_in_charge(entry))
    }

    fn check_name(&self, user: &str) -> Result<(), AccountError> {
        let plain = user.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
        let free = self.all.iter().all(|entry| entry.user != user);
        if plain && free && (1..=32).contains(&user.len()) { Ok(()) } else { Err(AccountError::Name) }
    }
}

fn is_in_charge(entry: &Entry) -> bool {
    entry.role == Role::Administrator && entry.enabled
}

fn check_password(password: &str) -> Result<(), AccountError> {
    if (8..=64).contains(&password.chars().count()) { Ok(()) } else { Err(AccountError::Password) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_administrator_stays() {
        let mut accounts = Accounts::new(Some(Account { user: "admin".into(), password: "secret".into() }));
        let wish = |role| Wish { role_id: Some(role), ..Wish::default() };
        assert!(matches!(accounts.change(1, wish(Role::ReadOnly)), Err(AccountError::Last)));
        assert!(accounts.remove(1).is_err());
        let second =
            Wish { user_name: Some("two".into()), password: Some("long enough".into()), ..wish(Role::Administrator) };
        let id = accounts.add(second.clone()).unwrap();
        assert!(matches!(accounts.add(second), Err(AccountError::Name)));
        accounts.change(1, wish(Role::ReadOnly)).unwrap();
        assert!(accounts.remove(id).is_err());
        assert!(accounts.log_in("two", "long enough").is_some() && accounts.log_in("two", "wrong").is_none());
    }
}
