//! Progress on stderr: a bar, lines, JSON lines or nothing.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use ferric_hardware::units::Bytes;
use ferric_steps::progress::{Progress, Snapshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Characters of a full bar.
const BAR: u64 = 30;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// One line that changes.
    Bar,
    /// A line now and then.
    Lines,
    /// A JSON object per second.
    Json,
    /// Nothing.
    None,
}

impl Style {
    /// The style of that name; `auto` depends on where stderr goes.
    pub(super) fn parse(name: &str) -> Self {
        match name {
            "bar" => Self::Bar,
            "json" => Self::Json,
            "none" => Self::None,
            _ if std::io::stderr().is_terminal() => Self::Bar,
            _ => Self::Lines,
        }
    }

    fn interval(self) -> Duration {
        match self {
            Self::Bar => Duration::from_millis(200),
            Self::Json => Duration::from_secs(1),
            Self::Lines | Self::None => Duration::from_secs(10),
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
        loop {
            let last = tokio::time::timeout(style.interval(), ended.cancelled()).await.is_ok();
            if let Some(snapshot) = progress.snapshot() {
                print(style, &snapshot, last);
            }
            if last {
                return;
            }
        }
    });
    Display { task, end }
}

fn print(style: Style, snapshot: &Snapshot, last: bool) {
    let text = match style {
        Style::None => return,
        Style::Json => match serde_json::to_string(snapshot) {
            Ok(line) => line + "\n",
            Err(_) => return,
        },
        Style::Lines => line(snapshot) + "\n",
        Style::Bar => format!("\r\x1b[K{}{}{}", bar(snapshot), line(snapshot), if last { "\n" } else { "" }),
    };
    // Nobody may be reading.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn bar(snapshot: &Snapshot) -> String {
    let Some(total) = snapshot.total_bytes else { return String::new() };
    let full = (snapshot.done_bytes.min(total) * BAR / total.max(1)) as usize;
    format!("[{}{}] ", "#".repeat(full), ".".repeat(BAR as usize - full))
}

fn line(snapshot: &Snapshot) -> String {
    let mut line = format!("{}: {}", snapshot.activity, Bytes(snapshot.done_bytes));
    if let Some(total) = snapshot.total_bytes {
        let percent = snapshot.done_bytes.min(total) * 100 / total.max(1);
        line += &format!(" of {} ({percent} %)", Bytes(total));
    }
    line += &format!(", {}/s", Bytes(snapshot.rate_bytes_per_second));
    match snapshot.eta_seconds {
        Some(seconds) if seconds > 0 => line + &format!(", {seconds} s left"),
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half() -> Snapshot {
        Snapshot {
            activity: "writing /dev/sda".into(),
            done_bytes: 1 << 30,
            total_bytes: Some(2 << 30),
            rate_bytes_per_second: 512 << 20,
            eta_seconds: Some(2),
            trouble: None,
            devices: Vec::new(),
        }
    }

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        assert_eq!(line(&half()), "writing /dev/sda: 1.0 GiB of 2.0 GiB (50 %), 512.0 MiB/s, 2 s left");
        assert_eq!(bar(&half()), "[###############...............] ");
    }

    #[test]
    fn an_unknown_total_is_left_out() {
        let unknown = Snapshot { total_bytes: None, eta_seconds: None, ..half() };
        assert_eq!(line(&unknown), "writing /dev/sda: 1.0 GiB, 512.0 MiB/s");
        assert_eq!(bar(&unknown), "");
    }
}
