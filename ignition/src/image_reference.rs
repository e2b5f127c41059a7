//! References to container images, by the grammar that podman parses them with
//! (<https://github.com/distribution/reference>, `reference.go`): what podman cannot parse is refused here, because on the
//! machine it would be tried again for ever.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use thiserror::Error;

/// The one transport that a registry is reached by; podman knows it by this prefix as well as without.
const TRANSPORT: &str = "docker://";
const MAX_NAME_BYTES: usize = 255;
const MAX_TAG_BYTES: usize = 128;

/// Which rule a reference breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReferenceError {
    /// Nothing in front of tag and digest.
    #[error("it has no name")]
    Empty,
    /// `https://…`, `oci:…`.
    #[error("it must not begin with a scheme: REGISTRY/NAME:TAG is enough")]
    Scheme,
    /// Upper case in the path.
    #[error("the name behind the registry must be lower case")]
    UpperCase,
    /// An empty or misspelled part of the path.
    #[error(
        "a part of the name is empty, or has other characters than a-z and 0-9 with '.', '_', '__' or '-' between them"
    )]
    Component,
    /// 64 hexadecimal digits are an image's id.
    #[error("64 hexadecimal digits are the id of an image, not its name")]
    Id,
    /// Longer than registries allow.
    #[error("the name is longer than {MAX_NAME_BYTES} bytes")]
    Length,
    /// Not a host name or address.
    #[error("the registry is not a host name or an address (IPv6 in brackets, without zone)")]
    Host,
    /// Not a port.
    #[error("the registry's port is not a number from 1 to 65535")]
    Port,
    /// Not a tag.
    #[error("a tag has 1 to {MAX_TAG_BYTES} letters, digits, '_', '.' and '-', and begins with none of the last two")]
    Tag,
    /// Not a digest.
    #[error("a digest is sha256:, sha384: or sha512: and 64, 96 or 128 hexadecimal digits in lower case")]
    Digest,
}

/// A reference that podman can parse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReference {
    text: String,
    registry: Option<String>,
    path: String,
}

impl ImageReference {
    /// The reference as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Host and perhaps port of the registry; none for a short name, which podman looks up in its own configuration.
    #[must_use]
    pub fn registry(&self) -> Option<&str> {
        self.registry.as_deref()
    }

    /// The name without registry, tag and digest.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl FromStr for ImageReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let bare = text.strip_prefix(TRANSPORT).unwrap_or(text);
        if bare.contains("://")
            || ["oci:", "oci-archive:", "docker-archive:", "dir:"].iter().any(|s| bare.starts_with(s))
        {
            return Err(ReferenceError::Scheme);
        }
        let (rest, digest) = match bare.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (bare, None),
        };
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(ReferenceError::Digest);
        }
        let (registry, rest) = split_registry(rest);
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Tag);
        }
        if let Some(registry) = registry {
            check_registry(registry)?;
        }
        check_path(path)?;
        let name_bytes = registry.map_or(0, |registry| registry.len() + 1) + path.len();
        if name_bytes > MAX_NAME_BYTES {
            return Err(ReferenceError::Length);
        }
        if registry.is_none() && path.len() == 64 && path.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ReferenceError::Id);
        }
        Ok(Self { text: text.to_owned(), registry: registry.map(str::to_owned), path: path.to_owned() })
    }
}

/// `HOST[:PORT][/PATH]`, as mirrors of a registry are written.
///
/// # Errors
/// The rule that it breaks.
pub fn check_location(location: &str) -> Result<(), ReferenceError> {
    match location.split_once('/') {
        Some((registry, path)) => check_registry(registry).and_then(|()| check_path(path)),
        None => check_registry(location),
    }
}

/// What stands before the first slash is a registry when it has a dot or a colon in it, or is `localhost`.
fn split_registry(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':', '[']) || first == "localhost" => (Some(first), rest),
        _ => (None, name),
    }
}

fn check_registry(registry: &str) -> Result<(), ReferenceError> {
    let port = match registry.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(ReferenceError::Host)?;
            address.parse::<Ipv6Addr>().map_err(|_| ReferenceError::Host)?;
            port
        }
        None => {
            let (host, port) = registry.split_at(registry.find(':').unwrap_or(registry.len()));
            if !host.split('.').all(is_label) || port.matches(':').count() > 1 {
                return Err(ReferenceError::Host);
            }
            port
        }
    };
    let is_port = |digits: &str| {
        digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok_and(|port| port > 0)
    };
    if port.is_empty() || port.strip_prefix(':').is_some_and(is_port) { Ok(()) } else { Err(ReferenceError::Port) }
}

fn is_label(label: &str) -> bool {
    let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    !label.is_empty() && plain && !label.starts_with('-') && !label.ends_with('-')
}

