//! systemd's units and their drop-ins.

use serde_json::Value;

use super::{Findings, elements, filled};

const KINDS: [&str; 12] = [
    "service",
    "socket",
    "device",
    "mount",
    "automount",
    "swap",
    "target",
    "path",
    "timer",
    "snapshot",
    "slice",
    "scope",
];

pub(super) fn check(systemd: &Value, findings: &mut Findings) {
    let units = || elements(systemd, "systemd", "units");
    findings.unique(units().map(|(place, unit)| (place, unit["name"].as_str())));
    for (place, unit) in units() {
        let name = unit["name"].as_str().unwrap_or_default();
        if !name.rsplit_once('.').is_some_and(|(_, kind)| KINDS.contains(&kind)) {
            findings
                .error(format!("{place}.name"), format!("{name:?} does not end as a unit's name does (.service, …)"));
        }
        let contents = unit["contents"].as_str().unwrap_or_default();
        match sections(contents) {
            Err(text) => findings.error(format!("{place}.contents"), text),
            Ok(sections) => {
                let enabled = unit["enabled"] == true && filled(&unit["contents"]).is_some();
                if enabled && !sections.contains(&"Install") {
                    findings.warn(format!("{place}.contents"), "enabled, but without [Install] that has no effect");
                }
            }
        }
        let dropins = || elements(unit, &place, "dropins");
        findings.unique(dropins().map(|(place, dropin)| (place, dropin["name"].as_str())));
        for (place, dropin) in dropins() {
            if !dropin["name"].as_str().unwrap_or_default().ends_with(".conf") {
                findings.error(format!("{place}.name"), "a drop-in's name ends in .conf");
            }
            if let Err(text) = sections(dropin["contents"].as_str().unwrap_or_default()) {
                findings.error(format!("{place}.contents"), text);
            }
        }
    }
}

/// Names of sections of a unit file: lines of `[SECTION]`, `NAME=VALUE`, comments, and lines that go on behind `\`.
fn sections(contents: &str) -> Result<Vec<&str>, String> {
    let mut sections = Vec::new();
    let mut continued = false;
    for (index, line) in contents.lines().enumerate() {
        let error = |text: &str| Err(format!("line {}: {text}", index + 1));
        let trimmed = line.trim();
        let is_comment = trimmed.starts_with(['#', ';']);
        if continued {
            continued = is_comment || trimmed.ends_with('\\');
            continue;
        }
        if trimmed.is_empty() || is_comment {
            continue;
        }
        if let Some(rest) = trimmed.strip_prefix('[') {
            let Some(name) = rest.strip_suffix(']') else { return error("a section's name without ']' at the end") };
            sections.push(name);
            continue;
        }
        let Some((_, value)) = trimmed.split_once('=') else { return error("neither [SECTION] nor NAME=VALUE") };
        continued = value.ends_with('\\');
    }
    Ok(sections)
}
