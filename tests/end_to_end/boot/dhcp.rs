//! The conductor's DHCP server, which is a real dnsmasq, asked by a real client.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use conductor_stub::dhcp::{Dhcp, DhcpError, Settings};
use conductor_stub::node::Port;
use ferric_tests::namespace::{BRIDGE, Namespace};
use uuid::Uuid;

const OURS: &str = "52:54:00:fe:44:01";
const STRANGER: &str = "52:54:00:fe:44:02";
const FIRMWARE: &str = "HTTPClient:Arch:00016:UNDI:003001";
const LIMIT: Duration = Duration::from_secs(30);

fn port(node: Uuid, address: &str) -> Port {
    Port::new(node, address.parse().unwrap())
}

fn settings(namespace: &Namespace, interface: &str) -> Settings {
    let range = (Ipv4Addr::new(172, 31, 77, 100), Ipv4Addr::new(172, 31, 77, 150));
    Settings { interface: interface.into(), range, namespace: Some(namespace.name().into()), user: "dnsmasq".into() }
}

/// What the server tells the owner of `card`; empty without an answer.
fn ask(namespace: &Namespace, script: &Path, card: &str, class: &str) -> String {
    let mut client = namespace.command("busybox");
    client.args(["udhcpc", "-f", "-q", "-n", "-t", "3", "-T", "1", "-i", card, "-V", class, "-O", "bootfile", "-s"]);
    let output = client.arg(script).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_is_told_its_own_url_as_long_as_it_is_to_boot() {
    let namespace = Namespace::bridged().unwrap();
    namespace.add_card("ours", OURS).unwrap();
    namespace.add_card("stranger", STRANGER).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script");
    fs::write(&script, "#!/bin/sh\n[ \"$1\" = bound ] && echo \"address=$ip url=$bootfile\"\nexit 0\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let node = Uuid::new_v4();
    let ports = [port(node, OURS)];
    let state = folder.path().join("dhcp");
    let dhcp = Dhcp::start(settings(&namespace, BRIDGE), &state, &ports).await.unwrap();
    let ours = |class: &str| ask(&namespace, &script, "ours", class);
    let log = || fs::read_to_string(state.join("log")).unwrap();

    // Firmware whose URL comes from its BMC wants an address, and not the class without a URL.
    let answer = ours(FIRMWARE);
    assert!(answer.contains("address=172.31.77.1") && !answer.contains("url=http"), "{answer}");
    assert!(!log().contains("vendor-class  "), "{}", log());
    let url = "http://172.31.77.1:6385/artefacts/wFPW3bpyIrgZIzpIG5jsfBePUb7mgUZOiUaDDjJw_6c/agent.efi";
    dhcp.offer(node, &url.parse().unwrap(), &ports).await.unwrap();
    assert_eq!(ours(FIRMWARE), format!("{} url={url}\n", answer.split(' ').next().unwrap()), "the lease is kept");
    // Without its class back, firmware does not take the URL (the class in dnsmasq's notation).
    assert!(log().contains("option: 60 vendor-class  48:54:54:50:43:6c:69:65:6e:74"), "{}", log());
    assert!(!ours("Linux").contains("url=http"), "the URL is for firmware only");
    assert_eq!(ask(&namespace, &script, "stranger", FIRMWARE), "", "only ports of nodes are answered");

    // It is nobody's to fear: a user of its own, without any right that it does not need, and what it writes is its own.
    let status = fs::read_to_string(format!("/proc/{}/status", dhcp.process().unwrap())).unwrap();
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    let user = nix::unistd::User::from_name("dnsmasq").unwrap().unwrap();
    assert!(line("Uid:").split_whitespace().all(|uid| uid == user.uid.to_string()), "{status}");
    // CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW
    assert_eq!((line("CapBnd:"), line("NoNewPrivs:")), ("0000000000003400".into(), "1".into()));
    for (name, mode) in [("dnsmasq.conf", 0o600), ("log", 0o600), ("leases", 0o700)] {
        assert_eq!(fs::metadata(state.join(name)).unwrap().permissions().mode() & 0o777, mode, "{name}");
    }

    // It dies, and is back with everything that it knew.
    let process = dhcp.process().unwrap();
    assert!(Command::new("kill").args(["-KILL", &process.to_string()]).status().unwrap().success());
    let start = Instant::now();
    while dhcp.process().is_none_or(|now| now == process) {
        assert!(start.elapsed() < LIMIT, "dnsmasq is not started again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(ours(FIRMWARE).contains(url));

    // So is a conductor that was killed.
    dhcp.stop().await;
    drop(dhcp);
    let dhcp = Dhcp::start(settings(&namespace, BRIDGE), &state, &ports).await.unwrap();
    assert!(ours(FIRMWARE).contains(url), "what was offered is offered again");

    dhcp.withdraw(node, &ports).await.unwrap();
    assert!(!ours(FIRMWARE).contains("url=http"));
    dhcp.admit(&[port(node, OURS), port(Uuid::new_v4(), STRANGER)]).await.unwrap();
    assert!(ask(&namespace, &script, "stranger", FIRMWARE).contains("address="), "no stranger any more");

    let process = dhcp.process().unwrap();
    dhcp.stop().await;
    let gone = || !Path::new(&format!("/proc/{process}")).exists();
    let start = Instant::now();
    while !gone() {
        assert!(start.elapsed() < LIMIT, "dnsmasq outlives its conductor");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_network_that_is_not_there_is_named() {
    let namespace = Namespace::bridged().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = Dhcp::start(settings(&namespace, "br7"), folder.path(), &[]).await.unwrap_err();
    assert!(matches!(error, DhcpError::Refused(_)) && error.to_string().contains("br7"), "{error}");
}
