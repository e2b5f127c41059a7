//! Container steps: work in a container image, run by podman (or docker), found here or on the host. Steps of the
//! steps file are the operator's; a step that brings its image in its arguments is held to the allowlist.

use std::io::ErrorKind as ErrorNumber;
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
const KINDS: [Kind; 3] = [Kind::Clean, Kind::Deploy, Kind::Service];
/// How long a runner may take to tell its version.
const VERSION_LIMIT: Duration = Duration::from_secs(10);
/// Names of registries' transports. Others name local storage, which the allowlist does not speak of.
const TRANSPORTS: [&str; 2] = ["docker://", "oci://"];

/// The container manager and its steps that do without the steps file; nothing when no container runner works here.
pub(crate) fn generic_steps(site: &Site) -> Option<(Arc<Manager>, Vec<Offer>)> {
    let tools = &site.tools;
    let works =
        |name| tools.find(name).is_ok_and(|tool| tool.run(["--version"]).timeout(VERSION_LIMIT).output().is_ok());
    if !Runner::ALL.into_iter().map(Runner::program).any(works) {
        return None;
    }
    let class = "ContainerHardwareManager".to_string();
    let manager = Arc::new(Manager { name: class.clone(), class, version: "2".to_string(), support: 2 });
    let offers = KINDS.into_iter().flat_map(|kind| GENERIC_STEPS.map(|name| generic(name, kind, &manager))).collect();
    Some((manager, offers))
}

/// The steps of the steps file, for `manager`. None may have a name that is `taken`: it would run in place of the other,
/// an erase that erases nothing.
///
/// # Errors
/// [`ErrorKind::ManagerConfiguration`] when the file is there and cannot be used as a whole: a step that silently vanishes may
/// be the one that wipes.
pub(crate) fn declared_steps(
    site: &Site,
    manager: &Arc<Manager>,
    taken: impl Fn(&str) -> bool,
) -> Result<Vec<Offer>, StepError> {
    let path = &site.options.container.steps_file;
    let wrong = |what: String| ErrorKind::ManagerConfiguration.error(format!("{}: {what}", path.display()));
    let text = match std::fs::read_to_string(site.machine.path(path)) {
        Err(error) if error.kind() == ErrorNumber::NotFound => return Ok(Vec::new()),
        read => read.map_err(|error| wrong("cannot be read".to_string()).because(error))?,
    };
    let file: StepsFile = serde_saphyr::from_str::<Option<StepsFile>>(&text)
        .map_err(|error| wrong("no list of container steps".to_string()).because(error))?
        .unwrap_or_default();
    let steps = file.steps.unwrap_or_default();
    for step in &steps {
        if step.name.is_empty() || step.image.is_empty() {
            return Err(wrong("a container step without a name or an image".to_string()));
        }
        if taken(&step.name) {
            return Err(wrong(format!(
                "the container step {} has the name of another step, which it would replace",
                step.name
            )));
        }
    }
    Ok(KINDS.into_iter().flat_map(|kind| steps.iter().map(move |step| step.offer(kind, manager))).collect())
}

/// The steps file.
#[derive(Debug, Default, Deserialize)]
struct StepsFile {
    #[serde(default)]
    steps: Option<Vec<FileStep>>,
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
        let list = catalogue::list(Kind::Clean, &Fake::new().site()).unwrap();
        assert!(list["hardware_manager_version"].get("ContainerHardwareManager").is_none());
    }

    #[tokio::test]
    async fn steps_of_the_file_run_with_their_own_options() {
        let fake = machine();
        fake.file("etc/ironic-python-agent.d/mysteps.yaml", FILE);
        let list = catalogue::list(Kind::Clean, &fake.site()).unwrap();
        assert_eq!(list["hardware_manager_version"]["ContainerHardwareManager"], "2");
        assert_eq!(
            list["clean_steps"]["ContainerHardwareManager"][2],
            json!({"step": "wipe", "priority": 30, "interface": "deploy", "reboot_requested": false, "abortable": true})
        );
        let deploy = catalogue::list(Kind::Deploy, &fake.site()).unwrap();
        assert_eq!(deploy["deploy_steps"]["ContainerHardwareManager"][2]["priority"], 0);
        run(&fake, Container::default(), "wipe", json!({})).await.unwrap();
        assert_eq!(fake.read("calls"), "pull docker://host/wipe:1\nrun --rm --privileged docker://host/wipe:1\n");
    }

    #[tokio::test]
    async fn a_steps_file_that_cannot_be_used_as_a_whole_is_an_error_and_the_other_steps_work() {
        let renamed = |name: &str| FILE.replace("name: wipe", &format!("name: {name}"));
        for (file, expected) in [
            (renamed("erase_devices_metadata"), "erase_devices_metadata has the name of another step"),
            (renamed("generic_container_step"), "generic_container_step has the name of another step"),
            (renamed("''"), "without a name"),
            (FILE.replace("    interface: deploy\n", ""), "missing field `interface`"),
            ("steps: 3".to_string(), "no list of container steps"),
            ("- wipe".to_string(), "no list of container steps"),
            ("steps: [".to_string(), "no list of container steps"),
        ] {
            let fake = machine();
            fake.file("etc/ironic-python-agent.d/mysteps.yaml", &file);
            let error = catalogue::list(Kind::Clean, &fake.site()).unwrap_err();
            assert_eq!(error.kind, ErrorKind::ManagerConfiguration, "{file}");
            assert!(error.chain().contains(expected), "{file}: {}", error.chain());
            run(&fake, Container::default(), "erase_pstore", json!({})).await.unwrap();
            run(&fake, Container::default(), "erase_devices_metadata", json!({})).await.unwrap();
            assert!(!fake.path().join("calls").exists(), "{file}: a container ran in place of a built-in step");
            let error = run(&fake, Container::default(), "wipe", json!({})).await.unwrap_err();
            assert!(error.kind == ErrorKind::UnknownStep && error.chain().contains(expected), "{}", error.chain());
        }
        for nothing in ["", "steps:", "other: 1"] {
            let fake = machine();
            fake.file("etc/ironic-python-agent.d/mysteps.yaml", nothing);
            assert!(catalogue::list(Kind::Clean, &fake.site()).is_ok(), "{nothing}");
        }
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
