//! Who we are to a registry: a password or a token, which expires and is renewed.

use std::time::Duration;

use reqwest::header::WWW_AUTHENTICATE;
use reqwest::{RequestBuilder, Response, StatusCode};
use tokio::sync::Mutex;
use url::{Origin, Url};

use super::DOCUMENT_LIMIT_BYTES;
use super::challenge::{self, Challenge};
use crate::fetch;
use crate::image::http::{self, Http, Refusal};
use crate::image::{Authorization, HttpOptions, ImageError};

/// Tokens per request. A fresh one is usually good, unless it serves once and another request was faster.
const RENEWALS: u32 = 3;

/// Who we are to one repository of a registry. Long transfers outlive tokens: whenever the registry does not take
/// what it is shown any more, it is asked anew what it wants to see.
#[derive(Debug)]
pub struct Login {
    registry: Origin,
    /// Name of the repository.
    name: String,
    /// What the operator gave us.
    known: Option<Authorization>,
    /// The client for the server of tokens, which knows us by what the operator gave us.
    tokens: Http,
    /// What the registry gets to see.
    shown: Mutex<Option<Authorization>>,
}

impl Login {
    /// A stranger with the user and password, or the header, of `options`; a header is shown at once, while a password waits
    /// until the registry says how it wants it.
    pub(super) fn new(
        registry: &Url,
        name: &str,
        options: &HttpOptions,
        timeout: Duration,
    ) -> Result<Self, ImageError> {
        let known = options.authorization.clone();
        let is_header = |known: &Authorization| matches!(known, Authorization::Header(_));
        // A token opens nothing but the registry that it was made for.
        let is_token = |known: &Authorization| matches!(known, Authorization::Header(text) if is_bearer(text));
        let to_tokens =
            HttpOptions { authorization: known.clone().filter(|known| !is_token(known)), ..options.clone() };
        Ok(Self {
            registry: registry.origin(),
            name: name.to_string(),
            tokens: Http::new(&to_tokens, timeout)?,
            shown: Mutex::new(known.clone().filter(is_header)),
            known,
        })
    }

    /// Sends a request for something of the repository. Any answer will do, but 401 only from another server that the
    /// registry has sent us to.
    pub(crate) async fn send(&self, request: RequestBuilder, url: &str) -> Result<Response, Refusal> {
        let mut renewals = 0;
        loop {
            let shown = self.shown.lock().await.clone();
            let copy = request.try_clone().ok_or_else(|| Refusal::Fatal(format!("{url} cannot be asked again")))?;
            let response = http::answer(http::authorized(copy, shown.as_ref()), url).await?;
            if response.status() != StatusCode::UNAUTHORIZED || response.url().origin() != self.registry {
                return Ok(response);
            }
            if renewals == RENEWALS {
                return Err(Refusal::Fatal(format!("{url} is not for us: the registry answers 401")));
            }
            self.renew(shown, &response, url).await?;
            renewals += 1;
        }
    }

    /// Finds out what to show instead of `refused`, unless another request has done so meanwhile.
    async fn renew(&self, refused: Option<Authorization>, response: &Response, url: &str) -> Result<(), Refusal> {
        let mut shown = self.shown.lock().await;
        if *shown != refused {
            return Ok(());
        }
        let header = response.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        let challenge = header
            .and_then(Challenge::parse)
            .ok_or_else(|| Refusal::Fatal(format!("{url} answers 401 and does not say how to prove who we are")))?;
        *shown = Some(match challenge {
            Challenge::Basic => match self.known.clone() {
                None => {
                    let reason = "is not for everybody: the registry wants a user and a password";
                    return Err(Refusal::Fatal(format!("{url} {reason}")));
                }
                known if known == refused => {
                    return Err(Refusal::Fatal(format!("{url} is not for us: the registry answers 401")));
                }
                Some(known) => known,
            },
            Challenge::Bearer { realm, service } => self.token(&realm, service.as_deref(), url).await?,
        });
        Ok(())
    }

    /// A token from where the registry says.
    async fn token(&self, realm: &str, service: Option<&str>, url: &str) -> Result<Authorization, Refusal> {
        let address = challenge::token_url(realm, service, &self.name);
        let address = address.map_err(|reason| Refusal::Fatal(format!("{url}: {reason}")))?;
        let shown = address.origin().ascii_serialization() + address.path();
        let body = fetch::get(&self.tokens, &address, &shown, DOCUMENT_LIMIT_BYTES).await?;
        let token = challenge::token(&body).ok_or_else(|| Refusal::Fatal(format!("{shown} gave no token")))?;
        tracing::debug!(from = shown, "token of the registry");
        Ok(Authorization::Header(format!("Bearer {token}")))
    }
}

/// Whether an `Authorization` header holds a token (RFC 6750 section 2.1).
fn is_bearer(header: &str) -> bool {
    header.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer "))
}
