//! When to try again: soon at first, then later, never in step with others.

use std::time::{Duration, Instant};

use rand::RngExt;

use crate::image::{ImageError, Retries};

/// The pause after the first failure.
const FIRST: Duration = Duration::from_millis(500);

/// The tries of one transfer.
#[derive(Debug)]
pub(crate) struct Backoff {
    retries: Retries,
    started: Instant,
    failures: u32,
    history: Vec<String>,
}

impl Backoff {
    pub(crate) fn new(retries: Retries) -> Self {
        Self { retries, started: Instant::now(), failures: 0, history: Vec::new() }
    }

    /// Notes a failure and says how long to wait before the next try.
    ///
    /// # Errors
    /// When there have been enough.
    pub(crate) fn failed(&mut self, what: String) -> Result<Duration, ImageError> {
        let seconds = self.started.elapsed().as_secs_f64();
        tracing::warn!(failure = what, "image transfer failed");
        self.history.push(format!("{what}; time: {seconds:.1} seconds"));
        self.failures += 1;
        if self.failures > self.retries.count {
            return Err(ImageError::Download(std::mem::take(&mut self.history)));
        }
        let longest = self.retries.interval;
        let pause = FIRST.saturating_mul(1 << (self.failures - 1).min(16)).min(longest);
        Ok(pause.mul_f64(rand::rng().random_range(0.5..=1.0)))
    }

    /// Everything that went wrong so far, one line each.
    pub(crate) fn history(&self) -> &[String] {
        &self.history
    }

    /// Notes a failure that does not count as a try.
    pub(crate) fn note(&mut self, what: String) {
        self.history.push(what);
    }

    /// Bytes came: the next failure is a first one again.
    pub(crate) fn progressed(&mut self) {
        self.failures = 0;
    }

    /// When the whole transfer must be over.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.retries.max_duration.map(|limit| self.started + limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_vary_and_end() {
        let interval = Duration::from_secs(2);
        let mut backoff = Backoff::new(Retries { count: 4, interval, ..Retries::default() });
        for longest_ms in [500, 1000, 2000, 2000] {
            let pause = backoff.failed("refused".into()).unwrap().as_millis();
            assert!((longest_ms / 2..=longest_ms).contains(&pause), "{pause} ms, at most {longest_ms}");
        }
        let Err(ImageError::Download(lines)) = backoff.failed("refused".into()) else { panic!("a fifth retry") };
        assert_eq!(lines.len(), 5);
    }

    #[test]
    fn progress_starts_the_count_again() {
        let mut backoff = Backoff::new(Retries { count: 1, ..Retries::default() });
        for _ in 0..5 {
            backoff.failed("cut".into()).unwrap();
            backoff.progressed();
        }
    }
}
