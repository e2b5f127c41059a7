//! Connections: how many there may be, for how long they may be silent, and TLS.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::stall::Stalling;
use crate::api::access::Peer;

/// The pause after a failed accept (out of file descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What is kept of an answer that is not sent yet; also the longest head of a request.
const BUFFER_BYTES: usize = 64 << 10;

/// How many connections there may be, and how slow.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections of everybody together; more have to wait.
    pub together: usize,
    /// Connections of one address, except loopback; more are closed at once.
    pub per_peer: usize,
    /// How long a client may take for a TLS handshake, or for the head of a request; also how long it may say nothing.
    pub head: Duration,
    /// How long a client may take nothing of an answer.
    pub stall: Duration,
}

/// Serves `router` until the task ends, and its connections with it.
pub async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, router: Router, limits: Limits) {
    allow_many_files();
    let places = Arc::new(Semaphore::new(limits.together));
    let peers = Arc::new(Peers::default());
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(counted) = peers.count(address.ip(), limits.per_peer) else {
            tracing::debug!(%address, "too many connections");
            continue;
        };
        let (tls, router) = (tls.clone(), router.clone());
        connections.spawn(async move {
            connection(stream, address, tls, router, limits).await;
            drop((counted, place));
        });
    }
}

/// Every connection is a file, and every artefact that is read another one.
fn allow_many_files() {
    if let Ok((now, most)) = getrlimit(Resource::RLIMIT_NOFILE)
        && now < most
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, most, most)
    {
        tracing::debug!("the limit of open files stays at {now}: {error}");
    }
}

async fn connection(stream: TcpStream, address: SocketAddr, tls: Option<TlsAcceptor>, router: Router, limits: Limits) {
    let Ok(local) = stream.local_addr() else { return };
    let _ = stream.set_nodelay(true);
    let stream = Stalling::new(stream, limits.stall);
    match tls {
        None => requests(stream, Peer { address, local, encrypted: false }, router, limits.head).await,
        Some(tls) => match tokio::time::timeout(limits.head, tls.accept(stream)).await {
            Ok(Ok(stream)) => requests(stream, Peer { address, local, encrypted: true }, router, limits.head).await,
            Ok(Err(error)) => tracing::debug!(%address, "TLS handshake failed: {error}"),
            Err(_) => tracing::debug!(%address, "TLS handshake took too long"),
        },
    }
}

async fn requests<S>(stream: S, peer: Peer, router: Router, head: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request.map(axum::body::Body::new))
    });
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        // Of what is to be sent, that much is kept of each connection.
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = http.await {
        tracing::debug!(address = %peer.address, "connection ended: {error}");
    }
}

/// Connections by address.
#[derive(Debug, Default)]
struct Peers(Mutex<HashMap<IpAddr, usize>>);

/// One connection of an address, until it is dropped.
#[derive(Debug)]
struct Counted {
    peers: Arc<Peers>,
    address: IpAddr,
}

impl Peers {
    /// Counts one more, if there may be one more.
    fn count(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<Counted> {
        let address = network(address);
        let mut peers = self.peers();
        let number = peers.entry(address).or_default();
        if *number >= most && !address.is_loopback() {
            return None;
        }
        *number += 1;
        Some(Counted { peers: Arc::clone(self), address })
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut peers = self.peers.peers();
        if let Some(number) = peers.get_mut(&self.address) {
            *number -= 1;
            if *number == 0 {
                peers.remove(&self.address);
            }
        }
    }
}

/// Who has one IPv6 address has all those that begin with the same 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn server(limits: Limits) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let file = || async { vec![0u8; 64 << 20] };
        let router =
            Router::new().route("/", axum::routing::get(|| async { "x" })).route("/file", axum::routing::get(file));
        tokio::spawn(serve(listener, None, router, limits));
        address
    }

    /// Sends `request` and reads until the other end closes; how much came.
    async fn until_closed(address: SocketAddr, request: &str, pause: Duration) -> usize {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        tokio::time::sleep(pause).await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
        // Ended in either way, but ended.
        let _ = read.unwrap();
        answer.len()
    }

    #[tokio::test]
    async fn who_says_nothing_or_takes_nothing_is_sent_away() {
        let limits =
            Limits { together: 10, per_peer: 10, head: Duration::from_millis(300), stall: Duration::from_millis(300) };
        let address = server(limits).await;
        let none = Duration::ZERO;
        assert_eq!(until_closed(address, "", none).await, 0, "nothing said");
        assert_eq!(until_closed(address, "GET / HTTP/1.1\r\nHost: x\r\n", none).await, 0, "half a head");
        assert!(until_closed(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", none).await > 0, "an idle connection");
        let taken = until_closed(address, "GET /file HTTP/1.1\r\nHost: x\r\n\r\n", Duration::from_secs(2)).await;
        assert!(taken < 64 << 20, "{taken}");
    }

    #[tokio::test]
    async fn more_connections_than_there_may_be_have_to_wait() {
        let limits =
            Limits { together: 2, per_peer: 10, head: Duration::from_secs(20), stall: Duration::from_secs(20) };
        let address = server(limits).await;
        let held = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        let third = tokio::spawn(until_closed(
            address,
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            Duration::ZERO,
        ));
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!third.is_finished());
        drop(held);
        assert!(third.await.unwrap() > 0);
    }

    #[test]
    fn connections_are_counted_by_address() {
        let peers = Arc::new(Peers::default());
        let count = |address: &str| peers.count(address.parse().unwrap(), 2);
        let held = [count("192.0.2.1"), count("192.0.2.1")];
        assert!(held.iter().all(Option::is_some) && count("::ffff:192.0.2.1").is_none());
        assert!(count("192.0.2.2").is_some(), "another address");
        drop(held);
        assert!(count("192.0.2.1").is_some());
        let held = [count("2001:db8::1"), count("2001:db8::ffff:1")];
        assert!(held.iter().all(Option::is_some) && count("2001:db8::2").is_none(), "one network");
        let held: Vec<_> = (0..9).map(|_| count("127.0.0.1")).collect();
        assert!(held.iter().all(Option::is_some), "loopback is not counted");
        drop(held);
        assert!(peers.peers().len() == 1, "nobody is remembered for ever");
    }
}
