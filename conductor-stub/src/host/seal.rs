//! How it is known later that nothing has changed, without keeping what it was: secrets are in it.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// As costly as a line of an htpasswd file: a short password cannot be found by trying.
const COST: u32 = 10;

/// There was no randomness for a seal.
#[derive(Debug, thiserror::Error)]
#[error("sealing what was applied")]
pub struct SealError(#[source] bcrypt::BcryptError);

/// A text from which `value` cannot be had, and by which it is known.
///
/// # Errors
/// When there is no randomness.
pub fn seal(value: &Value) -> Result<String, SealError> {
    bcrypt::hash(digest(value), COST).map_err(SealError)
}

/// Whether `sealed` was made of `value`.
pub fn is_seal_of(sealed: &str, value: &Value) -> bool {
    bcrypt::verify(digest(value), sealed).unwrap_or(false)
}

/// bcrypt takes 72 bytes: all of a digest, not all of a configuration.
fn digest(value: &Value) -> String {
    hex::encode(Sha256::digest(value.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_known_by_its_seal() {
        let sealed = seal(&json!({"a": "x".repeat(100)})).unwrap();
        assert!(is_seal_of(&sealed, &json!({"a": "x".repeat(100)})));
        assert!(!is_seal_of(&sealed, &json!({"a": "x".repeat(101)})));
        assert!(!is_seal_of("", &json!({})) && !sealed.contains('x'.to_string().repeat(3).as_str()));
    }
}
