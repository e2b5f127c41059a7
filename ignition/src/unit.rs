//! The systemd units that run the agent on a live system (systemd 244 or later).

/// Name of the unit, whatever it runs.
pub const NAME: &str = "ferric-agent.service";
/// The unit that gets the container image, and then starts [`NAME`].
pub const IMAGE_NAME: &str = "ferric-agent-image.service";
/// The agent's configuration file on the host.
pub const AGENT_CONF: &str = "/etc/ironic-python-agent.conf";
/// Credentials for the registry, on the host; gone when the image is there.
pub const PULL_SECRET: &str = "/etc/ferric/pull-secret.json";
/// Certificate authorities for the agent, at the same place on the host and in the container.
pub const CERTIFICATES: &str = "/etc/ferric/ca.pem";
/// Where the bare binary is installed.
pub const BINARY: &str = "/usr/local/bin/ferric-agent";
/// The program that says why the agent does not run.
pub const REPORT: &str = "/etc/ferric/report-failure";
/// [`REPORT`] itself.
pub const REPORT_PROGRAM: &str = include_str!("../../container/report-failure");

/// How long one try for the image may take, with podman's own tries: a registry that answers no more is let go.
const PULL_TIMEOUT_SECONDS: u32 = 300;

/// What the units have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service<'a> {
    /// Names and values, for podman and the agent.
    pub environment: &'a [(&'a str, String)],
    /// Names and values for [`REPORT`].
    pub report: &'a [(&'a str, String)],
}

/// The agent's container: what its image is called and what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Container<'a> {
    /// Image reference.
    pub image: &'a str,
    /// Accept a registry without TLS or with an unknown certificate.
    pub insecure_registry: bool,
    /// [`PULL_SECRET`] is there and has the registry's credentials.
    pub pull_secret: bool,
    /// [`CERTIFICATES`] is there and the agent trusts them.
    pub certificates: bool,
}

/// What the agent's container sees of the host. coreos-installer wants udev's database; systemd is asked by D-Bus; below
/// the host's root, in `/run/ferric-agent`, the agent keeps what it must know when its container is replaced.
const MOUNTS: [&str; 6] = [
    "/dev:/dev",
    "/sys:/sys",
    "/run/udev:/run/udev",
    "/run/dbus/system_bus_socket:/run/dbus/system_bus_socket",
    "/:/mnt/coreos",
    "/etc/ironic-python-agent.conf:/etc/ironic-python-agent/ignition.conf:ro",
];

/// The arguments of podman that run the agent's container; why each of them is there is said in docs/coreos.md.
#[must_use]
pub fn podman_arguments(container: &Container<'_>, environment: &[(&str, String)]) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "run",
        "--rm",
        "--replace",
        "--name=ferric-agent",
        // A restart does not depend on the registry, and needs no credentials.
        "--pull=never",
        "--privileged",
        "--network=host",
        "--ipc=host",
        "--uts=host",
        "--pid=host",
        // Straight to the journal; podman would write every line there a second time.
        "--log-driver=passthrough",
        // Healthy: the agent runs on this machine and is allowed to see its disks.
        r#"--health-cmd=["/usr/bin/ferric-agent","disks"]"#,
        "--health-interval=60s",
        "--health-timeout=20s",
        "--health-start-period=10s",
    ]
    .map(str::to_owned)
    .into();
    arguments.extend(MOUNTS.map(|mount| format!("--volume={mount}")));
    if container.certificates {
        arguments.push(format!("--volume={CERTIFICATES}:{CERTIFICATES}:ro"));
    }
    arguments.extend(environment.iter().map(|(name, _)| format!("--env={name}")));
    arguments.push(container.image.to_owned());
    arguments
}

