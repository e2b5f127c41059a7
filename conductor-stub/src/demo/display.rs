//! What people see while they wait: one line that changes on a terminal, else a line for each change.

use std::cell::RefCell;
use std::io::IsTerminal;

use ferric_terminal::{Entry, Lines, Work};
use serde_json::Value;

/// Standard error as a display.
#[derive(Debug, Default)]
pub struct Display {
    /// On a terminal.
    lines: Option<RefCell<Lines>>,
    last: RefCell<String>,
}

impl Display {
    /// Looks whether somebody watches.
    pub fn new() -> Self {
        let lines = std::io::stderr().is_terminal().then(RefCell::default);
        Self { lines, ..Self::default() }
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
        match &self.lines {
            Some(lines) => {
                let plain = || Entry::Text(format!("{seconds:6.1} s  {what}"));
                let entry = progress(&what, step, &node["progress"]).map_or_else(plain, Entry::Work);
                lines.borrow_mut().draw(&[entry], false);
            }
            None if *self.last.borrow() != what => {
                eprintln!("{seconds:6.1} s  {what}");
                *self.last.borrow_mut() = what;
            }
            None => {}
        }
    }

    /// Ends the line that changes.
    pub fn done(&self) {
        if let Some(lines) = &self.lines {
            lines.borrow_mut().clear();
        }
    }
}

/// How far a step is, when it says so.
fn progress(what: &str, step: &str, progress: &Value) -> Option<Work> {
    let number = |key: &str| progress[key].as_u64();
    Some(Work {
        done: number("done_bytes")?,
        total: number("total_bytes"),
        rate: number("rate_bytes_per_second")?,
        eta_seconds: number("eta_seconds"),
        ..Work::new(what, step)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_says_nothing_has_no_bar() {
        let json = serde_json::json!({"done_bytes": 3 << 20, "total_bytes": null, "rate_bytes_per_second": 1 << 20});
        let work = progress("deploying: write_image", "write_image", &json).unwrap();
        assert_eq!(work.text(), "deploying: write_image: 3.00 MiB, 1.00 MiB/s");
        assert_eq!(progress("inspecting", "", &Value::Null), None);
    }
}
