//! CoreOS' own artefacts, brought here: what there is by its stream metadata, verified, kept by release.
//!
//! - [`stream`]: the metadata; [`folder`]: where they are kept

pub mod folder;
pub mod stream;
