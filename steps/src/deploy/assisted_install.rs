//! Step `start_assisted_install`: the Assisted Installer's agent takes over, and the step lasts as long as it.

use std::collections::HashMap;
use std::time::Duration;

use ferric_hardware::tool::{Tool, ToolError};
use serde_json::Value;

use crate::step::Step;
use crate::{ErrorKind, StepError};

const UNIT: &str = "agent.service";
/// When the unit is looked at for the first time.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// How often it is looked at afterwards.
const POLL: Duration = Duration::from_secs(15);
/// How often cancellation is looked at meanwhile.
const TICK: Duration = Duration::from_millis(200);
/// How long one call of systemctl may take.
const CALL_LIMIT: Duration = Duration::from_secs(60);

/// The step `start_assisted_install`: starts `agent.service` on the host and waits for its end.
///
/// # Errors
/// [`ErrorKind::Deployment`] when it cannot be started or fails.
pub async fn start_assisted_install(step: &Step) -> Result<Value, StepError> {
    step.blocking(run).await
}

fn run(step: &Step) -> Result<Value, StepError> {
    let failed = |error: ToolError| {
        ErrorKind::Deployment.error(format!("Cannot start the Assisted Installer Agent ({UNIT})")).because(error)
    };
    let systemctl = step.site.tools.find_on_host("systemctl").map_err(failed)?;
    let start = systemctl.run(["start", "--no-block", "--job-mode=fail", UNIT]).timeout(CALL_LIMIT).output();
    start.map_err(failed)?;
    step.progress.activity("waiting for the Assisted Installer Agent");
    let mut pause = FIRST_LOOK;
    loop {
        wait(pause, step)?;
        pause = POLL;
        let state = show(&systemctl).map_err(failed)?;
        match state.get("ActiveState").map(String::as_str) {
            Some("activating" | "active") => {}
            Some("failed") => {
                let result = state.get("Result").cloned().unwrap_or_default();
                return Err(ErrorKind::Deployment.error(format!(
                    "Assisted Installer Agent has failed with result \"{result}\". Check the ramdisk logs for more details."
                )));
            }
            _ => return Ok(Value::Null),
        }
    }
}

fn wait(pause: Duration, step: &Step) -> Result<(), StepError> {
    for _ in 0..pause.as_millis() / TICK.as_millis() {
        if step.cancel.is_cancelled() {
            return Err(StepError::cancelled(format!("{UNIT} is no longer waited for; it goes on by itself")));
        }
        std::thread::sleep(TICK);
    }
    Ok(())
}

/// The properties of the unit.
fn show(systemctl: &Tool) -> Result<HashMap<String, String>, ToolError> {
    let output = systemctl.run(["show", "--property=ActiveState,Result", UNIT]).timeout(CALL_LIMIT).output()?;
    let pairs = output.text();
    Ok(pairs.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_string(), v.to_string())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn it_ends_when_the_unit_does() {
        let fake = testing::Fake::new();
        fake.program("systemctl", "[ $1 = show ] && echo ActiveState=inactive || echo \"$@\" >> started");
        start_assisted_install(&fake.step()).await.unwrap();
        assert_eq!(fake.read("started"), "start --no-block --job-mode=fail agent.service\n");
    }

    #[tokio::test]
    async fn a_failed_unit_is_a_failed_step_with_its_result() {
        let fake = testing::Fake::new();
        fake.program("systemctl", "printf 'ActiveState=failed\\nResult=exit-code\\n'");
        let error = start_assisted_install(&fake.step()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Deployment);
        assert!(error.to_string().contains("result \"exit-code\""), "{error}");
    }
}
