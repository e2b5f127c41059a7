//! Is it still the same object? What a server says of a file, and how to compare it.

use reqwest::StatusCode;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED};

use crate::http::coding::Coding;

/// What a server said of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Object {
    /// Its size, as coded, unless it is sent in chunks of unknown number.
    pub(crate) total: Option<u64>,
    /// How it is coded. All positions are those of the coded bytes.
    pub(crate) coding: Option<Coding>,
    etag: Option<String>,
    last_modified: Option<String>,
}

impl Object {
    /// From the headers of a 200 or 206 answer.
    pub(crate) fn of(status: StatusCode, headers: &HeaderMap, coding: Option<Coding>) -> Self {
        let total = match status {
            StatusCode::PARTIAL_CONTENT => ContentRange::of(headers).and_then(|range| range.total),
            _ => text(headers, &CONTENT_LENGTH).and_then(|length| length.parse().ok()),
        };
        Self { total, coding, etag: text(headers, &ETAG), last_modified: text(headers, &LAST_MODIFIED) }
    }

    /// What to send as `If-Range`: a strong ETag, or the date (RFC 9110 section 13.1.5).
    pub(crate) fn if_range(&self) -> Option<&str> {
        let strong = self.etag.as_deref().filter(|etag| !etag.starts_with("W/"));
        strong.or(self.last_modified.as_deref())
    }

    /// Why `other`, from the same server, is another object.
    pub(crate) fn differs(&self, other: &Self) -> Option<String> {
        let changed = |what: &str, a: &str, b: &str| Some(format!("its {what} was {a} and is {b}"));
        match (&self.etag, &other.etag) {
            (Some(a), Some(b)) if a != b => return changed("ETag", a, b),
            _ => {}
        }
        match (&self.last_modified, &other.last_modified) {
            (Some(a), Some(b)) if a != b => return changed("date", a, b),
            _ => {}
        }
        self.differs_in_bytes(other)
    }

    /// Why `other`, from another server, cannot be a copy.
    pub(crate) fn differs_in_bytes(&self, other: &Self) -> Option<String> {
        if self.coding != other.coding {
            let name = |coding: Option<Coding>| coding.map_or("identity", Coding::name);
            return Some(format!("its Content-Encoding was {} and is {}", name(self.coding), name(other.coding)));
        }
        match (self.total, other.total) {
            (Some(a), Some(b)) if a != b => Some(format!("its length was {a} and is {b}")),
            _ => None,
        }
    }

    /// Whether a second answer can be recognised as the same object.
    pub(crate) fn is_recognisable(&self) -> bool {
        self.etag.is_some() || self.last_modified.is_some()
    }
}

/// A `Content-Range: bytes 0-9/10` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentRange {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) total: Option<u64>,
}

impl ContentRange {
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let value = text(headers, &CONTENT_RANGE)?;
        let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let total = if total == "*" { None } else { Some(total.parse().ok()?) };
        Some(Self { first: first.parse().ok()?, last: last.parse().ok()?, total })
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(headers: &[(HeaderName, &str)]) -> Object {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        Object::of(StatusCode::OK, &headers, None)
    }

    #[test]
    fn a_weak_tag_gives_way_to_the_date() {
        let weak = object(&[(ETAG, "W/\"1\""), (LAST_MODIFIED, "Sat, 01 Jan 2000 00:00:00 GMT")]);
        assert_eq!(weak.if_range(), Some("Sat, 01 Jan 2000 00:00:00 GMT"));
        assert_eq!(object(&[(ETAG, "\"1\"")]).if_range(), Some("\"1\""));
        assert_eq!(object(&[(ETAG, "W/\"1\"")]).if_range(), None);
    }

    #[test]
    fn any_difference_is_named() {
        let before = object(&[(ETAG, "\"1\""), (CONTENT_LENGTH, "10")]);
        assert_eq!(before.differs(&before), None);
        assert_eq!(before.differs(&object(&[(CONTENT_LENGTH, "10")])), None);
        assert!(before.differs(&object(&[(ETAG, "\"2\"")])).unwrap().contains("ETag"));
        assert!(before.differs(&object(&[(CONTENT_LENGTH, "11")])).unwrap().contains("11"));
        let coded = Object { coding: Some(Coding::Gzip), ..object(&[(CONTENT_LENGTH, "10")]) };
        assert!(before.differs_in_bytes(&coded).unwrap().contains("identity and is gzip"));
    }

    #[test]
    fn content_ranges_are_read_strictly() {
        let read = |value: &str| {
            ContentRange::of(&[(CONTENT_RANGE, value.parse().unwrap())].into_iter().collect::<HeaderMap>())
        };
        assert_eq!(read("bytes 5-9/10"), Some(ContentRange { first: 5, last: 9, total: Some(10) }));
        assert_eq!(read("bytes 5-9/*").unwrap().total, None);
        for wrong in ["bytes */10", "bytes 5-/10", "items 5-9/10", "bytes 5-9"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
