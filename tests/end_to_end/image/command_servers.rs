//! `ferric-agent write-image` and servers that want something, are busy, or are not there.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use ferric_steps::image::{Algorithm, Digest};
use ferric_tests::fault_server::{Behaviour, Fault, FaultServer};
use ferric_tests::image::{State, bootable, state, used_disk};
use ferric_tests::loop_device::LoopDevice;
use ferric_tests::network::free_port;
use ferric_tests::process::program;
use ferric_tests::proxy::Proxy;

use super::command;
use super::servers::Nginx;
use super::write_image::Image;

fn sha256(bytes: &[u8]) -> String {
    Digest::of(Algorithm::Sha256, bytes).to_string()
}

fn write_image(disk: &LoopDevice, url: &str, checksum: &str, arguments: &[&str]) -> Output {
    let all = [&["--url", url, "--checksum", checksum, "--retries", "0"], arguments].concat();
    command::run(&mut Command::new(program("ferric-agent")), disk, &all)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn certificates_passwords_and_proxies_are_arguments() {
    let image = Image::gpt(&["-n", "1:2048:0"]);
    let nginx = Nginx::start(&image);
    let digest = sha256(&std::fs::read(image.path()).unwrap());
    let disk = LoopDevice::new(32 << 20).unwrap();
    let [ca, certificate, key, headers] =
        ["ca.pem", "client.pem", "client.key", "headers"].map(|name| nginx.file(name).to_str().unwrap().to_string());
    let secret = "Basic dXNlcjpzZWNyZXQ=";
    std::fs::write(&headers, format!("# a comment\nAuthorization: {secret}\n")).unwrap();
    let proxy = Proxy::start().unwrap();
    let (plain, open, locked) = (
        nginx.url(nginx.plain, "image.raw"),
        nginx.url(nginx.tls, "image.raw"),
        nginx.url(nginx.for_known_clients, "image.raw"),
    );
    let password = nginx.url(nginx.tls, "secret");
    for (url, arguments, refusal) in [
        (&open, vec![], Some("UnknownIssuer")),
        (&open, vec!["--insecure"], None),
        (&open, vec!["--cafile", &ca], None),
        (&locked, vec!["--cafile", &ca], Some("400")),
        (&locked, vec!["--cafile", &ca, "--certfile", &certificate, "--keyfile", &key], None),
        (&password, vec!["--cafile", &ca], Some("401")),
        (&password, vec!["--cafile", &ca, "--headers-file", &headers], None),
        (&plain, vec!["--headers-file", &certificate], Some("line 1")),
        (&open, vec!["--cafile", "/nonexistent"], Some("/nonexistent")),
        (&plain, vec!["--http-proxy", "http://127.0.0.1:1"], Some("refused")),
        (&plain, vec!["--http-proxy", "http://127.0.0.1:1", "--no-proxy", "127.0.0.0/8"], None),
        (&plain, vec!["--https-proxy", "http://127.0.0.1:1"], None),
    ] {
        let output = write_image(&disk, url, &digest, &arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        match refusal {
            None => assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}"),
            Some(reason) => {
                assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
                assert!(said.to_lowercase().contains(&reason.to_lowercase()), "{arguments:?}: {said}");
            }
        }
        assert!(!said.contains(secret) && !String::from_utf8_lossy(&output.stdout).contains(secret), "{said}");
    }
    let by_proxy = ["--cafile", &ca, "--http-proxy", &proxy.url(), "--https-proxy", &proxy.url()];
    for url in [&plain, &open] {
        assert_eq!(write_image(&disk, url, &digest, &by_proxy).status.code(), Some(0), "{url}");
    }
    let asked = proxy.asked().join("\n");
    assert!(asked.contains(&format!("GET {plain}")), "{asked}");
    assert!(asked.contains(&format!("CONNECT 127.0.0.1:{}", nginx.tls)), "{asked}");
}

#[test]
fn headers_go_to_the_server_of_the_image_alone() {
    let image = bootable(5 << 20);
    let behaviour = || Behaviour { authorization: Some("Bearer s3cret".into()), ..Behaviour::default() };
    let server = FaultServer::start(image.clone(), behaviour(), Vec::new()).unwrap();
    let sums = format!("{}  a.raw\n", sha256(&image).replace("sha256:", "")).into_bytes();
    let elsewhere = FaultServer::start(sums.clone(), Behaviour::default(), Vec::new()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (headers, listed) = (directory.path().join("headers"), directory.path().join("SHA256SUMS"));
    std::fs::write(&headers, "authorization: Bearer s3cret\n").unwrap();
    std::fs::write(&listed, sums).unwrap();
    let url = server.url("/a.raw");
    // The digest may be in a file of this machine, too.
    for sums in [elsewhere.url("/SHA256SUMS"), text(&listed).to_string()] {
        let disk = used_disk(8 << 20).unwrap();
        let arguments = ["--url", &url, "--checksum-url", &sums, "--headers-file", text(&headers)];
        let output = command::run(&mut Command::new(program("ferric-agent")), &disk, &arguments);
        assert_eq!(output.status.code(), Some(0), "{sums}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(state(&disk, &image).unwrap(), State::Written);
    }
    assert_eq!(elsewhere.journal()[0].authorization, None);
    assert_eq!(server.journal()[0].authorization.as_deref(), Some("Bearer s3cret"));
}

#[test]
fn a_busy_server_is_asked_as_often_as_is_said() {
    let image = bootable(5 << 20);
    let disk = used_disk(8 << 20).unwrap();
    for (retries, code) in [("1", 1), ("2", 0)] {
        let server =
            FaultServer::start(image.clone(), Behaviour::default(), vec![Fault::Status(503), Fault::Status(503)])
                .unwrap();
        let arguments =
            ["--url", &server.url("/a"), "--checksum", &sha256(&image), "--retries", retries, "--retry-interval", "0"];
        let output = command::run(&mut Command::new(program("ferric-agent")), &disk, &arguments);
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(state(&disk, &image).unwrap(), State::Written);
}

#[test]
fn a_dead_server_is_named_at_once_and_before_the_last_try() {
    let disk = used_disk(8 << 20).unwrap();
    let url = format!("http://127.0.0.1:{}/a.raw", free_port().unwrap());
    let mut child = Command::new(program("ferric-agent"))
        .args(["write-image", "--no-checksum", "--retries", "2", "--retry-interval", "1", "--url", &url])
        .arg("--allow-device")
        .arg(disk.path())
        .arg("--device")
        .arg(disk.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(child.try_wait().unwrap().is_none(), "it has ended when it speaks first: {first}");
    let device = disk.path().display();
    assert!(first.starts_with(&format!("writing {device}: connection refused, attempt 1 of 3, next in ")), "{first}");
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(rest[0].contains("connection refused, attempt 2 of 3"), "{rest:?}");
    // One line for each try, and the reason in the end: nothing else is said where nobody watches.
    assert!(rest[1].starts_with("ferric-agent: ") && rest[1].contains("was not written"), "{rest:?}");
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
