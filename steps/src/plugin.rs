//! Step plugins: executables in a directory that bring steps of their own. The protocol is described in
//! `docs/plugins.md`: `PLUGIN list` prints what it offers, `PLUGIN run` gets the step as JSON on standard input, prints
//! progress lines and ends with a result, an error, or neither.

mod offered;
mod running;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ferric_hardware::tool::{Tool, ToolError};

use crate::arguments::Arguments;
use crate::offer::{Action, Manager, Offer};
use crate::site::Site;
use crate::step::Step;
use offered::Listing;

/// How long `list` may take.
const LIST_LIMIT: Duration = Duration::from_secs(30);
/// Mode bits of group and others.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Why something in the directory of plugins brings no steps.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The directory is there and cannot be read.
    #[error("{}: {cause}", directory.display())]
    Unreadable {
        /// The directory.
        directory: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// What is run here is run as root: nobody else may have a say in it.
    #[error("{}: no step plugins from here: it must be root's and writable by nobody else", .0.display())]
    Untrusted(PathBuf),
    /// A file that nobody may run.
    #[error("{}: not executable", .0.display())]
    NotExecutable(PathBuf),
    /// It failed, or took too long.
    #[error("{}: {cause}", program.display())]
    Failed {
        /// The plugin.
        program: PathBuf,
        /// How.
        cause: ToolError,
    },
    /// It said something else.
    #[error("{}: what `list` prints is no listing: {cause}", program.display())]
    NoListing {
        /// The plugin.
        program: PathBuf,
        /// Where and why.
        cause: serde_json::Error,
    },
}

/// The manager that a plugin is to Ironic, and what it offers.
type Plugin = (Arc<Manager>, Vec<Offer>);

/// What all plugins of the directory offer, in the order of their file names, and what cannot be used and is left out:
/// the built-in steps must work all the same.
pub(crate) fn all(site: &Site) -> (Vec<Plugin>, Vec<Unusable>) {
    let (mut usable, mut unusable) = (Vec::new(), Vec::new());
    match files(&site.options.steps_dir) {
        Ok(files) => {
            for file in files {
                match is_executable(&file).and_then(|()| is_trusted(&file)).and_then(|()| list(&file)) {
                    Ok(plugin) => usable.push(plugin),
                    Err(error) => unusable.push(error),
                }
            }
        }
        Err(error) => unusable.push(error),
    }
    (usable, unusable)
}

/// The files in the directory by name; none when it does not exist.
fn files(directory: &Path) -> Result<Vec<PathBuf>, Unusable> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(Unusable::Unreadable { directory: directory.to_path_buf(), cause }),
    };
    is_trusted(directory)?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    Ok(paths)
}

fn is_executable(path: &Path) -> Result<(), Unusable> {
    match path.metadata() {
        Ok(meta) if meta.permissions().mode() & 0o111 != 0 => Ok(()),
        _ => Err(Unusable::NotExecutable(path.to_path_buf())),
    }
}

fn is_trusted(path: &Path) -> Result<(), Unusable> {
    let trusted = path.metadata().is_ok_and(|meta| {
        let is_own = meta.uid() == 0 || meta.uid() == nix::unistd::geteuid().as_raw();
        is_own && meta.permissions().mode() & WRITABLE_BY_OTHERS == 0
    });
    if trusted { Ok(()) } else { Err(Unusable::Untrusted(path.to_path_buf())) }
}

