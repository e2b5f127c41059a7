//! `service.*`: listing and executing service steps.

use ferric_steps::step::Kind;

use super::steps;
use crate::extension::{Command, Extension, Mode, PLAIN};

/// `service`.
pub(super) const EXTENSION: Extension = Extension {
    name: "service",
    class: "ServiceExtension",
    commands: &[
        Command {
            name: "get_service_steps",
            mode: Mode::Sync,
            required: &["node", "ports"],
            validate: Some(steps::check_node),
            run: |call| Box::pin(steps::list(Kind::Service, call)),
            ..PLAIN
        },
        Command {
            name: "execute_service_step",
            mode: Mode::Async,
            required: &["step", "node", "ports"],
            optional: &["service_version"],
            open: true,
            validate: Some(steps::check_node),
            run: |call| Box::pin(steps::execute(Kind::Service, call)),
            ..PLAIN
        },
    ],
};
