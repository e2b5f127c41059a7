//! QEMU's control socket: one command at a time (QEMU documentation, "QEMU Machine Protocol").

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// Sends one command to the QEMU behind `socket` and returns its answer.
///
/// # Errors
/// When the socket cannot be used or QEMU refuses the command.
pub(super) fn execute(socket: &Path, command: &str, arguments: Value) -> io::Result<Value> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut call = |command: &str, arguments: Value| -> io::Result<Value> {
        let mut line = json!({"execute": command, "arguments": arguments}).to_string();
        line.push('\n');
        stream.write_all(line.as_bytes())?;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let answer: Value = serde_json::from_str(&line)?;
            if let Some(value) = answer.get("return") {
                return Ok(value.clone());
            }
            if let Some(error) = answer.get("error") {
                return Err(io::Error::other(format!("QEMU refused {command}: {}", error["desc"])));
            }
            // The greeting, or an event.
        }
    };
    call("qmp_capabilities", json!({}))?;
    call(command, arguments)
}
