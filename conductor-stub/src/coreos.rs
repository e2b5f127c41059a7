//! CoreOS' own artefacts, brought here: what there is by its stream metadata, verified, kept by release.
//!
//! - [`stream`]: the metadata; [`folder`]: where they are kept
//! - [`agent`]: the agent on them, for a whole site; `environment`: the same by environment variables

pub mod agent;
mod environment;
pub mod folder;
pub mod stream;
