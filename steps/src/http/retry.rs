//! When to try again: soon at first, then later, never in step with others, and long enough to outlast a server that
//! restarts.
//!
//! ```text
//! interval 10 s, 9 more tries   ├½┼1┼─2─┼──4──┼───8────┼─────16─────┼──────19½──────┼──────19½──────┼──────19½──────┤
//! the same, evenly              ├───10────┼───10────┼───10────┼ … 90 s in all, as with the first
//! ```

use std::error::Error;
use std::time::{Duration, Instant};

use rand::RngExt;

use super::error::HttpError;
use crate::error::chain;
use crate::options::Retries;
use crate::progress::Progress;

/// The pause after the first failure.
const FIRST: Duration = Duration::from_millis(500);
/// No server makes us wait longer (`Retry-After`, RFC 9110 section 10.2.3).
const LONGEST_WAIT_BY_SERVER: Duration = Duration::from_secs(120);
/// Pauses differ by so much, so that machines that failed together do not come back together.
const JITTER: std::ops::RangeInclusive<f64> = 0.75..=1.25;

/// An error that may pass.
pub trait Passing: Error {
    /// Whether the same work may have another outcome in a while.
    fn is_passing(&self) -> bool;
    /// How long somebody else wants us to wait.
    fn retry_after(&self) -> Option<Duration> {
        None
    }
    /// In a few words, for somebody who is watching.
    fn brief(&self) -> String {
        self.to_string()
    }
}

impl Passing for HttpError {
    fn is_passing(&self) -> bool {
        self.is_passing()
    }

    fn retry_after(&self) -> Option<Duration> {
        self.retry_after()
    }

    fn brief(&self) -> String {
        self.brief()
    }
}

/// The tries of one piece of work.
#[derive(Debug)]
pub struct Tries {
    retries: Retries,
    progress: Option<Progress>,
    started: Instant,
    failures: u32,
    waited: Duration,
}

impl Tries {
    /// None has been made.
    pub fn new(retries: &Retries) -> Self {
        Self { retries: retries.clone(), progress: None, started: Instant::now(), failures: 0, waited: Duration::ZERO }
    }

    /// Shows failures there while they last.
    #[must_use]
    pub fn shown(self, progress: &Progress) -> Self {
        Self { progress: Some(progress.clone()), ..self }
    }

    /// Notes a failure. Returns how long to wait before the next try; nothing when trying again cannot help, or there
    /// have been enough tries.
    pub fn failed(&mut self, error: &dyn Passing) -> Option<Duration> {
        if !error.is_passing() {
            return None;
        }
        self.failures += 1;
        if self.failures > self.retries.count {
            return None;
        }
        let asked = error.retry_after().map_or(Duration::ZERO, |wait| wait.min(LONGEST_WAIT_BY_SERVER));
        let pause = self.pause().max(asked);
        self.waited += pause;
        let (tries, of) = (self.failures, self.retries.count + 1);
        let text = format!("{}, attempt {tries} of {of}, next in {}", error.brief(), seconds(pause));
        tracing::warn!(error = chain(error), "{text}");
        if let Some(progress) = &self.progress {
            progress.trouble(Some(text));
        }
        Some(pause)
    }

    /// As [`Tries::failed`], and waits. The error comes back when there is no further try.
    ///
    /// # Errors
    /// The last one.
    pub async fn again<E: Passing>(&mut self, error: E) -> Result<(), E> {
        match self.failed(&error) {
            Some(pause) => {
                tokio::time::sleep(pause).await;
                Ok(())
            }
            None => Err(error),
        }
    }

    /// Something came of the last try: the next failure is a first one again.
    pub fn progressed(&mut self) {
        (self.failures, self.waited) = (0, Duration::ZERO);
        self.recovered();
    }

    /// The trouble is over.
    pub fn recovered(&self) {
        if let Some(progress) = &self.progress {
            progress.trouble(None);
        }
    }