fn check_path(path: &str) -> Result<(), ReferenceError> {
    if path.is_empty() {
        return Err(ReferenceError::Empty);
    }
    if path.contains(|character: char| character.is_ascii_uppercase()) {
        return Err(ReferenceError::UpperCase);
    }
    if path.split('/').all(is_component) { Ok(()) } else { Err(ReferenceError::Component) }
}

/// Letters and digits, and between them one dot, one or two underscores, or any number of hyphens.
fn is_component(component: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends_well = component.bytes().next().is_some_and(is_plain) && component.bytes().last().is_some_and(is_plain);
    let separators = component.split(|character: char| character.is_ascii_lowercase() || character.is_ascii_digit());
    ends_well
        && separators
            .filter(|separator| !separator.is_empty())
            .all(|separator| matches!(separator, "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= MAX_TAG_BYTES
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == length && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> ReferenceError {
        text.parse::<ImageReference>().expect_err(text)
    }

    #[test]
    fn references_are_taken_apart() {
        let digest = format!("sha256:{}", "0f".repeat(32));
        for (text, registry, path) in [
            ("agent", None, "agent"),
            ("ferric/agent:1", None, "ferric/agent"),
            ("localhost/ferric-agent:latest", Some("localhost"), "ferric-agent"),
            ("registry.example:5000/ferric/agent", Some("registry.example:5000"), "ferric/agent"),
            ("Registry.Example/a__b-c.d---e", Some("Registry.Example"), "a__b-c.d---e"),
            ("192.0.2.1:5000/agent:v1.0_x-Y", Some("192.0.2.1:5000"), "agent"),
            ("[fd00::1]:5000/agent:1", Some("[fd00::1]:5000"), "agent"),
            ("docker://quay.io/metal3-io/agent:_", Some("quay.io"), "metal3-io/agent"),
            (&format!("r.example/agent@{digest}"), Some("r.example"), "agent"),
            (&format!("r.example/agent:1@{digest}"), Some("r.example"), "agent"),
        ] {
            let reference: ImageReference = text.parse().unwrap();
            assert_eq!((reference.registry(), reference.path()), (registry, path), "{text}");
            assert_eq!(reference.as_str(), text);
        }
    }

    #[test]
    fn the_broken_rule_is_named() {
        use ReferenceError::*;
        let hex = "0f".repeat(32);
        for (text, expected) in [
            ("", Empty),
            ("registry.example/", Empty),
            ("https://registry.example/agent:1", Scheme),
            ("oci:/var/agent", Scheme),
            ("Registry.example/Ferric/agent:1", UpperCase),
            ("Agent", UpperCase),
            ("A/b", UpperCase),
            ("registry.example//agent", Component),
            ("registry.example/agent/", Component),
            ("registry.example/a..b", Component),
            ("registry.example/a___b", Component),
            ("registry.example/-a", Component),
            ("registry.example/a b", Component),
            ("a\nb", Component),
            ("--privileged", Component),
            ("registry.example/agent:", Tag),
            ("registry.example/agent:-1", Tag),
            ("registry.example/agent:.1", Tag),
            ("registry.example/agent:1+2", Tag),
            ("registry.example/agent:1:2", Component),
            (&format!("registry.example/agent:{}", "t".repeat(129)), Tag),
            ("registry.example/agent@sha256:12", Digest),
            ("registry.example/agent@", Digest),
            (&format!("registry.example/agent@md5:{}", "0f".repeat(16)), Digest),
            (&format!("registry.example/agent@sha256:{}", hex.to_uppercase()), Digest),
            (&format!("registry.example/agent@sha256:{hex}@sha256:{hex}"), Digest),
            ("registry.example:/agent", Port),
            ("registry.example:0/agent", Port),
            ("registry.example:70000/agent", Port),
            ("registry.example:+80/agent", Port),
            ("[::1]5000/agent", Port),
            ("[::1/agent", Host),
            ("[fe80::1%eth0]:5000/agent", Host),
            ("::1/agent", Host),
            ("registry_.example/agent", Host),
            ("-registry.example/agent", Host),
            ("registry..example/agent", Host),
            (&hex, Id),
            (&format!("registry.example/{}", "a".repeat(255)), Length),
        ] {
            assert_eq!(rule(text), expected, "{text}");
        }
    }

    #[test]
    fn mirrors_are_places_without_tag() {
        for location in ["mirror.example", "mirror.example:5000/ferric", "[fd00::1]:5000"] {
            assert_eq!(check_location(location), Ok(()), "{location}");
        }
        for location in ["", "mirror.example/agent:1", "https://mirror.example", "mirror.example/A", "a\"b"] {
            assert!(check_location(location).is_err(), "{location}");
        }
    }
}
