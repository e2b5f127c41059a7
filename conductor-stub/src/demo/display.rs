//! What people see while they wait: one line that changes on a terminal, else a line for each change.

use std::cell::RefCell;
use std::io::{IsTerminal, Write};

use serde_json::Value;

/// Standard error as a display.
#[derive(Debug)]
pub struct Display {
    terminal: bool,
    last: RefCell<String>,
}

impl Default for Display {
    fn default() -> Self {
        Self::new()
    }
}

impl Display {
    /// Looks whether somebody watches.
    pub fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), last: RefCell::default() }
    }

    /// A line that stays.
    pub fn say(&self, text: &str) {
        self.done();
        eprintln!("{text}");
    }

    /// The node as it is now.
    pub fn node(&self, node: &Value, seconds: f64) {
        let state = node["provision_state"].as_str().unwrap_or_default();
        let step = node["step"].as_str().unwrap_or_default();
        let what = if step.is_empty() { state.to_owned() } else { format!("{state}: {step}") };
        if self.terminal {
            let progress = progress(&node["progress"]);
            eprint!("\r\x1b[K{seconds:6.1} s  {what}  {progress}");
            let _ = std::io::stderr().flush();
        } else if *self.last.borrow() != what {
            eprintln!("{seconds:6.1} s  {what}");
        }
        *self.last.borrow_mut() = what;
    }

    /// Ends the line that changes.
    pub fn done(&self) {
        if self.terminal && !self.last.take().is_empty() {
            eprint!("\r\x1b[K");
        }
    }
}

fn progress(progress: &Value) -> String {
    let mib = |key: &str| progress[key].as_u64().map(|bytes| bytes >> 20);
    let (Some(done), Some(rate)) = (mib("done_bytes"), mib("rate_bytes_per_second")) else { return String::new() };
    let total = mib("total_bytes").map_or_else(String::new, |total| format!(" of {total}"));
    let left = progress["eta_seconds"].as_u64().map_or_else(String::new, |seconds| format!(", {seconds} s left"));
    format!("{done}{total} MiB, {rate} MiB/s{left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_totals_are_left_out() {
        let json = serde_json::json!({"done_bytes": 3 << 20, "total_bytes": null, "rate_bytes_per_second": 1 << 20});
        assert_eq!(progress(&json), "3 MiB, 1 MiB/s");
        assert_eq!(progress(&Value::Null), "");
    }
}
