//! Ranges of the virtual disk that read as zeroes and are not yet handed on.

/// Ranges in the order in which they were found, joined where they continue.
#[derive(Debug, Default)]
pub struct Zeroes(Vec<(u64, u64)>);

impl Zeroes {
    /// Adds `len` bytes of the virtual disk from `guest` on.
    pub fn add(&mut self, guest: u64, len: u64) {
        match self.0.last_mut() {
            Some((start, open)) if *start + *open == guest => *open += len,
            _ => self.0.push((guest, len)),
        }
    }

    /// Takes every range out and hands its start and length to `take`.
    ///
    /// # Errors
    /// What `take` returns, at once.
    pub fn drain<E>(&mut self, mut take: impl FnMut(u64, u64) -> Result<(), E>) -> Result<(), E> {
        self.0.drain(..).try_for_each(|(guest, len)| take(guest, len))
    }
}
