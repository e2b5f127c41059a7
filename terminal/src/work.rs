//! One line about how far something is, in the words that its width has room for.

use console::{measure_text_width, truncate_str};
use indicatif::BinaryBytes;

/// A bar that is shorter says nothing.
const SHORTEST_BAR: usize = 10;

/// What a line is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// What is done, and with what: `writing /dev/sda`.
    pub name: String,
    /// With what, as short as can be: `sda`.
    pub short: String,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: Option<u64>,
    /// Bytes per second.
    pub rate: u64,
    /// Seconds to go.
    pub eta_seconds: Option<u64>,
}

/// What goes on a line: text around a bar, or text alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// Text before and behind a bar that fills the line.
    Bar(String, String),
    /// Text, no wider than the line.
    Text(String),
}

impl Work {
    /// Nothing of it is done yet. Where there is no room for the name there is some for `of`, or its last component.
    pub fn new(name: impl Into<String>, of: &str) -> Self {
        Self { name: name.into(), short: short(of), done: 0, total: None, rate: 0, eta_seconds: None }
    }

    /// All that is known, however long.
    pub fn text(&self) -> String {
        let known = [self.percent(), Some(self.amount()), Some(self.rate()), self.eta()];
        let words = known.iter().flatten().map(|text| text.trim()).filter(|text| !text.is_empty());
        format!("{}: {}", self.name, words.collect::<Vec<_>>().join(", "))
    }

    /// What fits so many columns: the longer the line, the more of it.
    pub(crate) fn line(&self, columns: usize) -> Line {
        if self.total.is_none() {
            return Line::Text(truncate_str(&self.text(), columns, "…").into_owned());
        }
        let (percent, amount, rate, eta) = (self.percent(), Some(self.amount()), Some(self.rate()), self.eta());
        let behind =
            |parts: &[&Option<String>]| parts.iter().filter_map(|part| part.as_deref()).collect::<Vec<_>>().join("  ");
        let all = behind(&[&percent, &amount, &rate, &eta]);
        let without_amount = behind(&[&percent, &rate, &eta]);
        for (name, behind) in [(&self.name, &all), (&self.name, &without_amount), (&self.short, &without_amount)] {
            if measure_text_width(name) + measure_text_width(behind) + 2 + SHORTEST_BAR <= columns {
                return Line::Bar(name.clone(), behind.clone());
            }
        }
        let shorter = [without_amount, behind(&[&percent, &eta]), behind(&[&percent])];
        let texts = shorter.map(|behind| format!("{} {}", self.short, behind.trim_end()));
        if let Some(fitting) = texts.into_iter().find(|text| measure_text_width(text) <= columns) {
            return Line::Text(fitting);
        }
        // A name that is cut says more than a figure that is; none says as much as the mark of a cut.
        let percent = percent.unwrap_or_default();
        let text = match columns.saturating_sub(measure_text_width(&percent) + 1) {
            0 => percent.trim().to_string(),
            room => format!("{} {percent}", truncate_str(&self.short, room, "…")),
        };
        Line::Text(truncate_str(&text, columns, "…").into_owned())
    }

    fn percent(&self) -> Option<String> {
        let total = self.total?;
        let percent = u128::from(self.done.min(total)) * 100 / u128::from(total.max(1));
        Some(format!("{percent:>3} %"))
    }

    fn amount(&self) -> String {
        let done = BinaryBytes(self.done).to_string();
        match self.total {
            Some(total) => format!("{done:>11} of {}", BinaryBytes(total)),
            None => done,
        }
    }

    /// Right-aligned, so that what stands before it does not dance.
    fn rate(&self) -> String {
        format!("{:>13}", format!("{}/s", BinaryBytes(self.rate)))
    }

    /// Nothing takes as much room as something.
    fn eta(&self) -> Option<String> {
        let left = self.eta_seconds.filter(|_| self.total.is_some_and(|total| self.done < total)).map(|seconds| {
            let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            match hours {
                0 => format!("{minutes}:{seconds:02} left"),
                _ => format!("{hours}:{minutes:02}:{seconds:02} left"),
            }
        });
        self.total.map(|_| format!("{:>12}", left.unwrap_or_default()))
    }
}

/// The last component of the last word: `sda` of `writing /dev/sda`.
fn short(name: &str) -> String {
    let word = name.split_whitespace().next_back().unwrap_or_default();
    word.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half() -> Work {
        Work {
            name: "writing /dev/sda".into(),
            short: "sda".into(),
            done: 1 << 30,
            total: Some(2 << 30),
            rate: 512 << 20,
            eta_seconds: Some(2),
        }
    }

    #[test]
    fn the_longer_the_line_the_more_it_says() {
        let bar = |before: &str, behind: &str| Line::Bar(before.into(), behind.into());
        let text = |text: &str| Line::Text(text.into());
        for (columns, line) in [
            (3, text("50…")),
            (4, text("50 %")),
            (8, text("s…  50 %")),
            (9, text("sda  50 %")),
            (20, text("sda  50 %")),
            (23, text("sda  50 %     0:02 left")),
            (40, text("sda  50 %   512.00 MiB/s     0:02 left")),
            (60, bar("sda", " 50 %   512.00 MiB/s     0:02 left")),
            (70, bar("writing /dev/sda", " 50 %   512.00 MiB/s     0:02 left")),
            (200, bar("writing /dev/sda", " 50 %     1.00 GiB of 2.00 GiB   512.00 MiB/s     0:02 left")),
        ] {
            assert_eq!(half().line(columns), line, "{columns} columns");
        }
    }

    #[test]
    fn no_width_is_exceeded_and_no_amount_of_work_too_much() {
        let long = format!("overwriting /dev/mapper/{}", "ü".repeat(80));
        for name in ["writing /dev/sda", "", &long] {
            for (done, total) in [(0, Some(0)), (1, Some(u64::MAX)), (u64::MAX, Some(1)), (1 << 50, None)] {
                let work = Work {
                    short: short(name),
                    name: name.into(),
                    done,
                    total,
                    rate: u64::MAX,
                    eta_seconds: Some(u64::MAX),
                };
                for columns in 1..=300 {
                    let width = match work.line(columns) {
                        Line::Bar(before, behind) => {
                            measure_text_width(&before) + SHORTEST_BAR + 2 + measure_text_width(&behind)
                        }
                        Line::Text(text) => measure_text_width(&text),
                    };
                    assert!(width <= columns, "{width} in {columns}: {work:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let unknown = Work { total: None, eta_seconds: None, ..half() };
        assert_eq!(unknown.text(), "writing /dev/sda: 1.00 GiB, 512.00 MiB/s");
        assert_eq!(half().text(), "writing /dev/sda: 50 %, 1.00 GiB of 2.00 GiB, 512.00 MiB/s, 0:02 left");
        assert_eq!(Work { eta_seconds: Some(3725), ..half() }.eta().unwrap(), "1:02:05 left");
        assert_eq!(Work { done: 2 << 30, ..half() }.eta().unwrap().trim(), "");
    }
}
