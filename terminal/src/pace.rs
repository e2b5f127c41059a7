//! How fast something goes now, and when it will be done.

use indicatif::ProgressBar;

/// What was done when.
#[derive(Debug)]
pub struct Pace(ProgressBar);

impl Pace {
    /// So much was there at the beginning.
    pub fn from(done: u64) -> Self {
        let bar = ProgressBar::hidden();
        bar.set_position(done);
        bar.reset_eta();
        Self(bar)
    }

    /// So much is done now. Returns the rate of the last seconds, per second, and the seconds to go.
    pub fn at(&self, done: u64, total: Option<u64>) -> (u64, Option<u64>) {
        self.0.set_length(total.unwrap_or(done));
        self.0.set_position(done);
        let rate = self.0.per_sec() as u64;
        (rate, total.filter(|_| rate > 0).map(|_| self.0.eta().as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_there_before_is_no_speed() {
        let pace = Pace::from(1 << 40);
        std::thread::sleep(Duration::from_millis(50));
        let (rate, left) = pace.at((1 << 40) + (1 << 20), Some((1 << 40) + (2 << 20)));
        assert!((1 << 10..1 << 30).contains(&rate) && left.is_some(), "{rate} {left:?}");
        assert_eq!(Pace::from(0).at(0, None).1, None);
    }
}
