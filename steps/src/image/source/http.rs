//! One HTTP request: the client with its proxies and certificates, and how an answer is judged.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderValue, IF_RANGE, RANGE};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use url::Url;

use super::coding;
use crate::image::oci::Login;
use crate::image::{Authorization, HttpOptions, ImageError};
use crate::proxy::Proxies;
use crate::trust;

/// The most redirects that are followed.
const REDIRECTS: usize = 30;

/// A client and who we are.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: Client,
    authorization: Option<Authorization>,
    login: Option<Arc<Login>>,
}

/// Why there is no usable answer.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Trying this URL again cannot help.
    Fatal(String),
    /// It may help.
    Again(String),
}

impl Http {
    /// A client by `options`; `timeout` limits connecting and each silence.
    ///
    /// # Errors
    /// [`ImageError::DownloadFatal`] when an option cannot be used.
    pub(crate) fn new(options: &HttpOptions, timeout: Duration) -> Result<Self, ImageError> {
        let unusable =
            |what: &str, error: &dyn std::fmt::Display| ImageError::DownloadFatal(format!("{what}: {error}"));
        let tls = trust::client_config(options);
        let client = Client::builder()
            .user_agent(concat!("ferric/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timeout)
            .read_timeout(timeout)
            .redirect(reqwest::redirect::Policy::limited(REDIRECTS))
            .referer(false)
            .tls_backend_preconfigured(tls.map_err(|e| unusable("TLS", &e))?);
        let client = proxies(options)?.apply(client);
        let client = client.build().map_err(|e| unusable("HTTP client", &chain(&e)))?;
        Ok(Self { client, authorization: options.authorization.clone(), login: options.login.clone() })
    }

    /// A request for the bytes as they are, not coded for transport.
    pub(crate) fn get(&self, url: &Url) -> RequestBuilder {
        self.client.get(url.clone()).header(ACCEPT_ENCODING, "identity")
    }

    /// Asks for the bytes `range` (`5-9`, `5-`), but only of the object that `if_range` names.
    pub(crate) fn get_range(&self, url: &Url, range: &str, if_range: Option<&str>) -> RequestBuilder {
        let request = self.get(url).header(RANGE, format!("bytes={range}"));
        match if_range {
            Some(value) => request.header(IF_RANGE, value),
            None => request,
        }
    }

    /// Sends a request; an answer that is neither 200 nor 206 is a refusal.
    pub(crate) async fn send(&self, request: RequestBuilder, url: &str) -> Result<Response, Refusal> {
        let response = match &self.login {
            // Boxed, because it asks for tokens by another client of this kind.
            Some(login) => Box::pin(login.send(request, url)).await?,
            None => answer(authorized(request, self.authorization.as_ref()), url).await?,
        };
        judge(response, url)
    }
}

/// Those of the image, else those of the environment.
fn proxies(options: &HttpOptions) -> Result<Proxies, ImageError> {
    let mut proxies = if options.proxies.is_empty() { Proxies::from_environment() } else { Proxies::default() };
    for (scheme, url) in &options.proxies {
        if !proxies.set(scheme, url) {
            return Err(ImageError::DownloadFatal(format!("{scheme} proxy: not an http or https URL")));
        }
    }
    if let Some(exceptions) = &options.no_proxy {
        proxies.set_exceptions(exceptions);
    }
    Ok(proxies)
}

/// A request that says who we are.
pub(crate) fn authorized(request: RequestBuilder, authorization: Option<&Authorization>) -> RequestBuilder {
    match authorization {
        None => request,
        Some(Authorization::Basic(user, password)) => request.basic_auth(user, Some(password)),
        Some(Authorization::Header(value)) => match HeaderValue::from_str(value) {
            Ok(mut value) => {
                value.set_sensitive(true);
                request.header(AUTHORIZATION, value)
            }
            Err(_) => request,
        },
    }
}

/// Sends a request; any answer will do.
pub(crate) async fn answer(request: RequestBuilder, url: &str) -> Result<Response, Refusal> {
    request.send().await.map_err(|error| {
        let text = format!("URL: {url}; Error: {}", chain(&error));
        if error.is_builder() || error.is_redirect() { Refusal::Fatal(text) } else { Refusal::Again(text) }
    })
}

/// An answer that is neither 200 nor 206 is a refusal.
fn judge(response: Response, url: &str) -> Result<Response, Refusal> {
    let status = response.status();
    if matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
        return Ok(response);
    }
    let text = format!("Received status code {} from {url}, expected 200", status.as_u16());
    let temporary = status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS);
    Err(if temporary { Refusal::Again(text) } else { Refusal::Fatal(text) })
}

/// Refuses an answer whose body is coded.
pub(crate) fn uncoded(response: Response, url: &str) -> Result<Response, Refusal> {
    match coding::of(response.headers()) {
        Ok(None) => Ok(response),
        Ok(Some(known)) => Err(coded(url, known.name())),
        Err(unknown) => Err(coded(url, &unknown)),
    }
}

/// A digest of coded bytes would prove nothing about the file.
pub(crate) fn coded(url: &str, coding: &str) -> Refusal {
    Refusal::Fatal(format!("{url} comes with Content-Encoding {coding} though identity was asked for"))
}

/// An error with all its causes in one line, without the URL (it may hold a password).
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() { "timed out".to_string() } else { "request failed".to_string() };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
