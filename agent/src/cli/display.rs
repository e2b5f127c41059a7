//! Progress on stderr: bars, lines, JSON lines, only what holds the work up, or nothing.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use ferric_steps::progress::{DeviceSnapshot, Progress, Snapshot};
use ferric_terminal::{Entry, Lines, Work};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Names of all styles.
pub(super) const STYLES: [&str; 5] = ["auto", "bar", "lines", "json", "none"];

/// How often is looked: somebody who watches sees a bar move, and trouble at once.
const LOOK: Duration = Duration::from_millis(100);
/// Pause between two lines.
const LINES_EVERY: Duration = Duration::from_secs(10);
/// Pause between two JSON objects.
const JSON_EVERY: Duration = Duration::from_secs(1);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Lines that change.
    Bars,
    /// A line now and then, and what holds the work up.
    Lines,
    /// Only what holds the work up.
    Trouble,
    /// A JSON object per second.
    Json,
    /// Nothing.
    None,
}

impl Style {
    /// The style of that name; `auto` depends on where stderr goes, and bars need a terminal.
    pub(super) fn parse(name: &str) -> Self {
        match name {
            "lines" => Self::Lines,
            "json" => Self::Json,
            "none" => Self::None,
            _ if std::io::stderr().is_terminal() => Self::Bars,
            _ => Self::Trouble,
        }
    }
}

/// A display that runs beside the work.
pub(super) struct Display {
    task: JoinHandle<()>,
    end: CancellationToken,
}

impl Display {
    /// Shows the last state and stops.
    pub(super) async fn end(self) {
        self.end.cancel();
        // A display that failed has nothing to say.
        let _ = self.task.await;
    }
}

/// Shows `progress` until [`Display::end`].
pub(super) fn show(style: Style, progress: Progress) -> Display {
    let end = CancellationToken::new();
    let ended = end.clone();
    let task = tokio::spawn(async move {
        let mut painter = Painter::new(style);
        loop {
            let last = tokio::time::timeout(LOOK, ended.cancelled()).await.is_ok();
            if let Some(snapshot) = progress.snapshot() {
                painter.show(&snapshot, last);
            }
            if last {
                return;
            }
        }
    });
    Display { task, end }
}

struct Painter {
    style: Style,
    lines: Lines,
    due: Instant,
    trouble: Option<String>,
}

impl Painter {
    fn new(style: Style) -> Self {
        Self { style, lines: Lines::default(), due: Instant::now(), trouble: None }
    }

    fn show(&mut self, snapshot: &Snapshot, last: bool) {
        match self.style {
            Style::None => {}
            Style::Bars => self.lines.draw(&entries(snapshot, last, Lines::room()), last),
            Style::Trouble => self.trouble(snapshot),
            Style::Lines => {
                self.trouble(snapshot);
                if self.is_due(LINES_EVERY, last) {
                    say(&whole(snapshot).text());
                }
            }
            Style::Json => {
                if self.is_due(JSON_EVERY, last)
                    && let Ok(line) = serde_json::to_string(snapshot)
                {
                    say(&line);
                }
            }
        }
    }

    /// Says what holds the work up, once.
    fn trouble(&mut self, snapshot: &Snapshot) {
        if self.trouble != snapshot.trouble {
            self.trouble.clone_from(&snapshot.trouble);
            if let Some(trouble) = &self.trouble {
                say(&format!("{}: {trouble}", snapshot.activity));
            }
        }
    }

    fn is_due(&mut self, every: Duration, last: bool) -> bool {
        let now = Instant::now();
        let is_due = last || now >= self.due;
        if is_due {
            self.due = now + every;
        }
        is_due
    }
}

/// A line for each device, one for everything, and one for what holds the work up, which is not what stays.
fn entries(snapshot: &Snapshot, last: bool, room: usize) -> Vec<Entry> {
    let mut entries: Vec<Entry> = devices(&snapshot.devices, room).into_iter().map(Entry::Work).collect();
    if snapshot.devices.len() != 1 {
        entries.push(Entry::Work(whole(snapshot)));
    }
    entries.extend(snapshot.trouble.clone().filter(|_| !last).map(Entry::Trouble));
    entries
}

/// As many as there is room for: first those that are at work.
fn devices(all: &[DeviceSnapshot], room: usize) -> Vec<Work> {
    let mut all: Vec<&DeviceSnapshot> = all.iter().collect();
    if all.len() > room {
        all.sort_by_key(|device| device.eta_seconds.is_none());
        all.truncate(room);
    }
    let work = |device: &DeviceSnapshot| Work {
        done: device.done_bytes,
        total: Some(device.total_bytes),
        rate: device.rate_bytes_per_second,
        eta_seconds: device.eta_seconds,
        ..Work::new(format!("{} {}", device.device, device.activity), &device.device)
    };
    all.into_iter().map(work).collect()
}

/// All of it.
fn whole(snapshot: &Snapshot) -> Work {
    Work {
        done: snapshot.done_bytes,
        total: snapshot.total_bytes,
        rate: snapshot.rate_bytes_per_second,
        eta_seconds: snapshot.eta_seconds,
        ..Work::new(&snapshot.activity, &snapshot.activity)
    }
}

fn say(line: &str) {
    // Nobody may be reading.
    let _ = writeln!(std::io::stderr(), "{line}");
}
