//! The least that an agent takes for a conductor: it finds its node here, and what it posts is kept.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// UUID of the only node.
pub const NODE: &str = "f0d1e2c3-0000-4000-8000-000000000001";
/// What the agent is told, and what its commands need.
pub const TOKEN: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

/// What was posted: path and body.
type Posts = Mutex<Vec<(String, Value)>>;

/// Answers on a port of one address until the test ends.
#[derive(Debug)]
pub struct Conductor {
    port: u16,
    posts: Arc<Posts>,
}

impl Conductor {
    /// Starts to listen on loopback.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn start() -> Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST.into())
    }

    /// Starts to listen at `address`.
    ///
    /// # Errors
    /// When no port can be bound there.
    pub fn start_at(address: IpAddr) -> Result<Self> {
        let listener = TcpListener::bind((address, 0))?;
        let port = listener.local_addr()?.port();
        let posts = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&posts);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                // A client that goes away in the middle is its own affair.
                let _ = answer(connection, &kept);
            }
        });
        Ok(Self { port, posts })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits for a heartbeat and returns what it said.
    ///
    /// # Errors
    /// When none comes within `limit`.
    pub fn heartbeat(&self, limit: Duration) -> Result<Value> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(heartbeat) = self.received(&format!("/v1/heartbeat/{NODE}")).first() {
                return Ok(heartbeat.clone());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("no heartbeat within {limit:?}")
    }

    /// What has been posted to `path`.
    ///
    /// # Panics
    /// When the answering thread has panicked.
    pub fn received(&self, path: &str) -> Vec<Value> {
        let posts = self.posts.lock().expect("the answering thread is well");
        posts.iter().filter(|(to, _)| to == path).map(|(_, body)| body.clone()).collect()
    }
}

fn answer(connection: TcpStream, posts: &Posts) -> Result<()> {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let target = line.split(' ').nth(1).context("a request line has a target")?.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        match header.trim().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse()?,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let path = target.split('?').next().unwrap_or_default();
    if line.starts_with("POST ") {
        let body = serde_json::from_slice(&body).unwrap_or_default();
        posts.lock().expect("no other thread has panicked").push((path.to_owned(), body));
    }
    let (status, reply) = match path {
        "/" | "/v1" | "/v1/" => {
            let version = json!({"id": "v1", "status": "CURRENT", "min_version": "1.1", "version": "1.115"});
            ("200 OK", json!({"default_version": version, "versions": [version], "version": version}))
        }
        "/v1/lookup" => {
            let config = json!({"heartbeat_timeout": 300, "agent_token": TOKEN, "metrics": {}, "metrics_statsd": {}});
            (
                "200 OK",
                json!({"node": {"uuid": NODE, "properties": {}, "instance_info": {},
                "driver_internal_info": {}}, "config": config}),
            )
        }
        path if path.starts_with("/v1/heartbeat/") => ("202 Accepted", Value::Null),
        _ => ("404 Not Found", json!({"error_message": "no such thing"})),
    };
    let text = if reply.is_null() { String::new() } else { reply.to_string() };
    write!(
        reader.into_inner(),
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    )?;
    Ok(())
}
