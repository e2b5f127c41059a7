//! Every step in one table: what Ironic is told about it, what it accepts, and what runs.
//!
//! - `table`: the built-in steps
//! - `managers`: who offers steps (built-in, CoreOS, containers, plugins)

mod managers;
mod table;

use std::cmp::Reverse;

use serde_json::{Map, Value, json};

use crate::arguments::Arguments;
use crate::offer::Offer;
use crate::site::Site;
use crate::step::{Kind, Step, blocking};
use crate::{ErrorKind, StepError};
pub use managers::LeftOut;
use managers::Managers;

/// The answer to `get_<kind>_steps`: the steps by hardware manager, and the managers' versions.
/// It may run step plugins, so it blocks.
///
/// # Errors
/// [`ErrorKind::ManagerConfiguration`] when the file of container steps cannot be used.
pub fn list(kind: Kind, site: &Site) -> Result<Value, StepError> {
    let managers = Managers::of(site);
    if let Some(error) = managers.unusable {
        return Err(error);
    }
    let mut steps = Map::new();
    for offer in managers.offers.iter().filter(|offer| offer.kind == kind) {
        let wins =
            ranked(&managers.offers, kind, &offer.name).first().is_some_and(|first| first.manager == offer.manager);
        if let Value::Array(list) = steps.entry(&offer.manager.class).or_insert_with(|| json!([]))
            && wins
        {
            list.push(offer.announcement());
        }
    }
    steps.retain(|_, list| list.as_array().is_some_and(|list| !list.is_empty()));
    Ok(json!({ format!("{}_steps", kind.as_str()): steps, "hardware_manager_version": managers.versions() }))
}

/// The versions of the hardware managers by their declared names, as in [`list`]; Ironic sends them back with each
/// step. It blocks, as [`list`] does.
pub fn versions(site: &Site) -> Value {
    Managers::of(site).versions()
}

/// What brings no steps although it was meant to, and why. It blocks, as [`list`] does.
pub fn left_out(site: &Site) -> Vec<LeftOut> {
    Managers::of(site).left_out
}

/// Runs one step to its end and returns its result (`clean_result` etc.).
///
/// # Errors
/// What the step reports; [`ErrorKind::UnknownStep`] when there is none of that name.
pub async fn execute(kind: Kind, name: &str, arguments: Arguments, step: Step) -> Result<Value, StepError> {
    let asked = step.site.clone();
    let managers = blocking(move || Ok(Managers::of(&asked))).await?;
    for offer in ranked(&managers.offers, kind, name) {
        offer.check(&arguments)?;
        match offer.action.run(step.clone(), arguments.clone()).await {
            Err(error) if error.kind == ErrorKind::Incompatible => {
                tracing::info!(
                    step = name,
                    reason = error.chain(),
                    manager = offer.manager.class,
                    "does not fit this hardware"
                );
            }
            result => return result,
        }
    }
    let unknown = ErrorKind::UnknownStep.error(format!("Could not find method: {name}"));
    // It may be one of those that could not be read.
    Err(match managers.unusable {
        Some(error) => unknown.because(error),
        None => unknown,
    })
}

/// The offers of one name in the order in which they are tried: highest support, then highest priority, then the
/// first class name. The first is the one that is announced.
fn ranked<'a>(offers: &'a [Offer], kind: Kind, name: &str) -> Vec<&'a Offer> {
    let mut found: Vec<&Offer> = offers.iter().filter(|offer| offer.kind == kind && offer.name == name).collect();
    found.sort_by_key(|offer| (Reverse(offer.manager.support), Reverse(offer.priority), offer.manager.class.clone()));
    found
}

#[cfg(test)]
mod tests {
    use ferric_hardware::machine::Machine;
    use ferric_hardware::tool::Tools;

    use super::*;
    use crate::options::Options;

    /// A machine without any tool and without a host root.
    fn bare() -> Options {
        Options { host_root: "/nonexistent".into(), steps_dir: "/nonexistent".into(), ..Options::default() }
    }

    fn site(options: Options) -> Site {
        Site { tools: Tools::default(), ..Site::new(Machine::at("/nonexistent"), options) }
    }

    fn names(steps: &Value) -> Vec<&str> {
        steps.as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect()
    }

