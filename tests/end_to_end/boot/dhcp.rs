//! The conductor's DHCP server, which is a real dnsmasq, asked by a real client.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV6, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use conductor_stub::dhcp::{Dhcp, DhcpError, Offer, Settings};
use conductor_stub::node::Port;
use ferric_tests::namespace::{BRIDGE, BRIDGE_ADDRESS, Namespace};
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
    Settings { range: Some(range), namespace: Some(namespace.name().into()), ..Settings::new(interface) }
}

/// What the server tells the owner of `card`; empty without an answer.
fn ask(namespace: &Namespace, script: &Path, card: &str, class: &str) -> String {
    ask_with(namespace, script, card, class, &[])
}

/// The same of somebody who says more of themselves: options in udhcpc's notation.
fn ask_with(namespace: &Namespace, script: &Path, card: &str, class: &str, more: &[&str]) -> String {
    let mut client = namespace.command("busybox");
    client.args(["udhcpc", "-f", "-q", "-n", "-t", "3", "-T", "1", "-i", card, "-V", class, "-O", "bootfile", "-s"]);
    client.arg(script).args(more.iter().flat_map(|option| ["-x", option]));
    let output = client.output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The script that udhcpc runs.
fn script(folder: &Path) -> PathBuf {
    let script = folder.join("script");
    fs::write(&script, "#!/bin/sh\n[ \"$1\" = bound ] && echo \"address=$ip url=$bootfile\"\nexit 0\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    script
}

fn http(url: &str) -> Offer {
    Offer::Http(url.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_is_told_its_own_url_as_long_as_it_is_to_boot() {
    let namespace = Namespace::bridged().unwrap();
    namespace.add_card("ours", OURS).unwrap();
    namespace.add_card("stranger", STRANGER).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let script = script(folder.path());
    let node = Uuid::new_v4();
    let ports = [port(node, OURS)];
    let state = folder.path().join("dhcp");
    let dhcp = Dhcp::start(settings(&namespace, BRIDGE), &state, &ports).await.unwrap();
    let ours = |class: &str| ask(&namespace, &script, "ours", class);
    let log = || fs::read_to_string(state.join("dnsmasq.log")).unwrap();

    // Firmware whose URL comes from its BMC wants an address, and not the class without a URL.
    let answer = ours(FIRMWARE);
    assert!(answer.contains("address=172.31.77.1") && !answer.contains("url=http"), "{answer}");
    assert!(!log().contains("vendor-class  "), "{}", log());
    let url = "http://172.31.77.1:6385/artefacts/wFPW3bpyIrgZIzpIG5jsfBePUb7mgUZOiUaDDjJw_6c/agent.efi";
    dhcp.offer(node, http(url), &ports).await.unwrap();
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
    for (name, mode) in [("dnsmasq.conf", 0o600), ("dnsmasq.log", 0o600), ("leases", 0o700)] {
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

#[tokio::test(flavor = "multi_thread")]
async fn network_cards_get_ipxe_and_ipxe_gets_its_nodes_script() {
    let namespace = Namespace::bridged().unwrap();
    namespace.add_card("ours", OURS).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let script = script(folder.path());
    let (node, state) = (Uuid::new_v4(), folder.path().join("dhcp"));
    let ports = [port(node, OURS)];
    let dhcp = Dhcp::start(settings(&namespace, BRIDGE), &state, &ports).await.unwrap();
    let told = |class: &str, more: &[&str]| {
        let answer = ask_with(&namespace, &script, "ours", class, more);
        answer.trim().split("url=").nth(1).unwrap_or_else(|| panic!("no address: {answer}")).to_owned()
    };
    let pxe = |number: u16| told(&format!("PXEClient:Arch:{number:05}:UNDI:003016"), &[&format!("0x5d:{number:04x}")]);
    // iPXE says so in options of its own, as the network card's class stays what it was.
    let is_ipxe = "0xaf:b10501";

    let ipxe_url = "http://172.31.77.1:6385/artefacts/x/boot.ipxe";
    dhcp.offer(node, Offer::Ipxe { script: ipxe_url.parse().unwrap(), loader: None }, &ports).await.unwrap();
    assert_eq!([0, 7, 9, 11].map(pxe), ["undionly.kpxe", "snponly.efi", "snponly.efi", "snponly-arm64.efi"]);
    assert_eq!(told("PXEClient:Arch:00007:UNDI:003016", &["0x5d:0007", is_ipxe]), ipxe_url);
    assert_eq!(told(FIRMWARE, &["0x5d:0010"]), "", "it is not to boot by HTTP");
    let loader = "http://172.31.77.1:6385/artefacts/y/ipxe.efi";
    let offer = Offer::Ipxe { script: ipxe_url.parse().unwrap(), loader: Some(loader.parse().unwrap()) };
    dhcp.offer(node, offer, &ports).await.unwrap();
    assert_eq!(told(FIRMWARE, &["0x5d:0010"]), loader);
    assert_eq!(told("PXEClient:Arch:00007:UNDI:003016", &["0x5d:0007", is_ipxe]), ipxe_url);

    // TFTP gives out what is in its folder, and only that.
    let fetched = folder.path().join("fetched");
    let tftp = |name: &str| {
        let mut client = namespace.command("busybox");
        client.args(["tftp", "-g", "-r", name, "-l"]).arg(&fetched).arg(BRIDGE_ADDRESS);
        client.output().unwrap().status.success()
    };
    assert!(tftp("snponly.efi"));
    assert!(fs::read(&fetched).unwrap() == fs::read("/usr/lib/ipxe/snponly.efi").unwrap());
    assert!(!tftp("../../../etc/passwd") && !tftp("/etc/passwd"));

    dhcp.withdraw(node, &ports).await.unwrap();
    assert_eq!([pxe(7), told("PXEClient:Arch:00007", &["0x5d:0007", is_ipxe])], ["", ""]);
    dhcp.stop().await;
}

/// What DHCPv6 tells a machine that asks so: its boot file's URL, and the class that it gets back.
fn solicit(card: &str, class: &str, architecture: u16) -> anyhow::Result<(String, Vec<u8>)> {
    let index = nix::net::if_::if_nametoindex(card)?;
    let option = |code: u16, data: &[u8]| [&code.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat();
    let mac: Vec<u8> = OURS.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>()?;
    let class = [&343_u32.to_be_bytes()[..], &(class.len() as u16).to_be_bytes(), class.as_bytes()].concat();
    let question = [
        vec![1, 1, 2, 3],
        option(1, &[&[0, 3, 0, 1][..], &mac].concat()),
        option(3, &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
        option(6, &[0, 59]),
        option(8, &[0, 0]),
        option(16, &class),
        option(61, &architecture.to_be_bytes()),
    ]
    .concat();
    let socket = UdpSocket::bind("[::]:546")?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut answer = vec![0; 1500];
    let start = Instant::now();
    let length = loop {
        // Not before the card has its own address for good.
        let sent = socket.send_to(&question, SocketAddrV6::new("ff02::1:2".parse()?, 547, 0, index));
        match sent.and_then(|_| socket.recv(&mut answer)) {
            Ok(length) => break length,
            Err(error) => anyhow::ensure!(start.elapsed() < LIMIT, "no answer: {error}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let (mut url, mut back, mut rest) = (String::new(), Vec::new(), &answer[4..length]);
    while let [a, b, c, d, more @ ..] = rest {
        let (code, (data, behind)) = (u16::from_be_bytes([*a, *b]), more.split_at(u16::from_be_bytes([*c, *d]).into()));
        match code {
            59 => url = String::from_utf8(data.to_vec())?,
            16 => back = data.to_vec(),
            _ => {}
        }
        rest = behind;
    }
    Ok((url, back))
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_with_ipv6_alone_are_told_the_same() {
    let namespace = Namespace::bridged().unwrap();
    namespace.ip(&["address", "add", "fd77::1/64", "dev", BRIDGE, "nodad"]).unwrap();
    let machine = Namespace::new().unwrap();
    namespace.add_card("ours", OURS).unwrap();
    namespace.ip(&["link", "set", "ours", "netns", machine.name()]).unwrap();
    machine.ip(&["link", "set", "ours", "up"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (node, state) = (Uuid::new_v4(), folder.path().join("dhcp"));
    let ports = [port(node, OURS)];
    let range = ("fd77::100".parse().unwrap(), "fd77::1ff".parse().unwrap());
    let settings =
        Settings { ipv6_range: Some(range), namespace: Some(namespace.name().into()), ..Settings::new(BRIDGE) };
    let dhcp = Dhcp::start(settings, &state, &ports).await.unwrap();
    let told = |class: &str, architecture| machine.inside(|| solicit("ours", class, architecture)).unwrap();

    let url = "http://[fd77::1]:6385/artefacts/x/agent.efi";
    dhcp.offer(node, http(url), &ports).await.unwrap();
    let (answer, class) = told("HTTPClient:Arch:00016:UNDI:003001", 16);
    assert_eq!((answer.as_str(), &class[..]), (url, &b"\0\x0e----HTTPClient"[..]));
    assert_eq!(told("PXEClient:Arch:00007:UNDI:003001", 7).0, "");
    let script = "http://[fd77::1]:6385/artefacts/x/boot.ipxe";
    dhcp.offer(node, Offer::Ipxe { script: script.parse().unwrap(), loader: None }, &ports).await.unwrap();
    assert_eq!(told("PXEClient:Arch:00007:UNDI:003001", 7).0, "tftp://[fd77::1]/snponly.efi");
    // A URL that only IPv4 reaches is of no use there.
    dhcp.offer(node, http("http://172.31.77.1:6385/agent.efi"), &ports).await.unwrap();
    assert_eq!(told("HTTPClient:Arch:00016:UNDI:003001", 16), (String::new(), Vec::new()));
    // Routers say that addresses are to be asked for.
    let start = Instant::now();
    while !machine.ip(&["-6", "route", "show", "default"]).unwrap().contains("proto ra") {
        assert!(start.elapsed() < LIMIT, "no router advertisement");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    dhcp.stop().await;
}

#[tokio::test]
async fn what_cannot_be_served_is_said_at_the_start() {
    let namespace = Namespace::bridged().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let none = Dhcp::start(Settings { range: None, ..settings(&namespace, BRIDGE) }, folder.path(), &[]).await;
    assert!(matches!(none, Err(DhcpError::Settings(_))), "{none:?}");
    let both = Settings { proxy: Some(Ipv4Addr::new(172, 31, 77, 0)), ..settings(&namespace, BRIDGE) };
    assert!(matches!(Dhcp::start(both, folder.path(), &[]).await, Err(DhcpError::Settings(_))));
    let proxy = Settings { range: None, proxy: Some(Ipv4Addr::new(172, 31, 77, 0)), ..settings(&namespace, BRIDGE) };
    let dhcp = Dhcp::start(proxy, folder.path(), &[]).await.unwrap();
    let refused = dhcp.offer(Uuid::new_v4(), http("http://172.31.77.1/agent.efi"), &[]).await.unwrap_err();
    assert!(refused.to_string().contains("only boot by PXE"), "{refused}");
    dhcp.stop().await;
}

#[tokio::test]
async fn a_network_that_is_not_there_is_named() {
    let namespace = Namespace::bridged().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = Dhcp::start(settings(&namespace, "br7"), folder.path(), &[]).await.unwrap_err();
    assert!(matches!(error, DhcpError::Refused(_)) && error.to_string().contains("br7"), "{error}");
}
