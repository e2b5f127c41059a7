//! What names a file: a path or URL of this host, or a URL of a server.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

use crate::files;
use crate::mask;

/// Where a file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// This host.
    File(PathBuf),
    /// A server; with name and password in the URL where it asks for them.
    Url(Url),
}

/// Why a text names no file that can be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SourceError {
    /// A registry.
    #[error("{0:?}: files of registries (oci) cannot be had here; name a file by http, https or its path")]
    Registry(String),
    /// Something else.
    #[error("{0:?} must be an http or https URL, or the path of a file")]
    Kind(String),
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        if let Some(file) = files::local(text) {
            return Ok(Self::File(file));
        }
        let shown = || mask::text(text);
        if text.starts_with("oci:") {
            return Err(SourceError::Registry(shown()));
        }
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Self::Url(url)),
            _ => Err(SourceError::Kind(shown())),
        }
    }
}

/// Without what is secret in it.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => f.write_str(&mask::text(url.as_str())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_servers_are_told_apart() {
        assert_eq!("file:///a/b.iso".parse::<Source>().unwrap(), Source::File("/a/b.iso".into()));
        assert_eq!("/a/b.iso".parse::<Source>().unwrap(), Source::File("/a/b.iso".into()));
        let with_password = "https://name:hidden-word@h/b.iso".parse::<Source>().unwrap();
        assert!(matches!(with_password, Source::Url(_)) && !with_password.to_string().contains("hidden-word"));
        assert!("oci://registry/image:1".parse::<Source>().unwrap_err().to_string().contains("oci"));
        for text in ["", "b.iso", "ftp://h/b.iso", "http://", "file://host/b.iso"] {
            assert!(text.parse::<Source>().is_err(), "{text}");
        }
    }
}
