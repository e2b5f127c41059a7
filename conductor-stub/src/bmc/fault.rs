//! Faults as data: what the BMC is to do wrong, posted at run time to `/faults`.

use serde::{Deserialize, Serialize};

/// One fault. It applies to requests whose path contains `path`, `times` times, then it is used up.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Part of the request's path; empty fits every path.
    #[serde(default)]
    pub path: String,
    /// Request method, any when absent.
    #[serde(default)]
    pub method: Option<String>,
    /// How often; 1 by default.
    #[serde(default = "once")]
    pub times: u32,
    /// Wait this long, in milliseconds, before answering.
    #[serde(default)]
    pub delay_ms: u64,
    /// Answer at once with a task, which does what was asked this much later, in milliseconds.
    #[serde(default)]
    pub task_ms: Option<u64>,
    /// Answer with this status instead of doing what was asked.
    #[serde(default)]
    pub status: Option<u16>,
    /// Text of the error that goes with `status`.
    #[serde(default)]
    pub message: String,
}

fn once() -> u32 {
    1
}

/// Takes the first fault that fits, counting it down.
pub(super) fn take(faults: &mut Vec<Fault>, method: &str, path: &str) -> Option<Fault> {
    let at = faults.iter().position(|fault| {
        path.contains(&fault.path) && fault.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
    })?;
    let fault = faults[at].clone();
    if fault.times <= 1 {
        faults.remove(at);
    } else {
        faults[at].times -= 1;
    }
    Some(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_fits_its_path_and_wears_out() {
        let mut faults: Vec<Fault> =
            serde_json::from_str(r#"[{"path": "VirtualMedia", "method": "post", "times": 2, "status": 503}]"#).unwrap();
        assert!(take(&mut faults, "GET", "/redfish/v1/Systems/x/VirtualMedia/Cd").is_none());
        for _ in 0..2 {
            assert_eq!(take(&mut faults, "POST", "/x/VirtualMedia/Cd").and_then(|fault| fault.status), Some(503));
        }
        assert!(take(&mut faults, "POST", "/x/VirtualMedia/Cd").is_none());
    }
}
