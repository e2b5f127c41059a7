//! `ferric-ignition iso` and the real coreos-installer on the same images: cut-down Fedora CoreOS and RHCOS live ISOs of
//! several years, from coreos-installer's own tests (`.ci/peers` fetches them).

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result};
use ferric_ignition::live_iso::LiveIso;
use ferric_ignition::patch::Patch;
use ferric_tests::{peers, process::program};

const CONFIG: &str = r#"{"ignition":{"version":"3.2.0"},"passwd":{"users":[{"name":"core"}]}}"#;

/// A run that is expected to succeed; returns what it printed.
fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

fn ours(arguments: &[&str], iso: &Path) -> Command {
    let mut command = Command::new(program("ferric-ignition"));
    command.arg("iso").args(arguments).arg(iso);
    command
}

fn theirs(arguments: &[&str], iso: &Path) -> Result<Command> {
    let mut command = Command::new(peers::folder()?.join("bin/coreos-installer"));
    command.arg("iso").args(arguments).arg(iso);
    Ok(command)
}

/// The unpacked image of that name.
fn image(folder: &Path, name: &str) -> Result<PathBuf> {
    let packed = peers::folder()?.join("live-isos").join(format!("{name}.iso.xz"));
    let iso = folder.join(format!("{name}.iso"));
    fs::write(&iso, run(Command::new("xz").args(["--decompress", "--stdout"]).arg(packed))?)?;
    Ok(iso)
}

fn images(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut images = Vec::new();
    for entry in fs::read_dir(peers::folder()?.join("live-isos"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(stem) = name.strip_suffix(".iso.xz").filter(|stem| stem.starts_with("embed-areas-")) {
            images.push(image(folder, stem)?);
        }
    }
    assert!(images.len() >= 10, "only {} images", images.len());
    Ok(images)
}

#[test]
fn either_program_reads_the_config_that_the_other_embedded() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("config.ign");
    fs::write(&config, CONFIG)?;
    let config_argument = config.display().to_string();
    for pristine in images(folder.path())? {
        let iso = folder.path().join("work.iso");

        fs::copy(&pristine, &iso)?;
        run(&mut ours(&["embed", "-i", &config_argument], &iso))?;
        assert_eq!(run(&mut theirs(&["ignition", "show"], &iso)?)?, CONFIG.as_bytes(), "{pristine:?}");
        run(&mut theirs(&["ignition", "remove"], &iso)?)?;
        assert!(fs::read(&iso)? == fs::read(&pristine)?, "{pristine:?}: they did not find all that we wrote");

        run(&mut theirs(&["ignition", "embed", "-i", &config_argument], &iso)?)?;
        assert_eq!(run(&mut ours(&["show"], &iso))?, CONFIG.as_bytes(), "{pristine:?}");
        run(&mut ours(&["remove"], &iso))?;
        assert!(fs::read(&iso)? == fs::read(&pristine)?, "{pristine:?}: we did not remove all that they wrote");
    }
    Ok(())
}

#[test]
fn other_embedded_files_survive() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (config, keyfile) = (folder.path().join("config.ign"), folder.path().join("eth0.nmconnection"));
    fs::write(&config, CONFIG)?;
    fs::write(&keyfile, "[connection]\nid=eth0\n")?;
    let iso = image(folder.path(), "embed-areas-2023-07.x86_64")?;
    run(theirs(&["network", "embed", "-k"], &keyfile)?.arg(&iso))?;
    run(ours(&["embed", "-i"], &config).arg(&iso))?;
    run(&mut ours(&["remove"], &iso))?;
    let shown = run(&mut theirs(&["network", "extract"], &iso)?)?;
    assert!(String::from_utf8_lossy(&shown).contains("id=eth0"));
    Ok(())
}

#[test]
fn kernel_arguments_come_out_byte_for_byte_the_same() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut with_areas = 0;
    for pristine in images(folder.path())? {
        let shown = theirs(&["kargs", "show"], &pristine)?.output()?;
        if !shown.status.success() {
            refused(&ours(&["kargs", "show"], &pristine).output()?, "no areas for kernel arguments");
            continue;
        }
        with_areas += 1;
        assert_eq!(run(&mut ours(&["kargs", "show"], &pristine))?, shown.stdout);
        let (one, other) = (folder.path().join("one.iso"), folder.path().join("other.iso"));
        fs::copy(&pristine, &one)?;
        fs::copy(&pristine, &other)?;
        run(ours(&["kargs", "append"], &one).args(["ipa-api-url=http://192.0.2.1:6385", "quiet"]))?;
        let appended = ["kargs", "modify", "-a", "ipa-api-url=http://192.0.2.1:6385", "-a", "quiet"];
        run(&mut theirs(&appended, &other)?)?;
        assert!(fs::read(&one)? == fs::read(&other)?, "{pristine:?}: the images differ");
        run(&mut ours(&["kargs", "reset"], &one))?;
        assert!(fs::read(&one)? == fs::read(&pristine)?, "{pristine:?}: not as it was");
    }
    assert!(with_areas >= 7, "only {with_areas} images have areas");
    Ok(())
}