    /// Time since the first try began.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// When the whole work must be over.
    pub fn deadline(&self) -> Option<Instant> {
        self.retries.max_duration.map(|limit| self.started + limit)
    }

    /// Doubled from pause to pause, but all together as long as so many whole intervals.
    fn pause(&self) -> Duration {
        let left = self.retries.interval.saturating_mul(self.retries.count).saturating_sub(self.waited);
        let tries_left = self.retries.count - self.failures + 1;
        if tries_left == 1 {
            return left;
        }
        let doubled = FIRST.saturating_mul(1 << (self.failures - 1).min(16));
        doubled.min(left / tries_left).mul_f64(rand::rng().random_range(JITTER)).min(left)
    }
}

/// `0.5 s`, `12 s`.
fn seconds(pause: Duration) -> String {
    if pause < Duration::from_secs(2) {
        return format!("{:.1} s", pause.as_secs_f64());
    }
    format!("{} s", pause.as_secs_f64().round())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(retry_after: Option<Duration>) -> HttpError {
        HttpError::Status { url: "http://host/x".into(), status: 503, retry_after }
    }

    fn retries(count: u32, interval_ms: u64) -> Retries {
        Retries { count, interval: Duration::from_millis(interval_ms), ..Retries::default() }
    }

    #[test]
    fn pauses_grow_vary_and_last_as_long_as_all_intervals() {
        let mut first = Vec::new();
        for _ in 0..20 {
            let mut tries = Tries::new(&retries(9, 10_000));
            let pauses: Vec<Duration> = (0..9).map(|_| tries.failed(&busy(None)).unwrap()).collect();
            assert!(tries.failed(&busy(None)).is_none(), "a tenth retry");
            assert_eq!(pauses.iter().sum::<Duration>(), Duration::from_secs(90), "{pauses:?}");
            for (pause, expected) in pauses.iter().zip([500, 1000, 2000, 4000, 8000]) {
                let range = Duration::from_millis(expected * 3 / 4)..=Duration::from_millis(expected * 5 / 4);
                assert!(range.contains(pause), "{pauses:?}");
            }
            first.push(pauses[0]);
        }
        first.dedup();
        assert!(first.len() > 1, "all in step");
    }

    #[test]
    fn few_and_short_retries_are_kept_to() {
        let mut tries = Tries::new(&retries(1, 20));
        assert_eq!(tries.failed(&busy(None)), Some(Duration::from_millis(20)));
        assert_eq!(tries.failed(&busy(None)), None);
        let mut none = Tries::new(&retries(0, 20));
        assert_eq!(none.failed(&busy(None)), None);
        let mut at_once = Tries::new(&retries(3, 0));
        assert_eq!(at_once.failed(&busy(None)), Some(Duration::ZERO));
    }

    #[test]
    fn a_server_that_says_when_is_asked_then_within_reason() {
        for (wanted, waited) in [(30, 30), (100_000, 120)] {
            let mut tries = Tries::new(&retries(2, 1000));
            let pause = tries.failed(&busy(Some(Duration::from_secs(wanted))));
            assert_eq!(pause, Some(Duration::from_secs(waited)));
        }
    }

    #[test]
    fn what_lasts_is_not_tried_again() {
        let mut tries = Tries::new(&retries(5, 1000));
        let gone = HttpError::Status { url: "http://host/x".into(), status: 404, retry_after: None };
        assert_eq!(tries.failed(&gone), None);
    }

    #[test]
    fn progress_starts_the_count_again_and_ends_the_trouble() {
        let progress = Progress::default();
        progress.activity("x");
        let mut tries = Tries::new(&retries(1, 3000)).shown(&progress);
        for _ in 0..5 {
            tries.failed(&busy(None)).unwrap();
            let trouble = progress.snapshot().unwrap().trouble.unwrap();
            assert_eq!(trouble, "503 Service Unavailable, attempt 1 of 2, next in 3 s");
            tries.progressed();
            assert_eq!(progress.snapshot().unwrap().trouble, None);
        }
    }
}
