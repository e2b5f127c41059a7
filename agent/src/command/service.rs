//! `service.*`: listing and executing service steps.

use ferric_steps::step::Kind;

use super::{Command, Extension, Mode, PLAIN, steps};

/// `service`.
pub const EXTENSION: Extension = Extension {
    name: "service",
    class: "ServiceExtension",
    commands: &[
        Command {
            name: "get_service_steps",
            mode: Mode::Sync,
            required: &["node", "ports"],
            validate: Some(steps::check_node),
            run: |agent, arguments, running| Box::pin(steps::list(Kind::Service, agent, arguments, running)),
            ..PLAIN
        },
        Command {
            name: "execute_service_step",
            mode: Mode::Async,
            required: &["step", "node", "ports"],
            optional: &["service_version"],
            open: true,
            validate: Some(steps::check_node),
            run: |agent, arguments, running| Box::pin(steps::execute(Kind::Service, agent, arguments, running)),
            ..PLAIN
        },
    ],
};