/// Pulls the container image, again and again with longer and longer pauses (where systemd knows `RestartSteps`, 254 and
/// later; five seconds before), takes the credentials away and starts the agent.
#[must_use]
pub fn image(container: &Container<'_>, service: &Service<'_>) -> String {
    let mut pull = vec!["/usr/bin/podman".to_owned(), "pull".to_owned(), "--quiet".to_owned()];
    if container.insecure_registry {
        pull.push("--tls-verify=false".to_owned());
    }
    if container.pull_secret {
        pull.push(format!("--authfile={PULL_SECRET}"));
    }
    pull.push(container.image.to_owned());
    let mut commands = format!("ExecStart={}\n", words(&pull));
    if container.pull_secret {
        commands.push_str(&format!("ExecStart=/usr/bin/rm -f {PULL_SECRET}\n"));
    }
    // Not by OnSuccess=: that also counts a restart after a failure as an end.
    commands.push_str(&format!("ExecStart=/usr/bin/systemctl start --no-block {NAME}\n"));
    let head = "Description=Container image of Ferric, the Ironic agent\n\
                Wants=network-online.target\n\
                After=network-online.target\n\
                StartLimitIntervalSec=0\n";
    let settings = format!(
        "Type=oneshot\n\
         TimeoutStartSec={PULL_TIMEOUT_SECONDS}\n\
         TimeoutStopSec=45\n\
         Restart=on-failure\n\
         RestartSec=5\n\
         RestartSteps=5\n\
         RestartMaxDelaySec=60\n"
    );
    text(head, &settings, &commands, IMAGE_NAME, service) + "\n[Install]\nWantedBy=multi-user.target\n"
}

/// Runs the agent from its container image, once [`image`] has it.
#[must_use]
pub fn container(container: &Container<'_>, service: &Service<'_>) -> String {
    let arguments = [&["/usr/bin/podman".to_owned()][..], &podman_arguments(container, service.environment)].concat();
    let commands =
        format!("ExecStart={}\nExecStop=/usr/bin/podman stop --ignore --time=10 ferric-agent\n", words(&arguments));
    agent(&commands, service)
}

/// Runs the bare binary.
#[must_use]
pub fn binary(service: &Service<'_>) -> String {
    let commands = format!("ExecStart={BINARY} run --config-file={AGENT_CONF}\n");
    agent(&commands, service) + "\n[Install]\nWantedBy=multi-user.target\n"
}

fn agent(commands: &str, service: &Service<'_>) -> String {
    let head = "Description=Ferric, the Ironic agent\n\
                Wants=network-online.target\n\
                After=network-online.target\n\
                StartLimitIntervalSec=0\n";
    let settings = "RuntimeDirectory=ferric-agent\n\
                    RuntimeDirectoryMode=0700\n\
                    RuntimeDirectoryPreserve=yes\n\
                    TimeoutStopSec=45\n\
                    Restart=on-failure\n\
                    RestartSec=10\n";
    text(head, settings, commands, NAME, service)
}

fn text(head: &str, settings: &str, commands: &str, name: &str, service: &Service<'_>) -> String {
    let mut text = format!("[Unit]\n{head}\n[Service]\n{settings}");
    for (variable, value) in service.environment.iter().chain(service.report) {
        text.push_str(&format!("Environment={}\n", quoted(&format!("{variable}={value}"))));
    }
    text.push_str(commands);
    // Whatever becomes of the report, the unit goes on.
    text.push_str(&format!("ExecStopPost=-/bin/bash {REPORT} {name}\n"));
    text
}

/// A command line; `$` is no variable.
fn words(words: &[String]) -> String {
    words.iter().map(|word| quoted(word).replace('$', "$$")).collect::<Vec<_>>().join(" ")
}

/// One word of a unit file (systemd.syntax, "Quoting"; systemd.unit, "Specifiers").
fn quoted(word: &str) -> String {
    let escaped = word.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%");
    if escaped.contains([' ', '"', '\'', ';']) { format!("\"{escaped}\"") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_sees_the_words_that_were_meant() {
        for (word, written) in
            [("--rm", "--rm"), ("A=b c", "\"A=b c\""), ("100%", "100%%"), (r"a\b", r"a\\b"), ("a\"b", "\"a\\\"b\"")]
        {
            assert_eq!(quoted(word), written);
        }
    }

    #[test]
    fn credentials_are_for_the_pull_only() {
        let container =
            Container { image: "r.example/a:1", insecure_registry: true, pull_secret: true, certificates: false };
        let service = Service { environment: &[], report: &[] };
        let image = image(&container, &service);
        let pull = format!(
            "ExecStart=/usr/bin/podman pull --quiet --tls-verify=false --authfile={PULL_SECRET} r.example/a:1\n"
        );
        assert!(image.contains(&format!("{pull}ExecStart=/usr/bin/rm -f {PULL_SECRET}\n")), "{image}");
        let run = super::container(&container, &service);
        assert!(run.contains(" --pull=never ") && !run.contains(PULL_SECRET), "{run}");
    }
}
