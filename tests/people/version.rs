//! What `--version` says of where a program comes from.

use std::path::{Path, PathBuf};
use std::process::Command;

use ferric_tests::process::program;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// What the build script says in that folder of sources.
fn built(script: &Path, folder: &Path, profile: &str) -> String {
    let output = Command::new(script)
        .current_dir(folder)
        .envs([("PROFILE", profile), ("CARGO_PKG_VERSION", "1.2.3")])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find_map(|line| line.strip_prefix("cargo::rustc-env=FERRIC_VERSION=")).unwrap().to_owned()
}

#[test]
fn a_release_build_names_its_commit() {
    let work = tempfile::tempdir().unwrap();
    let script = work.path().join("commit");
    let compiled = Command::new("rustc")
        .args(["--edition", "2024", "-o"])
        .arg(&script)
        .arg(repository().join(".ci/commit.rs"))
        .status()
        .unwrap();
    assert!(compiled.success());

    let agent = work.path().join("tree/agent");
    std::fs::create_dir_all(&agent).unwrap();
    std::fs::write(agent.join("Cargo.toml"), "[package]\n").unwrap();
    assert_eq!(built(&script, &agent, "release"), "1.2.3 (commit unknown: built without git)");
    assert_eq!(built(&script, &agent, "debug"), "1.2.3 (development build)");

    let git = |words: &[&str]| {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false"];
        let output = Command::new("git").args(identity).args(words).current_dir(&agent).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "--quiet", ".."]);
    assert_eq!(built(&script, &agent, "release"), "1.2.3 (commit unknown: built without git)", "somebody else's");
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "first"]);
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    assert_eq!(built(&script, &agent, "release"), format!("1.2.3 ({commit})"));
    std::fs::write(agent.join("Cargo.toml"), "[package] # changed\n").unwrap();
    assert_eq!(built(&script, &agent, "release"), format!("1.2.3 ({commit} and local changes)"));
}

#[test]
fn every_program_says_its_version() {
    for name in ["ferric-agent", "ferric-ignition", "conductor-stub"] {
        let output = Command::new(program(name)).arg("--version").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with(&format!("{name} {} (", env!("CARGO_PKG_VERSION"))), "{text}");
    }
}
