//! How fast something is now: not since its start, for a start that waited says nothing about what is left.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What is looked back on.
const WINDOW: Duration = Duration::from_secs(5);
/// Between two samples.
const STEP: Duration = Duration::from_millis(200);

/// Samples of the bytes done, the oldest of them no younger than the window.
#[derive(Debug, Default)]
pub(super) struct Rate(VecDeque<(Instant, u64)>);

impl Rate {
    /// So many bytes are done now. Less than before is a new start.
    pub(super) fn sample(&mut self, now: Instant, done: u64) {
        match self.0.back() {
            Some((_, before)) if *before > done => self.0.clear(),
            Some((at, _)) if now.duration_since(*at) < STEP => return,
            _ => {}
        }
        self.0.push_back((now, done));
        while self.0.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
            self.0.pop_front();
        }
    }

    /// Bytes per second over the window, when so many are done.
    pub(super) fn per_second(&self, now: Instant, done: u64) -> u64 {
        let is_old = |sample: &&(Instant, u64)| now.duration_since(sample.0) >= WINDOW;
        let Some((since, before)) = self.0.iter().rev().find(is_old).or_else(|| self.0.front()) else { return 0 };
        let seconds = now.duration_since(*since).min(WINDOW).as_secs_f64().max(0.001);
        (done.saturating_sub(*before) as f64 / seconds) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rate after `seconds`, when at each of these moments (in ms) so much was done.
    fn rate(samples: &[(u64, u64)], at_ms: u64, done: u64) -> u64 {
        let start = Instant::now();
        let mut rate = Rate::default();
        for (ms, done) in samples {
            rate.sample(start + Duration::from_millis(*ms), *done);
        }
        rate.per_second(start + Duration::from_millis(at_ms), done)
    }

    #[test]
    fn the_last_seconds_count() {
        assert_eq!(rate(&[], 1000, 5), 0);
        assert_eq!(rate(&[(0, 0)], 2000, 100), 50, "shorter than the window");
        let steady: Vec<_> = (0..100).map(|step| (step * 200, step * 20)).collect();
        assert_eq!(rate(&steady, 20_000, 2000), 100, "as fast as ever");
        let late: Vec<_> = [(0, 0)].into_iter().chain((1..10).map(|step| (60_000 + step * 200, step * 20))).collect();
        assert_eq!(rate(&late, 65_000, 500), 100, "what waited for a minute is not slow for ever");
        assert_eq!(rate(&steady, 30_000, 1980), 0, "what stands still has no rate");
        assert_eq!(rate(&[(0, 0), (5000, 1000), (6000, 0)], 8000, 100), 50, "begun again");
    }
}
