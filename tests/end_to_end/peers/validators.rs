//! DMTF's own validators of Redfish services find nothing wrong with our emulator.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferric_tests::network::{free_port, wait_for_port};
use ferric_tests::peers;
use ferric_tests::process::{Process, program};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(180);
const PASSWORD: &str = "Correct-horse-1";

/// An emulator with TLS and two machines, one of which is a QEMU machine that nobody switches on.
struct Lab {
    bmc: Process,
    url: String,
    folder: tempfile::TempDir,
}

impl Lab {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        let port = free_port()?;
        let machines = [
            json!({"uuid": "27946b59-9e44-4fa7-8e91-f3527a1ef094", "name": "machine-0", "macs": ["52:54:00:aa:bb:01"],
                "transition_ms": 100, "media": ["cd", "cd", "usb", "floppy"],
                "process": {"command": ["sleep", "600"], "log": path("log")}}),
            json!({"uuid": "27946b59-9e44-4fa7-8e91-f3527a1ef095", "name": "machine-1", "macs": ["52:54:00:aa:bb:02"],
                "qemu": {"state_dir": path("machine"), "console": path("console"), "cores": 2,
                    "disks": [{"file": path("disk"), "size_gib": 5, "bus": "nvme"}]}}),
        ];
        let mut bmc = Command::new(program("conductor-stub"));
        bmc.args(["bmc", "--user", "admin", "--listen", &format!("127.0.0.1:{port}")]);
        bmc.arg("--tls-certificate").arg(path("cert.pem")).arg("--tls-key").arg(path("key.pem"));
        for (number, machine) in machines.iter().enumerate() {
            let file = path(&format!("{number}.json"));
            std::fs::write(&file, machine.to_string())?;
            bmc.arg("--machine").arg(file);
        }
        let bmc = Process::start(bmc.env("BMC_PASSWORD", PASSWORD))?;
        wait_for_port(port, Duration::from_secs(60))?;
        Ok(Self { bmc, url: format!("https://127.0.0.1:{port}"), folder })
    }

    /// Runs one validator, in a folder of its own, to its end; its output, when it is content.
    fn validate(&self, name: &str, arguments: &[&str]) -> Result<String> {
        let work = self.folder.path().join(name);
        std::fs::create_dir(&work)?;
        let program = peers::folder()?.join("validators/bin").join(name);
        let mut command = Command::new(&program);
        command.current_dir(&work).args(["-r", &self.url, "-u", "admin", "-p", PASSWORD]).args(arguments);
        command.env("REQUESTS_CA_BUNDLE", self.folder.path().join("cert.pem"));
        let mut validator = Process::start(&mut command).with_context(|| program.display().to_string())?;
        let code = validator.wait(LIMIT)?;
        ensure!(code == Some(0), "{name} ended with {code:?}\n{}\n{}", validator.log(), self.bmc.log());
        Ok(validator.log())
    }
}

#[test]
fn redfish_validators_find_nothing_wrong() -> Result<()> {
    let lab = Lab::start()?;
    let schemas = schemas(&peers::folder()?)?;
    let schemas = schemas.to_str().context("a path in UTF-8")?;

    let said = lab
        .validate("rf_service_validator", &["--authtype", "Session", "--schema_directory", schemas, "--skipschema"])?;
    assert!(said.contains("PASS") && !said.contains("FAIL: "), "{said}");

    let certificate = lab.folder.path().join("cert.pem");
    let certificate = certificate.to_str().context("a path in UTF-8")?;
    let strict = ["--ca-bundle", certificate, "--avoid-http-redirect", "--report-type", "tsv"];
    let said = lab.validate("rf_protocol_validator", &strict)?;
    assert!(said.contains("FAIL: 0"), "{said}");

    let profile = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/interop_profile.json");
    let said = lab.validate("rf_interop_validator", &[profile])?;
    assert!(said.contains("PASS") || said.contains("Pass") || said.contains("pass"), "{said}");

    let said = lab.validate("rf_use_case_checkers", &[])?;
    assert!(!said.contains("FAIL: 1"), "{said}");
    Ok(())
}

/// The folder of DMTF's schemas.
fn schemas(peers: &Path) -> Result<PathBuf> {
    let mut found = std::fs::read_dir(peers)?.filter_map(|entry| Some(entry.ok()?.path()));
    let is =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("redfish-schema-"));
    found.find(is).context("no schemas: run .ci/peers")
}
