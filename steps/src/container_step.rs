//! Container steps: work in a container image, run by podman (or docker), found here or on the host. Steps of the
//! steps file are the operator's; a step that brings its image in its arguments is held to the allowlist.

use std::sync::Arc;
use std::time::Duration;

use ferric_hardware::tool::{Tool, ToolError};
use serde::Deserialize;
use serde_json::Value;

use crate::arguments::{Arguments, FromArguments, Parameter, value};
use crate::offer::{Action, Manager, Offer};
use crate::options::Runner;
use crate::site::Site;
use crate::step::{Kind, Step};
use crate::{ErrorKind, StepError, loose};

/// Steps that take an image from their arguments; the second is an old name of the first.
const GENERIC_STEPS: [&str; 2] = ["generic_container_step", "container_clean_step"];
/// How long a runner may take to tell its version.
const VERSION_LIMIT: Duration = Duration::from_secs(10);
/// Names of registries' transports. Others name local storage, which the allowlist does not speak of.
const TRANSPORTS: [&str; 2] = ["docker://", "oci://"];

/// The container manager and its steps; nothing when no container runner works here.
pub(crate) fn all(site: &Site) -> Option<(Arc<Manager>, Vec<Offer>)> {
    let tools = &site.tools;
    let works =
        |name| tools.find(name).is_ok_and(|tool| tool.run(["--version"]).timeout(VERSION_LIMIT).output().is_ok());
    if !Runner::ALL.into_iter().map(Runner::program).any(works) {
        return None;
    }
    let class = "ContainerHardwareManager".to_string();
    let manager = Arc::new(Manager { name: class.clone(), class, version: "2".to_string(), support: 2 });
    let steps = steps_of_file(site);
    let mut offers = Vec::new();
    for kind in [Kind::Clean, Kind::Deploy, Kind::Service] {
        offers.extend(GENERIC_STEPS.iter().map(|name| generic(name, kind, &manager)));
        offers.extend(steps.iter().map(|step| step.offer(kind, &manager)));
    }
    Some((manager, offers))
}

/// The steps file.
#[derive(Debug, Default, Deserialize)]
struct StepsFile {
    #[serde(default)]
    steps: Vec<FileStep>,
}

/// One step of the steps file.
#[derive(Debug, Clone, Deserialize)]
struct FileStep {
    name: String,
    image: String,
    interface: String,
    reboot_requested: bool,
    abortable: bool,
    /// Only automated cleaning looks at it.
    priority: i64,
    #[serde(default)]
    pull_options: Option<Words>,
    #[serde(default)]
    run_options: Option<Words>,
}

/// Options as one text or as a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Many(Vec<String>),
}

impl Words {
    fn list(&self) -> Vec<String> {
        let texts = match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        };
        texts.iter().flat_map(|text| text.split_whitespace()).map(str::to_string).collect()
    }
}

/// A steps file that cannot be read is logged: the other steps must work all the same.
fn steps_of_file(site: &Site) -> Vec<FileStep> {
    let path = &site.options.container.steps_file;
    let Ok(text) = std::fs::read_to_string(site.machine.path(path)) else { return Vec::new() };
    match serde_saphyr::from_str::<Option<StepsFile>>(&text) {
        Ok(file) => file.unwrap_or_default().steps,
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "the container steps cannot be used");
            Vec::new()
        }
    }
}

fn generic(name: &str, kind: Kind, manager: &Arc<Manager>) -> Offer {
    Offer {
        manager: manager.clone(),
        kind,
        name: name.to_string(),
        interface: "deploy".to_string(),
        priority: 0,
        abortable: Some(true),
        reboot_requested: false,
        parameters: GenericContainer::PARAMETERS.to_vec(),
        argsinfo: true,
        action: Action::blocking(|step, arguments| {
            run_untrusted(step, GenericContainer::from_arguments(arguments, step)?)
        }),
    }
}

impl FileStep {
    fn offer(&self, kind: Kind, manager: &Arc<Manager>) -> Offer {
        let declared = self.clone();
        Offer {
            manager: manager.clone(),
            kind,
            name: self.name.clone(),
            interface: self.interface.clone(),
            priority: if kind == Kind::Clean { self.priority } else { 0 },
            abortable: Some(self.abortable),
            reboot_requested: self.reboot_requested,
            parameters: Vec::new(),
            argsinfo: false,
            action: Action::blocking(move |step, _| {
                let pull = declared.pull_options.as_ref().map(Words::list);
                let run = declared.run_options.as_ref().map(Words::list);
                pull_and_run(&declared.image, pull, run, step)
            }),
        }
    }
}

/// The arguments of a step whose image comes with the request.
struct GenericContainer {
    image: String,
    pull_options: Option<Vec<String>>,
    run_options: Option<Vec<String>>,
}

impl FromArguments for GenericContainer {
    const PARAMETERS: &'static [Parameter] = &[
        Parameter::required("container_url", "Container image URL"),
        Parameter::optional("pull_options", "Pull options"),
        Parameter::optional("run_options", "Run options"),
    ];

    fn from_arguments(arguments: &Arguments, _: &Step) -> Result<Self, StepError> {
        let image = loose::text(value(arguments, "container_url")).ok_or_else(|| {
            ErrorKind::InvalidParameters.error("container_url must be a non-empty string".to_string())
        })?;
        let words = |name: &str| {
            let words = serde_json::from_value::<Words>(value(arguments, name).clone()).ok()?.list();
            (!words.is_empty()).then_some(words)
        };
        Ok(Self { image: image.to_string(), pull_options: words("pull_options"), run_options: words("run_options") })
    }
}

