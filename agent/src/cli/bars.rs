//! Lines on a terminal that change: one for everything, or one for each device, and one for what holds the work up.

use console::{Term, truncate_str};
use ferric_steps::progress::{DeviceSnapshot, Snapshot};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::progress_line::{Line, Work};

/// Plain characters: consoles of servers have no others.
const CHARACTERS: &str = "=>-";
const BAR: &str = "{prefix} {wide_bar:.cyan} {msg}";
const TEXT: &str = "{msg}";
const TROUBLE: &str = "{msg:.yellow}";

/// The lines.
#[derive(Debug, Default)]
pub(super) struct Bars {
    all: MultiProgress,
    lines: Vec<ProgressBar>,
}

impl Bars {
    /// Draws the state; the last one stays there, without what held it up.
    pub(super) fn draw(&mut self, snapshot: &Snapshot, last: bool) {
        let (rows, columns) = Term::stderr().size();
        let (rows, columns) = (usize::from(rows), usize::from(columns).max(1));
        let mut works = devices(&snapshot.devices, rows.saturating_sub(3));
        if snapshot.devices.len() != 1 {
            works.push(Work::whole(snapshot));
        }
        let trouble = snapshot.trouble.as_deref().filter(|_| !last);
        let wanted = works.len() + usize::from(trouble.is_some());
        for line in self.lines.drain(wanted.min(self.lines.len())..) {
            line.finish_and_clear();
            self.all.remove(&line);
        }
        while self.lines.len() < wanted {
            self.lines.push(self.all.add(ProgressBar::no_length()));
        }
        let (bars, text) = self.lines.split_at(works.len());
        for (bar, work) in bars.iter().zip(&works) {
            match work.line(columns) {
                Line::Bar(before, behind) => {
                    style(bar, BAR);
                    bar.set_prefix(before);
                    bar.set_message(behind);
                }
                Line::Text(text) => {
                    style(bar, TEXT);
                    bar.set_message(text);
                }
            }
            bar.set_length(work.total.unwrap_or(0));
            bar.set_position(work.done);
            if last {
                bar.abandon();
            }
        }
        for (line, trouble) in text.iter().zip(trouble) {
            style(line, TROUBLE);
            line.set_message(truncate_str(trouble, columns, "…").into_owned());
        }
    }
}

/// As many as there are rows for: first those that are at work.
fn devices(all: &[DeviceSnapshot], rows: usize) -> Vec<Work> {
    let mut all: Vec<&DeviceSnapshot> = all.iter().collect();
    if all.len() > rows {
        all.sort_by_key(|device| device.eta_seconds.is_none());
        all.truncate(rows);
    }
    all.into_iter().map(Work::of).collect()
}

fn style(bar: &ProgressBar, template: &str) {
    // Templates are constants, and good: a test draws each.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars(CHARACTERS));
    }
}
