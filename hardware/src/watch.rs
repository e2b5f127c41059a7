//! Who follows something long: told how far it is, asked whether to go on.

use std::time::Duration;

/// Follows a long operation on a device.
pub trait Watch: Sync {
    /// `bytes` more are done.
    fn advance(&self, bytes: u64);

    /// True when the operation is to stop at its next safe point.
    fn cancelled(&self) -> bool;

    /// The device now works by itself, and may say nothing for `limit` without being taken for dead.
    fn expect_silence(&self, _limit: Duration) {}
}

/// Nobody follows, nobody stops it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn advance(&self, _bytes: u64) {}

    fn cancelled(&self) -> bool {
        false
    }
}
