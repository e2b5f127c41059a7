//! A terminal as people sit in front of it: `tmux`, with a server of its own.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// Rows of every terminal.
pub const ROWS: usize = 24;

/// A terminal in which one program runs; both are gone when this is dropped.
#[derive(Debug)]
pub struct Terminal {
    directory: tempfile::TempDir,
}

/// What is to be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screen {
    /// Its lines as they are on the screen, without blank ones at the end: one that the terminal broke is two.
    pub lines: Vec<String>,
    /// How many lines have left the screen at its top.
    pub scrolled: usize,
}

impl Terminal {
    /// Runs a program in a terminal of so many columns. The terminal stays when the program has ended.
    ///
    /// # Errors
    /// When tmux does not start.
    pub fn start<S: AsRef<OsStr>>(columns: usize, environment: &[(&str, &str)], program: &[S]) -> Result<Self> {
        let this = Self { directory: tempfile::tempdir()? };
        // The first command starts the server: what is set here is for it alone.
        let mut command = this.tmux();
        command.args(["-f", "/dev/null", "start-server", ";", "set", "-g", "remain-on-exit", "on", ";"]);
        command.args(["set", "-g", "history-limit", "10000", ";", "new-session", "-d", "-s", "test"]);
        command.args(["-x", &columns.to_string(), "-y", &ROWS.to_string()]);
        for (name, value) in environment {
            command.arg("-e").arg(format!("{name}={value}"));
        }
        let output = command.args(program).output()?;
        ensure!(output.status.success(), "tmux: {}", String::from_utf8_lossy(&output.stderr));
        Ok(this)
    }

    /// What is to be seen now.
    ///
    /// # Errors
    /// When tmux does not say.
    pub fn screen(&self) -> Result<Screen> {
        // In one go, so that both are of the same moment.
        let state = "#{history_size} #{pane_dead}";
        let said = self.ask(&["display-message", "-p", state, ";", "capture-pane", "-p", "-S", "-1"])?;
        let (state, lines) = said.split_once('\n').context("tmux says too little")?;
        let (scrolled, is_dead) = state.trim_end().split_once(' ').unwrap_or((state.trim(), "0"));
        let (mut scrolled, mut lines): (usize, Vec<&str>) = (scrolled.parse()?, lines.lines().collect());
        if is_dead == "1" {
            // tmux has moved all lines up by one, and says in the last row that the program has ended.
            lines.pop();
            scrolled = scrolled.saturating_sub(1);
        } else if scrolled > 0 {
            lines.remove(0);
        }
        let lines = lines.join("\n").trim_end().lines().map(str::to_string).collect();
        Ok(Screen { lines, scrolled })
    }

    /// What is to be seen now, with its colours as escape sequences.
    ///
    /// # Errors
    /// When tmux does not say.
    pub fn coloured(&self) -> Result<String> {
        self.ask(&["capture-pane", "-p", "-e"])
    }

    /// Every screen that differed from the one before, until the program ended.
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub fn watch(&self, limit: Duration) -> Result<Vec<Screen>> {
        let start = Instant::now();
        let mut screens: Vec<Screen> = Vec::new();
        loop {
            let has_ended = self.ask(&["display-message", "-p", "#{pane_dead}"])?.trim() == "1";
            let screen = self.screen()?;
            if screens.last() != Some(&screen) {
                screens.push(screen);
            }
            if has_ended {
                return Ok(screens);
            }
            ensure!(start.elapsed() < limit, "still runs after {limit:?}: {:?}", screens.last());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn ask(&self, arguments: &[&str]) -> Result<String> {
        let Output { status, stdout, stderr } = self.tmux().args(arguments).output()?;
        ensure!(status.success(), "tmux {arguments:?}: {}", String::from_utf8_lossy(&stderr));
        Ok(String::from_utf8(stdout)?)
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.socket()).env_remove("TMUX").env("LC_ALL", "C.UTF-8");
        command
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.tmux().arg("kill-server").output();
    }
}
