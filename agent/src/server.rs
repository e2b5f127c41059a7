//! Connections: one accept loop for plain and encrypted ones, and an end that lets answers be delivered.

mod peers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;
use tracing::{debug, warn};

use self::peers::{Counted, Peers};

/// How long a client may take for a TLS handshake, or for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long answers under way may take once the server ends.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// The longest pause after a failed accept (out of file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The connection that a request came over.
#[derive(Debug, Clone, Copy)]
pub struct Connection {
    /// The other end.
    pub address: SocketAddr,
    /// Whether it is TLS.
    pub encrypted: bool,
}

/// Listens on `host` (`::` is every address of both families; without IPv6, of IPv4) and `port`.
///
/// # Errors
/// The address cannot be used.
pub async fn listen(host: Option<&str>, port: u16) -> std::io::Result<TcpListener> {
    match host {
        Some(host) => TcpListener::bind((host.trim_matches(['[', ']']), port)).await,
        None => match TcpListener::bind(("::", port)).await {
            Err(error) if error.kind() != std::io::ErrorKind::AddrInUse => TcpListener::bind(("0.0.0.0", port)).await,
            bound => bound,
        },
    }
}

/// Serves until `end` resolves; then no connection is accepted any more, and answers under way are delivered.
pub async fn serve(listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>, router: Router, end: impl Future) {
    let acceptor = tls.map(TlsAcceptor::from);
    let connections = GracefulShutdown::new();
    let peers = Peers::default();
    let mut end = std::pin::pin!(end);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut end => break,
        };
        match accepted {
            Ok((stream, address)) => match peers.admit(address.ip()) {
                Some(counted) => {
                    let served = connection(stream, address, acceptor.clone(), router.clone(), connections.watcher());
                    tokio::spawn(while_counted(counted, served));
                }
                None => debug!(%address, "closed: too many connections"),
            },
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(LAST_ANSWERS, connections.shutdown()).await.is_err() {
        debug!("answers under way were cut off");
    }
}

async fn while_counted(_counted: Counted, served: impl Future<Output = ()>) {
    served.await;
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    watcher: Watcher,
) {
    let _ = stream.set_nodelay(true);
    match acceptor {
        None => requests(stream, Connection { address, encrypted: false }, router, watcher).await,
        Some(acceptor) => match tokio::time::timeout(HEAD_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => requests(stream, Connection { address, encrypted: true }, router, watcher).await,
            Ok(Err(error)) => debug!(%address, %error, "TLS handshake failed"),
            Err(_) => debug!(%address, "TLS handshake took too long"),
        },
    }
}

async fn requests<S>(stream: S, connection: Connection, router: Router, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(connection);
        let router = router.clone();
        async move {
            let mut response = router.oneshot(request.map(axum::body::Body::new)).await?;
            response.headers_mut().insert(header::SERVER, HeaderValue::from_static("ferric-agent"));
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(http).await {
        debug!(address = %connection.address, %error, "connection ended");
    }
}
