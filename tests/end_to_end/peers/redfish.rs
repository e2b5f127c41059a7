//! Both sides of Redfish against somebody else's other side: our client against sushy-tools' emulator, and sushy, Ironic's
//! own client, against ours.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use conductor_stub::redfish::virtual_media::{self, Kind};
use conductor_stub::redfish::{Boot, Client, Enabled, RedfishError, Settings, System};
use ferric_tests::file_server::FileServer;
use ferric_tests::network::{free_port, wait_for_port};
use ferric_tests::peers;
use ferric_tests::process::{Process, program};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

fn python(script: &str) -> Result<Command> {
    let mut command = Command::new(peers::folder()?.join("venv/bin/python"));
    command.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers").join(script));
    Ok(command)
}

#[test]
fn sushy_drives_our_bmc() -> Result<()> {
    let port = free_port()?;
    let mut machine = tempfile::NamedTempFile::new()?;
    let log = tempfile::NamedTempFile::new()?;
    // Long enough for a busy host to see the machine on its way.
    let definition = json!({"uuid": "27946b59-9e44-4fa7-8e91-f3527a1ef094", "name": "machine-0",
        "macs": ["52:54:00:aa:bb:01"], "transition_ms": 3000,
        "process": {"command": ["sleep", "600"], "log": log.path()}});
    machine.write_all(definition.to_string().as_bytes())?;
    let mut bmc = Command::new(program("conductor-stub"));
    bmc.args(["bmc", "--user", "admin", "--listen", &format!("127.0.0.1:{port}"), "--machine"]).arg(machine.path());
    let bmc = Process::start(bmc.env("BMC_PASSWORD", "secret"))?;
    wait_for_port(port, LIMIT)?;
    let url = format!("http://127.0.0.1:{port}");
    let mut sushy = Process::start(python("sushy_client.py")?.args([url.as_str(), "http://192.0.2.1/live.iso"]))?;
    let done = sushy.wait_for("all done", LIMIT);
    assert!(done.is_ok(), "{done:?}\n{}", bmc.log());
    Ok(())
}

struct Emulator {
    process: Process,
    address: String,
    _state: tempfile::TempDir,
}

impl Emulator {
    fn start() -> Result<Self> {
        let (port, state) = (free_port()?, tempfile::tempdir()?);
        let process = Process::start(python("sushy_emulator.py")?.arg(port.to_string()).arg(state.path()))?;
        wait_for_port(port, LIMIT)?;
        Ok(Self { process, address: format!("http://127.0.0.1:{port}"), _state: state })
    }

    fn client(&self, login: &str, password: &str) -> Result<Client> {
        let info = json!({"redfish_address": self.address, "redfish_auth_type": login,
            "redfish_username": "admin", "redfish_password": password});
        Ok(Client::new(Settings::from_driver_info(&info)?)?)
    }
}

async fn boot(system: &System<'_>) -> Result<Value> {
    Ok(system.read().await?.body["Boot"].take())
}

async fn cd(system: &System<'_>) -> Result<Value> {
    Ok(virtual_media::list(system).await?.swap_remove(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_drives_the_emulator_of_sushy_tools() -> Result<()> {
    conductor_stub::tls::use_ring();
    let emulator = Emulator::start()?;
    let checked = drive(&emulator).await;
    assert!(checked.is_ok(), "{checked:?}\n{}", emulator.process.log());
    Ok(())
}

async fn drive(emulator: &Emulator) -> Result<()> {
    // It has no sessions: the automatic choice falls back, the strict one says so.
    for login in ["auto", "basic"] {
        let client = emulator.client(login, "secret")?;
        assert_eq!(System::find(&client).await?.power().await?, "Off");
        let wrong = emulator.client(login, "wrong")?;
        let refusal = System::find(&wrong).await.unwrap_err();
        assert!(matches!(refusal, RedfishError::Credentials { status: 401, .. }), "{refusal}");
    }
    let strict = emulator.client("session", "secret")?;
    let refusal = System::find(&strict).await.unwrap_err().to_string();
    assert!(refusal.contains("redfish_auth_type is session"), "{refusal}");

    let client = emulator.client("auto", "secret")?;
    let system = System::find(&client).await?;
    let switch = async |on| system.set_power(on, LIMIT).await;
    switch(true).await?;
    assert_eq!(system.power().await?, "On");
    switch(true).await?;
    switch(false).await?;
    assert_eq!(system.power().await?, "Off");

    let (inventory, disk) = system.inventory().await?;
    let expected = json!([{"name": "00:5c:52:31:3a:9c", "mac_address": "00:5c:52:31:3a:9c"}]);
    assert_eq!((&inventory["interfaces"], disk), (&expected, None), "{inventory}");

    let folder = tempfile::tempdir()?;
    for name in ["first.iso", "second.iso", "agent.iso"] {
        std::fs::write(folder.path().join(name), "a medium of no importance")?;
    }
    let files = FileServer::start(folder.path())?;
    for name in ["first.iso", "second.iso"] {
        let url = files.url(name);
        virtual_media::insert(&system, Kind::Cd, &url).await?;
        assert_eq!((&cd(&system).await?["Inserted"], &cd(&system).await?["Image"]), (&json!(true), &json!(url)));
    }
    // It ignores how long an override is to last, and reports every one as lasting.
    for (way, enabled, target) in [
        (Boot::VirtualCd, Enabled::Once, "Cd"),
        (Boot::Disk, Enabled::Continuous, "Hdd"),
        (Boot::Pxe, Enabled::Once, "Pxe"),
        // What it makes of an HTTP boot by DHCP.
        (Boot::UefiHttp(None), Enabled::Once, "Pxe"),
    ] {
        system.set_boot(&way, enabled).await?;
        assert_eq!(boot(&system).await?["BootSourceOverrideTarget"], target);
    }
    virtual_media::eject(&system, Kind::Cd).await?;
    assert_eq!(cd(&system).await?["Inserted"], false);
    virtual_media::eject(&system, Kind::Cd).await?;

    // An HTTP boot of a URL: it fetches the file itself and makes a CD of it.
    let url = files.url("agent.iso");
    system.set_boot(&Boot::UefiHttp(Some(url.clone())), Enabled::Once).await?;
    assert_eq!((&boot(&system).await?["HttpBootUri"], &cd(&system).await?["Inserted"]), (&json!(url), &json!(true)));
    system.set_boot(&Boot::Disk, Enabled::Continuous).await?;
    virtual_media::eject(&system, Kind::Cd).await?;
    assert_eq!(cd(&system).await?["Inserted"], false);

    let dead = format!("http://127.0.0.1:{}/none.iso", free_port()?);
    let refusal = virtual_media::insert(&system, Kind::Cd, &dead).await.unwrap_err().to_string();
    assert!(refusal.contains("no virtual media device takes") && refusal.contains("none.iso"), "{refusal}");
    assert_eq!(cd(&system).await?["Inserted"], false);
    Ok(())
}
