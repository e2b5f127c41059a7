//! How a registry wants to know who we are: the header `WWW-Authenticate` (RFC 9110 section 11.6.1) and tokens.

use serde_json::Value;
use url::Url;

/// Why a registry does not let us in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// What we show is not taken.
    #[error("the registry answers 401")]
    Refused,
    /// It does not say what it wants to see.
    #[error("the registry answers 401 and does not say how to prove who we are")]
    NoChallenge,
    /// It wants a password and we have none.
    #[error("the registry wants a user and a password")]
    PasswordWanted,
    /// It sends us to an address that is none.
    #[error("{address:?} gives tokens and is no URL")]
    NoAddress {
        /// The address.
        address: String,
        /// The cause.
        #[source]
        source: url::ParseError,
    },
    /// It sends us where our password could be read on the way.
    #[error("tokens are to be had from {0}, which is not protected by TLS")]
    Unprotected(String),
    /// The answer of the server of tokens holds none.
    #[error("there is no token in the answer")]
    NoToken,
}

/// What the registry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password.
    Basic,
    /// A token from another server.
    Bearer {
        /// The URL of that server.
        realm: String,
        /// The registry's name there.
        service: Option<String>,
    },
}

impl Challenge {
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (scheme, parameters) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let value = |name: &str| {
            let start = parameters.find(&format!("{name}=\""))? + name.len() + 2;
            Some(parameters[start..].split_once('"')?.0.to_string())
        };
        Some(Self::Bearer { realm: value("realm")?, service: value("service") })
    }
}

/// Where a token for this scope is to be had. That place gets our password, so it must be a safe one.
pub(super) fn token_url(realm: &str, service: Option<&str>, scope: &str) -> Result<Url, LoginError> {
    let mut url = Url::parse(realm).map_err(|source| LoginError::NoAddress { address: realm.to_string(), source })?;
    if url.scheme() != "https" {
        return Err(LoginError::Unprotected(realm.to_string()));
    }
    url.query_pairs_mut().extend_pairs(service.map(|service| ("service", service)));
    url.query_pairs_mut().append_pair("scope", scope);
    Ok(url)
}

/// The token in the answer of its server.
pub(super) fn token(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    ["token", "access_token"]
        .into_iter()
        .find_map(|key| body[key].as_str().filter(|text| !text.is_empty()))
        .map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_say_where_tokens_are() {
        let header = r#"Bearer realm="https://auth.example/token",service="registry.example",scope="x""#;
        let Some(Challenge::Bearer { realm, service }) = Challenge::parse(header) else { panic!("no challenge") };
        let url = token_url(&realm, service.as_deref(), "repository:a/os:pull").unwrap();
        assert_eq!(
            url.as_str(),
            "https://auth.example/token?service=registry.example&scope=repository%3Aa%2Fos%3Apull"
        );
        assert_eq!(Challenge::parse("Basic realm=\"x\""), Some(Challenge::Basic));
        assert_eq!(Challenge::parse("Negotiate"), None);
        assert!(token_url("http://auth.example/token", None, "os").is_err());
    }

    #[test]
    fn tokens_have_two_names() {
        assert_eq!(token(br#"{"token": "a"}"#).as_deref(), Some("a"));
        assert_eq!(token(br#"{"access_token": "b", "token": ""}"#).as_deref(), Some("b"));
        assert_eq!(token(b"{}"), None);
    }
}
