//! What it came to: stage, time, bytes, MB/s, result.

use std::fmt;
use std::time::Duration;

/// One stage.
#[derive(Debug)]
pub struct Row {
    stage: String,
    time: Duration,
    bytes: Option<u64>,
    result: String,
}

impl Row {
    /// A stage that moved no bytes worth counting.
    pub fn new(stage: &str, time: Duration, result: &str) -> Self {
        Self { stage: stage.into(), time, bytes: None, result: result.into() }
    }

    /// A stage that moved these bytes.
    #[must_use]
    pub fn bytes(self, bytes: impl Into<Option<u64>>) -> Self {
        Self { bytes: bytes.into(), ..self }
    }
}

/// All stages.
#[derive(Debug, Default)]
pub struct Table(Vec<Row>);

impl Table {
    /// Adds a stage.
    pub fn add(&mut self, row: Row) {
        self.0.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<14} {:>8} {:>13} {:>7}  result", "stage", "time", "bytes", "MB/s")?;
        for Row { stage, time, bytes, result } in &self.0 {
            let seconds = time.as_secs_f64();
            let count = bytes.map_or_else(|| "-".into(), |bytes| bytes.to_string());
            let rate = bytes
                .filter(|_| seconds >= 0.001)
                .map_or_else(|| "-".into(), |bytes| format!("{:.0}", bytes as f64 / seconds / 1e6));
            writeln!(f, "{stage:<14} {seconds:>6.1} s {count:>13} {rate:>7}  {result}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_needs_bytes_and_time() {
        let mut table = Table::default();
        table.add(Row::new("write", Duration::from_secs(2), "fine").bytes(4_000_000));
        table.add(Row::new("none", Duration::from_secs(2), "fine"));
        let text = table.to_string();
        assert!(text.contains("      4000000       2  fine"), "{text}");
        assert!(text.contains("            -       -  fine"), "{text}");
    }
}
