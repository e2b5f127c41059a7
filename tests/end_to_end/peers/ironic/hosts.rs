//! `conductor-stub apply` and `get` before the real Ironic: they know nothing but its API.

use std::io::Write;
use std::process::{Command, Stdio};

use ferric_tests::disk_image::{digest, gpt_image};
use ferric_tests::ironic::Settings;
use ferric_tests::process::program;
use serde_json::{Value, json};

use super::lab::{Lab, MAC};

/// What the program says on standard output when it is given this on standard input.
fn run(lab: &Lab, arguments: &[&str], input: &str) -> Result<String, String> {
    let mut command = Command::new(program("conductor-stub"));
    command.args(arguments).env("OS_ENDPOINT", lab.ironic.url());
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().map_err(|error| error.to_string())?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).map_err(|error| error.to_string())?;
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(said) } else { Err(format!("{said}\n{complained}\n{}", lab.agent_log())) }
}

/// The machine, its Secrets, and what is to be on it.
fn host(lab: &Lab, image: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: bmc}}\nstringData: {{username: admin, password: secret}}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {{name: user}}\nstringData: {{userData: '#!/bin/true'}}\n---\n\
         apiVersion: metal3.io/v1alpha1\nkind: BareMetalHost\nmetadata: {{name: worker-0}}\nspec:\n  online: true\n  \
         bmc: {{address: '{}', credentialsName: bmc}}\n  bootMACAddress: {MAC}\n  \
         rootDeviceHints: {{deviceName: {}}}\n  consumerRef: {{name: machine-7}}\n  userData: {{name: user}}\n{image}",
        lab.bmc_address(),
        lab.disk.path().display(),
    )
}

#[test]
fn a_bare_metal_host_is_applied_changed_and_shown() {
    let mut lab = Lab::bare(Settings::default()).unwrap();
    let image = gpt_image(&lab.images(), 64).unwrap();
    let sum = digest("sha256sum", &image).unwrap();
    let with_image = host(
        &lab,
        &format!("  image: {{url: '{}', checksum: {sum}, checksumType: sha256, format: raw}}\n", lab.image_url(&image)),
    );
    let said = run(&lab, &["apply", "--no-wait", "-f", "-"], &with_image).unwrap();
    assert_eq!(said, "baremetalhost.metal3.io/worker-0 created\n");
    lab.node = "default~worker-0".to_owned();
    let patches: Vec<Value> = lab
        .ramdisks()
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| json!({"op": "add", "path": format!("/driver_info/{key}"), "value": value}))
        .collect();
    lab.patch(patches.into()).unwrap();

    let said = run(&lab, &["apply", "-f", "-"], &with_image).unwrap();
    assert!(said.starts_with("baremetalhost.metal3.io/worker-0 unchanged\n") && said.ends_with(": active\n"), "{said}");
    let disk = lab.disk.read().unwrap();
    assert!(
        disk[1 << 20..].starts_with(&std::fs::read(&image).unwrap()[1 << 20..63 << 20]),
        "the image is on the disk"
    );
    assert!(disk.windows(11).any(|window| window == b"#!/bin/true"), "the user data are in the config drive");

    let list = run(&lab, &["get", "hosts"], "").unwrap();
    let words: Vec<&str> = list.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(words[..4], ["worker-0", "provisioned", "machine-7", "true"], "{list}");
    let document: Value =
        serde_json::from_str(&run(&lab, &["get", "bmh", "worker-0", "-o", "json"], "").unwrap()).unwrap();
    let status = &document["items"][0]["status"];
    assert_eq!((&status["hardware"]["nics"][0]["mac"], &status["poweredOn"]), (&json!(MAC), &json!(true)), "{status}");

    assert_eq!(
        run(&lab, &["apply", "-f", "-"], &with_image).unwrap().lines().count(),
        2,
        "there is nothing to be done"
    );
    let said = run(&lab, &["apply", "-f", "-"], &host(&lab, "")).unwrap();
    assert!(said.contains("configured") && said.ends_with(": available\n"), "{said}");
    assert!(lab.disk.read().unwrap()[..33 * 512].iter().all(|byte| *byte == 0), "cleaning leaves no GPT");
}
