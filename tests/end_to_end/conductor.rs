//! Our conductor as a program: what it does from start to end, and what it leaves.

mod demo;
mod lab;

use std::process::Command;

/// Loop devices and processes whose names lead into a directory of that kind.
fn left_behind(prefix: &str) -> Vec<String> {
    let loops = Command::new("losetup").arg("--list").output().unwrap();
    let mut found: Vec<String> = String::from_utf8_lossy(&loops.stdout)
        .lines()
        .filter(|line| line.contains(prefix))
        .map(str::to_owned)
        .collect();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(prefix) {
            found.push(command);
        }
    }
    found
}
