//! One run of coreos-installer: its output becomes progress, its last error the reason of the failure.

use std::collections::VecDeque;

use ferric_hardware::tool::{Tool, ToolError};

use crate::progress::Progress;
use crate::step::Step;

/// Lines of output kept for the error.
const TAIL_LINES: usize = 20;
/// Exit code for wrong arguments.
const USAGE: i32 = 2;
/// Failures that come again however often it is tried.
const LASTING: [&str; 7] = [
    "metadata missing",
    "is not a block device",
    "found busy partitions",
    "parsing specified Ignition config",
    "has sector size",
    "HTTP status client error",
    "signature not found",
];

/// Why it did not install.
#[derive(Debug)]
pub(super) struct Failure {
    /// For the operator.
    pub(super) text: String,
    /// Whether another try makes sense.
    pub(super) may_pass: bool,
    /// Whether it was stopped instead of failing by itself.
    pub(super) was_stopped: bool,
}

/// Runs it to its end.
pub(super) fn run(tool: &Tool, arguments: &[String], step: &Step) -> Result<(), Failure> {
    let mut tail = VecDeque::new();
    let mut on_line = |line: &str| {
        if let Some((done_bytes, total_bytes)) = transferred(line) {
            step.progress.total(total_bytes);
            step.progress.done(done_bytes);
            return;
        }
        tracing::debug!("coreos-installer: {line}");
        if !line.trim().is_empty() {
            announce(line, &step.progress);
            tail.push_back(line.trim_end().to_string());
            if tail.len() > TAIL_LINES {
                tail.pop_front();
            }
        }
    };
    let outcome = tool
        .run(arguments)
        .env_remove("RUST_BACKTRACE")
        .env_remove("RUST_LIB_BACKTRACE")
        .cancelled(&|| step.cancel.is_cancelled())
        .on_line(&mut on_line)
        .output();
    let reason = || reason(&tail);
    match outcome {
        Ok(_) => Ok(()),
        Err(ToolError::Cancelled { command }) => Err(Failure { text: command, may_pass: false, was_stopped: true }),
        Err(ToolError::Failed { code: Some(code), .. }) => {
            let reason = reason();
            let may_pass = code != USAGE && !LASTING.iter().any(|lasting| reason.contains(lasting));
            Err(Failure {
                text: format!("coreos-installer failed with code {code}: {reason}"),
                may_pass,
                was_stopped: false,
            })
        }
        Err(ToolError::Failed { status, .. }) => {
            let text = format!("coreos-installer was ended by {status}: {}", reason());
            Err(Failure { text, may_pass: true, was_stopped: false })
        }
        Err(error) => Err(Failure { text: error.to_string(), may_pass: false, was_stopped: false }),
    }
}

/// From the first `Error:` on, with its causes, in one line; the last line when there is none.
fn reason(tail: &VecDeque<String>) -> String {
    match tail.iter().position(|line| line.starts_with("Error:")) {
        Some(start) => tail.iter().skip(start).map(|line| line.trim()).collect::<Vec<_>>().join(" "),
        None => tail.back().cloned().unwrap_or_else(|| "it said nothing".to_string()),
    }
}

/// What it is doing now, for people.
fn announce(line: &str, progress: &Progress) {
    const ACTIVITIES: [&str; 7] =
        ["Downloading ", "Copying ", "Installing ", "Writing ", "Modifying ", "Install complete", "Resetting "];
    if ACTIVITIES.iter().any(|start| line.starts_with(start)) {
        progress.activity(format!("coreos-installer: {}", line.trim()));
    }
}

/// Bytes done and in all, of `Read disk 512.0 MiB/2.3 GiB (21%)`.
fn transferred(line: &str) -> Option<(u64, u64)> {
    let line = line.rsplit('\r').find(|part| !part.trim().is_empty())?.trim().trim_start_matches("> ");
    let sizes = line.strip_prefix("Read disk ")?.split(" (").next()?;
    let (done, total) = sizes.split_once('/')?;
    Some((size(done)?, size(total)?))
}

fn size(text: &str) -> Option<u64> {
    let (number, unit) = text.trim().split_once(' ')?;
    let shift = match unit {
        "B" | "bytes" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    Some((number * f64::from(1 << 10).powi(shift / 10)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_lines_are_read_in_both_forms() {
        let expected = Some((512 << 20, (2.5 * f64::from(1 << 30)) as u64));
        assert_eq!(transferred("Read disk 512.0 MiB/2.5 GiB (20%)"), expected);
        assert_eq!(
            transferred("> Read disk 1.0 MiB/2.5 GiB (0%)   \r> Read disk 512.0 MiB/2.5 GiB (20%)   \r"),
            expected
        );
        assert_eq!(transferred("Read disk 512.0 MiB"), None);
        assert_eq!(transferred("Writing Ignition config"), None);
    }

    #[test]
    fn the_reason_starts_at_the_first_error_line() {
        let tail: VecDeque<String> = [
            "Downloading image",
            "Error: decoding first MiB of image",
            "",
            "Caused by:",
            "    failed to fill whole buffer",
        ]
        .into_iter()
        .filter(|line| !line.is_empty())
        .map(str::to_string)
        .collect();
        assert_eq!(reason(&tail), "Error: decoding first MiB of image Caused by: failed to fill whole buffer");
    }
}
