//! An HTTP server for one file that misbehaves as told: faults are data, one per request.

use std::collections::VecDeque;
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;

/// What goes wrong with one request. Offsets count from the start of the file, not of the answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Nothing: this request is answered well.
    None,
    /// The connection closes in the body when this byte would be sent; 0 also drops the headers.
    Drop(usize),
    /// Nothing more comes from this byte on, but the connection stays open.
    Stall(usize),
    /// Another status, with a short body.
    Status(u16),
    /// The bit 0 of this byte is the other way round.
    Flip(usize),
    /// The length is announced as so many bytes more, and the connection ends at the true end.
    Longer(u64),
    /// The file is announced and sent without its last bytes, so many.
    Shorter(usize),
    /// The file has become another one: other content, other ETag.
    Changed(Vec<u8>),
    /// A Range request is answered by 206 with this first byte instead.
    WrongRange(usize),
    /// A Range request is answered by 200 and the whole file.
    NoRange,
    /// The body comes in pieces of so many bytes with pauses between them.
    Drip(usize, Duration),
}

/// How the server is when nothing goes wrong.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// The ETag, if it sends one.
    pub etag: Option<String>,
    /// How it serves ranges.
    pub ranges: Ranges,
    /// Whether it announces the length; else the body is chunked.
    pub length: bool,
    /// The `Content-Encoding` that it says the file is in.
    pub coding: Option<String>,
    /// The `Authorization` header without which it answers 401.
    pub authorization: Option<String>,
    /// Where it redirects all requests to.
    pub redirect: Option<String>,
    /// Looks at a request before anything else.
    pub handler: Option<Handler>,
}

/// How a server answers requests for ranges of bytes. Each of these was seen in the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ranges {
    /// As asked for.
    Served,
    /// By the whole file.
    Ignored,
    /// By this status, except for those that begin with the first byte.
    Refused(u16),
    /// By this status, all of them.
    RefusedAll(u16),
    /// By the range that begins this much earlier.
    Earlier(usize),
    /// By no more than so many bytes.
    Capped(usize),
    /// By all that follows the first byte asked for, without a word on which bytes they are.
    Unlabelled,
    /// By the first bytes of the file, labelled as those asked for.
    Lying,
}

/// Answers some requests itself, and lets the others pass to the file.
#[derive(Clone)]
pub struct Handler(Arc<Answer>);

type Answer = dyn Fn(&Request) -> Option<Reply> + Send + Sync;

impl Handler {
    /// One that asks `answer`.
    pub fn new(answer: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) -> Self {
        Self(Arc::new(answer))
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler")
    }
}

/// A whole answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// A header beside the length.
    pub header: Option<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            etag: Some("\"1\"".into()),
            ranges: Ranges::Served,
            length: true,
            coding: None,
            authorization: None,
            redirect: None,
            handler: None,
        }
    }
}

/// A request as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// `/path`.
    pub path: String,
    /// The `Range` header.
    pub range: Option<String>,
    /// The `If-Range` header.
    pub if_range: Option<String>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
}

/// A running server; it is gone when this is dropped.
#[derive(Debug)]
pub struct FaultServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    content: Vec<u8>,
    behaviour: Behaviour,
    faults: Mutex<VecDeque<Fault>>,
    /// What goes wrong when `faults` is empty.
    always: Fault,
    journal: Mutex<Vec<Request>>,
    stop: AtomicBool,
}

