//! Our conductor as a program: what it does from start to end, and what it leaves.

mod demo;
mod lab;

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Fails when something of that kind is still there after a while; the kernel takes children away a moment after their parent.
fn assert_nothing_left(prefix: &str) {
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until && !left_behind(prefix).is_empty() {
        sleep(Duration::from_millis(100));
    }
    assert_eq!(left_behind(prefix), Vec::<String>::new());
}

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
