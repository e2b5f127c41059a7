//! Where machines and BMCs reach this conductor.

use std::net::{Ipv4Addr, TcpListener};

/// Where Ironic's clients look for it.
const IRONIC_PORT: u16 = 6385;

/// The conductor's addresses, without a slash at the end.
#[derive(Debug, Clone)]
pub struct Urls {
    public: String,
    files: String,
    external: Option<String>,
}

impl Urls {
    /// `public` is for machines and clients; `files` is where files for machines are, by default the same; `external` is
    /// where BMCs, which may be in another network, find those.
    pub fn new(public: &str, files: Option<&str>, external: Option<&str>) -> Self {
        let trimmed = |url: &str| url.trim_end_matches('/').to_owned();
        Self { public: trimmed(public), files: trimmed(files.unwrap_or(public)), external: external.map(trimmed) }
    }

    /// The URL under which agents and clients reach us.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The URL under which files for machines are.
    pub fn files(&self) -> &str {
        &self.files
    }

    /// The URL of one of our files as BMCs have to write it; any other stays as it is.
    pub fn seen_by_bmc(&self, url: &str) -> String {
        match (&self.external, url.strip_prefix(&self.files)) {
            (Some(external), Some(path)) if path.starts_with('/') => format!("{external}{path}"),
            _ => url.to_owned(),
        }
    }

    /// The hosts in them.
    pub fn hosts(&self) -> impl Iterator<Item = String> {
        let urls = [Some(&self.public), Some(&self.files), self.external.as_ref()];
        urls.into_iter().flatten().filter_map(|url| Some(url::Url::parse(url).ok()?.host_str()?.to_owned()))
    }
}

/// A socket at Ironic's port of loopback where that is free, else at another.
///
/// # Errors
/// When no port is free.
pub fn listen() -> std::io::Result<TcpListener> {
    let usual = TcpListener::bind((Ipv4Addr::LOCALHOST, IRONIC_PORT));
    usual.or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_port_of_their_own() {
        let held: Vec<TcpListener> = (0..4).map(|_| listen().unwrap()).collect();
        let ports: std::collections::BTreeSet<u16> =
            held.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        assert_eq!(ports.len(), held.len());
    }
}
