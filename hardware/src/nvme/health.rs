//! What a controller says of its health: SMART / Health Information (log page 02h).

use super::commands::LOG_BYTES;

/// The bits of Critical Warning.
const WARNINGS: [&str; 6] = [
    "its spare blocks are nearly used up",
    "its temperature is beyond its limits",
    "it has become unreliable by errors of its medium",
    "its medium is read-only now",
    "the backup of its volatile memory has failed",
    "its persistent memory region is unreliable or read-only now",
];

/// What a controller says of its health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    critical: u8,
}

impl Health {
    pub(super) fn parse(page: &[u8; LOG_BYTES]) -> Self {
        Self { critical: page[0] }
    }

    /// What is wrong, in words; none when all is well.
    pub fn warnings(&self) -> Vec<&'static str> {
        (0..).zip(WARNINGS).filter(|(bit, _)| self.critical >> bit & 1 == 1).map(|(_, words)| words).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_come_from_their_bits() {
        let mut page = [0; LOG_BYTES];
        assert!(Health::parse(&page).warnings().is_empty());
        page[0] = 0b100_1001;
        assert_eq!(Health::parse(&page).warnings(), [WARNINGS[0], WARNINGS[3]]);
    }
}
