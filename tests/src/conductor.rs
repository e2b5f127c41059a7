//! The least that an agent takes for a conductor: it finds its node here, and all that it says is kept.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

/// UUID of the only node.
pub const NODE: &str = "f0d1e2c3-0000-4000-8000-000000000001";
/// What the agent is told, and what its commands need.
pub const TOKEN: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

/// A request as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// `GET`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The API version that it asked for.
    pub version: Option<String>,
    /// Its JSON body.
    pub body: Value,
}

/// Answers on a port of all addresses until the test ends.
#[derive(Debug)]
pub struct Conductor {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    asked: Mutex<Vec<Asked>>,
    /// Options of the agent that look-up returns beside the usual ones.
    options: Mutex<Map<String, Value>>,
    /// Whether requests for [`HOLD`] are answered.
    open: Mutex<bool>,
    opened: Condvar,
}

/// A request for this path is answered when the test says so.
pub const HOLD: &str = "/hold";

impl Conductor {
    /// Starts to listen on loopback.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn start() -> Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST.into())
    }

    /// Starts to listen on some port of `address`.
    ///
    /// # Errors
    /// When no port can be bound there.
    pub fn start_at(address: IpAddr) -> Result<Self> {
        Self::listen((address, 0).into())
    }

    /// Starts to listen on that address.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub fn listen(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address)?;
        let port = listener.local_addr()?.port();
        let shared = Arc::<Shared>::default();
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let shared = Arc::clone(&accepting);
                // A client that goes away in the middle is its own affair.
                std::thread::spawn(move || shared.answer(connection));
            }
        });
        Ok(Self { port, shared })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Has look-up say that this option of the agent is so.
    pub fn configure(&self, option: &str, value: Value) {
        lock(&self.shared.options).insert(option.to_owned(), value);
    }

    /// Every request whose path begins so, so far.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        lock(&self.shared.asked).iter().filter(|asked| asked.target.starts_with(path)).cloned().collect()
    }

    /// What has been posted to `path`.
    pub fn received(&self, path: &str) -> Vec<Value> {
        let is_post = |asked: &Asked| asked.method == "POST" && asked.target == path;
        lock(&self.shared.asked).iter().filter(|asked| is_post(asked)).map(|asked| asked.body.clone()).collect()
    }

    /// Answers those who ask for [`HOLD`], and all who will.
    pub fn release(&self) {
        *lock(&self.shared.open) = true;
        self.shared.opened.notify_all();
    }

    /// Waits for a heartbeat and returns what the first one said.
    ///
    /// # Errors
    /// When none comes within `limit`.
    pub fn heartbeat(&self, limit: Duration) -> Result<Value> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(heartbeat) = self.asked("/v1/heartbeat/").into_iter().next() {
                return Ok(heartbeat.body);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("no heartbeat within {limit:?}")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn answer(&self, connection: TcpStream) -> Result<()> {
        let mut reader = BufReader::new(connection);
        let asked = read_request(&mut reader)?;
        let path = asked.target.split('?').next().unwrap_or_default().to_owned();
        lock(&self.asked).push(asked);
        if path == HOLD {
            let open = self.opened.wait_while(lock(&self.open), |open| !*open);
            drop(open.unwrap_or_else(PoisonError::into_inner));
        }
        let (status, reply) = reply(&path, &lock(&self.options));
        let text = if reply.is_null() { String::new() } else { reply.to_string() };
        write!(
            reader.into_inner(),
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        )?;
        Ok(())
    }
}

fn read_request(reader: &mut impl BufRead) -> Result<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().context("a request line has a target")?.to_owned();
    let (mut length, mut version) = (0, None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        match header.trim().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse()?,
            Some((name, value)) if name.eq_ignore_ascii_case("x-openstack-ironic-api-version") => {
                version = Some(value.trim().to_owned());
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Asked { method, target, version, body: serde_json::from_slice(&body).unwrap_or_default() })
}

fn reply(path: &str, options: &Map<String, Value>) -> (&'static str, Value) {
    match path {
        "/" | "/v1" | "/v1/" => {
            let version = json!({"id": "v1", "status": "CURRENT", "min_version": "1.1", "version": "1.115"});
            ("200 OK", json!({"default_version": version, "versions": [version], "version": version}))
        }
        "/v1/lookup" => {
            let mut config =
                json!({"heartbeat_timeout": 300, "agent_token": TOKEN, "metrics": {}, "metrics_statsd": {}});
            config.as_object_mut().into_iter().for_each(|config| config.extend(options.clone()));
            let node = json!({"uuid": NODE, "properties": {}, "instance_info": {}, "driver_internal_info": {}});
            ("200 OK", json!({"node": node, "config": config}))
        }
        "/v1/continue_inspection" => ("202 Accepted", json!({ "uuid": NODE })),
        path if path.starts_with("/v1/heartbeat/") => ("202 Accepted", Value::Null),
        HOLD => ("200 OK", Value::Null),
        _ => ("404 Not Found", json!({"error_message": "no such thing"})),
    }
}
