//! An ISO that the real Ironic makes out of our kernel, initramfs and boot loader, in a network without DHCP: what it
//! brings along tells the ramdisk its addresses and the authority of its conductor.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use conductor_stub::bmc::firmware;
use ferric_tests::artefact;
use ferric_tests::certificates::Certificates;
use ferric_tests::conductor::Conductor;
use ferric_tests::file_server::FileServer;
use ferric_tests::network::{free_port, wait_for_port};
use ferric_tests::peers;
use ferric_tests::process::Process;
use ferric_tests::qemu::{Firmware, Machine};
use serde_json::{Value, json};

/// Booting takes 30 s on an idle machine.
const BOOT: Duration = Duration::from_secs(300);
const PUBLISHER: &str = "8b8e5b70-2c5e-4a2c-9f0e-3c8f4f6f0d11";
/// Of the emulated network, but not the one that its DHCP server hands out.
const ADDRESS: &str = "10.0.2.77";

/// A door with TLS, of an authority that nobody knows, in front of a conductor.
struct Tls {
    _nginx: Process,
    certificates: Certificates,
    port: u16,
}

impl Tls {
    fn in_front_of(conductor: &Conductor) -> Result<Self> {
        let (certificates, port) = (Certificates::new()?, free_port()?);
        let root = certificates.directory().display();
        let configuration = format!(
            "daemon off; master_process off; user root; pid {root}/pid; error_log stderr; events {{}}
             http {{
               access_log off; client_body_temp_path {root}/body; proxy_temp_path {root}/proxy;
               fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s; client_max_body_size 8m;
               server {{
                 listen 127.0.0.1:{port} ssl; ssl_certificate server.pem; ssl_certificate_key server.key;
                 location / {{ proxy_pass http://127.0.0.1:{}; proxy_pass_request_headers on; }}
               }}
             }}",
            conductor.port()
        );
        fs::write(certificates.file("nginx.conf"), configuration)?;
        let mut nginx = Command::new("nginx");
        nginx.arg("-p").arg(certificates.directory()).arg("-c").arg(certificates.file("nginx.conf"));
        let nginx = Process::start(&mut nginx)?;
        wait_for_port(port, Duration::from_secs(60))?;
        Ok(Self { _nginx: nginx, certificates, port })
    }
}

/// Addresses of the machine's first card; its other two become a bond with a VLAN, by which nobody answers.
fn network_data() -> Value {
    let mac = |last: u8| format!("52:54:00:12:34:{last:02x}");
    json!({
        "links": [
            {"id": "first", "type": "phy", "ethernet_mac_address": mac(0x56), "mtu": 1400},
            {"id": "second", "type": "phy", "ethernet_mac_address": mac(0x57)},
            {"id": "third", "type": "phy", "ethernet_mac_address": mac(0x58)},
            {"id": "bond7", "type": "bond", "bond_links": ["second", "third"], "bond_mode": "active-backup",
             "ethernet_mac_address": mac(0x57)},
            {"id": "vlan", "type": "vlan", "vlan_link": "bond7", "vlan_id": 101, "vlan_mac_address": mac(0x57)},
            {"id": "nobody", "type": "phy", "ethernet_mac_address": mac(0x99)}
        ],
        "networks": [
            {"id": "n0", "type": "ipv4", "link": "first", "network_id": "a", "ip_address": ADDRESS,
             "netmask": "255.255.255.0",
             "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.2.2"}]},
            {"id": "n1", "type": "ipv6", "link": "first", "network_id": "b", "ip_address": "2001:db8:2::77",
             "netmask": "ffff:ffff:ffff:ffff::",
             "routes": [{"network": "2001:db8:9::", "netmask": "ffff:ffff:ffff::", "gateway": "2001:db8:2::1"}]},
            {"id": "n2", "type": "ipv4", "link": "vlan", "network_id": "c", "ip_address": "192.0.2.101", "netmask": "255.255.255.0"}
        ],
        "services": [{"type": "dns", "address": "10.0.2.3"}]
    })
}

