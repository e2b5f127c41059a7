//! The systemd units that run the agent on a live system.

/// Name of the unit, whatever it runs.
pub const NAME: &str = "ferric-agent.service";
/// The agent's configuration file on the host.
pub const AGENT_CONF: &str = "/etc/ironic-python-agent.conf";
/// Credentials for the registry, on the host.
pub const PULL_SECRET: &str = "/etc/ferric/pull-secret.json";
/// Certificate authorities for the agent, at the same place on the host and in the container.
pub const CERTIFICATES: &str = "/etc/ferric/ca.pem";
/// Where the bare binary is installed.
pub const BINARY: &str = "/usr/local/bin/ferric-agent";

/// The agent's container: where its image comes from and what it is given.
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
    /// Names and values, for podman and the agent.
    pub environment: &'a [(&'a str, String)],
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

/// The arguments of podman that run the agent's container. The host's process namespace makes reboot and
/// power-off real and shows what the host has mounted.
#[must_use]
pub fn podman_arguments(container: &Container<'_>) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "run",
        "--rm",
        "--replace",
        "--name=ferric-agent",
        "--pull=missing",
        "--privileged",
        "--network=host",
        "--ipc=host",
        "--uts=host",
        "--pid=host",
        // Straight to the journal; podman would write every line there a second time.
        "--log-driver=passthrough",
    ]
    .map(str::to_owned)
    .into();
    if container.insecure_registry {
        arguments.push("--tls-verify=false".to_owned());
    }
    if container.pull_secret {
        arguments.push(format!("--authfile={PULL_SECRET}"));
    }
    arguments.extend(MOUNTS.map(|mount| format!("--volume={mount}")));
    if container.certificates {
        arguments.push(format!("--volume={CERTIFICATES}:{CERTIFICATES}:ro"));
    }
    arguments.extend(container.environment.iter().map(|(name, _)| format!("--env={name}")));
    arguments.push(container.image.to_owned());
    arguments
}

/// Runs the agent from its container image. Pulling is part of the start, tried again until it succeeds; an image that
/// is there is not pulled again, so that a restart does not depend on the registry.
#[must_use]
pub fn container(container: &Container<'_>) -> String {
    let mut service = String::from("ExecStart=/usr/bin/podman");
    for argument in podman_arguments(container) {
        service.push(' ');
        service.push_str(&quoted(&argument).replace('$', "$$"));
    }
    service.push_str("\nExecStop=/usr/bin/podman stop --ignore --time=10 ferric-agent\n");
    unit(&service, container.environment)
}

/// Runs the bare binary.
#[must_use]
pub fn binary(environment: &[(&str, String)]) -> String {
    unit(&format!("ExecStart={BINARY} run --config-file={AGENT_CONF}\n"), environment)
}

fn unit(commands: &str, environment: &[(&str, String)]) -> String {
    let mut text = String::from(
        "[Unit]\n\
         Description=Ferric, the Ironic agent\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         StartLimitIntervalSec=0\n\
         \n\
         [Service]\n\
         RuntimeDirectory=ferric-agent\n\
         RuntimeDirectoryMode=0700\n\
         RuntimeDirectoryPreserve=yes\n\
         TimeoutStartSec=infinity\n\
         TimeoutStopSec=30\n\
         Restart=on-failure\n\
         RestartSec=10\n",
    );
    for (name, value) in environment {
        text.push_str(&format!("Environment={}\n", quoted(&format!("{name}={value}"))));
    }
    text.push_str(commands);
    text.push_str("\n[Install]\nWantedBy=multi-user.target\n");
    text
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
}
