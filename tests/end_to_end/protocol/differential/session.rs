//! One agent from its start to the last request.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use ferric_tests::agent_box::AgentBox;
use ferric_tests::conductor::{Asked, Conductor, HOLD, NODE, TOKEN};
use ferric_tests::namespace::Namespace;
use ferric_tests::peers;
use ferric_tests::process::{Process, program};
use serde_json::{Map, Value, json};

use super::requests::{Request, Session};

/// Which agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contender {
    /// The real Python agent.
    Ipa,
    /// Ours.
    Ferric,
}

/// What was seen, in order: a name for it, and what.
pub(super) type Record = Vec<(String, Value)>;

/// The machine's address and its conductor's.
const ADDRESS: &str = "10.0.2.15";
const CONDUCTOR_PORT: u16 = 6385;
const AGENT: &str = "https://10.0.2.15:9999";

/// Python starts slowly on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The interpreter of the Python agent.
pub(super) fn python() -> Result<PathBuf> {
    Ok(peers::folder()?.join("venv/bin/python"))
}

/// A box with the programs of both agents.
pub(super) fn agent_box(kernel_arguments: &str) -> Result<AgentBox> {
    let found = Command::new(python()?).args(["-c", "import sys; print(sys.base_prefix)"]).output()?;
    let installation = PathBuf::from(String::from_utf8(found.stdout)?.trim());
    let ours = program("ferric-agent");
    let programs = ours.parent().context("a program is in a directory")?.to_path_buf();
    Ok(AgentBox {
        machine: "qemu-q35",
        kernel_arguments: kernel_arguments.to_string(),
        folders: vec![peers::folder()?.join("venv"), installation, programs],
    })
}

/// The network interfaces of the captured machine.
fn network() -> Result<Namespace> {
    let network = Namespace::new()?;
    for (name, mac) in [("enp0s13", "52:54:00:aa:00:01"), ("enp0s14", "52:54:00:aa:00:02")] {
        let far = &format!("far-{name}");
        network.ip(&["link", "add", name, "address", mac, "type", "veth", "peer", "name", far])?;
        network.ip(&["link", "set", name, "up"])?;
        network.ip(&["link", "set", far, "up"])?;
    }
    network.ip(&["address", "add", &format!("{ADDRESS}/24"), "dev", "enp0s13"])?;
    Ok(network)
}

/// Starts the agent, waits until it is there, and sends it all requests.
pub(super) fn play(contender: Contender, session: &Session) -> Result<Record> {
    let tools = tools()?;
    network()?.inside(|| {
        let conductor = Conductor::listen(format!("{ADDRESS}:{CONDUCTOR_PORT}").parse()?)?;
        let mut agent = Process::start(&mut command(contender, session, tools.path())?)?;
        let record = conductor.heartbeat(TIMEOUT).and_then(|_| {
            let mut record = (session.told)(told(&conductor));
            record.extend(answers(&conductor, &session.requests)?);
            Ok(record)
        });
        agent.kill();
        record.with_context(|| format!("{contender:?} printed:\n{}", agent.log()))
    })
}

/// Programs that the agents run, instead of the real ones.
fn tools() -> Result<tempfile::TempDir> {
    let directory = tempfile::Builder::new().prefix("ferric-tools-").tempdir()?;
    let held_up = format!("exec curl --silent http://{ADDRESS}:{CONDUCTOR_PORT}{HOLD}");
    let detected = r#"echo '[["cpu", "logical", "number", "4"], ["system", "product", "name", "x"]]'"#;
    for (name, action) in [("stress-ng", held_up.as_str()), ("hardware-detect", detected)] {
        let program = directory.path().join(name);
        fs::write(&program, format!("#!/bin/sh\n{action}\n"))?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    }
    Ok(directory)
}

fn command(contender: Contender, session: &Session, tools: &Path) -> Result<Command> {
    let mut place = agent_box(&format!(
        "ipa-api-url=http://{ADDRESS}:{CONDUCTOR_PORT} BOOTIF=01-52-54-00-aa-00-01 \
         ipa-inspection-collectors={} \
         ipa-image-download-connection-retries=0 ipa-image-download-connection-retry-interval=0 ipa-debug=1",
        session.collectors
    ))?;
    place.folders.push(tools.to_path_buf());
    let mut command = place.command(Path::new("/usr/bin/env"));
    command.arg(format!("PATH={}:/run/bin:/usr/sbin:/usr/bin", tools.display()));
    match contender {
        Contender::Ipa => {
            command.arg(peers::folder()?.join("venv/bin/ironic-python-agent"));
        }
        Contender::Ferric => {
            command.arg(program("ferric-agent")).arg("run");
            for disk in session.disks {
                command.arg(format!("--allow-device=/dev/{disk}"));
            }
        }
    }
    Ok(command)
}

