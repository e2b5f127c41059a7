//! Who we are to a registry: a password or a token, which expires and is renewed.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::WWW_AUTHENTICATE;
use tokio::sync::Mutex;
use url::{Origin, Url};

use super::challenge::{self, Challenge, LoginError};
use super::error::HttpError;
use super::exchange::{Answer, Exchange, Limit, Request};
use super::options::{Authorization, HttpOptions};

/// Tokens per request. A fresh one is usually good, unless it serves once and another request was faster.
const RENEWALS: u32 = 3;
/// Tokens are small.
const TOKEN_LIMIT: Limit = Limit::bytes(1 << 20);

/// Who we are to a registry, for one purpose. Long transfers outlive tokens: whenever the registry does not take what it
/// is shown any more, it is asked anew what it wants to see.
#[derive(Debug)]
pub struct Login {
    registry: Origin,
    /// What we want to do there, in the words of its server of tokens.
    scope: String,
    /// What the operator gave us.
    known: Option<Authorization>,
    /// For the server of tokens.
    tokens: Exchange,
    /// What the registry gets to see.
    shown: Mutex<Option<Authorization>>,
}

impl Login {
    /// A stranger with the user and password, or the header, of `options`; a header is shown at once, while a password waits
    /// until the registry says how it wants it.
    ///
    /// # Errors
    /// When an option cannot be used.
    pub fn new(registry: &Url, scope: String, options: &HttpOptions, timeout: Duration) -> Result<Self, HttpError> {
        let known = options.authorization.clone();
        let is_header = |known: &Authorization| matches!(known, Authorization::Header(_));
        Ok(Self {
            registry: registry.origin(),
            scope,
            // What else is said to the registry is not for the server of tokens.
            tokens: Exchange::new(&HttpOptions { headers: Default::default(), ..options.clone() }, timeout)?,
            shown: Mutex::new(known.clone().filter(is_header)),
            known,
        })
    }

    /// Sends a request for something of the registry. Any answer will do, but 401 only from another server that the
    /// registry has sent us to.
    pub(super) async fn send(&self, exchange: &Exchange, request: &Request) -> Result<Answer, HttpError> {
        let mut renewals = 0;
        loop {
            let shown = self.shown.lock().await.clone();
            let answer = exchange.send(request, shown.as_ref()).await?;
            if answer.status() != StatusCode::UNAUTHORIZED || answer.url().origin() != self.registry {
                return Ok(answer);
            }
            if renewals == RENEWALS {
                return Err(refused(&answer, LoginError::Refused));
            }
            self.renew(shown, &answer).await?;
            renewals += 1;
        }
    }

    /// Finds out what to show instead of `refused`, unless another request has done so meanwhile.
    async fn renew(&self, before: Option<Authorization>, answer: &Answer) -> Result<(), HttpError> {
        let mut shown = self.shown.lock().await;
        if *shown != before {
            return Ok(());
        }
        let header = answer.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        let challenge = header.and_then(Challenge::parse);
        *shown = Some(match challenge.ok_or_else(|| refused(answer, LoginError::NoChallenge))? {
            Challenge::Basic => match self.known.clone() {
                None => return Err(refused(answer, LoginError::PasswordWanted)),
                known if known == before => return Err(refused(answer, LoginError::Refused)),
                Some(known) => known,
            },
            Challenge::Bearer { realm, service } => {
                let address = challenge::token_url(&realm, service.as_deref(), &self.scope);
                self.token(address.map_err(|error| refused(answer, error))?).await?
            }
        });
        Ok(())
    }

    /// A token from where the registry says. A token that we have already opens nothing but the registry.
    async fn token(&self, address: Url) -> Result<Authorization, HttpError> {
        let is_token = |known: &&Authorization| matches!(known, Authorization::Header(text) if is_bearer(text));
        let who = self.known.as_ref().filter(|known| !is_token(known));
        let answer = self.tokens.send(&Request::get(&address), who).await?;
        if answer.status() != StatusCode::OK {
            return Err(answer.refusal());
        }
        let asked = answer.asked().to_string();
        let token = challenge::token(&answer.collect(TOKEN_LIMIT).await?);
        let token = token.ok_or(HttpError::Login { url: asked, source: LoginError::NoToken })?;
        tracing::debug!(from = %address.host_str().unwrap_or_default(), "token of the registry");
        Ok(Authorization::Header(format!("Bearer {token}")))
    }
}

fn refused(answer: &Answer, source: LoginError) -> HttpError {
    HttpError::Login { url: answer.asked().to_string(), source }
}

/// Whether an `Authorization` header holds a token (RFC 6750 section 2.1).
fn is_bearer(header: &str) -> bool {
    header.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer "))
}
