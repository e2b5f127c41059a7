//! Files for machines over HTTP: HEAD, ETag, one byte range.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::try_unfold;

use crate::artefacts::{Artefacts, Published, Reader};
use crate::error::ApiError;
use crate::media::overlay::Overlay;

/// `GET` and `HEAD /artefacts/{secret}/{name}`.
///
/// # Errors
/// 404 when nothing is published there.
pub async fn serve(
    State(artefacts): State<Arc<Artefacts>>,
    Path((secret, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Published { path, overlay } = artefacts.find(&secret, &name)?.ok_or(ApiError::NotFound)?;
    let internal = |error: io::Error| ApiError::Internal(error.to_string());
    let mut file = File::open(&path).map_err(|_| ApiError::NotFound)?;
    let metadata = file.metadata().map_err(internal)?;
    let size = metadata.len();
    if overlay.as_ref().is_some_and(|overlay| !overlay.fits(&metadata)) {
        tracing::warn!(file = %path.display(), "the file is another one than a machine was to get with changes of its own");
        return Err(ApiError::NotFound);
    }
    artefacts.note_fetch(&secret);
    let changes = overlay.as_ref().map(|overlay| format!("-{}", overlay.digest())).unwrap_or_default();
    let etag = format!("\"{:x}-{:x}-{size:x}{changes}\"", metadata.ino(), metadata.mtime_nsec() ^ metadata.mtime());
    let base = [
        (header::ETAG, etag.clone()),
        (header::ACCEPT_RANGES, "bytes".into()),
        (header::CACHE_CONTROL, "no-cache".into()),
        (header::CONTENT_TYPE, content_type(&name).into()),
    ];
    if text(&headers, header::IF_NONE_MATCH).is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == etag)) {
        return Ok((StatusCode::NOT_MODIFIED, base).into_response());
    }
    let fresh = text(&headers, header::IF_RANGE).is_none_or(|tag| tag == etag);
    let wanted = text(&headers, header::RANGE).filter(|_| fresh).and_then(|text| range(text, size));
    let (status, start, length) = match wanted {
        None => (StatusCode::OK, 0, size),
        Some(Range::Unsatisfiable) => {
            let headers = [(header::CONTENT_RANGE, format!("bytes */{size}"))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, base, headers).into_response());
        }
        Some(Range::Part { start, length }) => (StatusCode::PARTIAL_CONTENT, start, length),
    };
    file.seek(SeekFrom::Start(start)).map_err(internal)?;
    let piece = Piece { file, overlay, position: start, left: length };
    let body = Body::from_stream(try_unfold((piece, artefacts.reader()), async |(piece, reader)| {
        let next = piece.next(&reader).await?;
        Ok::<_, io::Error>(next.map(|(chunk, piece)| (chunk, (piece, reader))))
    }));
    let mut response = (status, base, [(header::CONTENT_LENGTH, length.to_string())], body).into_response();
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(value) = format!("bytes {start}-{}/{size}", start + length - 1).parse()
    {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    Ok(response)
}

/// What is still to be sent of a file.
struct Piece {
    file: File,
    overlay: Option<Overlay>,
    /// Of its next byte.
    position: u64,
    /// Bytes.
    left: u64,
}

impl Piece {
    /// The next bytes; a file that has become shorter is an error.
    async fn next(mut self, reader: &Reader) -> io::Result<Option<(Bytes, Self)>> {
        if self.left == 0 {
            return Ok(None);
        }
        let size = self.left.min(reader.chunk_bytes() as u64);
        let _turn = reader.turn().await;
        let read = move || {
            let mut chunk = Vec::with_capacity(size as usize);
            (&self.file).take(size).read_to_end(&mut chunk)?;
            if chunk.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(overlay) = &self.overlay {
                overlay.lay_over(self.position, &mut chunk);
            }
            self.position += chunk.len() as u64;
            self.left -= chunk.len() as u64;
            Ok(Some((Bytes::from(chunk), self)))
        };
        tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
    }
}

/// Firmware decides by the type how to boot what it loads.
fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, suffix)| suffix) {
        Some("efi") => "application/efi",
        Some("iso") => "application/vnd.efi-iso",
        Some("img") => "application/vnd.efi-img",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[derive(Debug, PartialEq)]
enum Range {
    Part { start: u64, length: u64 },
    Unsatisfiable,
}

/// One range of RFC 9110; anything else (several ranges, other units) is ignored, as it may be.
fn range(text: &str, size: u64) -> Option<Range> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (start, end) = match (first.trim(), last.trim()) {
        ("", suffix) => (size.saturating_sub(suffix.parse().ok()?), size),
        (first, "") => (first.parse().ok()?, size),
        (first, last) => (first.parse().ok()?, last.parse::<u64>().ok()?.saturating_add(1).min(size)),
    };
    Some(if start < end { Range::Part { start, length: end - start } } else { Range::Unsatisfiable })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let part = |start, length| Some(Range::Part { start, length });
        assert_eq!(range("bytes=0-9", 100), part(0, 10));
        assert_eq!(range("bytes=90-", 100), part(90, 10));
        assert_eq!(range("bytes=-5", 100), part(95, 5));
        assert_eq!(range("bytes=50-500", 100), part(50, 50));
        assert_eq!(range("bytes=100-", 100), Some(Range::Unsatisfiable));
        assert_eq!(range("bytes=0-1,5-6", 100), None);
        assert_eq!(range("lines=1-2", 100), None);
    }
}
