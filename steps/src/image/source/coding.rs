//! Bodies that come coded (RFC 9110 section 8.4) though that was not asked for: so they were stored.

use reqwest::header::{CONTENT_ENCODING, HeaderMap};

use crate::image::decode::Compression;

/// How a body is coded, or the name of a coding that we do not know.
pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Compression>, String> {
    let values = headers.get_all(CONTENT_ENCODING).iter();
    let names = values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>().join(", ");
    match names.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(None),
        "gzip" | "x-gzip" => Ok(Some(Compression::Gzip)),
        "deflate" => Ok(Some(Compression::Deflate)),
        _ => Err(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_coding_is_known_and_several_are_not() {
        let coding = |values: &[&str]| {
            of(&values.iter().map(|value| (CONTENT_ENCODING, value.parse().unwrap())).collect::<HeaderMap>())
        };
        assert_eq!(coding(&[]), Ok(None));
        assert_eq!(coding(&["identity"]), Ok(None));
        assert_eq!(coding(&["GZIP"]), Ok(Some(Compression::Gzip)));
        assert_eq!(coding(&["x-gzip"]), Ok(Some(Compression::Gzip)));
        assert_eq!(coding(&[" deflate "]), Ok(Some(Compression::Deflate)));
        assert_eq!(coding(&["br"]), Err("br".to_string()));
        assert_eq!(coding(&["gzip, gzip"]), Err("gzip, gzip".to_string()));
        assert_eq!(coding(&["gzip", "deflate"]), Err("gzip, deflate".to_string()));
    }
}
