//! `conductor-stub download-coreos`: from stream metadata to verified files under known names.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::Result;
use ferric_tests::disk_image::run;
use ferric_tests::fault_server::{Behaviour, Fault, FaultServer};
use ferric_tests::network::free_port;
use ferric_tests::process::{Process, program};
use ferric_tests::terminal::Terminal;
use serde_json::{Value, json};

const NAMES: [&str; 4] = ["kernel", "initramfs", "rootfs", "iso"];

fn content() -> Vec<u8> {
    (0..3_000_000u32).map(|number| (number % 251) as u8).collect()
}

fn sha256(content: &[u8]) -> Result<String> {
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), content)?;
    Ok(run("sha256sum", &[&file.path().display().to_string()])?.split(' ').next().unwrap_or_default().to_owned())
}

fn metadata(folder: &Path, server: &FaultServer, release: &str, sha256: &str) -> Result<String> {
    let file = |name: &str| json!({"location": server.url(&format!("/prod/{release}-{name}")), "signature": "", "sha256": sha256});
    let formats = json!({"pxe": {"kernel": file("kernel"), "initramfs": file("initramfs"), "rootfs": file("rootfs")},
        "iso": {"disk": file("live.iso")}});
    let text = json!({"stream": "s", "architectures": {"x86_64": {"artifacts": {"metal": {"release": release, "formats": formats}}}}});
    let path = folder.join(format!("{release}.json"));
    fs::write(&path, text.to_string())?;
    Ok(path.display().to_string())
}

fn download(stream: &str, folder: &Path) -> Result<Output> {
    let mut command = Command::new(program("conductor-stub"));
    command.env_remove("IPA_ARCH").env_remove("CURL_INSECURE");
    Ok(command.args(["download-coreos", "--stream", stream, "--directory"]).arg(folder.join("images")).output()?)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_release_is_downloaded_resumed_verified_and_switched_to() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let images = folder.path().join("images");
    let content = content();
    let good = sha256(&content)?;
    // The first file breaks off in the middle; a server that is busy is asked again.
    let faults = vec![Fault::Drop(2_000_000), Fault::None, Fault::Status(503)];
    let server = FaultServer::start(content.clone(), Behaviour::default(), faults)?;
    let stream = metadata(folder.path(), &server, "1.0", &good)?;
    let output = download(&stream, folder.path())?;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!((&said["release"], &said["architecture"]), (&json!("1.0"), &json!("x86_64")));
    for name in NAMES {
        assert_eq!(fs::read(images.join(format!("ironic-python-agent.{name}")))?, content, "{name}");
    }
    assert!(
        server.journal().iter().any(|request| format!("{request:?}").contains("2000000")),
        "{:?}",
        server.journal()
    );

    // What is there is not asked for again.
    let asked = server.journal().len();
    assert!(download(&stream, folder.path())?.status.success());
    assert_eq!(server.journal().len(), asked);

    // A release that is not what it should be does not become the current one.
    let bad = metadata(folder.path(), &server, "2.0", &"0".repeat(64))?;
    let output = download(&bad, folder.path())?;
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("instead of sha256:0000"), "{}", text(&output.stderr));
    assert_eq!(fs::read_link(images.join("coreos-x86_64"))?, Path::new("coreos-x86_64-1.0"));
    assert_eq!(fs::read_dir(images.join("coreos-x86_64-2.0"))?.count(), 0, "a wrong file stayed");

    let next = metadata(folder.path(), &server, "3.0", &good)?;
    assert!(download(&next, folder.path())?.status.success());
    assert_eq!(fs::read_link(images.join("coreos-x86_64"))?, Path::new("coreos-x86_64-3.0"));
    Ok(())
}

/// A conductor that is to boot CoreOS by this stream.
fn conductor(folder: &Path, stream: &str) -> Result<Process> {
    let port = free_port()?;
    let config = folder.join("conductor.json");
    fs::write(&config, json!({"coreos_ipa": {"images": folder.join("images"), "stream": stream}}).to_string())?;
    let mut command = Command::new(program("conductor-stub"));
    command.env_remove("IPA_ARCH").env_remove("CURL_INSECURE");
    command.env("IRONIC_USE_COREOS_IPA", "true").env("IRONIC_AGENT_IMAGE", "registry.example/agent:1");
    command.args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--state-dir"]).arg(folder.join("state"));
    let mut conductor = Process::start(command.arg("--config").arg(config))?;
    conductor.wait_for(&format!("http://127.0.0.1:{port}\n"), Duration::from_secs(60))?;
    Ok(conductor)
}

#[test]
fn a_conductor_downloads_what_its_nodes_boot_when_it_starts_and_starts_without_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let images = folder.path().join("images");
    let content = content();
    let server = FaultServer::start(content.clone(), Behaviour::default(), vec![Fault::Drop(2_000_000)])?;

    // What it does not get keeps nobody from being managed.
    let wrong = metadata(folder.path(), &server, "1.0", &"0".repeat(64))?;
    let conductor_without = conductor(folder.path(), &wrong)?;
    assert!(conductor_without.log().contains("CoreOS is not here: "), "{}", conductor_without.log());
    drop(conductor_without);
    assert!(!images.join("ironic-python-agent.iso").exists());

    let stream = metadata(folder.path(), &server, "2.0", &sha256(&content)?)?;
    for asks in [true, false] {
        let asked = server.journal().len();
        let conductor = conductor(folder.path(), &stream)?;
        for name in NAMES {
            assert_eq!(fs::read(images.join(format!("ironic-python-agent.{name}")))?, content, "{name}");
        }
        assert_eq!(server.journal().len() > asked, asks, "{}", conductor.log());
    }
    Ok(())
}

/// As the bars of the agent: one line that changes, one for each file that is there, whatever the width.
#[test]
fn a_download_fits_every_width() -> Result<()> {
    let content = content();
    let digest = sha256(&content)?;
    // A second for each file.
    let slow = Fault::Drip(100 << 10, Duration::from_millis(33));
    let server = FaultServer::always(content, Behaviour::default(), slow)?;
    for columns in [20, 40, 80, 200] {
        let folder = tempfile::tempdir()?;
        let stream = metadata(folder.path(), &server, "1.0", &digest)?;
        let line = format!("exec \"$0\" \"$@\" >{}", folder.path().join("said").display());
        let program = program("conductor-stub").display().to_string();
        let images = folder.path().join("images").display().to_string();
        let words = ["sh", "-c", &line, &program, "download-coreos", "--stream", &stream, "--directory", &images];
        let words = [&words[..], &["--artefact", "kernel", "--artefact", "rootfs"]].concat();
        let screens = Terminal::start(columns, &[], &words)?.watch(Duration::from_secs(60))?;
        // What is verified is said on a line as long as it is.
        let said = "1.0-kernel: verified, 99.9 s".len().div_ceil(columns);
        for screen in &screens {
            assert!(screen.scrolled == 0 && screen.lines.len() <= 2 * said + 1, "at {columns}: {screen:?}");
        }
        let seen = |text: &str| screens.iter().any(|screen| screen.lines.iter().any(|line| line.contains(text)));
        assert!(seen("%") && seen(if columns < 40 { "rootfs" } else { "1.0-rootfs" }), "at {columns}: {screens:?}");
        // Beside a name of six letters, 40 columns are one too few for the rate.
        assert_eq!((seen("MiB/s"), seen("==")), (columns >= 80, columns >= 80), "at {columns}: {screens:?}");
        assert!(fs::read_to_string(folder.path().join("said"))?.contains("\"release\":\"1.0\""));
    }
    Ok(())
}
