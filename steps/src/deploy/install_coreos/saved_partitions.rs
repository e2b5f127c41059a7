//! Partitions that an installation leaves alone, chosen as coreos-installer chooses them.

use ferric_hardware::gpt::{Gpt, GptPartition};
use ferric_hardware::open_device::OpenDevice;
use ferric_hardware::table_error::TableError;
use glob::Pattern;
use thiserror::Error;

/// A choice that cannot be.
#[derive(Debug, Error)]
pub(super) enum ChoiceError {
    /// Of labels.
    #[error("save_partlabel {label:?}")]
    Label {
        label: String,
        #[source]
        cause: glob::PatternError,
    },
    /// Of numbers.
    #[error("save_partindex {0:?} is neither a number from 1 nor a range (2-4, 5-, -3)")]
    Range(String),
}

/// Which partitions.
#[derive(Debug, Default)]
pub(super) struct SavedPartitions {
    labels: Vec<Pattern>,
    /// First and last, both inclusive.
    ranges: Vec<(u32, u32)>,
    flags: Vec<String>,
}

impl SavedPartitions {
    /// Those with a label that fits one of the patterns, and those with a number in one of the ranges.
    ///
    /// # Errors
    /// When coreos-installer would not understand it.
    pub(super) fn new(labels: &[String], ranges: &[String]) -> Result<Self, ChoiceError> {
        let mut saved = Self::default();
        for label in labels {
            let pattern = Pattern::new(label);
            saved.labels.push(pattern.map_err(|cause| ChoiceError::Label { label: label.clone(), cause })?);
            saved.flags.extend(["--save-partlabel".to_string(), label.clone()]);
        }
        for range in ranges {
            saved.ranges.push(parse_range(range).ok_or_else(|| ChoiceError::Range(range.clone()))?);
            saved.flags.extend(["--save-partindex".to_string(), range.clone()]);
        }
        Ok(saved)
    }

    /// The same for coreos-installer.
    pub(super) fn flags(&self) -> &[String] {
        &self.flags
    }

    /// The table of a disk with nothing but them; none where there are none.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub(super) fn table(&self, disk: &OpenDevice) -> Result<Option<Gpt>, TableError> {
        if self.flags.is_empty() {
            return Ok(None);
        }
        let Some(mut table) = Gpt::read(disk.file(), disk.size(), disk.block_size())? else { return Ok(None) };
        for partition in table.partitions() {
            if !self.has(&partition) {
                table.remove(partition.number);
            }
        }
        Ok(Some(table).filter(|table| !table.partitions().is_empty()))
    }

    fn has(&self, partition: &GptPartition) -> bool {
        self.labels.iter().any(|label| label.matches(&partition.name))
            || self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&partition.number))
    }
}

fn parse_range(text: &str) -> Option<(u32, u32)> {
    let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
    let (first, last) = match text.split_once('-') {
        None => (number(text)?, number(text)?),
        Some(("", "")) => return None,
        Some(("", last)) => (1, number(last)?),
        Some((first, "")) => (number(first)?, u32::MAX),
        Some((first, last)) => (number(first)?, number(last)?),
    };
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_coreos_installer() {
        for (text, expected) in
            [("5", Some((5, 5))), ("2-4", Some((2, 4))), ("6-", Some((6, u32::MAX))), ("-3", Some((1, 3)))]
        {
            assert_eq!(parse_range(text), expected, "{text}");
        }
        for text in ["", "-", "0", "4-2", "1-2-3", "a", "1 "] {
            assert_eq!(parse_range(text), None, "{text}");
        }
        assert!(SavedPartitions::new(&["data***".to_string()], &[]).is_err());
    }
}
