//! `oci://user:password@registry/name:tag@digest`.

use percent_encoding::percent_decode_str;
use url::Url;

use super::{OciError, SCHEME};
use crate::http::Authorization;

/// A repository and one version in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// User and password, which may be escaped as in any URL.
    pub(super) authorization: Option<Authorization>,
    registry: String,
    /// Name of the repository, with slashes.
    pub(super) name: String,
    /// The digest, else the tag.
    pub(super) version: String,
}

impl Reference {
    /// Nothing when the text is no such URL.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let rest = url.strip_prefix(SCHEME)?;
        let (registry, path) = rest.split_once('/')?;
        let (authorization, registry) = match registry.rsplit_once('@') {
            Some((user, registry)) => (Some(basic(user)?), registry),
            None => (None, registry),
        };
        let (path, digest) = match path.split_once('@') {
            Some((path, digest)) => (path, Some(digest)),
            None => (path, None),
        };
        let (name, tag) = path.split_once(':').unwrap_or((path, "latest"));
        let is_word =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        let is_name = name.split('/').all(|part| is_word(part) && part != "." && part != "..");
        let is_digest =
            digest.is_none_or(|digest| digest.split_once(':').is_some_and(|(a, b)| is_word(a) && is_word(b)));
        if registry.is_empty() || registry.contains(['?', '#']) || !is_name || !is_word(tag) || !is_digest {
            return None;
        }
        let version = digest.unwrap_or(tag).to_string();
        Some(Self { authorization, registry: registry.to_string(), name: name.to_string(), version })
    }

    /// The URL of a manifest (`manifests`) or blob (`blobs`).
    pub(super) fn url(&self, kind: &str, version: &str) -> Result<Url, OciError> {
        let address = format!("https://{}/v2/{}/{kind}/{version}", self.registry, self.name);
        Url::parse(&address).map_err(|source| OciError::Address { address, source })
    }
}

/// `user:password`.
fn basic(text: &str) -> Option<Authorization> {
    let (user, password) = text.split_once(':')?;
    let decoded = |text| percent_decode_str(text).decode_utf8().ok().map(String::from);
    Some(Authorization::Basic(decoded(user)?, decoded(password)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_counts_before_a_tag_and_a_tag_before_latest() {
        for (text, name, version) in [
            ("oci://host/os", "os", "latest"),
            ("oci://host:5000/a/b/os:1.2", "a/b/os", "1.2"),
            ("oci://host/os@sha256:ab", "os", "sha256:ab"),
            ("oci://host/os:1@sha256:ab", "os", "sha256:ab"),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!((reference.name.as_str(), reference.version.as_str()), (name, version), "{text}");
        }
        let reference = Reference::parse("oci://host:5000/os:1").unwrap();
        assert_eq!(reference.url("manifests", "1").unwrap().as_str(), "https://host:5000/v2/os/manifests/1");
    }

    #[test]
    fn user_and_password_come_before_the_registry() {
        let reference = Reference::parse("oci://me:a%40b:c@host:5000/os:1").unwrap();
        assert_eq!(reference.authorization, Some(Authorization::Basic("me".into(), "a@b:c".into())));
        assert_eq!(reference.url("manifests", "1").unwrap().as_str(), "https://host:5000/v2/os/manifests/1");
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in [
            "oci://host",
            "oci:///os",
            "oci://host/",
            "oci://host/os:",
            "oci://host/os@",
            "oci://host/../os:1",
            "oci://me@host/os",
            "oci://me:secret@/os",
            "oci://host/os?x",
            "https://host/os",
        ] {
            assert_eq!(Reference::parse(text), None, "{text}");
        }
    }
}
