//! `data:` URLs (RFC 2397), in which contents travel inside of a config.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;
use thiserror::Error;

/// What may stand in a URL as it is (RFC 3986, unreserved).
const NOT_UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// More than a config can usefully carry, and little enough that a decompression bomb does no harm.
pub const MAX_BYTES: u64 = 64 << 20;

/// Why contents cannot be had.
#[derive(Debug, Error)]
pub enum DataUrlError {
    /// No comma, or escapes that are none.
    #[error("not a data URL: {0}")]
    Malformed(&'static str),
    /// The part behind the comma is not base64.
    #[error("the data URL is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// Marked as compressed, but not so.
    #[error("the contents are not gzip: {0}")]
    Gzip(#[from] std::io::Error),
    /// They grow beyond what is reasonable.
    #[error("the contents are longer than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
}

/// A URL that holds these bytes.
#[must_use]
pub fn from_bytes(contents: impl AsRef<[u8]>) -> String {
    format!("data:;base64,{}", STANDARD.encode(contents))
}

/// A URL that holds this text, and can be read by people.
#[must_use]
pub fn from_text(text: &str) -> String {
    format!("data:,{}", utf8_percent_encode(text, NOT_UNRESERVED))
}

/// The bytes that a URL holds.
///
/// # Errors
/// What Ignition could not decode either.
pub fn decode(url: &str) -> Result<Vec<u8>, DataUrlError> {
    let rest = url.strip_prefix("data:").ok_or(DataUrlError::Malformed("it does not begin with data:"))?;
    let (header, body) = rest.split_once(',').ok_or(DataUrlError::Malformed("it has no comma"))?;
    let escapes = body.split('%').skip(1);
    if escapes.clone().any(|escape| !escape.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()) || escape.len() < 2) {
        return Err(DataUrlError::Malformed("'%' without two hexadecimal digits behind it"));
    }
    let mut bytes: Vec<u8> = percent_decode_str(body).collect();
    if header.ends_with(";base64") {
        bytes.retain(|byte| !matches!(byte, b'\r' | b'\n'));
        bytes = STANDARD.decode(bytes)?;
    }
    Ok(bytes)
}

/// The contents of a resource (`source`, `compression`) that carries them; none when they have to be fetched.
pub(crate) fn contents(resource: &Value) -> Option<Result<Vec<u8>, DataUrlError>> {
    let source = resource["source"].as_str().filter(|source| source.starts_with("data:"))?;
    let compressed = resource["compression"] == "gzip";
    Some(decode(source).and_then(|bytes| if compressed { unpacked(&bytes) } else { Ok(bytes) }))
}

fn unpacked(bytes: &[u8]) -> Result<Vec<u8>, DataUrlError> {
    let mut unpacked = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes).take(MAX_BYTES + 1).read_to_end(&mut unpacked)?;
    if unpacked.len() as u64 > MAX_BYTES { Err(DataUrlError::TooLarge) } else { Ok(unpacked) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::json;

    use super::*;

    #[test]
    fn both_notations_are_decoded() {
        for (url, contents) in [
            ("data:,", ""),
            ("data:,a%20b", "a b"),
            ("data:text/plain;charset=utf-8,x", "x"),
            ("data:;base64,YWI=", "ab"),
            ("data:text/plain;base64,YW\nI%3D", "ab"),
        ] {
            assert_eq!(decode(url).unwrap(), contents.as_bytes(), "{url}");
        }
        assert_eq!(decode(&from_bytes("\0\u{ff}")).unwrap(), "\0\u{ff}".as_bytes());
        assert_eq!(decode(&from_text("a, %20\u{fc}\n")).unwrap(), "a, %20\u{fc}\n".as_bytes());
        for url in ["data:", "data:;base64,Y", "data:;base64,YWI", "data:,%2", "data:,%zz", "http://a/"] {
            assert!(decode(url).is_err(), "{url}");
        }
    }

    #[test]
    fn compressed_contents_are_unpacked_within_bounds() {
        let gzip = |bytes: &mut dyn Read| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::copy(bytes, &mut encoder).unwrap();
            encoder.flush().unwrap();
            json!({"source": from_bytes(encoder.finish().unwrap()), "compression": "gzip"})
        };
        assert_eq!(contents(&gzip(&mut &b"{}"[..])).unwrap().unwrap(), b"{}");
        let bomb = gzip(&mut std::io::repeat(0).take(MAX_BYTES + 1));
        assert!(matches!(contents(&bomb), Some(Err(DataUrlError::TooLarge))));
        assert!(contents(&json!({"source": "https://192.0.2.1/"})).is_none());
        assert!(matches!(
            contents(&json!({"source": "data:,a", "compression": "gzip"})),
            Some(Err(DataUrlError::Gzip(_)))
        ));
    }
}
