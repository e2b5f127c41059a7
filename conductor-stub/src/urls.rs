//! Where machines and BMCs reach this conductor.

/// The conductor's addresses, without a slash at the end.
#[derive(Debug, Clone)]
pub struct Urls {
    public: String,
    external: Option<String>,
}

impl Urls {
    /// `public` is for machines and clients, `external` for BMCs, which may be in another network; by default the same.
    pub fn new(public: &str, external: Option<&str>) -> Self {
        let trimmed = |url: &str| url.trim_end_matches('/').to_owned();
        Self { public: trimmed(public), external: external.map(trimmed) }
    }

    /// The URL under which agents and clients reach us.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// A URL of ours as BMCs have to write it; any other stays as it is.
    pub fn seen_by_bmc(&self, url: &str) -> String {
        match (&self.external, url.strip_prefix(&self.public)) {
            (Some(external), Some(path)) => format!("{external}{path}"),
            _ => url.to_owned(),
        }
    }
}