#[test]
fn a_copy_leaves_the_original_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("config.ign");
    fs::write(&config, CONFIG)?;
    let iso = image(folder.path(), "embed-areas-2022-02")?;
    let before = fs::read(&iso)?;
    let copy = folder.path().join("copy.iso");
    run(ours(&["embed"], &iso).arg("-i").arg(&config).arg("-o").arg(&copy))?;
    assert!(fs::read(&iso)? == before);
    assert_eq!(run(&mut ours(&["show"], &copy))?, CONFIG.as_bytes());
    Ok(())
}

fn refused(output: &Output, reason: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.lines().count() == 1 && said.contains(reason), "{said}");
}

#[test]
fn bad_input_is_a_clear_error_and_changes_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = |name: &str, bytes: &[u8]| -> Result<PathBuf> {
        let path = folder.path().join(name);
        fs::write(&path, bytes)?;
        Ok(path)
    };
    let iso = image(folder.path(), "embed-areas-2021-09")?;
    let before = fs::read(&iso)?;
    let config = file("config.ign", CONFIG.as_bytes())?;
    let embed = |config: &Path, iso: &Path| ours(&["embed", "-i"], config).arg(iso).output();

    // Digits without pattern: a mebibyte of them does not compress to 256 KiB.
    let mut state = 1_u64;
    let noise: String = (0..65_536)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            format!("{state:016x}")
        })
        .collect();
    let large = format!(
        r#"{{"ignition":{{"version":"3.2.0"}},"storage":{{"files":[{{"path":"/x","contents":{{"source":"data:,{noise}"}}}}]}}}}"#
    );
    refused(&embed(&file("large.ign", large.as_bytes())?, &iso)?, "the Ignition config is too large");
    refused(&embed(&file("text.ign", b"hello")?, &iso)?, "is not valid JSON");
    refused(&embed(&file("two.ign", br#"{"ignition":{"version":"2.2.0"}}"#)?, &iso)?, "has version 2.2.0");
    let invalid = br#"{"ignition":{"version":"3.2.0"},"storage":{"files":[{"path":"x"}]}}"#;
    refused(&embed(&file("invalid.ign", invalid)?, &iso)?, "storage.files[0].path: not absolute");
    refused(&embed(&file("butane.bu", b"variant: fcos\nversion: 1.5.0\n")?, &iso)?, "is a Butane config");
    refused(&ours(&["show"], &iso).output()?, "has no Ignition config");
    refused(&ours(&["kargs", "append"], &iso).arg("x".repeat(2000)).output()?, "kernel arguments are too long");
    let line_break = ours(&["kargs", "append"], &iso).arg("a\nb").output()?;
    assert_eq!(line_break.status.code(), Some(2));
    assert!(fs::read(&iso)? == before, "the image was changed");

    refused(&embed(&config, &file("no.iso", &[0; 65536])?)?, "not an ISO 9660 image");
    refused(&embed(&config, &file("cut.iso", &before[..before.len() / 2])?)?, "incomplete");
    fs::create_dir(folder.path().join("tree"))?;
    file("tree/readme", b"nothing to boot")?;
    let plain = folder.path().join("plain.iso");
    run(Command::new("xorriso").args(["-as", "mkisofs", "-quiet", "-o"]).arg(&plain).arg(folder.path().join("tree")))?;
    refused(&embed(&config, &plain)?, "not a CoreOS live ISO");
    refused(&embed(&config, Path::new("/dev/null"))?, "is not a regular file");

    run(ours(&["embed", "-i"], &config).arg(&iso))?;
    refused(&embed(&config, &iso)?, "embedded already");
    Ok(())
}

#[test]
fn damage_is_never_a_panic() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut bytes = fs::read(image(folder.path(), "embed-areas-2021-09")?)?;
    // Headers, descriptors, directories and descriptions are all in front of the areas.
    for offset in (32_672..102_400).step_by(61) {
        let before = bytes[offset];
        for value in [0, 0xff, before ^ 1] {
            bytes[offset] = value;
            if let Ok(mut live) = LiveIso::read(Cursor::new(&bytes)) {
                live.remove_ignition();
                let _ = live.reset_kernel_arguments();
                let inside = |patch: &Patch| patch.offset + patch.bytes.len() as u64 <= bytes.len() as u64;
                assert!(live.patches()?.iter().all(inside), "byte {offset} as {value:#x}");
            }
        }
        bytes[offset] = before;
    }
    Ok(())
}
