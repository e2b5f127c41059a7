//! Cutting the machine off from the network, for nodes that must not be powered off after a deploy.

use std::time::Duration;

use crate::site::Site;

/// How long `ip link set down` may take for one interface.
const LINK_LIMIT: Duration = Duration::from_secs(10);

/// Takes every network interface but the loopback one down. Errors are only logged: there is nobody left to hear them.
/// A local run leaves the links alone.
pub fn links_down(site: &Site) {
    if site.is_local_run() {
        tracing::warn!("local run (allowed_devices is set): the network stays up");
        return;
    }
    let entries = match std::fs::read_dir(site.machine.path("/sys/class/net")) {
        Ok(entries) => entries,
        Err(error) => return tracing::error!(%error, "cannot list the network interfaces"),
    };
    let names = entries.flatten().map(|entry| entry.file_name()).filter(|name| name != "lo");
    for name in names {
        let down = site
            .tools
            .find("ip")
            .and_then(|ip| ip.run(["link", "set", "dev"]).arg(&name).arg("down").timeout(LINK_LIMIT).output());
        match down {
            Ok(_) => tracing::info!(?name, "link is down"),
            Err(error) => tracing::error!(?name, %error, "cannot take the link down"),
        }
    }
}
