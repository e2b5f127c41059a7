//! A client: exchanges, and a login where the server wants one.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;

use super::error::HttpError;
use super::exchange::{Answer, Exchange, Request};
use super::login::Login;
use super::options::{Authorization, HttpOptions};

/// A client, and who we are.
#[derive(Debug, Clone)]
pub struct Client {
    exchange: Exchange,
    authorization: Option<Authorization>,
    login: Option<Arc<Login>>,
}

impl Client {
    /// By `options`; `timeout` limits connecting, waiting for the head of an answer, and each silence in its body.
    ///
    /// # Errors
    /// When an option cannot be used.
    pub fn new(options: &HttpOptions, timeout: Duration) -> Result<Self, HttpError> {
        // A header of that name counts instead.
        let authorization = options.authorization.clone().filter(|_| !options.headers.authorize());
        Ok(Self { exchange: Exchange::new(options, timeout)?, authorization, login: None })
    }

    /// The same, for the registry of this login. It counts instead of other ways to say who we are.
    #[must_use]
    pub fn with_login(self, login: Option<Arc<Login>>) -> Self {
        Self { login, ..self }
    }

    /// Sends a request. Any answer will do.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ask(&self, request: &Request) -> Result<Answer, HttpError> {
        match &self.login {
            Some(login) => login.send(&self.exchange, request).await,
            None => self.exchange.send(request, self.authorization.as_ref()).await,
        }
    }

    /// Sends a request for bytes: the answer is 200, or 206 where a range was asked for.
    ///
    /// # Errors
    /// When there is no such answer.
    pub async fn send(&self, request: &Request) -> Result<Answer, HttpError> {
        let answer = self.ask(request).await?;
        match answer.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(answer),
            _ => Err(answer.refusal()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use rustls::pki_types::PrivateKeyDer;
    use url::Url;

    use super::*;
    use crate::http::tls;
    use crate::options::Tls;

    /// Serves one empty answer to whoever gets through a TLS 1.2 handshake. Returns the URL.
    fn old_server() -> Url {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_string()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(tls::provider(&Tls::default()))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap()).parse().unwrap();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
            let mut tls = rustls::StreamOwned::new(connection, stream);
            if tls.read(&mut [0; 4096]).is_ok() {
                tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
            }
        });
        url
    }

    async fn ask(tls: Tls) -> Result<u16, HttpError> {
        let client = Client::new(&HttpOptions::of(&tls), Duration::from_secs(30)).unwrap();
        client.send(&Request::get(&old_server())).await.map(|answer| answer.status().as_u16())
    }

    #[tokio::test]
    async fn servers_must_speak_a_permitted_version() {
        let any = || Tls { insecure: true, ..Tls::default() };
        assert_eq!(ask(any()).await.unwrap(), 200);
        let suites = |name: &str| Tls { cipher_suites: Some(name.to_string()), ..any() };
        assert_eq!(ask(suites("ECDHE-ECDSA-AES128-GCM-SHA256")).await.unwrap(), 200);
        let error = ask(Tls { only_1_3: true, ..any() }).await.unwrap_err();
        assert!(matches!(error, HttpError::Exchange { .. }), "{error:?}");
        // The server's certificate has an ECDSA key, so no suite is left in common.
        assert!(ask(suites("ECDHE-RSA-AES128-GCM-SHA256")).await.is_err());
    }

    #[tokio::test]
    async fn a_certificate_that_is_not_believed_is_not_tried_again() {
        let error = ask(Tls::default()).await.unwrap_err();
        assert!(!error.is_passing(), "{}", crate::error::chain(&error));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        drop(listener);
        let client = Client::new(&HttpOptions::default(), Duration::from_secs(30)).unwrap();
        let error = client.send(&Request::get(&url)).await.unwrap_err();
        assert!(error.is_passing() && error.brief() == "connection refused", "{}", error.brief());
    }
}
