//! Who may give commands: the token that the conductor and this agent share.

use std::sync::RwLock;

use subtle::ConstantTimeEq;

/// Shortest token that is taken over from a look-up.
const MIN_LENGTH: usize = 32;

/// What Ironic shows in place of a token that it has already handed out.
pub const MASKED: &str = "******";

/// The token, when there is one. It appears neither in `Debug` nor in logs.
#[derive(Default)]
pub struct Token(RwLock<Option<String>>);

impl Token {
    /// A token known from the configuration, or none yet.
    pub fn new(configured: Option<&str>) -> Self {
        Self(RwLock::new(configured.map(str::to_string)))
    }

    /// The token, to be sent to the conductor.
    pub fn text(&self) -> Option<String> {
        self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Replaces the token.
    pub fn adopt(&self, token: &str) {
        *self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(token.to_string());
    }

    /// Whether a token from a look-up may be taken over.
    pub fn is_acceptable(token: &str) -> bool {
        token.len() >= MIN_LENGTH
    }

    /// Whether `given` is the token, compared in constant time. Nothing matches while there is none.
    pub fn admits(&self, given: Option<&str>) -> bool {
        match (self.text(), given) {
            (Some(token), Some(given)) => token.as_bytes().ct_eq(given.as_bytes()).into(),
            _ => false,
        }
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.text().is_some() { "Token(<...>)" } else { "Token(none)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_is_admitted() {
        let token = Token::default();
        assert!(!token.admits(None) && !token.admits(Some("")));
        token.adopt("secret");
        assert!(token.admits(Some("secret")));
        assert!(!token.admits(Some("secreT")) && !token.admits(Some("secret ")) && !token.admits(None));
        assert!(!format!("{token:?}").contains("secret"));
    }
}
