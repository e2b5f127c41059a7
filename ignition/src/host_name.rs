//! Host names: which can be set, and which only say that nobody has given one.

use std::net::IpAddr;

/// The kernel's limit (`HOST_NAME_MAX`).
const MAX_BYTES: usize = 64;
const MAX_LABEL_BYTES: usize = 63;
/// What systems call themselves as long as nobody gives them a name: systemd's fall-back names (os-release,
/// `DEFAULT_HOSTNAME`), the kernel's, and those of live images. Others are known by [`Distribution`].
const FALLBACKS: [&str; 12] = [
    "(none)",
    "alpine",
    "archiso",
    "centos",
    "coreos",
    "debian",
    "fedora",
    "linux",
    "live",
    "localhost-live",
    "rhel",
    "ubuntu",
];
/// Behind a fall-back name, these say no more than the name itself.
const EMPTY_DOMAINS: [&str; 6] = [".localdomain", ".localdomain4", ".localdomain6", ".local", ".lan", ".home"];

/// What a running system says of itself in `os-release`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distribution {
    names: Vec<String>,
}

impl Distribution {
    /// Reads the text of the file (os-release(5)).
    #[must_use]
    pub fn parse(os_release: &str) -> Self {
        let fields = ["DEFAULT_HOSTNAME=", "ID=", "VARIANT_ID="];
        let value = |line: &str| fields.iter().find_map(|field| line.strip_prefix(field)).map(str::to_owned);
        let names = os_release.lines().filter_map(|line| value(line.trim()));
        Self { names: names.map(|name| name.trim_matches(['"', '\'']).to_ascii_lowercase()).collect() }
    }
}

/// Can it be set as a host name: labels of letters, digits and hyphens, 64 bytes at most?
#[must_use]
pub fn is_valid(name: &str) -> bool {
    let is_label = |label: &str| {
        let plain = label.chars().all(|character| character.is_ascii_alphanumeric() || character == '-');
        !label.is_empty() && label.len() <= MAX_LABEL_BYTES && plain && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= MAX_BYTES && name.split('.').all(is_label)
}

/// The name that a machine has of its own, without dot at the end: none for the name of a system that was given none, for
/// an address, and for what cannot be set.
#[must_use]
pub fn own<'a>(name: &'a str, distribution: &Distribution) -> Option<&'a str> {
    let name = name.trim();
    let name = name.strip_suffix('.').unwrap_or(name);
    let lower = name.to_ascii_lowercase();
    let bare = EMPTY_DOMAINS.iter().find_map(|domain| lower.strip_suffix(domain)).unwrap_or(&lower);
    let is_fallback = FALLBACKS.contains(&bare) || distribution.names.iter().any(|known| known == bare);
    (is_valid(name) && name.parse::<IpAddr>().is_err() && !is_fallback && !is_localhost(&lower)).then_some(name)
}

/// `localhost` in any domain, and any name in the domain `localhost` (RFC 6761).
fn is_localhost(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or_default();
    let name = name.strip_suffix(".localdomain").unwrap_or(name);
    matches!(first, "localhost" | "localhost4" | "localhost6" | "ip6-localhost" | "ip6-loopback")
        || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_nobody_gave_are_none() {
        for name in [
            "",
            " ",
            ".",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "localhost.localdomain",
            "localhost.localdomain.",
            "Localhost.LocalDomain",
            "localhost4.localdomain4",
            "localhost6.localdomain6",
            "localhost.example",
            "node.localhost",
            "node.localhost.localdomain",
            "ip6-localhost",
            "fedora",
            "Fedora",
            "fedora.",
            "fedora.local",
            "fedora.localdomain",
            "localhost-live",
            "localhost-live.localdomain",
            "(none)",
            "192.0.2.1",
            "192.0.2.1.",
            "fd00::1",
            "node_1",
            "node 1",
            "node-",
            "-node",
            "node..example",
            "n\u{fc}ll",
            "node\nroot",
            &"n".repeat(64),
            &format!("{}.example", "n".repeat(60)),
        ] {
            assert_eq!(own(name, &Distribution::default()), None, "{name:?}");
        }
    }

    #[test]
    fn a_machines_own_name_is_kept_as_it_is() {
        for (name, kept) in [
            ("node-1", "node-1"),
            ("Node-1.Example.", "Node-1.Example"),
            ("fedora.example", "fedora.example"),
            ("fedora-7", "fedora-7"),
            ("localhost-7", "localhost-7"),
            ("ip-192-0-2-1", "ip-192-0-2-1"),
            ("42", "42"),
            (" node-1\n", "node-1"),
        ] {
            assert_eq!(own(name, &Distribution::default()), Some(kept), "{name:?}");
        }
        let longest = format!("{}.e", "n".repeat(62));
        assert_eq!(own(&longest, &Distribution::default()), Some(longest.as_str()));
    }

    #[test]
    fn a_distribution_says_what_its_nameless_systems_are_called() {
        let distribution =
            Distribution::parse("NAME=\"Some OS\"\nID=some-os\nVARIANT_ID='Edge'\nDEFAULT_HOSTNAME=\"somebox\"\n");
        for name in ["some-os", "SomeBox", "somebox.localdomain", "edge"] {
            assert_eq!(own(name, &distribution), None, "{name}");
        }
        assert_eq!(own("somebox.example", &distribution), Some("somebox.example"));
    }
}
