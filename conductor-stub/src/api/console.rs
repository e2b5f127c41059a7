//! `GET /stub/nodes/{node}/console`: the end of a machine's console and what is added to it, as server-sent events.

use std::collections::VecDeque;
use std::io::SeekFrom;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::sse;
use futures_util::stream::unfold;
use serde_json::json;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::time::Instant;
use uuid::Uuid;

use super::body::Answer;
use super::events::{BEAT, answer, beat, full};
use crate::conductor::Shared;
use crate::error::ApiError;
use crate::events::{Place, Watch};
use crate::mask;

/// How much of what was there before is shown.
const TAIL_BYTES: u64 = 64 * 1024;
/// A line that is longer is broken.
const LINE_BYTES: usize = 8 * 1024;
/// Pause between looks at the file.
const PAUSE: Duration = Duration::from_millis(500);

/// `GET /stub/nodes/{node}/console`.
///
/// # Errors
/// 404 when there is no such node, or it has no console. 503 when there are too many readers.
pub async fn stream(State(conductor): State<Shared>, Path(ident): Path<String>, headers: HeaderMap) -> Answer {
    let node = conductor.find(&ident)?;
    let ports = conductor.store.ports_of(node.uuid)?;
    let file = conductor.consoles.file(&node, &ports);
    let file = file.ok_or(ApiError::Missing { kind: "Console of node", ident: node.uuid.to_string() })?;
    let events = conductor.store.events();
    let Some(place) = events.place() else { return Ok(full()) };
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()).and_then(Mark::parse);
    let reader = Reader {
        end: events.watch(),
        conductor: Shared::clone(&conductor),
        node: node.uuid,
        file,
        mark: last,
        line: Vec::new(),
        ready: VecDeque::new(),
        _place: place,
    };
    Ok(answer(unfold(reader, async |mut reader| Some((Ok(reader.next().await?), reader)))))
}

/// How far which file has been read: a machine that is started anew has a new one, or begins the old one again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    inode: u64,
    offset: u64,
}

impl Mark {
    fn parse(text: &str) -> Option<Self> {
        let (inode, offset) = text.split_once('-')?;
        Some(Self { inode: inode.parse().ok()?, offset: offset.parse().ok()? })
    }
}

struct Reader {
    conductor: Shared,
    node: Uuid,
    file: PathBuf,
    mark: Option<Mark>,
    /// Begun and not yet ended.
    line: Vec<u8>,
    ready: VecDeque<sse::Event>,
    end: Watch,
    _place: Place,
}

impl Reader {
    async fn next(&mut self) -> Option<sse::Event> {
        let start = Instant::now();
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.end.is_over() {
                return None;
            }
            // A file that is not there yet, or not any more, may come.
            if self.read().await.is_some() {
                continue;
            }
            if start.elapsed() >= BEAT {
                return Some(beat());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Reads what is new; nothing if nothing is.
    async fn read(&mut self) -> Option<()> {
        let mut file = File::open(&self.file).await.ok()?;
        let about = file.metadata().await.ok().filter(std::fs::Metadata::is_file)?;
        let (inode, size) = (about.ino(), about.len());
        let offset = match self.mark {
            Some(mark) if mark.inode == inode && mark.offset <= size => mark.offset,
            before => {
                self.line.clear();
                self.ready.push_back(sse::Event::default().event("clear").data("{}"));
                if before.is_none() { size.saturating_sub(TAIL_BYTES) } else { 0 }
            }
        };
        self.mark = Some(Mark { inode, offset });
        file.seek(SeekFrom::Start(offset)).await.ok()?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes).await.ok()?;
        if bytes.is_empty() {
            return None;
        }
        let mark = Mark { inode, offset: offset + bytes.len() as u64 };
        self.mark = Some(mark);
        self.line.append(&mut bytes);
        let whole = self.line.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let whole = if self.line.len() - whole > LINE_BYTES { self.line.len() } else { whole };
        let text = self.line.drain(..whole).collect::<Vec<u8>>();
        // A machine prints what it boots with; its secrets change with every boot.
        let node = self.conductor.store.node(&self.node.to_string()).ok().flatten()?;
        let internal = node.internal.view();
        let records = [&node.spec.driver_info, &node.spec.instance_info, &internal];
        let shown = |bytes: &[u8]| mask::text_without(&String::from_utf8_lossy(bytes), records);
        let data = json!({"text": shown(&text), "rest": shown(&self.line)});
        // A client that comes back reads the line that has begun once more.
        let id = format!("{inode}-{}", mark.offset - self.line.len() as u64);
        self.ready.push_back(sse::Event::default().event("console").id(id).data(data.to_string()));
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read() {
        assert_eq!(Mark::parse("7-12"), Some(Mark { inode: 7, offset: 12 }));
        assert_eq!(Mark::parse("x"), None);
    }
}
