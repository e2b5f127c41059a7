//! Bodies that come coded (RFC 9110 section 8.4) though that was not asked for: so they were stored.

use std::io::{self, Read};

use reqwest::header::{CONTENT_ENCODING, HeaderMap};

/// A coding that we can undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
    Zstd,
}

impl Coding {
    /// Its name, as servers say it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        }
    }

    /// Whether a body that starts with `first` can be in this coding: stores repeat whatever the one who uploaded it said.
    pub(crate) fn fits(self, first: &[u8]) -> bool {
        match self {
            Self::Gzip => first.starts_with(&[0x1f, 0x8b]),
            Self::Zstd => first.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]),
            Self::Deflate => true,
        }
    }

    /// How many bytes [`Coding::fits`] looks at.
    pub(crate) const FIRST_BYTES: usize = 4;
}

/// Codings of the IANA registry (HTTP Content Coding Registry) that we cannot undo.
const UNKNOWN: [&str; 8] = ["br", "compress", "x-compress", "exi", "pack200-gzip", "aes128gcm", "dcb", "dcz"];

/// How a body is coded, or the names of the codings that cannot be undone. Names that are those of no coding are passed
/// over: object stores repeat `aws-chunked`, `binary`, `utf-8` or `none` from the upload, and the body is as it was.
pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Coding>, String> {
    let values = headers.get_all(CONTENT_ENCODING).iter();
    let said = values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>().join(", ");
    let said = said.to_ascii_lowercase();
    let mut found = None;
    for name in said.split(',').map(str::trim) {
        let coding = match name {
            "gzip" | "x-gzip" => Coding::Gzip,
            "deflate" => Coding::Deflate,
            "zstd" => Coding::Zstd,
            name if UNKNOWN.contains(&name) => return Err(said),
            _ => continue,
        };
        if found.replace(coding).is_some() {
            return Err(said);
        }
    }
    Ok(found)
}

/// The content of a small body, at most one byte more than `limit_bytes`.
pub(crate) fn decode(body: &[u8], coding: Coding, limit_bytes: usize) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    if !coding.fits(body) {
        return Ok(body.to_vec());
    }
    let limit = limit_bytes as u64 + 1;
    match coding {
        Coding::Gzip => flate2::read::MultiGzDecoder::new(body).take(limit).read_to_end(&mut content)?,
        // The method of the zlib format; see the image decoder for bare data.
        Coding::Deflate if body.first().is_some_and(|first| first & 0x0f == 8) => {
            flate2::read::ZlibDecoder::new(body).take(limit).read_to_end(&mut content)?
        }
        Coding::Deflate => flate2::read::DeflateDecoder::new(body).take(limit).read_to_end(&mut content)?,
        Coding::Zstd => zstd::Decoder::new(body)?.take(limit).read_to_end(&mut content)?,
    };
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn coding(values: &[&str]) -> Result<Option<Coding>, String> {
        of(&values.iter().map(|value| (CONTENT_ENCODING, value.parse().unwrap())).collect::<HeaderMap>())
    }

    #[test]
    fn one_coding_is_known_and_several_are_not() {
        assert_eq!(coding(&["GZIP"]), Ok(Some(Coding::Gzip)));
        assert_eq!(coding(&["x-gzip"]), Ok(Some(Coding::Gzip)));
        assert_eq!(coding(&[" deflate "]), Ok(Some(Coding::Deflate)));
        assert_eq!(coding(&["zstd"]), Ok(Some(Coding::Zstd)));
        assert_eq!(coding(&["br"]), Err("br".to_string()));
        assert_eq!(coding(&["gzip, gzip"]), Err("gzip, gzip".to_string()));
        assert_eq!(coding(&["gzip", "deflate"]), Err("gzip, deflate".to_string()));
        assert_eq!(coding(&["aws-chunked,br"]), Err("aws-chunked,br".to_string()));
    }

    #[test]
    fn words_that_are_no_coding_are_passed_over() {
        for word in ["", "identity", "none", "binary", "utf-8", "UTF8", "aws-chunked", "8bit", "base64?", "null", ","] {
            assert_eq!(coding(&[word]), Ok(None), "{word}");
        }
        assert_eq!(coding(&[]), Ok(None));
        assert_eq!(coding(&["aws-chunked,gzip"]), Ok(Some(Coding::Gzip)));
        assert_eq!(coding(&["identity", "gzip"]), Ok(Some(Coding::Gzip)));
    }

    #[test]
    fn small_bodies_are_decoded_and_bounded() {
        let text = b"0123456789".repeat(100);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let gzip = gzip.finish().unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(&text).unwrap();
        let mut bare = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        bare.write_all(&text).unwrap();
        for (coding, body) in [
            (Coding::Gzip, gzip.clone()),
            (Coding::Deflate, zlib.finish().unwrap()),
            (Coding::Deflate, bare.finish().unwrap()),
            (Coding::Zstd, zstd::encode_all(&text[..], 1).unwrap()),
        ] {
            assert_eq!(decode(&body, coding, 1000).unwrap(), text, "{coding:?}");
            assert_eq!(decode(&body, coding, 99).unwrap().len(), 100, "{coding:?}");
            assert!(decode(&body[..body.len() / 2], coding, 1000).is_err(), "{coding:?}");
        }
        assert_eq!(decode(&text, Coding::Gzip, 1000).unwrap(), text, "not in the coding that it was said to be in");
        assert_eq!(decode(&[gzip.clone(), gzip].concat(), Coding::Gzip, 2000).unwrap().len(), 2000, "two members");
    }
}
