//! The clock: set from a time server, kept in the hardware clock.

use std::time::Duration;

use ferric_hardware::tool::Tool;

use crate::site::Site;
use crate::{ErrorKind, StepError};

/// How long one time program may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Sets the system clock from the option `ntp_server` with chronyd, else ntpdate. Without that option, and in a local
/// run, it does nothing.
///
/// # Errors
/// Only when `fail_if_clock_not_set` is on; a failure is logged otherwise.
pub fn set(site: &Site) -> Result<(), StepError> {
    match &site.options.clock.ntp_server {
        Some(server) if !site.is_local_run() => judge(query(server, site), site),
        _ => Ok(()),
    }
}

/// Copies the system clock to the hardware clock. In a local run it does nothing.
///
/// # Errors
/// Only when `fail_if_clock_not_set` is on; a failure is logged otherwise.
pub fn store(site: &Site) -> Result<(), StepError> {
    if site.is_local_run() {
        return Ok(());
    }
    let stored = site
        .tools
        .find("hwclock")
        .and_then(|hwclock| hwclock.run(["-v", "--systohc"]).timeout(LIMIT).output())
        .map_err(|error| format!("Failed to sync hardware clock: {error}"));
    judge(stored.map(|_| ()), site)
}

fn query(server: &str, site: &Site) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".:-_%".contains(c);
    if server.starts_with('-') || !server.chars().all(plain) {
        return Err(format!("Invalid NTP server address: {server}"));
    }
    let failed = |error| format!("Failed to sync with ntp server: {server}: {error}");
    let run = |tool: Tool, arguments: Vec<String>| tool.run(arguments).timeout(LIMIT).output().map_err(failed);
    let tools = &site.tools;
    if let Ok(chronyd) = tools.find("chronyd") {
        if let Ok(chronyc) = tools.find("chronyc") {
            // A running chronyd holds the port; that there is none is fine.
            chronyc.run(["shutdown"]).timeout(LIMIT).output_any_code().ok();
        }
        return run(chronyd, vec!["-q".into(), format!("server {server} iburst")]).map(|_| ());
    }
    match tools.find("ntpdate") {
        Ok(ntpdate) => run(ntpdate, vec![server.to_string()]).map(|_| ()),
        Err(_) => Err(format!("cannot set the clock from {server}: neither chronyd nor ntpdate is installed")),
    }
}

fn judge(result: Result<(), String>, site: &Site) -> Result<(), StepError> {
    match result {
        Err(reason) if site.options.clock.required => Err(ErrorKind::ClockSync.error(reason)),
        Err(reason) => {
            tracing::warn!(%reason, "the clock may be wrong");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
