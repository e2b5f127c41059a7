//! One run of a program: its input, its output line by line, its time limit, its end.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, chdir, chroot};

use super::error::ToolError;

/// How often a running program is looked at for its limit and for cancellation.
const TICK: Duration = Duration::from_millis(50);
/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);
/// How long the output of a program that has ended is waited for.
const LINGER: Duration = Duration::from_millis(200);
/// How often the start of a busy program is tried again.
const BUSY_ATTEMPTS: u32 = 20;
/// Longer lines are cut into pieces.
const LINE_LIMIT_BYTES: u64 = 1 << 20;
/// Bytes of standard output that are kept (a system journal can be long).
const OUTPUT_LIMIT_BYTES: usize = 64 << 20;
/// Lines of the end of the output that appear in errors.
const TAIL_LINES: usize = 20;
/// The path a program gets inside the host root.
const HOST_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Which program, and where.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// What it is called in errors.
    pub(super) name: String,
    /// Its file, as seen from `root`.
    pub(super) path: PathBuf,
    /// The root directory it runs in, when that is not ours.
    pub(super) root: Option<PathBuf>,
}

/// One run of a program, not yet started.
pub struct Invocation<'a> {
    program: Program,
    arguments: Vec<(OsString, bool)>,
    environment: Vec<(OsString, Option<OsString>)>,
    directory: Option<OsString>,
    stdin: Vec<u8>,
    timeout: Option<Duration>,
    cancelled: &'a (dyn Fn() -> bool + Sync),
    on_line: Option<&'a mut dyn FnMut(&str)>,
}

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Output {
    /// Its standard output, at most 64 MiB.
    pub stdout: Vec<u8>,
    /// The last 20 lines of its standard error.
    pub stderr: String,
    /// Its exit code; nothing when a signal ended it.
    pub code: Option<i32>,
}

impl Output {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl std::fmt::Debug for Invocation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.description())
    }
}

/// One line as it came, with its line end.
struct Line {
    text: Vec<u8>,
    of_stdout: bool,
}

impl<'a> Invocation<'a> {
    pub(super) fn new(program: Program, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            program,
            arguments: arguments.into_iter().map(|argument| (argument.into(), false)).collect(),
            environment: Vec::new(),
            directory: None,
            stdin: Vec::new(),
            timeout: None,
            cancelled: &|| false,
            on_line: None,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push((argument.into(), false));
        self
    }

    /// Adds an argument that is shown as `<...>` in errors and logs.
    pub fn secret_arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push((argument.into(), true));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), Some(value.into())));
        self
    }

    /// Removes an environment variable.
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), None));
        self
    }

    /// Runs it in this directory (seen from its own root).
    pub fn directory(mut self, directory: impl AsRef<OsStr>) -> Self {
        self.directory = Some(directory.as_ref().to_os_string());
        self
    }

    /// Gives it this text on standard input, then the end of file.
    pub fn stdin(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdin = text.into();
        self
    }

    /// Stops it when it takes longer than this.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Stops it as soon as this says so.
    pub fn cancelled(mut self, cancelled: &'a (dyn Fn() -> bool + Sync)) -> Self {
        self.cancelled = cancelled;
        self
    }

    /// Hands over every line of its standard output and standard error as it comes.
    pub fn on_line(mut self, on_line: &'a mut dyn FnMut(&str)) -> Self {
        self.on_line = Some(on_line);
        self
    }

    /// Name and arguments, secrets masked.
    pub fn description(&self) -> String {
        let mut text = self.program.name.clone();
        for (argument, secret) in &self.arguments {
            text.push(' ');
            text.push_str(if *secret { "<...>".into() } else { argument.to_string_lossy() }.as_ref());
        }
        text
    }

    /// Runs it to a successful end.
    ///
    /// # Errors
    /// Every [`ToolError`] but `Missing`; an exit code other than 0 is [`ToolError::Failed`].
    pub fn output(self) -> Result<Output, ToolError> {
        let command = self.description();
        let (output, status, tail) = self.run()?;
        if status.success() {
            return Ok(output);
        }
        let status_text = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or_default()),
        };
        let stderr = if output.stderr.is_empty() { tail } else { output.stderr };
        Err(ToolError::Failed { command, status: status_text, code: status.code(), stderr })
    }

    /// Runs it to any end; its exit code is for the caller to judge.
    ///
    /// # Errors
    /// When it cannot be started, takes too long or is cancelled.
    pub fn output_any_code(self) -> Result<Output, ToolError> {
        self.run().map(|(output, ..)| output)
    }

    fn run(mut self) -> Result<(Output, ExitStatus, String), ToolError> {
        let command = self.description();
        tracing::debug!(%command, root = ?self.program.root, "running");
        let start_error = |cause| ToolError::Start { command: command.clone(), cause };
        let mut child = self.spawn().map_err(start_error)?;
        let received = attend(&mut child, std::mem::take(&mut self.stdin));
        let mut transcript = Transcript::new(self.on_line.take());
        let deadline = self.timeout.map(|limit| (limit, Instant::now() + limit));
        let status = loop {
            let closed = match received.recv_timeout(TICK) {
                Ok(line) => {
                    transcript.take(line);
                    false
                }
                Err(end) => end == RecvTimeoutError::Disconnected,
            };
            if (self.cancelled)() {
                stop(&mut child);
                return Err(ToolError::Cancelled { command });
            }
            if let Some((limit, deadline)) = deadline
                && Instant::now() > deadline
            {
                stop(&mut child);
                return Err(ToolError::TimedOut { command, limit, stderr: joined(&transcript.stderr_tail) });
            }
            match child.try_wait().map_err(start_error)? {
                Some(status) => break status,
                None if closed => std::thread::sleep(TICK / 10),
                None => {}
            }
        };
        // Something it left in the background may hold the pipes open for ever: the program's own end is what counts.
        while let Ok(line) = received.recv_timeout(LINGER) {
            transcript.take(line);
        }
        let stderr = joined(&transcript.stderr_tail);
        let tail = joined(&transcript.stdout_tail);
        Ok((Output { stdout: transcript.stdout, stderr, code: status.code() }, status, tail))
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let mut command = Command::new(&self.program.path);
        command
            .args(self.arguments.iter().map(|(argument, _)| argument))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env("LC_ALL", "C")
            .process_group(0);
        if self.program.root.is_some() {
            command.env("PATH", HOST_PATH);
        }
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let mut attempts_left = BUSY_ATTEMPTS;
        loop {
            let started = match &self.program.root {
                None => command.spawn(),
                Some(root) => spawn_in_root(root, &mut command),
            };
            match started {
                // A program that was just written is busy while another child that inherited its descriptor starts.
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy && attempts_left > 0 => {
                    attempts_left -= 1;
                    std::thread::sleep(TICK);
                }
                other => return other,
            }
        }
    }
}

