//! Options about transfers.

use std::fmt;
use std::time::Duration;

/// How images, checksum files and the like are fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Download {
    /// When to try again, and when to give up.
    pub retries: Retries,
    /// Who we are to image servers that do not hear it from the image itself (`image_server_auth_strategy`
    /// `http_basic`).
    pub basic_login: Option<BasicLogin>,
}

/// How often, how soon and how long to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retries {
    /// Tries after the first that brought nothing new; a try that brought bytes starts the count again
    /// (`image_download_connection_retries`).
    pub count: u32,
    /// Longest pause between two tries; the first ones are shorter, and all vary
    /// (`image_download_connection_retry_interval`).
    pub interval: Duration,
    /// Limit of connecting and of each silence (`image_download_connection_timeout`).
    pub timeout: Duration,
    /// Limit of the whole transfer (`image_download_max_duration`).
    pub max_duration: Option<Duration>,
}

impl Default for Retries {
    fn default() -> Self {
        Self { count: 9, interval: Duration::from_secs(10), timeout: Duration::from_secs(60), max_duration: None }
    }
}

/// User and password, either of which an operator can forget.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct BasicLogin {
    /// The user's name (`image_server_user`).
    pub user: Option<String>,
    /// The password (`image_server_password`).
    pub password: Option<String>,
}

impl fmt::Debug for BasicLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
