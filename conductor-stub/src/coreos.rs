//! CoreOS' own artefacts, brought here: what there is by its stream metadata, verified, kept by release.
//!
//! - [`stream`]: the metadata; [`transfer`]: one file; [`folder`]: where they are kept

pub mod folder;
pub mod stream;
pub mod transfer;
