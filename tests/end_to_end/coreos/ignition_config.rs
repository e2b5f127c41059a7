//! `ferric-ignition config`, judged by the real `ignition-validate`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::Result;
use ferric_tests::process::program;
use serde_json::Value;

fn config(arguments: &[&str]) -> Result<Output> {
    let base = ["config", "--api-url", "https://192.0.2.1:6385"];
    Ok(Command::new(program("ferric-ignition")).args(base).args(arguments).output()?)
}

/// The document, after the validator has accepted it.
fn accepted(folder: &Path, arguments: &[&str]) -> Result<Value> {
    let output = config(arguments)?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = folder.join("agent.ign");
    fs::write(&path, &output.stdout)?;
    let verdict = Command::new("ignition-validate").arg(&path).output()?;
    let said = String::from_utf8_lossy(&verdict.stdout) + String::from_utf8_lossy(&verdict.stderr);
    assert!(verdict.status.success() && said.trim().is_empty(), "{said}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn paths(document: &Value) -> Vec<&str> {
    let files = document["storage"]["files"].as_array().into_iter().flatten();
    files.filter_map(|file| file["path"].as_str()).collect()
}

#[test]
fn ignition_accepts_a_container_with_everything() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = |name: &str, text: &str| -> Result<String> {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder.path()))?;
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    let key = file("key.pub", "# mine\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0bPo1rUXlVQ0 me@there\n")?;
    let secret = file("auth.json", r#"{"auths":{"registry.example":{"auth":"dTpw"}}}"#)?;
    file("network/eth0.nmconnection", "[connection]\nid=eth0\ntype=ethernet\n")?;
    let network = folder.path().join("network").display().to_string();
    let arguments = [
        ["--image", "registry.example:5000/ferric/agent:1"],
        ["--ssh-key", &key],
        ["--pull-secret", &secret],
        ["--option", "debug=true"],
        ["--hostname", "node-1.example"],
        ["--network", &network],
        ["--http-proxy", "http://user:p%25w@proxy.example:3128"],
        ["--https-proxy", "https://proxy.example:3129"],
        ["--no-proxy", "10.0.0.0/8,localhost"],
    ];
    let mut arguments = arguments.concat();
    arguments.extend(["--insecure-registry", "--inspect"]);
    let document = accepted(folder.path(), &arguments)?;
    let expected = [
        "/etc/ironic-python-agent.conf",
        "/etc/ferric/pull-secret.json",
        "/etc/ferric/report-failure",
        "/etc/hostname",
        "/etc/NetworkManager/system-connections/eth0.nmconnection",
    ];
    assert_eq!(paths(&document), expected);
    assert_eq!(document["passwd"]["users"][0]["sshAuthorizedKeys"].as_array().map(Vec::len), Some(1));
    let unit = document["systemd"]["units"][1]["contents"].as_str().unwrap_or_default();
    for word in ["--tls-verify=false", "--authfile=/etc/ferric/pull-secret.json", "HTTP_PROXY=http://user:p%%25w@"] {
        assert!(unit.contains(word), "{word} is missing in\n{unit}");
    }
    Ok(())
}

#[test]
fn ignition_accepts_the_binary_instead_of_a_registry() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let digest = "0123456789abcdef".repeat(8);
    let document =
        accepted(folder.path(), &["--binary-url", "http://192.0.2.1/ferric-agent", "--binary-sha512", &digest])?;
    assert_eq!(
        paths(&document),
        ["/etc/ironic-python-agent.conf", "/usr/local/bin/ferric-agent", "/etc/ferric/report-failure"]
    );
    Ok(())
}

#[test]
fn what_cannot_work_is_refused_in_one_line() -> Result<()> {
    let digest = "ab".repeat(64);
    let cases: [(&[&str], i32, &str); 6] = [
        (&[], 2, "--image"),
        (&["--image", "a b"], 1, "is not a container image reference"),
        (&["--image", "a", "--binary-url", "http://b/c", "--binary-sha512", &digest], 2, "cannot be used with"),
        (&["--binary-url", "http://b/c", "--binary-sha512", "abc"], 1, "is not a SHA-512 digest"),
        (&["--image", "a", "--hostname", "a_b"], 1, "is not a host name"),
        (&["--image", "a", "--pull-secret", "/proc/cmdline"], 1, "the pull secret is not a JSON object"),
    ];
    for (arguments, code, reason) in cases {
        let output = config(arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(reason), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?} wrote a config all the same");
    }
    Ok(())
}
