//! `ferric-agent write-image` as a user meets it.

use std::os::unix::fs::FileExt;
use std::process::{Command, Output};
use std::time::Duration;

use ferric_tests::fault_server::{Behaviour, Fault, FaultServer};
use ferric_tests::image::{Packing, State, bootable, state, used_disk};
use ferric_tests::loop_device::LoopDevice;
use ferric_tests::process::program;
use ferric_tests::terminal::Terminal;

const IMAGE_BYTES: usize = 5 << 20;
const LIMIT: Duration = Duration::from_secs(60);

fn sha256(bytes: &[u8]) -> String {
    ferric_steps::image::Digest::of(ferric_steps::image::Algorithm::Sha256, bytes).to_string()
}

fn write_image(disk: &LoopDevice, arguments: &[&str]) -> Output {
    run(&mut Command::new(program("ferric-agent")), disk, arguments)
}

pub(super) fn run(command: &mut Command, disk: &LoopDevice, arguments: &[&str]) -> Output {
    command.args(["write-image", "--progress", "none"]);
    command.arg("--allow-device").arg(disk.path()).arg("--device").arg(disk.path()).args(arguments);
    command.output().unwrap()
}

#[test]
fn a_written_image_is_summed_up_as_json() {
    let image = bootable(IMAGE_BYTES);
    let server = FaultServer::start(image.clone(), Behaviour::default(), vec![Fault::Drop(3 << 20)]).unwrap();
    let disk = used_disk(8 << 20).unwrap();
    let output = write_image(&disk, &["--url", &server.url("/a.raw"), "--checksum", &sha256(&image), "--read-back"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(state(&disk, &image).unwrap(), State::Written);
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["device"], disk.path().to_str().unwrap());
    assert_eq!(summary["source"], server.url("/a.raw"));
    assert_eq!(summary["format"], "raw");
    assert_eq!(summary["image_bytes"], IMAGE_BYTES);
    assert_eq!(
        summary["written_bytes"].as_u64().unwrap() + summary["zeroed_bytes"].as_u64().unwrap(),
        IMAGE_BYTES as u64
    );
    assert_eq!(summary["digest"], sha256(&image));
    assert_eq!(summary["resumes"], 1);
    assert_eq!(summary["read_back"]["bytes"], IMAGE_BYTES);
    assert!(summary["notes"][0].as_str().unwrap().contains("broke off at byte 3145728"));
}

#[test]
fn the_disk_is_finished_as_by_the_step() {
    let image = bootable(IMAGE_BYTES);
    let directory = tempfile::tempdir().unwrap();
    let (table, text) = (directory.path().join("gpt"), directory.path().join("random"));
    std::fs::write(&table, &image).unwrap();
    for arguments in [&["-Z"][..], &["-n", "1:2048:0"]] {
        // The first one only makes room for a table: what it finds there is none.
        let _ = Command::new("sgdisk").args(arguments).arg(&table).output().unwrap();
    }
    let disk = used_disk(16 << 20).unwrap();
    let output = write_image(&disk, &["--url", table.to_str().unwrap(), "--no-checksum"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let verdict = Command::new("sgdisk").arg("-v").arg(disk.path()).output().unwrap();
    let verdict = String::from_utf8_lossy(&verdict.stdout).into_owned();
    assert!(verdict.contains("No problems found"), "the backup table is not at the end: {verdict}");
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["notes"], serde_json::json!([]), "a larger disk is nothing to note");
    // What has neither partitions nor a file system boots nothing and is taken off again.
    std::fs::write(&text, vec![0xa5; 1 << 20]).unwrap();
    let output = write_image(&disk, &["--url", text.to_str().unwrap(), "--no-checksum"]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("Unable to find a valid partition table"), "{message}");
    assert_eq!(state(&disk, &image).unwrap(), State::Wiped);
}

/// A GPT without its backup is mended, on a disk of just its size as on a larger one, and that is said.
#[test]
fn a_backup_table_that_is_made_anew_leaves_a_note() {
    const NOTE: &str = "only one intact copy of its partition table";
    let directory = tempfile::tempdir().unwrap();
    let table = directory.path().join("gpt");
    std::fs::write(&table, vec![0; IMAGE_BYTES]).unwrap();
    let made = Command::new("sgdisk").args(["-n", "1:2048:0"]).arg(&table).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let file = std::fs::File::options().write(true).open(&table).unwrap();
    file.write_all_at(&[0; 512], IMAGE_BYTES as u64 - 512).unwrap();
    for size in [IMAGE_BYTES as u64, 16 << 20] {
        let disk = used_disk(size).unwrap();
        let output = write_image(&disk, &["--url", table.to_str().unwrap(), "--no-checksum"]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(summary["notes"][0].as_str().unwrap().contains(NOTE), "{size}: {summary}");
        let verdict = Command::new("sgdisk").arg("-v").arg(disk.path()).output().unwrap();
        let verdict = String::from_utf8_lossy(&verdict.stdout).into_owned();
        assert!(verdict.contains("No problems found"), "{size}: {verdict}");
        // The same for people.
        let agent = program("ferric-agent");
        let (agent, device) = (agent.to_str().unwrap(), disk.path().to_str().unwrap());
        let arguments = ["write-image", "--no-checksum", "--progress", "none", "--url", table.to_str().unwrap()];
        let shell = ["sh", "-c", "exec \"$0\" \"$@\" </dev/null", agent];
        let devices = ["--allow-device", device, "--device", device];
        let command: Vec<String> =
            [&shell[..], &arguments, &devices].concat().into_iter().map(str::to_string).collect();
        let screens = Terminal::start(200, &[], &command).unwrap().watch(LIMIT).unwrap();
        let last = screens.last().unwrap();
        assert!(last.lines.iter().any(|line| line.contains(NOTE)), "{size}: {last:?}");
    }
}

#[test]
fn plain_http_needs_no_certificate_authorities() {
    let image = bootable(IMAGE_BYTES);
    let server = FaultServer::start(image.clone(), Behaviour::default(), Vec::new()).unwrap();
    let disk = used_disk(8 << 20).unwrap();
    let mut command = Command::new(program("ferric-agent"));
    command.env("SSL_CERT_FILE", "/nonexistent");
    let output = run(&mut command, &disk, &["--url", &server.url("/a.raw"), "--checksum", &sha256(&image)]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(state(&disk, &image).unwrap(), State::Written);
}

#[test]
fn a_file_needs_no_server() {
    let image = bootable(IMAGE_BYTES);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &image).unwrap();
    let disk = used_disk(8 << 20).unwrap();
    let output =
        write_image(&disk, &["--url", file.path().to_str().unwrap(), "--checksum", &sha256(&image).to_uppercase()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(state(&disk, &image).unwrap(), State::Written);
}

#[test]
fn failures_say_why_on_the_first_line_and_leave_no_bootable_disk() {
    let image = bootable(IMAGE_BYTES);
    let server = FaultServer::start(image.clone(), Behaviour::default(), Vec::new()).unwrap();
    let url = server.url("/a.raw");
    let wrong = sha256(b"another file");
    let disk = used_disk(8 << 20).unwrap();
    for (arguments, status, text, after) in [
        (vec!["--url", &url], Some(2), "--checksum", State::Untouched),
        (vec!["--url", &url, "--checksum", "sha256:12"], Some(1), "64 hexadecimal digits", State::Untouched),
        (vec!["--url", "ftp://host/a", "--no-checksum"], Some(1), "ftp", State::Untouched),
        (vec!["--url", "/no/such/file", "--no-checksum"], Some(1), "/no/such/file", State::Untouched),
        (
            vec!["--url", &url, "--no-checksum", "--format", "qcow2"],
            Some(1),
            "expected format was qcow2",
            State::Untouched,
        ),
        (vec!["--url", &url, "--checksum", &wrong], Some(1), &wrong, State::Wiped),
    ] {
        let output = write_image(&disk, &arguments);
        let message = String::from_utf8_lossy(&output.stderr).to_lowercase();
        assert_eq!(output.status.code(), status, "{arguments:?}: {message}");
        assert!(
            message.lines().next().unwrap_or_default().contains(text) || status == Some(2),
            "{arguments:?}: {message}"
        );
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert_eq!(state(&disk, &image).unwrap(), after, "{arguments:?}");
    }
}

#[test]
fn the_digest_may_be_in_a_file_beside_the_image() {
    let image = bootable(IMAGE_BYTES);
    let server = FaultServer::start(image.clone(), Behaviour::default(), Vec::new()).unwrap();
    let digits = sha256(&image).replace("sha256:", "");
    let sums = format!("{}  other.raw\n{digits}  a.raw\n", "0".repeat(64));
    let sums = FaultServer::start(sums.into_bytes(), Behaviour::default(), Vec::new()).unwrap();
    let disk = used_disk(IMAGE_BYTES as u64).unwrap();
    let url = sums.url("/SHA256SUMS");
    let output = write_image(&disk, &["--url", &server.url("/a.raw?x=1"), "--checksum-url", &url]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(state(&disk, &image).unwrap(), State::Written);
    let output = write_image(&disk, &["--url", &server.url("/other.raw"), "--checksum-url", &url]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(state(&disk, &image).unwrap(), State::Wiped);
}

#[test]
fn the_image_behind_its_compression_may_have_a_digest_of_its_own() {
    let image = bootable(IMAGE_BYTES);
    let packed = Packing::Zstd.pack(&image).unwrap();
    let server = FaultServer::start(packed.clone(), Behaviour::default(), Vec::new()).unwrap();
    let (url, served) = (server.url("/a.raw.zst"), sha256(&packed));
    let disk = used_disk(8 << 20).unwrap();
    let output = write_image(&disk, &["--url", &url, "--checksum", &served, "--decoded-checksum", "sha256"]);
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["digest"], served);
    assert_eq!(summary["decoded_digest"], sha256(&image), "reported");
    assert_eq!(state(&disk, &image).unwrap(), State::Written);

    let output = write_image(&disk, &["--url", &url, "--checksum", &served, "--decoded-checksum", &served]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains(&sha256(&image)) && message.contains(&served), "{message}");
    assert_eq!(state(&disk, &image).unwrap(), State::Wiped);

    let output = write_image(&disk, &["--url", &url, "--checksum", &served, "--decoded-checksum", &sha256(&image)]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(state(&disk, &image).unwrap(), State::Written);
}

#[test]
fn no_digest_is_needed_when_nobody_wants_one() {
    let image = bootable(IMAGE_BYTES);
    let server = FaultServer::start(image.clone(), Behaviour::default(), Vec::new()).unwrap();
    let disk = used_disk(IMAGE_BYTES as u64).unwrap();
    let output = write_image(&disk, &["--url", &server.url("/a.raw"), "--no-checksum"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(state(&disk, &image).unwrap(), State::Written);
}