fn make_iso(folder: &Path, tls: &Tls) -> Result<()> {
    let settings = "[DEFAULT]\ncafile = /etc/ironic-python-agent/ironic.crt\n";
    let wanted = json!({
        "output": folder.join("node.iso"),
        "kernel": artefact::ramdisk("ironic-python-agent.kernel")?.canonicalize()?,
        "ramdisk": artefact::ramdisk("ironic-python-agent.initramfs")?.canonicalize()?,
        "bootloader": artefact::ramdisk("esp.img")?.canonicalize()?,
        "parameters": format!(
            "console=ttyS0 quiet panic=30 no_timer_check boot_method=vmedia ir_pub_id={PUBLISHER} \
             ipa-api-url=https://10.0.2.2:{} ipa-inspection-collectors=default ipa-lldp-timeout=1", tls.port
        ),
        "files": {
            "openstack/latest/network_data.json": network_data().to_string(),
            "etc/ironic-python-agent/ironic.crt": fs::read_to_string(tls.certificates.file("ca.pem"))?,
            "etc/ironic-python-agent.d/ironic-tls.conf": settings,
        },
        "publisher": PUBLISHER,
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/boot_iso.py");
    let mut ironic = Command::new(peers::folder()?.join("venv/bin/python"))
        .arg(script)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    ironic.stdin.take().context("its input")?.write_all(wanted.to_string().as_bytes())?;
    let output = ironic.wait_with_output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn it_boots_over_http_with_secure_boot_and_without_dhcp() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (conductor, agent) = (Conductor::start()?, free_port()?);
    let tls = Tls::in_front_of(&conductor)?;
    make_iso(folder.path(), &tls)?;
    let files = FileServer::start(folder.path())?;

    let network = format!("user,hostfwd=tcp:127.0.0.1:{agent}-{ADDRESS}:9999");
    let mut machine = Machine::new(folder.path(), Firmware::SecureBoot, &network)?;
    for (number, mac) in ["57", "58"].iter().enumerate() {
        machine.add(&format!("-netdev hubport,id=bonded{number},hubid={}", number + 1));
        machine.add(&format!("-device virtio-net-pci,netdev=bonded{number},mac=52:54:00:12:34:{mac},romfile="));
    }
    machine.disk("disk", "nvme,serial=N1")?;
    // Somebody else's config drive is plugged in as well.
    let foreign = folder.path().join("foreign");
    fs::create_dir_all(foreign.join("openstack/latest"))?;
    fs::write(foreign.join("openstack/latest/network_data.json"), "{}")?;
    let drive = folder.path().join("foreign.iso");
    let made =
        Command::new("mkisofs").args(["-quiet", "-V", "config-2", "-R", "-o"]).args([&drive, &foreign]).status()?;
    ensure!(made.success(), "mkisofs failed");
    machine.cd(&drive);
    let variables = folder.path().join("variables.fd");
    let mut store = fs::read(&variables)?;
    firmware::boot_next_uri(&mut store, &format!("http://10.0.2.2:{}/node.iso", files.port()))?;
    fs::write(&variables, store)?;

    let mut running = machine.start()?;
    running.wait_for("heartbeat sent", BOOT).with_context(|| files.requests())?;
    let heartbeat = conductor.heartbeat(Duration::from_secs(5))?;
    assert_eq!(heartbeat["callback_url"], format!("https://{ADDRESS}:9999"));
    let console = running.log();
    assert!(console.contains("no interface has the MAC address 52:54:00:12:34:99"), "{console}");
    assert!(console.contains("2001:db8:2::77/64"), "{console}");

    let inspected = conductor.received("/v1/continue_inspection");
    let interfaces = inspected.first().context("nothing was inspected")?["inventory"]["interfaces"].clone();
    let interface = |name: &str| -> Value {
        let found = interfaces.as_array().into_iter().flatten().find(|interface| interface["name"] == name);
        found.cloned().unwrap_or_default()
    };
    assert_eq!(interface("eth0")["ipv4_address"], ADDRESS, "{interfaces}");
    assert_eq!(interface("bond7.101")["ipv4_address"], "192.0.2.101", "{interfaces}");
    assert_eq!(interface("bond7")["has_carrier"], true, "{interfaces}");
    Ok(())
}
