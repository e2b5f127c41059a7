//! One run of coreos-installer: its output becomes progress, its last error the reason of the failure.

use std::collections::VecDeque;

use ferric_hardware::tool::{Tool, ToolError};
use nix::errno::Errno;

use crate::http::error::is_passing_status;
use crate::progress::Progress;
use crate::step::Step;

/// Lines of output kept for the error.
const TAIL_LINES: usize = 40;
/// Exit code for wrong arguments.
const USAGE: i32 = 2;
/// Failures that come again however often it is tried, whatever server there is.
const LASTING: [&str; 6] = [
    "metadata missing",
    "is not a block device",
    "parsing specified Ignition config",
    "has sector size",
    "signature not found",
    "couldn't locate platform ID",
];
/// What it says before the error and belongs to it.
const PREAMBLE: &str = "Partitions in use on ";
/// What follows the error: its cleaning up, and that it failed.
const AFTERMATH: [&str; 4] =
    ["Resetting partition table", "Preserving partition table", "Storing saved partition", "Error: install failed"];

/// Why it did not install.
#[derive(Debug)]
pub(super) struct Failure {
    /// For the operator.
    pub(super) text: String,
    /// What kind of failure it is.
    pub(super) kind: FailureKind,
}

/// Whether another try makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// It would fail again.
    Lasting,
    /// A server or the way to it: it may pass with time.
    Network,
    /// Something on this machine, which may be over the next time.
    Local,
    /// The same by a signal: it had no time to clear the disk.
    Killed,
    /// It was stopped on request.
    Stopped,
}

/// Runs it to its end, in this environment without these variables.
pub(super) fn run(tool: &Tool, arguments: &[String], without: &[&str], step: &Step) -> Result<(), Failure> {
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
    let variables = ["RUST_BACKTRACE", "RUST_LIB_BACKTRACE"].iter().chain(without);
    let outcome = variables
        .fold(tool.run(arguments), |run, name| run.env_remove(*name))
        .cancelled(&|| step.cancel.is_cancelled())
        .on_line(&mut on_line)
        .output();
    match outcome {
        Ok(_) => Ok(()),
        Err(ToolError::Cancelled { command }) => Err(Failure { text: command, kind: FailureKind::Stopped }),
        Err(ToolError::Failed { code: Some(code), .. }) => {
            let reason = reason(&tail);
            let kind = if code == USAGE { FailureKind::Lasting } else { kind(&reason) };
            Err(Failure { text: format!("coreos-installer failed with code {code}: {reason}"), kind })
        }
        Err(ToolError::Failed { status, .. }) => {
            // Its pages come from the live system's medium.
            let medium = if status == BUS_ERROR { MEDIUM_GONE } else { "" };
            let text = format!("coreos-installer was ended by {status}{medium}: {}", reason(&tail));
            Err(Failure { text, kind: FailureKind::Killed })
        }
        Err(ToolError::Start { cause, .. }) if cause.raw_os_error() == Some(Errno::EIO as i32) => {
            let text = format!("coreos-installer cannot be started{MEDIUM_GONE}: {cause}");
            Err(Failure { text, kind: FailureKind::Lasting })
        }
        Err(error) => Err(Failure { text: error.to_string(), kind: FailureKind::Lasting }),
    }
}

/// As far as it can be told: what the program is read from was ejected, or its drive has failed.
const MEDIUM_GONE: &str = " (the medium of the live system cannot be read any more)";
/// SIGBUS: a page of the program or of its files cannot be read.
const BUS_ERROR: &str = "signal 7";

/// What came of a reason that it gave: it names the state of an HTTP server, or the URL that it was fetching.
fn kind(reason: &str) -> FailureKind {
    if LASTING.iter().any(|lasting| reason.contains(lasting)) {
        return FailureKind::Lasting;
    }
    match http_status(reason) {
        Some(status) if is_passing_status(status) => FailureKind::Network,
        Some(_) => FailureKind::Lasting,
        None if reason.contains("fetching ") || reason.contains("response body") => FailureKind::Network,
        None => FailureKind::Local,
    }
}

/// The state in `HTTP status client error (404 Not Found)`, `HTTP 503 Service Unavailable`, `image fetch failed: 204`.
fn http_status(reason: &str) -> Option<u16> {
    let starts = ["HTTP status client error (", "HTTP status server error (", "image fetch failed: ", "HTTP "];
    let rest = starts.iter().find_map(|start| reason.split_once(start))?.1;
    rest.get(..3)?.parse().ok()
}

/// From the first `Error:` on, with its causes, in one line, and what it said of partitions in use before; the last line
/// when there is none.
fn reason(tail: &VecDeque<String>) -> String {
    let Some(start) = tail.iter().position(|line| line.starts_with("Error:")) else {
        return tail.back().cloned().unwrap_or_else(|| "it said nothing".to_string());
    };
    let ends = |line: &&String| !AFTERMATH.iter().any(|after| line.starts_with(after));
    let mut lines: Vec<&str> = tail.iter().skip(start).take_while(ends).map(|line| line.trim()).collect();
    if let Some(preamble) = tail.iter().position(|line| line.starts_with(PREAMBLE)).filter(|at| *at < start) {
        lines.extend(tail.range(preamble..start).map(|line| line.trim()));
    }
    lines.join(" ")
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

    #[test]
    fn what_may_pass_is_known_by_the_state_of_the_server() {
        for (reason, expected) in [
            (
                "Error: fetching image URL Caused by: HTTP status client error (429 Too Many Requests)",
                FailureKind::Network,
            ),
            ("Error: fetching image URL Caused by: HTTP 503 Service Unavailable", FailureKind::Network),
            ("Error: fetching 'http://h/i' Caused by: HTTP status client error (404 Not Found)", FailureKind::Lasting),
            ("Error: fetching 'http://h/i' Caused by: error sending request for url", FailureKind::Network),
            ("Error: decoding and writing image Caused by: request or response body error", FailureKind::Network),
            ("Error: decoding and writing image Caused by: No space left on device", FailureKind::Local),
            ("Error: cannot perform offline install; metadata missing", FailureKind::Lasting),
        ] {
            assert_eq!(kind(reason), expected, "{reason}");
        }
    }

    #[test]
    fn who_uses_the_disk_is_a_part_of_the_reason() {
        let said = "Partitions in use on /dev/sda:\n    /dev/sda1 mounted on /mnt\n    /dev/sda2 is swap device\n\
                    Error: checking for exclusive access to /dev/sda\nCaused by:\n    found busy partitions";
        assert_eq!(
            reason(&said.lines().map(str::to_string).collect()),
            "Error: checking for exclusive access to /dev/sda Caused by: found busy partitions \
             Partitions in use on /dev/sda: /dev/sda1 mounted on /mnt /dev/sda2 is swap device"
        );
        let said = "Error: syncing data to disk\nCaused by:\n    Input/output error\nResetting partition table\nError: install failed";
        let lines = said.lines().map(str::to_string).collect();
        assert_eq!(reason(&lines), "Error: syncing data to disk Caused by: Input/output error");
    }
}
