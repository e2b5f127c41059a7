//! TLS for the BMC's socket, with a certificate of files or one made at the start.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::tls::identity::{self, TlsError};

/// For one handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Connections that have shaken hands and wait to be served.
const WAITING: usize = 64;

/// What certificate is shown.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the certificate, and the chain to its authority.
    pub certificate: PathBuf,
    /// PEM file with its key. When neither file exists, both are made: self-signed, for the address listened on.
    pub key: PathBuf,
}

impl Tls {
    /// The server's side of TLS, for an address that is listened on.
    ///
    /// # Errors
    /// When files are missing or wrong.
    pub(super) fn server(&self, address: SocketAddr) -> Result<ServerConfig, TlsError> {
        if !self.certificate.exists() && !self.key.exists() {
            self.make(address)?;
        }
        identity::of_files(&self.certificate, &self.key)
    }

    fn make(&self, address: SocketAddr) -> Result<(), TlsError> {
        let names = ["localhost".to_owned(), address.ip().to_string()];
        let made = rcgen::generate_simple_self_signed(names)?;
        write(&self.key, &made.signing_key.serialize_pem(), 0o600)?;
        write(&self.certificate, &made.cert.pem(), 0o644)
    }
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|cause| TlsError::File { path: path.into(), cause })
}

/// A socket whose connections have shaken hands.
pub(super) struct TlsListener {
    address: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    accepting: tokio::task::AbortHandle,
}

impl TlsListener {
    /// Shakes hands with everybody who comes to `listener`, each on their own time.
    pub(super) fn new(listener: TcpListener, config: ServerConfig) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (sender, ready) = mpsc::channel(WAITING);
        let accepting = tokio::spawn(async move {
            loop {
                let Ok((stream, peer)) = listener.accept().await else {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                };
                let (acceptor, sender) = (acceptor.clone(), sender.clone());
                tokio::spawn(async move {
                    match tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
                        // Nobody is there to serve it any more when this fails.
                        Ok(Ok(stream)) => drop(sender.send((stream, peer)).await),
                        Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS"),
                        Err(_) => tracing::debug!(%peer, "no TLS in time"),
                    }
                });
            }
        });
        Ok(Self { address, ready, accepting: accepting.abort_handle() })
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
