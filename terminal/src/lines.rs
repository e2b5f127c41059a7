//! Lines on a terminal that change: bars, and text.

use console::{Term, truncate_str};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::work::{Line, Work};

/// Plain characters: consoles of servers have no others.
const CHARACTERS: &str = "=>-";
const BAR: &str = "{prefix} {wide_bar:.cyan} {msg}";
const TEXT: &str = "{msg}";
const TROUBLE: &str = "{msg:.yellow}";
/// Rows that are not for lines: what was said before stays in sight.
const OTHER_ROWS: usize = 3;

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// How far something is.
    Work(Work),
    /// Anything.
    Text(String),
    /// What holds the work up.
    Trouble(String),
}

/// The lines, on standard error.
#[derive(Debug, Default)]
pub struct Lines {
    all: MultiProgress,
    lines: Vec<ProgressBar>,
}

impl Lines {
    /// For how many lines there is room.
    pub fn room() -> usize {
        usize::from(Term::stderr().size().0).saturating_sub(OTHER_ROWS).max(1)
    }

    /// Draws these instead of those before; the last ones stay there.
    pub fn draw(&mut self, entries: &[Entry], last: bool) {
        let columns = usize::from(Term::stderr().size().1).max(1);
        for line in self.lines.drain(entries.len().min(self.lines.len())..) {
            line.finish_and_clear();
            self.all.remove(&line);
        }
        while self.lines.len() < entries.len() {
            self.lines.push(self.all.add(ProgressBar::no_length()));
        }
        for (line, entry) in self.lines.iter().zip(entries) {
            match entry {
                Entry::Work(work) => draw(line, work, columns),
                Entry::Text(text) => write(line, TEXT, text, columns),
                Entry::Trouble(text) => write(line, TROUBLE, text, columns),
            }
            if last {
                line.abandon();
            }
        }
    }

    /// Takes them away.
    pub fn clear(&mut self) {
        self.draw(&[], false);
    }
}

fn draw(line: &ProgressBar, work: &Work, columns: usize) {
    match work.line(columns) {
        Line::Bar(before, behind) => {
            style(line, BAR);
            line.set_prefix(before);
            line.set_message(behind);
        }
        Line::Text(text) => {
            style(line, TEXT);
            line.set_message(text);
        }
    }
    line.set_length(work.total.unwrap_or(0));
    line.set_position(work.done);
}

fn write(line: &ProgressBar, template: &str, text: &str, columns: usize) {
    style(line, template);
    line.set_message(truncate_str(text, columns, "…").into_owned());
}

fn style(line: &ProgressBar, template: &str) {
    // Templates are constants, and good: a test draws each.
    if let Ok(style) = ProgressStyle::with_template(template) {
        line.set_style(style.progress_chars(CHARACTERS));
    }
}
