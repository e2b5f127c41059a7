//! Build script of the three programs: what `--version` says. A release build names its commit, and whether what was built
//! is what was committed; the same sources say the same. A development build names none: it would be built anew for every
//! commit.

use std::process::Command;

/// What may differ from the commit, relative to each program's folder.
const SOURCES: [&str; 14] = [
    "../Cargo.toml",
    "../Cargo.lock",
    "../agent/Cargo.toml",
    "../agent/src",
    "../conductor-stub/Cargo.toml",
    "../conductor-stub/src",
    "../hardware/Cargo.toml",
    "../hardware/src",
    "../ignition/Cargo.toml",
    "../ignition/src",
    "../steps/Cargo.toml",
    "../steps/src",
    "../terminal/Cargo.toml",
    "../terminal/src",
];

fn main() {
    println!("cargo::rerun-if-changed=../.ci/commit.rs");
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let built = match std::env::var("PROFILE").as_deref() {
        Ok("release") => commit(),
        _ => "development build".to_owned(),
    };
    println!("cargo::rustc-env=FERRIC_VERSION={version} ({built})");
}

fn commit() -> String {
    // Sources without a repository of their own may lie in somebody else's.
    if git(&["ls-files", "--error-unmatch", "Cargo.toml"]).is_none() {
        return "commit unknown: built without git".to_owned();
    }
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "commit unknown: built without git".to_owned();
    };
    // Written at every commit and every change of branch.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let mut status = vec!["status", "--porcelain", "--untracked-files=no", "--"];
    status.extend(SOURCES);
    match git(&status).as_deref() {
        Some("") => commit,
        _ => format!("{commit} and local changes"),
    }
}

/// What git says, when it succeeds.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
