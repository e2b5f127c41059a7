//! `clean.*`: listing and executing clean steps.

use ferric_steps::step::Kind;

use super::steps;
use crate::extension::{Command, Extension, Mode, PLAIN};

/// `clean`.
pub(super) const EXTENSION: Extension = Extension {
    name: "clean",
    class: "CleanExtension",
    commands: &[
        Command {
            name: "get_clean_steps",
            mode: Mode::Sync,
            required: &["node", "ports"],
            validate: Some(steps::check_node),
            run: |call| Box::pin(steps::list(Kind::Clean, call)),
            ..PLAIN
        },
        Command {
            name: "execute_clean_step",
            mode: Mode::Async,
            required: &["step", "node", "ports"],
            optional: &["clean_version"],
            open: true,
            validate: Some(steps::check_node),
            run: |call| Box::pin(steps::execute(Kind::Clean, call)),
            ..PLAIN
        },
    ],
};