/// Starts `command` below another root. The root of one thread is changed, and only that thread's child inherits it.
fn spawn_in_root(root: &Path, command: &mut Command) -> std::io::Result<Child> {
    std::thread::scope(|scope| {
        let starter = scope.spawn(|| {
            unshare(CloneFlags::CLONE_FS)?;
            chroot(root)?;
            chdir("/")?;
            command.spawn()
        });
        starter.join().unwrap_or_else(|_| Err(std::io::Error::other("the starting thread died")))
    })
}

/// Feeds and reads a program on threads of their own; the receiver ends when it has closed its output.
fn attend(child: &mut Child, input: Vec<u8>) -> Receiver<Line> {
    let (lines, received) = sync_channel(256);
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input has its reasons; its exit code tells.
        std::thread::spawn(move || stdin.write_all(&input).ok());
    }
    if let Some(stdout) = child.stdout.take() {
        let to = lines.clone();
        std::thread::spawn(move || read_lines(stdout, true, &to));
    }
    if let Some(stderr) = child.stderr.take() {
        std::thread::spawn(move || read_lines(stderr, false, &lines));
    }
    received
}

fn read_lines(pipe: impl Read, of_stdout: bool, to: &SyncSender<Line>) {
    let mut pipe = BufReader::new(pipe);
    loop {
        let mut text = Vec::new();
        match pipe.by_ref().take(LINE_LIMIT_BYTES).read_until(b'\n', &mut text) {
            Ok(1..) if to.send(Line { text, of_stdout }).is_ok() => {}
            _ => return,
        }
    }
}

/// What has been said so far.
struct Transcript<'a> {
    stdout: Vec<u8>,
    stdout_tail: VecDeque<String>,
    stderr_tail: VecDeque<String>,
    on_line: Option<&'a mut dyn FnMut(&str)>,
}

impl<'a> Transcript<'a> {
    fn new(on_line: Option<&'a mut dyn FnMut(&str)>) -> Self {
        Self { stdout: Vec::new(), stdout_tail: VecDeque::new(), stderr_tail: VecDeque::new(), on_line }
    }

    fn take(&mut self, line: Line) {
        let text = String::from_utf8_lossy(&line.text).trim_end_matches(['\n', '\r']).to_string();
        if line.of_stdout && self.stdout.len() + line.text.len() <= OUTPUT_LIMIT_BYTES {
            self.stdout.extend_from_slice(&line.text);
        }
        if let Some(on_line) = self.on_line.as_mut() {
            on_line(&text);
        }
        if !text.trim().is_empty() {
            let tail = if line.of_stdout { &mut self.stdout_tail } else { &mut self.stderr_tail };
            tail.push_back(text);
            if tail.len() > TAIL_LINES {
                tail.pop_front();
            }
        }
    }
}

fn joined(lines: &VecDeque<String>) -> String {
    lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
}

/// Ends a program and everything it started: SIGTERM, then SIGKILL.
fn stop(child: &mut Child) {
    let group = Pid::from_raw(child.id() as i32);
    killpg(group, Signal::SIGTERM).ok();
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(TICK);
    }
    // The group can outlive its leader.
    killpg(group, Signal::SIGKILL).ok();
    child.wait().ok();
}
