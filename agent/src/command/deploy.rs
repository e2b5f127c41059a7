//! `deploy.*`: listing and executing deploy steps.

use ferric_steps::step::Kind;

use super::{Command, Extension, Mode, PLAIN, steps};

/// `deploy`.
pub const EXTENSION: Extension = Extension {
    name: "deploy",
    class: "DeployExtension",
    commands: &[
        Command {
            name: "get_deploy_steps",
            mode: Mode::Sync,
            required: &["node", "ports"],
            validate: Some(steps::check_node),
            run: |agent, arguments, running| Box::pin(steps::list(Kind::Deploy, agent, arguments, running)),
            ..PLAIN
        },
        Command {
            name: "execute_deploy_step",
            mode: Mode::Async,
            required: &["step", "node", "ports"],
            optional: &["deploy_version"],
            open: true,
            validate: Some(steps::check_node),
            run: |agent, arguments, running| Box::pin(steps::execute(Kind::Deploy, agent, arguments, running)),
            ..PLAIN
        },
    ],
};
