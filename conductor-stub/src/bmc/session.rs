//! Sessions: limited in number, and over after a time without a request.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use subtle::ConstantTimeEq;
use uuid::Uuid;

/// How many there can be at a time.
pub(super) const LIMIT: usize = 16;
/// What [`Sessions::timeout`] may be, in seconds (the schema's bounds).
pub(super) const TIMEOUTS: std::ops::RangeInclusive<u64> = 30..=86_400;

/// An open session.
#[derive(Debug)]
pub(super) struct Session {
    token: String,
    pub(super) user: String,
    pub(super) created: time::OffsetDateTime,
    used: Instant,
}

/// Open sessions by their ids.
#[derive(Debug)]
pub(super) struct Sessions {
    open: BTreeMap<String, Session>,
    /// How long a session lasts without a request, in seconds.
    pub(super) timeout: u64,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { open: BTreeMap::new(), timeout: 600 }
    }
}

impl Sessions {
    /// Those that are open by now.
    pub(super) fn open(&mut self) -> &BTreeMap<String, Session> {
        let limit = Duration::from_secs(self.timeout);
        self.open.retain(|_, session| session.used.elapsed() < limit);
        &self.open
    }

    /// Opens a session; returns its id and token, or none when there are too many.
    pub(super) fn begin(&mut self, user: &str) -> Option<(String, String)> {
        if self.open().len() >= LIMIT {
            return None;
        }
        let id = Uuid::new_v4().simple().to_string();
        let token = Uuid::new_v4().simple().to_string();
        let created = time::OffsetDateTime::now_utc();
        self.open
            .insert(id.clone(), Session { token: token.clone(), user: user.into(), created, used: Instant::now() });
        Some((id, token))
    }

    /// Closes a session; false when there is none of that id.
    pub(super) fn close(&mut self, id: &str) -> bool {
        self.open.remove(id).is_some()
    }

    /// Closes those of a user who may not be here any more.
    pub(super) fn close_of(&mut self, user: &str) {
        self.open.retain(|_, session| session.user != user);
    }

    /// Whose session has this token; that session goes on.
    pub(super) fn user_of(&mut self, token: &[u8]) -> Option<String> {
        self.open();
        let session = self.open.values_mut().find(|session| session.token.as_bytes().ct_eq(token).into())?;
        session.used = Instant::now();
        Some(session.user.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_few_and_end() {
        let mut sessions = Sessions::default();
        let (id, token) = sessions.begin("admin").unwrap();
        assert_eq!(sessions.user_of(token.as_bytes()).as_deref(), Some("admin"));
        for _ in 1..LIMIT {
            assert!(sessions.begin("admin").is_some());
        }
        assert!(sessions.begin("admin").is_none());
        assert!(sessions.close(&id) && !sessions.close(&id));
        sessions.timeout = 0;
        assert!(sessions.open().is_empty() && sessions.user_of(token.as_bytes()).is_none());
    }
}
