//! Options about the clock.

/// How the clock is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clock {
    /// Host name or address of the time server (`ntp_server`); without one the clock stays as it is.
    pub ntp_server: Option<String>,
    /// Fail when the clock cannot be set (`fail_if_clock_not_set`).
    pub required: bool,
}
