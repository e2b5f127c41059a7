//! Who follows something long: told how far it is, asked whether to go on.

/// Follows a long operation on a device.
pub trait Watch: Sync {
    /// `bytes` more are done.
    fn advance(&self, bytes: u64);

    /// True when the operation is to stop at its next safe point.
    fn cancelled(&self) -> bool;
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
