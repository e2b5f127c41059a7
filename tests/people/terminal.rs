//! The programs as people meet them: on a terminal, with nobody to explain.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use ferric_tests::loop_device::LoopDevice;
use ferric_tests::namespace::Namespace;
use ferric_tests::process::{Process, program};

const LIMIT: Duration = Duration::from_secs(30);

/// Runs a command line of the shell on a terminal of that width and returns what is seen there, and the exit code.
fn on_terminal(columns: u32, line: &str, typed: &str) -> (String, Option<i32>) {
    let keys = tempfile::NamedTempFile::new().unwrap();
    fs::write(keys.path(), typed).unwrap();
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &format!("stty rows 24 cols {columns}; {line}"), "/dev/null"])
        .stdin(fs::File::open(keys.path()).unwrap())
        .env("PATH", format!("{}:/usr/bin:/bin", program("ferric-agent").parent().unwrap().display()))
        .env("TERM", "xterm")
        .output()
        .unwrap();
    (String::from_utf8_lossy(&output.stdout).replace('\r', ""), output.status.code())
}

/// The same without its colours.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\x1b') {
        plain.push_str(before);
        rest = after.split_once(|character: char| character.is_ascii_alphabetic()).map_or("", |(_, rest)| rest);
    }
    plain + rest
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn the_bare_name_explains_itself_to_people_and_serves_without_them() {
    let (seen, code) = on_terminal(80, "ferric-agent", "");
    assert!(seen.contains("Examples:") && seen.contains("ferric-agent disks"), "{seen}");
    assert_eq!(code, Some(2));

    // A service has no terminal. It could do harm: it is alone, and there is no disk for it.
    let alone = Namespace::new().unwrap();
    let mut command = alone.command(program("ferric-agent"));
    let mut agent = Process::start(command.env("OS_DEFAULT__ALLOWED_DEVICES", "/nonexistent")).unwrap();
    agent.wait_for("agent starts", LIMIT).unwrap();
    assert!(agent.ended().is_none(), "{}", agent.log());
}

#[test]
fn help_is_as_wide_as_the_terminal() {
    for line in [
        "ferric-agent --help",
        "ferric-agent run --help",
        "ferric-ignition config --help",
        "conductor-stub serve --help",
    ] {
        for columns in [60, 80] {
            let (seen, code) = on_terminal(columns, line, "");
            assert_eq!(code, Some(0), "{seen}");
            let seen = plain(&seen);
            // What is to be copied stays whole, and so does a flag with its value.
            let prose = seen.lines().take_while(|line| !line.starts_with("Examples"));
            for text in prose.filter(|text| !text.trim_start().starts_with('-')) {
                assert!(text.chars().count() <= columns as usize, "{line} at {columns}: {text}");
            }
        }
    }
}

#[test]
fn a_device_that_is_not_there_is_named() {
    for words in [
        "disks --allow-device /dev/nonexistent",
        "disks --json --allow-device /dev/nonexistent",
        "inventory --allow-device /dev/nonexistent",
    ] {
        let output = Command::new(program("ferric-agent")).args(words.split(' ')).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("--allow-device /dev/nonexistent: no such block device"), "{}", said(&output));
    }
}

fn plugin(directory: &Path, name: &str, script: &str, mode: u32) {
    let file = directory.join(name);
    fs::write(&file, script).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn steps_says_which_plugins_bring_none() {
    let directory = tempfile::tempdir().unwrap();
    let steps = |directory: &Path| {
        Command::new(program("ferric-agent")).args(["steps", "--steps-dir"]).arg(directory).output().unwrap()
    };
    plugin(directory.path(), "good", "#!/bin/sh\necho '{\"steps\": {\"clean\": [{\"step\": \"greet\"}]}}'\n", 0o755);
    let output = steps(directory.path());
    assert!(output.status.success() && said(&output).contains("greet"), "{}", said(&output));

    plugin(directory.path(), "chatty", "#!/bin/sh\necho hello\n", 0o755);
    plugin(directory.path(), "failing", "#!/bin/sh\necho no license >&2; exit 3\n", 0o755);
    plugin(directory.path(), "open", "#!/bin/sh\n", 0o777);
    plugin(directory.path(), "plain", "#!/bin/sh\n", 0o644);
    let output = steps(directory.path());
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for words in [
        "chatty: what `list` prints is no listing",
        "no license",
        "open: no step plugins from here",
        "plain: not executable",
        "4 of the step plugins cannot be used",
        "greet",
    ] {
        assert!(text.contains(words), "no `{words}` in\n{text}");
    }

    let output = steps(&directory.path().join("missing"));
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("missing: no such directory"), "{}", said(&output));
}

#[test]
fn nothing_is_destroyed_on_a_terminal_before_its_name_was_typed() {
    let disk = LoopDevice::new(8 << 20).unwrap();
    let device = disk.path().display().to_string();
    let image = tempfile::NamedTempFile::new().unwrap();
    fs::write(image.path(), [7; 4096]).unwrap();
    let destructive = format!("--allow-device {device} --device {device}");
    for line in [
        format!("ferric-agent write-image {destructive} --url {} --no-checksum", image.path().display()),
        format!("ferric-agent erase {destructive} --full"),
    ] {
        fs::write(disk.path(), [9; 512]).unwrap();
        let (seen, code) = on_terminal(80, &line, "no\n");
        assert!(seen.contains(&format!("This destroys what is on {device}")), "{seen}");
        assert!(seen.contains("was left alone"), "{seen}");
        assert_eq!(code, Some(1));
        assert_eq!(fs::read(disk.path()).unwrap()[..512], [9; 512]);

        // What was written is no system, which the program says as well.
        let (seen, _) = on_terminal(80, &line, &format!("{device}\n"));
        assert_ne!(fs::read(disk.path()).unwrap()[..512], [9; 512], "{seen}");
    }
}