/// What the agent told the conductor up to its first heartbeat: the first request of each kind.
fn told(conductor: &Conductor) -> Record {
    let heartbeat = format!("/v1/heartbeat/{NODE}");
    ["/", "/v1/continue_inspection", "/v1/lookup", &heartbeat]
        .into_iter()
        .filter_map(|path| {
            let is_it = |asked: &Asked| asked.target.split('?').next() == Some(path);
            let asked = conductor.asked(path).into_iter().find(is_it)?;
            let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
            let query: Map<String, Value> = query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| (name.to_string(), sorted(value).into()))
                .collect();
            let mut said = json!({"method": asked.method, "path": path, "query": query, "version": asked.version,
                              "body": asked.body});
            if let Some(certificate) = asked.body["agent_verify_ca"].as_str() {
                said["certificate"] = certificate_lines(certificate).ok()?.into();
            }
            Some((format!("to Ironic: {path}"), said))
        })
        .collect()
}

/// What two certificates can have in common: no serial number, dates, key or signature.
fn certificate_lines(pem: &str) -> Result<Vec<String>> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(pem.as_bytes())?;
    let text = Command::new("openssl").args(["x509", "-noout", "-text", "-in"]).arg(file.path()).output()?.stdout;
    let mut lines: Vec<String> = String::from_utf8(text)?.lines().map(|line| line.trim().to_string()).collect();
    let differs = ["Serial Number", "Not Before", "Not After"];
    // Bytes in hexadecimal, with colons.
    let is_hex = |line: &str| line.chars().all(|c| c.is_ascii_hexdigit() || c == ':');
    lines.retain(|line| !is_hex(line) && differs.iter().all(|start| !line.starts_with(start)));
    Ok(lines)
}

/// The items of a list in a query, in alphabetical order: interfaces have none.
fn sorted(list: &str) -> String {
    let mut items: Vec<&str> = list.split("%2C").collect();
    items.sort_unstable();
    items.join(",")
}

fn answers(conductor: &Conductor, requests: &[Request]) -> Result<Record> {
    let mut record = Record::new();
    let mut id = String::new();
    for request in requests {
        if request.release_before {
            conductor.release();
        }
        let target = request.target.replace("{id}", &id).replace("{token}", &format!("agent_token={TOKEN}"));
        let answer = ask(request.method, &target, &request.body)
            .with_context(|| format!("{} {} {}", request.method, request.target, request.body))?;
        if let Some(new) = answer["body"]["id"].as_str() {
            id = new.to_string();
        }
        record.push((request.name.clone(), answer));
    }
    Ok(record)
}

/// Asks the agent and returns status, the headers that matter, and the body.
fn ask(method: &str, target: &str, body: &str) -> Result<Value> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--insecure", "--include", "--max-time", "120"]);
    if method == "HEAD" {
        curl.arg("--head");
    } else {
        curl.args(["--request", method]);
    }
    if !body.is_empty() || method == "POST" {
        curl.args(["--header", "Content-Type: application/json", "--header", "Expect:", "--data-binary", "@-"]);
    }
    let mut child = curl
        .arg(format!("{AGENT}{target}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("standard input of curl")?.write_all(body.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        // An agent that has ended is an answer, too.
        return Ok(json!({"no answer": String::from_utf8_lossy(&output.stderr)}));
    }
    let text = String::from_utf8(output.stdout)?;
    let (head, body) = text.split_once("\r\n\r\n").context("an answer has headers")?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("an answer has a status")?;
    let mut answer = json!({ "status": status });
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "allow" => {
                let mut methods: Vec<&str> = value.split(',').map(str::trim).collect();
                methods.sort_unstable();
                answer[name] = methods.join(", ").into();
            }
            "location" | "content-type" => answer[name] = value.trim().into(),
            _ => {}
        }
    }
    answer["body"] = serde_json::from_str(body).unwrap_or_else(|_| Value::from(body));
    if let Some(commands) =
        answer["body"]["commands"].as_array().filter(|list| list.iter().all(|c| c["id"].is_string()))
    {
        // Each has been an answer already.
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let short =
            |command: &Value| format!("{} {}", text(&command["command_name"]), text(&command["command_status"]));
        answer["body"]["commands"] = commands.iter().map(short).collect();
    }
    Ok(answer)
}
