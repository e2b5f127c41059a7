//! `deploy.*`: listing and executing deploy steps.

use ferric_steps::step::Kind;

use super::steps;
use crate::extension::{Command, Extension, Mode, PLAIN};

/// `deploy`.
pub(super) const EXTENSION: Extension = Extension {
    name: "deploy",
    class: "DeployExtension",
    commands: &[
        Command {
            name: "get_deploy_steps",
            mode: Mode::Sync,
            required: &["node", "ports"],
            validate: Some(steps::check_node),
            run: |call| Box::pin(steps::list(Kind::Deploy, call)),
            ..PLAIN
        },
        Command {
            name: "execute_deploy_step",
            mode: Mode::Async,
            required: &["step", "node", "ports"],
            optional: &["deploy_version"],
            open: true,
            validate: Some(steps::check_node),
            run: |call| Box::pin(steps::execute(Kind::Deploy, call)),
            ..PLAIN
        },
    ],
};