fn list(program: &Path) -> Result<Plugin, Unusable> {
    let failed = |cause| Unusable::Failed { program: program.to_path_buf(), cause };
    let output = Tool::at(program).run(["list"]).timeout(LIST_LIMIT).output().map_err(failed)?;
    let listing: Listing = serde_json::from_slice(&output.stdout)
        .map_err(|cause| Unusable::NoListing { program: program.to_path_buf(), cause })?;
    let file_name = program.file_name().unwrap_or_default().to_string_lossy();
    let manager = listing.manager(&file_name);
    let offers = listing.steps.iter().flat_map(|(kind, steps)| steps.iter().map(move |step| (*kind, step)));
    let offers = offers.map(|(kind, step)| {
        let (program, limit, name) = (program.to_path_buf(), step.limit(), step.step.clone());
        let run = move |step: &Step, arguments: &Arguments| {
            running::run(&program, kind.into(), &name, limit, arguments, step)
        };
        step.offer(&manager, kind.into(), Action::blocking(run))
    });
    let offers = offers.collect();
    Ok((manager, offers))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::catalogue;
    use crate::step::Kind;
    use crate::testing::Fake;
    use crate::{ErrorKind, StepError};

    /// A machine with one plugin that lists `listing` and runs `script`.
    fn with_plugin(listing: &Value, script: &str) -> Fake {
        let fake = Fake::new();
        fake.executable(
            "steps.d/example",
            &format!("case $1 in list) cat <<'END'\n{listing}\nEND\n;; run) {script} ;; esac"),
        );
        fake
    }

    fn listing(step: Value) -> Value {
        json!({"manager": "ExampleHardwareManager", "version": "4", "support": 3, "steps": {"clean": [step]}})
    }

    async fn run(fake: &Fake, name: &str, arguments: Value) -> Result<Value, StepError> {
        let Value::Object(arguments) = arguments else { panic!("no object") };
        catalogue::execute(Kind::Clean, name, arguments, fake.step()).await
    }

    #[tokio::test]
    async fn a_step_is_listed_and_run_with_its_arguments() {
        let step =
            json!({"step": "greet", "priority": 7, "argsinfo": {"who": {"description": "Name.", "required": true}}});
        let fake =
            with_plugin(&listing(step), "cat > input; echo 'progress: 5/10 halfway'; echo 'result: {\"greeted\": 1}'");
        let answer = catalogue::list(Kind::Clean, &fake.site()).unwrap();
        assert_eq!(
            answer["clean_steps"]["ExampleHardwareManager"],
            json!([{"step": "greet", "priority": 7, "interface": "deploy", "reboot_requested": false, "abortable": true,
                    "argsinfo": {"who": {"description": "Name.", "required": true}}}])
        );
        assert_eq!(answer["hardware_manager_version"]["ExampleHardwareManager"], "4");
        assert_eq!(run(&fake, "greet", json!({"who": "you"})).await.unwrap(), json!({"greeted": 1}));
        let input: Value = serde_json::from_str(&fake.read("input")).unwrap();
        assert_eq!(
            (&input["kind"], &input["step"], &input["args"]),
            (&json!("clean"), &json!("greet"), &json!({"who": "you"}))
        );
    }

    #[tokio::test]
    async fn undeclared_and_missing_arguments_are_refused_without_running() {
        let step = json!({"step": "greet", "argsinfo": {"who": {"required": true}}});
        let fake = with_plugin(&listing(step), "touch ran");
        assert!(run(&fake, "greet", json!({"whom": "you"})).await.is_err());
        assert!(run(&fake, "greet", json!({})).await.is_err());
        assert!(!fake.path().join("ran").exists());
    }

    #[tokio::test]
    async fn its_error_is_the_error_of_the_step() {
        let fake = with_plugin(&listing(json!({"step": "greet"})), "echo 'the cat is away' >&2; exit 4");
        let error = run(&fake, "greet", json!({})).await.unwrap_err();
        assert!(error.kind == ErrorKind::Cleaning && error.chain().contains("the cat is away"), "{error:?}");
    }

    #[tokio::test]
    async fn it_is_stopped_at_its_time_limit() {
        let fake = with_plugin(&listing(json!({"step": "greet", "timeout_seconds": 1})), "exec sleep 600");
        let error = run(&fake, "greet", json!({})).await.unwrap_err().chain();
        assert!(error.contains("within 1 s"), "{error}");
    }

    #[tokio::test]
    async fn it_overrides_a_built_in_step_by_more_support() {
        let fake = with_plugin(&listing(json!({"step": "erase_devices", "priority": 3})), "echo 'result: \"mine\"'");
        let answer = catalogue::list(Kind::Clean, &fake.site()).unwrap();
        let built_in = answer["clean_steps"]["GenericHardwareManager"].as_array().unwrap();
        assert!(built_in.iter().all(|step| step["step"] != "erase_devices"));
        assert_eq!(run(&fake, "erase_devices", json!({})).await.unwrap(), "mine");
    }

    #[tokio::test]
    async fn exit_code_75_hands_the_step_to_the_next_manager() {
        let fake = with_plugin(&listing(json!({"step": "erase_pstore"})), "exit 75");
        run(&fake, "erase_pstore", json!({})).await.unwrap();
    }

    #[test]
    fn a_plugin_that_others_may_change_is_not_run() {
        use std::os::unix::fs::PermissionsExt;
        let versions = |plugin: u32, directory: u32| {
            let fake = with_plugin(&listing(json!({"step": "greet"})), "");
            let set = |path: &str, mode| {
                std::fs::set_permissions(fake.path().join(path), std::fs::Permissions::from_mode(mode)).unwrap();
            };
            set("steps.d/example", plugin);
            set("steps.d", directory);
            let answer = catalogue::list(Kind::Clean, &fake.site()).unwrap();
            answer["hardware_manager_version"]["ExampleHardwareManager"].clone()
        };
        assert_eq!(versions(0o755, 0o755), "4");
        for (plugin, directory) in [(0o775, 0o755), (0o757, 0o755), (0o755, 0o775), (0o755, 0o1777)] {
            assert_eq!(versions(plugin, directory), Value::Null, "{plugin:o} in {directory:o}");
        }
    }

    #[test]
    fn a_broken_plugin_does_not_take_the_built_in_steps_away() {
        let fake = Fake::new();
        fake.executable("steps.d/broken", "echo nonsense");
        let answer = catalogue::list(Kind::Clean, &fake.site()).unwrap();
        assert_eq!(answer["hardware_manager_version"], json!({"generic_hardware_manager": "1.2"}));
    }
}