/// Runs an image that came with the request.
fn run_untrusted(step: &Step, wanted: GenericContainer) -> Result<Value, StepError> {
    let image = wanted.image.as_str();
    if step.site.options.container.allow_any {
        return pull_and_run(image, wanted.pull_options, wanted.run_options, step);
    }
    let allowed = &step.site.options.container.allowed;
    if !allowed.iter().any(|allowed| without_transport(allowed) == without_transport(image)) {
        tracing::error!(image, ?allowed, "the container is not listed in [container]allowed_containers");
        return Err(ErrorKind::ContainerNotPermitted.error(format!(
            "{image} is not one of [container]allowed_containers, and [container]allow_arbitrary_containers is off"
        )));
    }
    // Options alone can make an image do anything: whoever may not choose the image may not choose them either.
    pull_and_run(image, None, None, step)
}

fn without_transport(image: &str) -> &str {
    TRANSPORTS.iter().find_map(|transport| image.strip_prefix(transport)).unwrap_or(image)
}

fn pull_and_run(
    image: &str,
    pull_options: Option<Vec<String>>,
    run_options: Option<Vec<String>>,
    step: &Step,
) -> Result<Value, StepError> {
    let policy = &step.site.options.container;
    let tool = step.site.tools.find(policy.runner.program())?;
    step.progress.activity(format!("pulling the container {image}"));
    let options = pull_options.unwrap_or_else(|| policy.pull_options.clone());
    call(&tool, "pull", options, image, step)?;
    step.progress.activity(format!("running the container {image}"));
    let options = run_options.unwrap_or_else(|| policy.run_options.clone());
    call(&tool, "run", options, image, step)?;
    Ok(Value::Null)
}

fn call(tool: &Tool, verb: &str, options: Vec<String>, image: &str, step: &Step) -> Result<(), ToolError> {
    let mut on_line = |line: &str| tracing::info!(image, "{line}");
    let run = tool.run([verb]);
    let run = options.into_iter().fold(run, ferric_hardware::tool::Invocation::arg).arg(image);
    run.cancelled(&|| step.cancel.is_cancelled()).on_line(&mut on_line).output().map(|_| ())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalogue;
    use crate::options::Container;
    use crate::testing::Fake;

    const FILE: &str = "steps:\n  - name: wipe\n    image: docker://host/wipe:1\n    interface: deploy\n    \
                        reboot_requested: False\n    abortable: True\n    priority: 30\n    run_options: --rm --privileged\n";

    fn machine() -> Fake {
        let fake = Fake::new();
        fake.program("podman", "[ $1 = --version ] || echo \"$@\" >> calls");
        fake
    }

    async fn run(fake: &Fake, policy: Container, name: &str, arguments: Value) -> Result<Value, StepError> {
        let Value::Object(arguments) = arguments else { panic!("no object") };
        let step = fake.step_with(|options| options.container = policy, Value::Null);
        catalogue::execute(Kind::Clean, name, arguments, step).await
    }

    #[test]
    fn there_are_none_without_a_runner() {
        let list = catalogue::list(Kind::Clean, &Fake::new().site());
        assert!(list["hardware_manager_version"].get("ContainerHardwareManager").is_none());
    }

    #[tokio::test]
    async fn steps_of_the_file_run_with_their_own_options() {
        let fake = machine();
        fake.file("etc/ironic-python-agent.d/mysteps.yaml", FILE);
        let list = catalogue::list(Kind::Clean, &fake.site());
        assert_eq!(list["hardware_manager_version"]["ContainerHardwareManager"], "2");
        assert_eq!(
            list["clean_steps"]["ContainerHardwareManager"][2],
            json!({"step": "wipe", "priority": 30, "interface": "deploy", "reboot_requested": false, "abortable": true})
        );
        let deploy = catalogue::list(Kind::Deploy, &fake.site());
        assert_eq!(deploy["deploy_steps"]["ContainerHardwareManager"][2]["priority"], 0);
        run(&fake, Container::default(), "wipe", json!({})).await.unwrap();
        assert_eq!(fake.read("calls"), "pull docker://host/wipe:1\nrun --rm --privileged docker://host/wipe:1\n");
    }

    #[tokio::test]
    async fn an_image_of_the_arguments_must_be_listed_and_gets_no_options_of_its_own() {
        let fake = machine();
        let allowed = ["docker://host/a:1", "host/b:2"].map(str::to_string).to_vec();
        let policy = Container { allowed, ..Container::default() };
        let arguments = json!({"container_url": "host/a:1", "run_options": "--privileged"});
        run(&fake, policy.clone(), "generic_container_step", arguments).await.unwrap();
        assert_eq!(fake.read("calls"), "pull host/a:1\nrun --rm --network=host host/a:1\n");
        for image in ["host/c:1", "containers-storage:host/a:1"] {
            let error = run(&fake, policy.clone(), "generic_container_step", json!({"container_url": image}))
                .await
                .unwrap_err();
            assert_eq!(error.kind, ErrorKind::ContainerNotPermitted, "{error:?}");
        }
    }

    #[tokio::test]
    async fn any_image_with_any_option_runs_where_the_operator_allows_it() {
        let fake = machine();
        let policy = Container { allow_any: true, ..Container::default() };
        let arguments =
            json!({"container_url": "any", "run_options": "--rm -v /dev:/dev", "pull_options": ["--quiet"]});
        run(&fake, policy, "container_clean_step", arguments).await.unwrap();
        assert_eq!(fake.read("calls"), "pull --quiet any\nrun --rm -v /dev:/dev any\n");
    }
}
