//! `make install`, and what it brings beside the programs.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use ferric_tests::process::program;

/// Installs the programs built beside this test below `root`.
fn install(work: &Path, root: &Path) {
    let release = program("ferric-agent").parent().unwrap().to_owned();
    symlink(release, work.join("release")).unwrap();
    let written = Command::new(program("ferric-manual")).arg(work.join("manual")).status().unwrap();
    assert!(written.success());
    let output = Command::new("make")
        .args(["--old-file=build", "install"])
        .arg(format!("DESTDIR={}", root.display()))
        .env("CARGO_TARGET_DIR", work)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What bash offers behind these words.
fn offered(completion: &Path, program: &str, words: &[&str]) -> Vec<String> {
    let last = words.last().unwrap().trim_matches('"');
    // `complete -p` ends in: -F FUNCTION PROGRAM.
    let script = format!(
        "source {}\nset -- $(complete -p {program})\nwhile [ \"$1\" != -F ]; do shift; done\n\
         COMP_WORDS=({program} {}); COMP_CWORD={}\n\
         \"$2\" {program} {last:?} ''\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
        completion.display(),
        words.join(" "),
        words.len(),
    );
    let output = Command::new("bash").args(["--norc", "-c", &script]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn programs_man_pages_and_completions_are_installed() {
    let work = tempfile::tempdir().unwrap();
    let root = work.path().join("root");
    install(work.path(), &root);
    let installed = |name: &str| -> PathBuf { root.join("usr/local").join(name) };

    for name in ["ferric-agent", "ferric-ignition", "conductor-stub"] {
        assert!(Command::new(installed("bin").join(name)).arg("--version").status().unwrap().success(), "{name}");
        for completion in [
            format!("bash-completion/completions/{name}.bash"),
            format!("zsh/site-functions/_{name}"),
            format!("fish/vendor_completions.d/{name}.fish"),
        ] {
            assert!(installed("share").join(&completion).is_file(), "{completion}");
        }
    }
    let completion = installed("share/bash-completion/completions/ferric-agent.bash");
    let subcommands = offered(&completion, "ferric-agent", &["\"\""]);
    assert!(subcommands.iter().any(|word| word == "write-image"), "{subcommands:?}");
    let flags = offered(&completion, "ferric-agent", &["erase", "--f"]);
    assert_eq!(flags, ["--full"]);

    let mut pages = 0;
    for page in std::fs::read_dir(installed("share/man/man1")).unwrap() {
        let page = page.unwrap().path();
        let text = std::fs::read_to_string(&page).unwrap();
        assert!(text.contains(".SH SYNOPSIS") && text.contains(".SH OPTIONS"), "{}", page.display());
        pages += 1;
    }
    assert!(pages > 30, "{pages} pages");
    assert!(installed("share/man/man1/ferric-agent-write-image.1").is_file());
}
