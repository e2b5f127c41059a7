//! The control socket of a running QEMU (QEMU Machine Protocol).

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

/// How long it may take to answer; a machine that is emulated is slow, its monitor is not.
const ANSWER: Duration = Duration::from_secs(60);

/// Has QEMU execute these commands, one after the other.
///
/// # Errors
/// It does not run, does not answer within a minute, or refuses one of them.
pub fn execute(socket: &Path, commands: &[Value]) -> Result<()> {
    let control = UnixStream::connect(socket)?;
    control.set_read_timeout(Some(ANSWER))?;
    let mut control = BufReader::new(control);
    control.read_line(&mut String::new())?;
    for command in std::iter::once(&json!({"execute": "qmp_capabilities"})).chain(commands) {
        writeln!(control.get_mut(), "{command}")?;
        // Events come in between.
        let answer = loop {
            let mut line = String::new();
            ensure!(control.read_line(&mut line)? > 0, "QEMU ended at {command}");
            let answer: Value = serde_json::from_str(&line)?;
            if answer.get("event").is_none() {
                break answer;
            }
        };
        ensure!(answer.get("error").is_none(), "{command}: {answer}");
    }
    Ok(())
}