    fn step<'a>(steps: &'a Value, name: &str) -> &'a Value {
        steps.as_array().unwrap().iter().find(|step| step["step"] == name).unwrap()
    }

    #[test]
    fn the_generic_manager_lists_what_the_python_agent_lists() {
        let site = site(bare());
        let clean = list(Kind::Clean, &site).unwrap();
        assert_eq!(clean["hardware_manager_version"], json!({"generic_hardware_manager": "1.2"}));
        let steps = &clean["clean_steps"]["GenericHardwareManager"];
        let mut expected = vec![
            "burnin_cpu",
            "burnin_disk",
            "burnin_gpu",
            "burnin_memory",
            "burnin_network",
            "clean_uefi_nvram",
            "create_configuration",
            "delete_configuration",
            "erase_devices",
            "erase_devices_express",
            "erase_devices_metadata",
            "erase_pstore",
        ];
        let mut listed = names(steps);
        listed.sort_unstable();
        assert_eq!(listed, expected);
        assert_eq!(
            *step(steps, "erase_devices_metadata"),
            json!({"step": "erase_devices_metadata", "priority": 99, "interface": "deploy",
                   "reboot_requested": false, "abortable": true})
        );

        let deploy = list(Kind::Deploy, &site).unwrap();
        let steps = &deploy["deploy_steps"]["GenericHardwareManager"];
        expected = names(steps);
        expected.sort_unstable();
        assert_eq!(
            expected,
            [
                "apply_configuration",
                "clean_uefi_nvram",
                "erase_devices_metadata",
                "execute_bootc_install",
                "inject_files",
                "write_image"
            ]
        );
        let apply = step(steps, "apply_configuration");
        assert_eq!(apply["interface"], "raid");
        assert_eq!(apply["argsinfo"]["raid_config"]["required"], true);
        assert_eq!(apply["argsinfo"]["delete_existing"]["required"], false);
        assert!(apply.get("abortable").is_none());
        assert!(step(steps, "write_image").get("argsinfo").is_none());

        let service = list(Kind::Service, &site).unwrap();
        let steps = &service["service_steps"]["GenericHardwareManager"];
        assert_eq!(names(steps).len(), 10);
        assert_eq!(step(steps, "burnin_cpu")["abortable"], true);
        assert!(step(steps, "apply_configuration").get("abortable").is_none());
    }

    #[test]
    fn the_priority_of_inject_files_is_an_option() {
        let mut options = bare();
        options.inject_files_priority = 45;
        let deploy = list(Kind::Deploy, &site(options)).unwrap();
        assert_eq!(step(&deploy["deploy_steps"]["GenericHardwareManager"], "inject_files")["priority"], 45);
    }

    #[test]
    fn coreos_steps_are_there_where_the_host_is_coreos() {
        let host = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(host.path().join("etc")).unwrap();
        std::fs::write(host.path().join("etc/os-release"), "ID=fedora\nVARIANT_ID=coreos\n").unwrap();
        let mut options = bare();
        options.host_root = host.path().into();
        let deploy = list(Kind::Deploy, &site(options)).unwrap();
        let steps = &deploy["deploy_steps"]["CoreOSInstallHardwareManager"];
        assert_eq!(names(steps), ["install_coreos", "start_assisted_install"]);
        assert_eq!(step(steps, "install_coreos")["argsinfo"]["ignition"]["required"], false);
        assert_eq!(step(steps, "start_assisted_install")["argsinfo"], json!({}));
        assert_eq!(deploy["hardware_manager_version"]["CoreOSInstallHardwareManager"], "1");
    }

    async fn fail(kind: Kind, name: &str, arguments: Value) -> StepError {
        let Value::Object(arguments) = arguments else { panic!("no object") };
        execute(kind, name, arguments, Step::new(site(bare()))).await.unwrap_err()
    }

    #[tokio::test]
    async fn an_unknown_step_is_named() {
        let error = fail(Kind::Clean, "no_such_step", json!({})).await;
        assert_eq!(error.kind, ErrorKind::UnknownStep);
        assert_eq!(error.to_string(), "Could not find method: no_such_step");
    }

    #[tokio::test]
    async fn wrong_arguments_are_refused_before_anything_runs() {
        let error = fail(Kind::Clean, "erase_devices", json!({"force": true})).await;
        assert_eq!(error.kind, ErrorKind::Cleaning);
        assert_eq!(
            error.to_string(),
            "Unexpected exception performing clean step erase_devices. TypeError: \
             GenericHardwareManager.erase_devices() got an unexpected keyword argument 'force'"
        );
        let error = fail(Kind::Deploy, "apply_configuration", json!({})).await;
        assert_eq!(error.kind, ErrorKind::Deployment);
        assert!(error.to_string().ends_with("missing 1 required positional argument: 'raid_config'"), "{error}");
    }
}
