//! Who we are to servers, whom we believe, and by which way they are reached.

use std::fmt;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use crate::options::Tls;

/// How to speak to HTTP servers.
#[derive(Debug, Clone, Default)]
pub struct HttpOptions {
    /// Who we are, for the origin of a URL only; what stands in the URL itself comes after it.
    pub authorization: Option<Authorization>,
    /// More that is said to the origin of a URL only.
    pub headers: Headers,
    /// Proxies by scheme of the URL: `("https", "http://proxy:3128")`; those of the environment when there is none.
    pub proxies: Vec<(String, String)>,
    /// Hosts that are asked without proxy, in the notation of `NO_PROXY`.
    pub no_proxy: Option<String>,
    /// Whom we believe, and what is spoken.
    pub tls: Tls,
}

impl HttpOptions {
    /// Nothing but the agent's options about TLS.
    pub fn of(tls: &Tls) -> Self {
        Self { tls: tls.clone(), ..Self::default() }
    }
}

/// Who we are. Not printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Authorization {
    /// User and password.
    Basic(String, String),
    /// The `Authorization` header, verbatim.
    Header(String),
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Headers that may hold a secret. Not printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(HeaderMap);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Why a text is no list of headers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not of the form `Name: value`")]
pub struct NotHeaders {
    /// Number of the line, from 1. Its content may be secret.
    line: usize,
}

impl Headers {
    /// One header per line, as `Name: value`; empty lines and lines that begin with `#` are skipped.
    ///
    /// # Errors
    /// Which line is none.
    pub fn parse(text: &str) -> Result<Self, NotHeaders> {
        let mut headers = HeaderMap::new();
        for (line, text) in (1..).zip(text.lines().map(str::trim)) {
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let (name, value) = text.split_once(':').ok_or(NotHeaders { line })?;
            let name = HeaderName::try_from(name.trim()).map_err(|_| NotHeaders { line })?;
            let mut value = HeaderValue::try_from(value.trim()).map_err(|_| NotHeaders { line })?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        Ok(Self(headers))
    }

    /// These, for a request.
    pub(super) fn map(&self) -> &HeaderMap {
        &self.0
    }

    /// Whether one of them says who we are.
    pub(super) fn authorize(&self) -> bool {
        self.0.contains_key(AUTHORIZATION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_lines_and_not_printed() {
        let headers = Headers::parse("# a comment\n\nX-Auth-Token: s3cret:x\r\nAccept:text/plain\n").unwrap();
        assert_eq!(headers.map()["x-auth-token"], "s3cret:x");
        assert_eq!(headers.map()["accept"], "text/plain");
        assert!(!headers.authorize() && !format!("{headers:?}").contains("s3cret"));
        assert!(Headers::parse("authorization: Bearer x").unwrap().authorize());
        for (text, line) in [("X-A: b\nno header", 2), ("a b: c", 1), (": c", 1), ("X-A: \u{1}", 1)] {
            assert_eq!(Headers::parse(text), Err(NotHeaders { line }), "{text:?}");
        }
    }

    #[test]
    fn passwords_are_not_printed() {
        let authorization = Authorization::Basic("user".into(), "secret".into());
        assert!(!format!("{authorization:?}").contains("secret"));
    }
}
