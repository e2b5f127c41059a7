//! An HTTP proxy that only remembers what it was asked for: absolute URLs and CONNECT.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

/// A running proxy on a port of 127.0.0.1, until the test ends.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Starts to listen.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                // A client or server that goes away in the middle is its own affair.
                std::thread::spawn(move || pass(connection, &kept));
            }
        });
        Ok(Self { port, asked })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it was asked for so far: `GET http://host/path`, `CONNECT host:port`.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn pass(client: TcpStream, asked: &Mutex<Vec<String>>) -> Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let (method, rest) = line.split_once(' ').context("a request line has a method")?;
    let target = rest.split(' ').next().unwrap_or_default().to_string();
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{method} {target}"));
    let mut headers = String::new();
    while reader.read_line(&mut headers)? > 2 {}
    let mut server;
    if method == "CONNECT" {
        server = TcpStream::connect(&target)?;
        (&client).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    } else {
        let (host, path) = target.strip_prefix("http://").and_then(|url| url.split_once('/')).context("a URL")?;
        server = TcpStream::connect(host)?;
        let kept: String = headers.lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\r\n")).collect();
        write!(server, "{method} /{path} HTTP/1.1\r\nConnection: close\r\n{kept}\r\n")?;
    }
    let mut to_server = server.try_clone()?;
    std::thread::spawn(move || {
        let _ = copy(&mut reader, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let _ = copy(&mut server, &mut &client);
    Ok(client.shutdown(Shutdown::Write)?)
}

fn copy(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<u64> {
    std::io::copy(from, to)
}