impl FaultServer {
    /// Serves `content` under every path; the first requests meet `faults`, all others none.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(content: Vec<u8>, behaviour: Behaviour, faults: Vec<Fault>) -> Result<Self> {
        Self::serve(content, behaviour, faults, Fault::None)
    }

    /// Serves `content` under every path; every request meets `fault`.
    ///
    /// # Errors
    /// When no port is free.
    pub fn always(content: Vec<u8>, behaviour: Behaviour, fault: Fault) -> Result<Self> {
        Self::serve(content, behaviour, Vec::new(), fault)
    }

    fn serve(content: Vec<u8>, behaviour: Behaviour, faults: Vec<Fault>, always: Fault) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            content,
            behaviour,
            faults: Mutex::new(faults.into()),
            always,
            journal: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.stop.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                // A client that goes away in the middle is none of this server's business.
                std::thread::spawn(move || shared.answer(&stream));
            }
        });
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// `http://127.0.0.1:PORT` and `path`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Every request so far.
    pub fn journal(&self) -> Vec<Request> {
        lock(&self.shared.journal).clone()
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn answer(&self, stream: &TcpStream) -> Result<()> {
        let Some(request) = read_request(stream)? else { return Ok(()) };
        lock(&self.journal).push(request.clone());
        if let Some(reply) = self.behaviour.handler.as_ref().and_then(|handler| (handler.0)(&request)) {
            let length = ("Content-Length", reply.body.len().to_string());
            head(stream, reply.status, &reply.header.into_iter().chain([length]).collect::<Vec<_>>())?;
            return Ok((&*stream).write_all(&reply.body)?);
        }
        if let Some(target) = &self.behaviour.redirect {
            return head(stream, 302, &[("Location", target.clone()), ("Content-Length", "0".into())]);
        }
        if self.behaviour.authorization.is_some() && self.behaviour.authorization != request.authorization {
            return head(stream, 401, &[("Content-Length", "0".into())]);
        }
        let fault = lock(&self.faults).pop_front().unwrap_or_else(|| self.always.clone());
        self.send(stream, &request, &fault)
    }

    fn send(&self, stream: &TcpStream, request: &Request, fault: &Fault) -> Result<()> {
        let mut content = self.content.clone();
        let mut etag = self.behaviour.etag.clone();
        match fault {
            Fault::Drop(0) => return Ok(stream.shutdown(Shutdown::Both)?),
            Fault::Status(status) => {
                return head(stream, *status, &[("Content-Length", "5".into())])
                    .and_then(|()| Ok((&*stream).write_all(b"sorry")?));
            }
            Fault::Flip(at) => content[*at] ^= 1,
            Fault::Shorter(less) => content.truncate(content.len() - less),
            Fault::Changed(other) => {
                content.clone_from(other);
                etag = etag.map(|_| "\"2\"".to_string());
            }
            _ => {}
        }
        let same = request.if_range.is_none() || request.if_range == etag;
        let ranges = self.behaviour.ranges;
        let wanted = request
            .range
            .as_deref()
            .and_then(parse_range)
            .filter(|_| ranges != Ranges::Ignored && same && *fault != Fault::NoRange);
        let total = content.len();
        match (ranges, wanted) {
            (Ranges::RefusedAll(status), Some(_)) => return head(stream, status, &[("Content-Length", "0".into())]),
            (Ranges::Refused(status), Some((first, _))) if first > 0 => {
                return head(stream, status, &[("Content-Length", "0".into())]);
            }
            _ => {}
        }
        let (first, end) = match wanted {
            Some((first, _)) if first >= total => {
                return head(
                    stream,
                    416,
                    &[("Content-Range", format!("bytes */{total}")), ("Content-Length", "0".into())],
                );
            }
            Some((first, last)) => {
                let end = last.map_or(total, |last| (last + 1).min(total));
                match ranges {
                    Ranges::Earlier(less) => (first.saturating_sub(less), end),
                    Ranges::Capped(most) => (first, end.min(first + most)),
                    Ranges::Lying => {
                        content.rotate_right(first);
                        (first, end)
                    }
                    _ => (first, end),
                }
            }
            None => (0, total),
        };
        let mut headers = Vec::new();
        headers.extend(etag.map(|etag| ("ETag", etag)));
        headers.extend(self.behaviour.coding.clone().map(|coding| ("Content-Encoding", coding)));
        let status = if wanted.is_some() { 206 } else { 200 };
        if wanted.is_some() && ranges != Ranges::Unlabelled {
            let announced = if let Fault::WrongRange(other) = fault { *other } else { first };
            headers.push(("Content-Range", format!("bytes {announced}-{}/{total}", end - 1)));
        }
        let longer = if let Fault::Longer(more) = fault { *more } else { 0 };
        if self.behaviour.length {
            headers.push(("Content-Length", (end as u64 - first as u64 + longer).to_string()));
        } else {
            headers.push(("Transfer-Encoding", "chunked".into()));
        }
        head(stream, status, &headers)?;
        let (piece, pause) =
            if let Fault::Drip(piece, pause) = fault { (*piece, *pause) } else { (64 << 10, Duration::ZERO) };
        let stop_at = if let Fault::Drop(at) | Fault::Stall(at) = fault { *at } else { usize::MAX };
        let mut at = first;
        while at < end {
            let next = (at + piece).min(end).min(stop_at.max(at));
            if next == at {
                break;
            }
            self.body(stream, &content[at..next])?;
            std::thread::sleep(pause);
            at = next;
        }
        if at < end && matches!(fault, Fault::Stall(_)) {
            while !self.stop.load(Ordering::Relaxed) && is_open(stream) {
                std::thread::sleep(Duration::from_millis(20));
            }
        } else if at == end && !self.behaviour.length {
            (&*stream).write_all(b"0\r\n\r\n")?;
        }
        Ok(stream.shutdown(Shutdown::Both)?)
    }

    fn body(&self, mut stream: &TcpStream, piece: &[u8]) -> Result<()> {
        if self.behaviour.length {
            return Ok(stream.write_all(piece)?);
        }
        write!(stream, "{:x}\r\n", piece.len())?;
        stream.write_all(piece)?;
        Ok(stream.write_all(b"\r\n")?)
    }
}

/// Whether the other side still holds the connection.
fn is_open(stream: &TcpStream) -> bool {
    let mut byte = [0];
    let _ = stream.set_read_timeout(Some(Duration::from_millis(10)));
    !matches!(stream.peek(&mut byte), Ok(0)) && stream.peer_addr().is_ok()
}

fn head(mut stream: &TcpStream, status: u16, headers: &[(&str, String)]) -> Result<()> {
    let mut text = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    Ok(stream.write_all(text.as_bytes())?)
}

fn read_request(stream: &TcpStream) -> Result<Option<Request>> {
    let mut lines = BufReader::new(stream).lines();
    let Some(first) = lines.next().transpose()? else { return Ok(None) };
    let mut request = Request { path: first.split(' ').nth(1).unwrap_or_default().to_string(), ..Request::default() };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        let value = Some(value.to_string());
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = value,
            "if-range" => request.if_range = value,
            "authorization" => request.authorization = value,
            _ => {}
        }
    }
    Ok(Some(request))
}

/// `bytes=5-` or `bytes=5-9`.
fn parse_range(text: &str) -> Option<(usize, Option<usize>)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()))
}
