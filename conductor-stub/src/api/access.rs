//! Who may ask at all: the name by which we are asked, the page that has a browser ask, the type of what is sent, and the
//! user behind it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, TRANSFER_ENCODING};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::auth::HttpBasic;
use crate::error::ApiError;

/// The connection that a request came over.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The other end.
    pub address: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// Whether it is TLS.
    pub encrypted: bool,
}

/// The rules.
#[derive(Debug)]
pub struct Access {
    /// Names and addresses by which we are asked, lower case.
    hosts: BTreeSet<String>,
    /// Origins of pages that may ask beside our own.
    origins: BTreeSet<String>,
    /// The users; without them everybody is admitted.
    users: Option<HttpBasic>,
}

impl Access {
    /// We are asked as `hosts`, on loopback, or by the address that a connection came to; by pages of `origins` and our own.
    pub fn new(hosts: impl IntoIterator<Item = String>, origins: &[String], users: Option<HttpBasic>) -> Self {
        let loopback = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let hosts = hosts.into_iter().chain(loopback).map(|host| plain(&host)).collect();
        let origins = origins.iter().map(|origin| origin.trim_end_matches('/').to_lowercase()).collect();
        Self { hosts, origins, users }
    }

    fn check(&self, request: &Request) -> Result<(), ApiError> {
        let headers = request.headers();
        let peer = request.extensions().get::<Peer>();
        let named = single(headers, &HOST)?;
        // A page can make a browser come here under a name of its own; it cannot make it say another one.
        let target = request.uri().authority().map(ToString::to_string);
        for authority in [named.map(str::to_owned), target].into_iter().flatten() {
            if !self.is_us(&authority, peer) {
                return Err(ApiError::Misdirected(authority));
            }
        }
        if let Some(origin) = single(headers, &ORIGIN)? {
            let scheme = if peer.is_some_and(|peer| peer.encrypted) { "https" } else { "http" };
            let own = named.map(|host| format!("{scheme}://{host}").to_lowercase());
            let origin = origin.to_lowercase();
            if own.as_ref() != Some(&origin) && !self.origins.contains(&origin) {
                return Err(ApiError::Forbidden(format!("Pages of {origin} may not ask.")));
            }
        }
        let has_body = headers.contains_key(TRANSFER_ENCODING)
            || single(headers, &CONTENT_LENGTH)?.is_some_and(|length| length.trim() != "0");
        if has_body && !single(headers, &CONTENT_TYPE)?.is_some_and(is_json) {
            return Err(ApiError::MediaType);
        }
        Ok(())
    }

    fn is_us(&self, authority: &str, peer: Option<&Peer>) -> bool {
        let Ok(authority) = authority.parse::<Authority>() else { return false };
        let host = plain(authority.host());
        let by_address = || {
            host.parse::<IpAddr>()
                .ok()
                .zip(peer)
                .is_some_and(|(address, peer)| address == peer.local.ip().to_canonical())
        };
        self.hosts.contains(&host) || by_address()
    }
}

/// A host as it is compared: lower case, without brackets and the dot of the root.
fn plain(host: &str) -> String {
    host.trim_matches(['[', ']']).trim_end_matches('.').to_lowercase()
}

/// A header that must not come twice.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            value.to_str().map(Some).map_err(|_| ApiError::Invalid(format!("header {name} is not text")))
        }
        (Some(_), Some(_)) => Err(ApiError::Invalid(format!("header {name} came twice"))),
    }
}

/// What a form cannot send: `application/json` and what is built on it (`application/json-patch+json`).
fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_lowercase();
    kind == "application/json" || kind.strip_prefix("application/").is_some_and(|kind| kind.ends_with("+json"))
}

/// Refuses requests that are not for us, come from a page of others or bring something else than JSON.
pub async fn check(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    match access.check(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Refuses requests without the name and password of a user.
pub async fn authenticate(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let Some(users) = &access.users else { return next.run(request).await };
    let offered = request.headers().get(AUTHORIZATION).cloned();
    match users.admit(offered.as_ref()).await {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}
